//! A server that follows a script, byte by byte: what it says is what stands in the test.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What the server does with a request, or with a connection.
pub(crate) enum Act {
    /// Reads a request, answers, and keeps the connection for the next act.
    Reply(Vec<u8>),
    /// Reads a request, answers (with part of an answer, or nothing) and closes the connection.
    ReplyAndClose(Vec<u8>),
    /// Reads a request, answers (with part of an answer, or nothing) and waits for the client to give up.
    ReplyAndHang(Vec<u8>),
    /// Reads a request and resets the connection.
    ResetAfterRequest,
    /// Reads the first byte of a request and resets the connection.
    ResetWithinRequest,
    /// Resets the connection as soon as it is there.
    ResetAtOnce,
    /// Whatever comes first, answers these bytes and closes.
    Blurt(&'static [u8]),
}

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<u32>>,
    closed: mpsc::UnboundedReceiver<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens, and carries out one act after the other, on one connection at a time.
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (closing, closed) = mpsc::unbounded_channel();
        let stage = Stage { listener, requests: requests.clone(), connections: connections.clone(), closing };
        Self { url, requests, connections, closed, task: tokio::spawn(stage.play(script)) }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> u32 {
        *self.connections.lock().unwrap()
    }

    /// Waits until the client has closed its side of a connection that the server closed.
    pub(crate) async fn client_noticed_the_end(&mut self) {
        self.closed.recv().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Stage {
    listener: TcpListener,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<u32>>,
    closing: mpsc::UnboundedSender<()>,
}

impl Stage {
    async fn play(self, script: Vec<Act>) {
        let mut kept = None;
        for act in script {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => self.accept().await,
            };
            match act {
                Act::Reply(bytes) => {
                    self.read_request(&mut stream).await;
                    stream.write_all(&bytes).await.unwrap();
                    kept = Some(stream);
                }
                Act::ReplyAndClose(bytes) => {
                    self.read_request(&mut stream).await;
                    // A client that had enough may be gone before the last byte.
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                    wait_for_the_end(&mut stream).await;
                    self.closing.send(()).unwrap();
                }
                Act::ReplyAndHang(bytes) => {
                    self.read_request(&mut stream).await;
                    stream.write_all(&bytes).await.unwrap();
                    wait_for_the_end(&mut stream).await;
                }
                Act::ResetAfterRequest => {
                    self.read_request(&mut stream).await;
                    stream.set_zero_linger().unwrap();
                }
                Act::ResetWithinRequest => {
                    stream.read_u8().await.unwrap();
                    stream.set_zero_linger().unwrap();
                }
                Act::ResetAtOnce => stream.set_zero_linger().unwrap(),
                Act::Blurt(bytes) => {
                    stream.read_u8().await.unwrap();
                    stream.write_all(bytes).await.unwrap();
                    let _ = stream.shutdown().await;
                    wait_for_the_end(&mut stream).await;
                }
            }
        }
        // Whatever comes after the script is counted, and stands unanswered.
        let _kept = kept;
        let mut unanswered = Vec::new();
        loop {
            unanswered.push(self.accept().await);
        }
    }

    async fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().await.unwrap();
        *self.connections.lock().unwrap() += 1;
        stream
    }

    async fn read_request(&self, stream: &mut TcpStream) {
        let mut bytes = Vec::new();
        loop {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the connection ended within a request");
            let text = String::from_utf8(bytes.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() == length.parse::<usize>().unwrap() {
                let request = Request { head: head.to_owned(), body: body.to_owned() };
                self.requests.lock().unwrap().push(request);
                return;
            }
        }
    }
}

async fn wait_for_the_end(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

/// An answer with its length.
pub(crate) fn http(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
