//! The 401 byte for byte, and the identity of who is let in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use provider_auth::{AuthLayer, BasicAuth, Credentials};
use provider_types::Identity;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;

fn layer() -> AuthLayer {
    AuthLayer::new(Arc::new(BasicAuth::new([Credentials::new(
        "admin", "s3cr3t",
    )
    .unwrap()])))
}

async fn axum_app() -> SocketAddr {
    let app = axum::Router::new()
        .route(
            "/system/info",
            get(
                |Extension(identity): Extension<Identity>| async move { identity.name.to_string() },
            ),
        )
        .route(
            "/system/functions",
            post(|body: String| async move { body }),
        )
        .layer(layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn hyper_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = ServiceBuilder::new().layer(layer()).service_fn(
                |request: Request<Incoming>| async move {
                    let identity = request.extensions().get::<Identity>().unwrap();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
                        identity.name.to_string(),
                    ))))
                },
            );
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)),
            );
        }
    });
    address
}

/// Sends a request as it stands and reads until the server closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn whoever_is_not_known_gets_the_refusal_byte_for_byte() {
    for (server, address) in [("axum", axum_app().await), ("hyper", hyper_server().await)] {
        for authorization in [
            "",
            "Authorization: Bearer \r\n",
            "Authorization: Basic\r\n",
            "Authorization: Basic YWRtaW46d3Jvbmc=\r\n",
            "Authorization: Basic YWRtaW46czNjcjN0\r\nAuthorization: Basic YWRtaW46czNjcjN0\r\n",
        ] {
            let answer = raw(
                address,
                &format!("GET /system/info HTTP/1.1\r\nHost: x\r\n{authorization}Connection: close\r\n\r\n"),
            )
            .await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let mut lines: Vec<_> = head
                .lines()
                .filter(|line| !line.starts_with("date: "))
                .collect();
            lines.sort_unstable();
            assert_eq!(
                lines,
                [
                    "HTTP/1.1 401 Unauthorized",
                    "connection: close",
                    "content-length: 19",
                    "content-type: text/plain; charset=utf-8",
                    "www-authenticate: Basic realm=\"Restricted\"",
                ],
                "{server}, {authorization:?}"
            );
            assert_eq!(body, "invalid credentials", "{server}, {authorization:?}");
        }
    }
}

#[tokio::test]
async fn whoever_is_known_goes_on_with_an_identity() {
    for address in [axum_app().await, hyper_server().await] {
        let answer = reqwest::Client::new()
            .get(format!("http://{address}/system/info"))
            .basic_auth("admin", Some("s3cr3t"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "admin");
    }
}

#[tokio::test]
async fn a_body_of_whoever_is_not_known_is_not_waited_for() {
    let answer = raw(
        axum_app().await,
        "POST /system/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
