//! Mutations, panics, request ids.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provider_http::{BasicAuth, Credentials, Role};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Memory, PATIENCE, full, start};

/// Waits until a flag is set; the flag's owner does it, or the test fails.
async fn becomes_true(flag: &std::sync::atomic::AtomicBool) {
    let wait = async {
        while !flag.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it never happened");
}

#[tokio::test]
async fn a_mutation_runs_to_its_end_when_the_client_leaves() {
    let server = start(|s| s).await;
    let body = r#"{"service":"slow","image":"i"}"#;
    let head = format!(
        "POST /system/functions HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    server.backend.slow_begun.notified().await;
    // A reset, so that the server cannot take it for a half-closed connection.
    client.set_zero_linger().unwrap();
    drop(client);
    becomes_true(&server.backend.slow_done).await;
    let list = server.ask("GET", "/system/functions", "").await;
    assert!(list.body.contains("\"slow\""), "{list:?}");
}

#[tokio::test]
async fn a_read_is_given_up_when_the_client_leaves() {
    let server = start(|s| s).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET /system/function/slow HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address
    );
    client.write_all(head.as_bytes()).await.unwrap();
    server.backend.slow_begun.notified().await;
    assert!(!server.backend.slow_dropped.load(Ordering::SeqCst));
    drop(client);
    becomes_true(&server.backend.slow_dropped).await;
}

#[tokio::test]
async fn a_log_stream_is_given_up_when_the_client_leaves() {
    let server = start(|s| s).await;
    server.backend.add("f");
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET /system/logs?name=f&follow=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("\"text\"") {
        let mut buffer = [0; 1024];
        let read = tokio::io::AsyncReadExt::read(&mut client, &mut buffer);
        let read = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        assert!(read > 0, "the stream ended: {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(!server.backend.slow_dropped.load(Ordering::SeqCst));
    drop(client);
    becomes_true(&server.backend.slow_dropped).await;
}

#[tokio::test]
async fn a_panic_is_a_500_with_the_request_id_and_the_server_goes_on() {
    let server = start(|s| s).await;
    let id = [("X-Request-Id", "id-42")];
    for (method, target, body) in [
        ("GET", "/system/function/panics", ""),
        (
            "POST",
            "/system/functions",
            r#"{"service":"panics","image":"i"}"#,
        ),
        ("GET", "/function/panics", ""),
    ] {
        let reply = server.ask_with(method, target, &id, body).await;
        assert_eq!(reply.status, 500, "{method} {target}: {reply:?}");
        assert_eq!(
            reply.refusal(),
            "internal error; request id: id-42",
            "{method} {target}"
        );
    }
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200);
}

#[tokio::test]
async fn every_reply_to_a_system_call_has_a_request_id() {
    let server = start(|s| s).await;
    for target in ["/system/info", "/system/nowhere", "/healthz", "/nowhere"] {
        let given = server
            .ask_with("GET", target, &[("X-Request-Id", "mine")], "")
            .await;
        assert_eq!(given.header("x-request-id"), "mine", "{target}");
        let made = server.ask("GET", target, "").await.header("x-request-id");
        assert_eq!(made.len(), 32, "{target}: {made}");
        assert_ne!(
            made,
            server.ask("GET", target, "").await.header("x-request-id")
        );
    }
    let call_id = server
        .ask_with("GET", "/system/info", &[("X-Call-Id", "call-1")], "")
        .await;
    assert_eq!(call_id.header("x-request-id"), "call-1");
    let forged = server
        .ask_with("GET", "/system/info", &[("X-Request-Id", "a b")], "")
        .await;
    assert_ne!(forged.header("x-request-id"), "a b");
}

/// What the server logs while a test on one thread runs.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From now on, on this thread, where the test's runtime makes the system calls.
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let found = text.lines().filter(|line| line.contains(words));
        found.map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_mutation_is_one_line_in_the_log_and_a_read_is_none() {
    let (log, _guard) = Log::capture();
    let auth = BasicAuth::new([Credentials::new("admin", "s3cr3t").unwrap()]);
    let server = start(|s| s.auth(Arc::new(auth))).await;
    let headers = [
        ("Authorization", "Basic YWRtaW46czNjcjN0"),
        ("X-Request-Id", "id-7"),
        ("traceparent", "00-1-2-01"),
    ];
    let body = r#"{"service":"f","image":"i"}"#;
    server
        .ask_with("POST", "/system/functions", &headers, body)
        .await;
    server
        .ask_with("GET", "/system/functions", &headers, "")
        .await;
    let lines = log.lines("provider_http::mutation");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "method=POST",
        "path=\"/system/functions\"",
        "function=\"f.openfaas-fn\"",
        "caller=\"admin\"",
        "status=202",
        "duration_ms=",
        "request_id=id-7",
        "traceparent=\"00-1-2-01\"",
    ] {
        assert!(lines[0].contains(part), "no {part} in {lines:?}");
    }
    assert!(!lines[0].contains("s3cr3t"), "{lines:?}");
}

#[tokio::test]
async fn a_gateway_in_front_of_a_standalone_server_is_warned_of_once() {
    let agent = [("User-Agent", "openfaas-ce-gateway/0.27")];
    for (role, warnings) in [(Role::Standalone, 1), (Role::Provider, 0)] {
        let (log, _guard) = Log::capture();
        let server = start(|s| s.role(role)).await;
        for _ in 0..3 {
            server
                .ask_with("GET", "/system/namespaces", &agent, "")
                .await;
        }
        let found = log.lines("role `provider`");
        assert_eq!(found.len(), warnings, "{role:?}: {found:?}");
    }
    let (log, _guard) = Log::capture();
    let server = start(|s| s.role(Role::Standalone)).await;
    server
        .ask_with("GET", "/system/info", &[("User-Agent", "curl/8")], "")
        .await;
    server.ask("GET", "/system/function/f?usage=1", "").await;
    assert!(log.lines("role `provider`").is_empty());
    server
        .ask("GET", "/system/function/f?namespace=dev&usage=false", "")
        .await;
    assert_eq!(log.lines("role `provider`").len(), 1);
}

/// The workers have threads of their own, where only the service that has none can be listened to.
#[tokio::test]
async fn a_failed_call_is_logged_with_the_ids_that_it_came_with() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = nobody.local_addr().unwrap();
    drop(nobody);
    for (role, headers, id) in [
        (Role::Provider, vec![("X-Call-Id", "call-9")], "call-9"),
        (Role::Provider, vec![("X-Request-Id", "id-9")], "id-9"),
        (
            Role::Standalone,
            vec![("X-Call-Id", "call-9"), ("X-Request-Id", "id-9")],
            "call-9",
        ),
    ] {
        let (log, _guard) = Log::capture();
        let backend = Arc::new(Memory::default());
        backend.add("f");
        *backend.upstream.lock().unwrap() = Some(dead);
        let service = full(&backend).role(role).into_service();
        let mut request = http::Request::get("/function/f")
            .header("host", "localhost")
            .header("traceparent", "00-1-2-01");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let reply = tower::ServiceExt::oneshot(service, request).await.unwrap();
        assert_eq!(reply.status(), 502);
        let lines = log.lines("cannot connect");
        assert!(!lines.is_empty(), "{log:?}");
        for part in [
            format!("call_id=\"{id}\""),
            "traceparent=\"00-1-2-01\"".into(),
        ] {
            assert!(
                lines.iter().all(|line| line.contains(&part)),
                "no {part} in {lines:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_panic_of_a_call_is_known_by_its_call_id() {
    let server = start(|s| s).await;
    let id = [("X-Call-Id", "call-7")];
    let reply = server.ask_with("GET", "/function/panics", &id, "").await;
    assert_eq!(reply.refusal(), "internal error; request id: call-7");
}
