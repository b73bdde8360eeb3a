//! Invocations through the whole server.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use provider_http::{Config, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Memory, PATIENCE, Running, full, start};
use crate::upstream;

/// A server with the function `f`.
async fn with_function(
    change: impl FnOnce(crate::support::Builder) -> crate::support::Builder,
) -> Running {
    let server = start(change).await;
    server.backend.add("f");
    *server.backend.upstream.lock().unwrap() = Some(upstream::start().await);
    server
}

#[tokio::test]
async fn a_call_reaches_the_function_as_it_was_made() {
    let server = with_function(|s| s).await;
    let reply = server
        .ask_with(
            "POST",
            "/function/f/a%2Fb/(1)?x=%2B",
            &[("X-Mine", "1")],
            "hello",
        )
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        reply.body.starts_with("POST /a%2Fb/(1)?x=%2B\n"),
        "{reply:?}"
    );
    assert!(reply.body.contains("x-mine: 1\n"), "{reply:?}");
    assert!(
        reply.body.contains("x-forwarded-for: 127.0.0.1\n"),
        "{reply:?}"
    );
    assert!(reply.body.ends_with("\n\nhello"), "{reply:?}");
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
        let reply = server.ask(method, "/function/f.openfaas-fn", "").await;
        assert_eq!(reply.status, 200, "{method}: {reply:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_with_a_call_says_so() {
    let server = with_function(|s| s).await;
    let reply = server.ask("GET", "/function/absent", "").await;
    assert_eq!(
        (reply.status, reply.refusal()),
        (404, "No endpoints available for: absent.")
    );
    assert_eq!(reply.header("x-openfaas-internal"), "proxy");
    for bad in [
        "/function/Bad_Name",
        "/function/..",
        "/function/f/../../system/info",
        "/function/%2e%2e/x",
    ] {
        let reply = server.ask("GET", bad, "").await;
        assert!([400, 404].contains(&reply.status), "{bad}: {reply:?}");
    }
    *server.backend.upstream.lock().unwrap() = None;
    assert_eq!(server.ask("GET", "/function/f", "").await.status, 503);
}

#[tokio::test]
async fn a_function_that_is_too_slow_is_a_504_that_names_the_budget() {
    let server = with_function(|s| {
        s.config(
            Config::from_vars(|name| {
                let both = ["read_timeout", "write_timeout"].contains(&name);
                both.then(|| "200ms".to_owned())
            })
            .unwrap(),
        )
    })
    .await;
    let reply = server.ask("GET", "/function/f/wait/5000", "").await;
    assert_eq!(reply.status, 504, "{reply:?}");
    let words = reply.refusal();
    assert!(
        words.contains("upstream_timeout") && words.contains("200ms"),
        "{words}"
    );
}

#[tokio::test]
async fn a_stream_longer_than_every_budget_of_the_header_is_not_cut() {
    let server = with_function(|s| {
        let mut config = Config::default();
        config.header_timeout = Duration::from_millis(150);
        config.upstream_timeout = Duration::from_millis(150);
        s.config(config)
    })
    .await;
    let reply = server.ask("GET", "/function/f/stream/25", "").await;
    assert!(
        reply.body.contains("frame 24\n") && reply.body.ends_with("0\r\n\r\n"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn only_a_standalone_server_stamps_calls() {
    let server = with_function(|s| s.role(Role::Standalone)).await;
    let reply = server.ask("GET", "/function/f", "").await;
    let id = reply.header("x-call-id");
    assert!(
        reply.body.contains(&format!("x-call-id: {id}\n")) && !id.is_empty(),
        "{reply:?}"
    );
    assert!(
        reply.header("x-start-time").parse::<u64>().unwrap() > 0,
        "{reply:?}"
    );

    let server = with_function(|s| s).await;
    let reply = server.ask("GET", "/function/f", "").await;
    assert!(
        !reply.head.contains("x-call-id") && !reply.body.contains("x-call-id"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn traceparent_is_passed_on() {
    let server = with_function(|s| s).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let reply = server
        .ask_with("GET", "/function/f", &[("traceparent", parent)], "")
        .await;
    assert!(
        reply.body.contains(&format!("traceparent: {parent}\n")),
        "{reply:?}"
    );
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let server = with_function(|s| {
        let mut config = Config::default();
        config.header_timeout = Duration::from_millis(200);
        s.config(config)
    })
    .await;
    *server.backend.upstream.lock().unwrap() = Some(upstream::start_tunnel().await);
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET /function/f HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        server.address
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(client.read_u8().await.unwrap());
    }
    assert!(
        seen.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&seen)
    );
    // What follows is no header, and need not come in a header's time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    client.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
    // Half-closing the tunnel passes through it and comes back as the end.
    client.shutdown().await.unwrap();
    let end = tokio::time::timeout(PATIENCE, client.read(&mut echoed))
        .await
        .unwrap();
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn the_whole_api_is_a_service_for_somebody_elses_server() {
    let backend = Arc::new(Memory::default());
    backend.add("f");
    *backend.upstream.lock().unwrap() = Some(upstream::start().await);
    let service = full(&backend).into_service();
    let app = Router::new().fallback_service(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let get = async |target: &str| {
        let url = format!("http://{address}{target}");
        let reply = reqwest::get(url).await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    assert!(get("/system/functions").await.1.contains("\"f\""));
    assert!(get("/function/f/x").await.1.starts_with("GET /x\n"));
    assert_eq!(get("/system/function/panics").await.0, 500);
}
