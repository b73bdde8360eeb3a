//! Bodies and headers: limits, slow clients, half-closed connections.

use std::time::Duration;

use provider_http::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Reply, start};

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

fn padded(len: usize) -> String {
    let frame = r#"{"service":"f","image":"i","x":""}"#;
    let pad = "p".repeat(len - frame.len());
    format!(r#"{{"service":"f","image":"i","x":"{pad}"}}"#)
}

#[tokio::test]
async fn a_body_up_to_the_limit_passes_and_a_longer_one_is_a_413() {
    let server = start(|s| s.config(config(|c| c.max_body_bytes = 300_000))).await;
    let most = padded(300_000);
    assert_eq!(
        server.ask("POST", "/system/functions", &most).await.status,
        202
    );

    let reply = server
        .ask("POST", "/system/functions", &padded(300_001))
        .await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.refusal().contains("300000"), "{reply:?}");
}

#[tokio::test]
async fn a_chunked_body_is_held_to_the_limit_too() {
    let server = start(|s| s.config(config(|c| c.max_body_bytes = 100_000))).await;
    let head = |method: &str, target: &str| {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n",
            server.address
        )
    };
    let chunked = |text: &str| {
        let chunks = text.as_bytes().chunks(1000);
        let mut out: String = chunks
            .map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
            .collect();
        out += "0\r\n\r\n";
        out
    };
    let too_long = head("POST", "/system/functions") + &chunked(&padded(3_000_000));
    let reply = server.raw(too_long.as_bytes()).await;
    assert_eq!(reply.status, 413, "{reply:?}");

    let fits = head("POST", "/system/functions") + &chunked(&padded(90_000));
    assert_eq!(server.raw(fits.as_bytes()).await.status, 202);
    let scale = head("POST", "/system/scale-function/f") + &chunked(r#"{"replicas":3}"#);
    assert_eq!(server.raw(scale.as_bytes()).await.status, 202);
    let delete = head("DELETE", "/system/functions") + &chunked(r#"{"functionName":"f"}"#);
    assert_eq!(server.raw(delete.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn a_length_declared_too_big_is_refused_before_a_byte_is_sent() {
    let server = start(|s| s).await;
    let head = format!(
        "POST /system/functions HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
        server.address,
        10 * 1024 * 1024 + 1
    );
    let reply = server.raw(head.as_bytes()).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.refusal().contains("10485760"), "{reply:?}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_408() {
    let server = start(|s| s.config(config(|c| c.body_timeout = Duration::from_millis(100)))).await;
    let head = format!(
        "POST /system/functions HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\n{{",
        server.address
    );
    let reply = server.raw(head.as_bytes()).await;
    assert_eq!(reply.status, 408, "{reply:?}");
    assert!(reply.refusal().contains("read_timeout"), "{reply:?}");
}

#[tokio::test]
async fn expect_continue_is_answered_only_when_the_body_is_wanted() {
    let server = start(|s| s).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"service":"f","image":"i"}"#;
    let head = format!(
        "POST /system/functions HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        server.address,
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(Reply::read_to_end(&mut client).await.status, 202);

    let refused = head.replace("/system/functions", "/system/nowhere");
    assert_eq!(server.raw(refused.as_bytes()).await.status, 404);
}

#[tokio::test]
async fn headers_of_64_kib_pass_and_absurd_ones_are_a_431() {
    let server = start(|s| s).await;
    let ask = async |headers: String| {
        let text = format!(
            "GET /system/info HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            server.address
        );
        server.raw(text.as_bytes()).await.status
    };
    let lines = |count: usize, value: usize| -> String {
        (0..count)
            .map(|i| format!("x-{i}: {}\r\n", "v".repeat(value)))
            .collect()
    };
    assert_eq!(ask(lines(1, 65_536)).await, 200);
    assert_eq!(ask(lines(64, 1024)).await, 200);
    assert_eq!(ask(lines(1000, 60)).await, 200);
    assert_eq!(ask(lines(10_000, 1)).await, 431);
    assert_eq!(ask(lines(1, 4 * 1024 * 1024)).await, 431);
    assert_eq!(ask(lines(64, 65_536)).await, 431);
}

#[tokio::test]
async fn a_client_that_trickles_its_header_is_cut() {
    let server =
        start(|s| s.config(config(|c| c.header_timeout = Duration::from_millis(300)))).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client
        .write_all(b"GET /healthz HTTP/1.1\r\n")
        .await
        .unwrap();
    let trickle = async {
        for i in 0.. {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if client
                .write_all(format!("x-{i}: 1\r\n").as_bytes())
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, trickle)
        .await
        .expect("the client was never cut");
}

#[tokio::test]
async fn each_header_on_a_connection_has_its_own_time() {
    let server =
        start(|s| s.config(config(|c| c.header_timeout = Duration::from_millis(400)))).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let mut reply = [0; 1024];
    // Longer than the limit in all, and no header longer than it.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let ask = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(ask.as_bytes()).await.unwrap();
        let read = client.read(&mut reply).await.unwrap();
        assert!(reply[..read].starts_with(b"HTTP/1.1 200 "));
    }
    let closed = tokio::time::timeout(PATIENCE, client.read(&mut reply)).await;
    assert_eq!(closed.expect("it was never closed").unwrap(), 0);
}

#[tokio::test]
async fn a_missing_or_repeated_host_is_a_400_and_the_end_of_the_connection() {
    let server = start(|s| s).await;
    server.backend.add("f");
    for target in ["/system/info", "/function/f", "/healthz"] {
        for hosts in ["", "Host: localhost\r\nHost: localhost\r\n"] {
            let two = format!(
                "GET {target} HTTP/1.1\r\n{hosts}\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            );
            let reply = server.raw(two.as_bytes()).await;
            assert_eq!(reply.status, 400, "{target} {hosts:?}: {reply:?}");
            assert_eq!(reply.header("connection"), "close", "{reply:?}");
            assert!(reply.body.starts_with("400 Bad Request"), "{reply:?}");
            assert!(
                !reply.body.contains("200 OK"),
                "the next request was run: {reply:?}"
            );
        }
    }
    let old = server.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200);
}

#[tokio::test]
async fn the_server_itself_answers_options_star() {
    let server = start(|s| s).await;
    let reply = server.ask("OPTIONS", "*", "").await;
    assert!(reply.status == 200 && reply.is_empty(), "{reply:?}");
    assert_eq!(reply.header("content-length"), "0");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let server = start(|s| s).await;
    let one = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let last = one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let reply = server.raw(format!("{one}{one}{last}").as_bytes()).await;
    let all = format!("{}{}", reply.head, reply.body);
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3, "{all}");
}

#[tokio::test]
async fn a_client_that_shuts_down_its_side_still_gets_its_reply() {
    let server = start(|s| s).await;
    for body in [
        r#"{"service":"slow","image":"i"}"#,
        r#"{"service":"quick","image":"i"}"#,
    ] {
        let mut client = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "POST /system/functions HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        );
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let reply = Reply::read_to_end(&mut client).await;
        assert_eq!(reply.status, 202, "{body}: {reply:?}");
    }
}

/// The replies of a connection that is given two requests at once, the first with these lines.
async fn two_requests(server: &crate::support::Running, line: &str, rest: &str) -> Reply {
    let next = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    server
        .raw(format!("{line}\r\nHost: localhost\r\n{rest}{next}").as_bytes())
        .await
}

#[tokio::test]
async fn a_coding_other_than_chunked_alone_is_refused_and_the_end_of_the_connection() {
    let server = start(|s| s).await;
    server.backend.add("f");
    *server.backend.upstream.lock().unwrap() = Some(crate::upstream::start().await);
    let codings = [
        ("Transfer-Encoding: foo, chunked\r\n", 501),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            501,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            501,
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", 501),
        ("Transfer-Encoding: , chunked\r\n", 501),
        ("Transfer-Encoding: \"x\", chunked\r\n", 501),
        ("Transfer-Encoding: gzip\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: chunked, gzip\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Transfer-Encoding: \x0bchunked\r\n", 400),
        ("Transfer-Encoding:\r\n", 501),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("X: a\n", 400),
        ("X: a\r\n b\r\n", 400),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        ("Content-Length: +3\r\n", 400),
        ("Content-Length: 3, 3\r\n", 400),
    ];
    for target in ["/system/functions", "/function/f", "/healthz"] {
        for (coding, status) in codings {
            let line = format!("POST {target} HTTP/1.1");
            let reply = two_requests(&server, &line, &format!("{coding}\r\n0\r\n\r\n")).await;
            assert_eq!(reply.status, status, "{target} {coding:?}: {reply:?}");
            assert!(
                !reply.body.contains("HTTP/1.1"),
                "{target} {coding:?}: the next request was run: {reply:?}"
            );
        }
    }
    let old = "POST /function/f HTTP/1.0";
    let reply = two_requests(&server, old, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(!reply.body.contains("HTTP/1.1 "), "{reply:?}");

    for coding in ["chunked", "Chunked", "CHUNKED", " chunked "] {
        let rest = format!("Transfer-Encoding:{coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let reply = two_requests(&server, "POST /function/f HTTP/1.1", &rest).await;
        assert_eq!(reply.status, 200, "{coding:?}: {reply:?}");
        assert!(reply.body.contains("abc"), "{coding:?}: {reply:?}");
        assert!(
            reply.body.contains("HTTP/1.1 200 OK"),
            "{coding:?}: the connection was not kept: {reply:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_ends_the_connection_when_the_client_asked_for_that() {
    let server = start(|s| s).await;
    server.backend.add("f");
    for (line, status) in [
        ("GET /system/nowhere HTTP/1.1", 404),
        ("PATCH /system/functions HTTP/1.1", 405),
        ("POST /system/functions HTTP/1.1", 400),
        ("GET /function/absent HTTP/1.1", 404),
        ("GET /function/f HTTP/1.1", 503),
        ("GET /function/f/../x HTTP/1.1", 400),
    ] {
        let reply = two_requests(&server, line, "Connection: close\r\n\r\n").await;
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        assert_eq!(reply.header("connection"), "close", "{line}: {reply:?}");
        assert!(
            !reply.body.contains("HTTP/1.1"),
            "{line}: the next request was run: {reply:?}"
        );
    }
}
