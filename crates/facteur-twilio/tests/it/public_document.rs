use facteur_twilio::PublicDocument;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers one request with this, and gives what it asked.
async fn read(answer: Vec<u8>) -> (Result<Vec<u8>, String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4_096];
        let bytes = stream.read(&mut asked).await.unwrap();
        let _ = stream.write_all(&answer).await;
        String::from_utf8_lossy(&asked[..bytes]).into_owned()
    };
    let document = PublicDocument::new(url).unwrap();
    tokio::join!(document.read(), serving)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_document_is_read_whole_without_credentials_and_from_nowhere_else() {
    let (body, asked) = read(answer("200 OK", b"{}")).await;
    assert_eq!(body.unwrap(), b"{}");
    assert!(asked.starts_with("GET /keys ") && !asked.to_lowercase().contains("authorization"), "{asked}");
    let (refused, _) = read(answer("302 Found\r\nLocation: http://127.0.0.1:9/", b"")).await;
    assert!(refused.unwrap_err().contains("302"));
    let (long, _) = read(answer("200 OK", &vec![b' '; 256 * 1024 + 1])).await;
    assert!(long.unwrap_err().contains("more than"));
    let (cut, _) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_vec()).await;
    assert!(!cut.unwrap_err().contains("/keys"));
}
