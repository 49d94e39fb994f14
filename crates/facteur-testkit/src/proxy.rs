//! A TCP proxy that breaks connections on demand.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

const BACKLOG: u32 = 128;
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way in one direction; with a delay, more would only be held back by TCP.
const CHUNKS_MAX: usize = 1_024;
/// Words of [`FaultProxy::say`] that are still to be said.
const WORDS_MAX: usize = 16;

/// Carries connections to a target until it is told otherwise. Ends with everything it carries when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    weather: watch::Sender<Weather>,
    words: broadcast::Sender<Vec<u8>>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Cut,
    Heal,
}

#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    is_stalled: bool,
    delay: Duration,
    /// Raised by every half-close: connections older than it lose their way back.
    half_closes: u64,
}

/// What reigns over all connections.
#[derive(Clone)]
struct Sky {
    weather: watch::Sender<Weather>,
    words: broadcast::Sender<Vec<u8>>,
}

/// What only the way back to the client meets.
struct Back {
    /// Half-closes before the connection was made.
    born: u64,
    words: broadcast::Receiver<Vec<u8>>,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its proxy can't go on")]
    pub async fn start(target: SocketAddr) -> Self {
        // Bound but not listening, it keeps the port ours while the proxy refuses connections.
        let keeper = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = keeper.local_addr().expect("a bound socket has an address");
        let listener = listen(address).expect("the port listens");
        let weather = watch::Sender::new(Weather::default());
        let (orders, received) = mpsc::channel(1);
        let (words, _) = broadcast::channel(WORDS_MAX);
        let sky = Sky { weather: weather.clone(), words: words.clone() };
        let acceptor = tokio::spawn(accept(keeper, listener, target, received, sky));
        Self { address, orders, weather, words, acceptor }
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection and refuses new ones until [`Self::heal`]; done when this returns.
    pub async fn cut(&self) {
        self.order(Order::Cut).await;
    }

    /// Takes new connections again; done when this returns.
    pub async fn heal(&self) {
        self.order(Order::Heal).await;
    }

    /// Accepts connections but carries nothing, in either direction, until [`Self::resume`].
    pub fn stall(&self) {
        self.weather.send_modify(|weather| weather.is_stalled = true);
    }

    /// Carries again, first what was held back.
    pub fn resume(&self) {
        self.weather.send_modify(|weather| weather.is_stalled = false);
    }

    /// Whatever is read from now on arrives later by so much, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Every connection that is open reads the end of its stream, while what it writes still arrives.
    pub fn half_close(&self) {
        self.weather.send_modify(|weather| weather.half_closes += 1);
    }

    /// Says this to every client, as if its server had: between what the server says, so only while that one is silent can
    /// it be understood. Returns how many heard it.
    pub fn say(&self, words: &[u8]) -> usize {
        self.words.send(words.to_vec()).unwrap_or_default()
    }

    async fn order(&self, order: Order) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send((order, done)).await.is_ok() {
            // An acceptor that ended carries nothing, as a cut would have it.
            let _ = is_done.await;
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}

async fn accept(
    keeper: TcpSocket,
    listener: TcpListener,
    target: SocketAddr,
    mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>,
    sky: Sky,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                match order {
                    Order::Cut => {
                        listener = None;
                        connections.shutdown().await;
                    }
                    Order::Heal => {
                        listener = keeper.local_addr().and_then(listen).ok();
                    }
                }
                // Whoever gave the order may have gone.
                let _ = done.send(());
            }
            Ok((client, _)) = accepted => {
                let back = Back { born: sky.weather.borrow().half_closes, words: sky.words.subscribe() };
                connections.spawn(carry(client, target, sky.weather.subscribe(), back));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection; dropping it resets both sides.
async fn carry(
    client: TcpStream,
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    back: Back,
) -> io::Result<()> {
    client.set_zero_linger()?;
    let server = TcpStream::connect(target).await?;
    server.set_zero_linger()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Not `into_split`: its halves say goodbye when they are dropped, and a cut must not.
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let there = pump(from_client, to_server, weather.clone(), None);
    let back = pump(from_server, to_client, weather, Some(back));
    tokio::try_join!(there, back).map(drop)
}

/// Carries one direction until its end, and then closes it. `back` is there for the way to the client.
async fn pump(
    mut from: ReadHalf<TcpStream>,
    to: WriteHalf<TcpStream>,
    weather: watch::Receiver<Weather>,
    back: Option<Back>,
) -> io::Result<()> {
    let (chunks, waiting) = mpsc::channel(CHUNKS_MAX);
    let (born, mut words) = back.map(|back| (back.born, back.words)).unzip();
    let reading = async {
        let weather = weather.clone();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let word = async {
                match &mut words {
                    Some(words) => words.recv().await.ok(),
                    None => None,
                }
            };
            let (chunk, is_end) = tokio::select! {
                length = from.read(&mut buffer) => {
                    let length = length?;
                    (buffer.get(..length).unwrap_or_default().to_vec(), length == 0)
                }
                Some(word) = word => (word, false),
            };
            let due = Instant::now() + weather.borrow().delay;
            if is_end || chunks.send((due, chunk)).await.is_err() {
                break;
            }
        }
        drop(chunks);
        Ok(())
    };
    let writing = write(to, waiting, weather.clone(), born);
    tokio::try_join!(reading, writing).map(drop)
}

async fn write(
    mut to: WriteHalf<TcpStream>,
    mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut weather: watch::Receiver<Weather>,
    born: Option<u64>,
) -> io::Result<()> {
    let mut sky = weather.clone();
    let half_closed = async {
        let closed = |weather: &Weather| born.is_some_and(|born| weather.half_closes > born);
        if sky.wait_for(closed).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(half_closed);
    loop {
        let carried = async {
            let Some((due, chunk)) = chunks.recv().await else { return Ok(false) };
            tokio::time::sleep_until(due).await;
            // The proxy ends with its sender, so there is nobody left to hold anything back for.
            let _ = weather.wait_for(|weather| !weather.is_stalled).await;
            to.write_all(&chunk).await.map(|()| true)
        };
        tokio::select! {
            // What has been half closed carries nothing more, whatever else is ready.
            biased;
            () = &mut half_closed => {
                to.shutdown().await?;
                // Read on, so that the other side can write to its end.
                while chunks.recv().await.is_some() {}
                return Ok(());
            }
            carried = carried => if !carried? {
                return to.shutdown().await;
            },
        }
    }
}
