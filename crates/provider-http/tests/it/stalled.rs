//! Clients that take their reply slowly, or not at all.

use std::net::SocketAddr;
use std::time::Duration;

use provider_http::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::{PATIENCE, Running, start};

/// Long enough that a busy machine does not look like silence.
const IDLE: Duration = Duration::from_secs(2);

/// A function whose only reply never ends, and word of when its caller had enough.
async fn endless() -> (SocketAddr, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (given_up, heard) = oneshot::channel();
    tokio::spawn(async move {
        let (mut call, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(call.read_u8().await.unwrap());
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
        call.write_all(head).await.unwrap();
        while call.write_all(&[b'x'; 65_536]).await.is_ok() {}
        given_up.send(()).unwrap();
    });
    (address, heard)
}

async fn call_of(function: SocketAddr) -> (Running, TcpStream) {
    let server = start(|builder| {
        let mut config = Config::default();
        config.idle_timeout = IDLE;
        builder.config(config)
    })
    .await;
    server.backend.add("endless");
    *server.backend.upstream.lock().unwrap() = Some(function);
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /function/endless HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(request).await.unwrap();
    (server, client)
}

#[tokio::test]
async fn a_client_that_takes_no_byte_is_given_up() {
    let (function, given_up) = endless().await;
    let (_server, mut client) = call_of(function).await;
    let mut status = [0; 15];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    tokio::time::timeout(PATIENCE, given_up)
        .await
        .expect("the call goes on although nobody takes its reply")
        .unwrap();
}

#[tokio::test]
async fn a_client_that_takes_its_reply_slowly_is_not_cut() {
    let (function, mut given_up) = endless().await;
    let (_server, mut client) = call_of(function).await;
    // Longer than it may stand still, and more than the sockets in between hold.
    let mut piece = vec![0; 16 << 20];
    for _ in 0..6 {
        client.read_exact(&mut piece).await.unwrap();
        tokio::time::sleep(IDLE / 4).await;
    }
    assert!(given_up.try_recv().is_err(), "it was cut");
}
