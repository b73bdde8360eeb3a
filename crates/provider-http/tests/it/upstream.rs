//! A function to call: an HTTP server that echoes, waits, streams and upgrades.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{any, get};
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Starts it; it lives as long as the test's runtime.
pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/wait/{millis}", any(wait))
        .route("/stream/{frames}", get(frames))
        .route("/status/{code}", any(status))
        .fallback(echo);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// A raw server that answers every connection with a tunnel which echoes.
pub(crate) async fn start_tunnel() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let reply = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
                client.write_all(reply).await.unwrap();
                let (mut from, mut to) = client.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn echo(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut out = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        out += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    out + "\n" + &String::from_utf8_lossy(&body)
}

async fn wait(axum::extract::Path(millis): axum::extract::Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    "waited"
}

async fn status(axum::extract::Path(code): axum::extract::Path<u16>) -> Response {
    Response::builder()
        .status(code)
        .body(Body::empty())
        .unwrap()
}

/// A frame every 20 ms.
async fn frames(axum::extract::Path(frames): axum::extract::Path<u32>) -> Response {
    let frames = stream::iter(0..frames).then(|i| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, Infallible>(Bytes::from(format!("frame {i}\n")))
    });
    Response::new(Body::from_stream(frames))
}
