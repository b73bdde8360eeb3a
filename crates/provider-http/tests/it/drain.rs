//! Stopping without a lost call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use provider_http::{Config, Drained};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Reply, Running, start};
use crate::upstream;

async fn with_function(config: Config) -> Running {
    let server = start(|s| s.config(config)).await;
    server.backend.add("f");
    *server.backend.upstream.lock().unwrap() = Some(upstream::start().await);
    server
}

fn drain_timeout(time: Duration) -> Config {
    let mut config = Config::default();
    config.drain_timeout = time;
    config
}

async fn send(server: &Running, target: &str) -> TcpStream {
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn an_idle_server_stops_and_its_port_is_free() {
    let server = start(|s| s).await;
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200);
    let address = server.address;
    assert_eq!(server.stop().await, Drained::Clean);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn calls_in_flight_end_and_say_that_the_connection_does() {
    let server = with_function(Config::default()).await;
    let mut waiting = send(&server, "/function/f/wait/400").await;
    let mut streaming = send(&server, "/function/f/stream/30").await;
    let mut first = [0; 16];
    streaming.read_exact(&mut first).await.unwrap();
    assert_eq!(server.stop().await, Drained::Clean);

    let reply = Reply::read_to_end(&mut waiting).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "waited"));
    assert_eq!(reply.header("connection"), "close");
    let mut rest = String::new();
    streaming.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("frame 29\n\r\n0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn a_kept_connection_is_told_that_the_server_is_not_ready() {
    let server = start(|s| s).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let mut ask = async || {
        let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(head).await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            reply.push(client.read_u8().await.unwrap());
        }
        Reply::parse(&reply)
    };
    assert_eq!(ask().await.status, 200);
    let stopping = tokio::spawn(server.stop());
    let told = async {
        loop {
            let reply = ask().await;
            if reply.status == 503 {
                return reply;
            }
            assert_eq!(
                (reply.status, reply.header("connection").as_str()),
                (200, "")
            );
        }
    };
    let reply = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(reply.header("connection"), "close");
    assert_eq!(stopping.await.unwrap(), Drained::Clean);
}

/// Its request may be on the way when the server is told to stop.
#[tokio::test]
async fn a_kept_connection_has_a_moment_for_one_more_request() {
    let server = start(|s| s).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut first = [0; 12];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.write_all(head).await.unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("HTTP/1.1 503 "), "{rest}");
    assert_eq!(stopping.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn a_mutation_that_runs_is_waited_for() {
    let server = start(|s| s).await;
    let body = r#"{"service":"slow","image":"i"}"#;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST /system/functions HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    server.backend.slow_begun.notified().await;
    // Even without its client.
    client.set_zero_linger().unwrap();
    drop(client);
    let backend = Arc::clone(&server.backend);
    assert_eq!(server.stop().await, Drained::Clean);
    assert!(backend.slow_done.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_log_stream_ends_as_it_should() {
    let server = with_function(Config::default()).await;
    let mut client = send(&server, "/system/logs?name=f&follow=1").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"}\n\r\n") {
        seen.push(client.read_u8().await.unwrap());
    }
    assert_eq!(server.stop().await, Drained::Clean);
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "0\r\n\r\n");
}

#[tokio::test]
async fn what_outlasts_the_deadline_is_cut_visibly() {
    let server = with_function(drain_timeout(Duration::from_millis(300))).await;
    let mut waiting = send(&server, "/function/f/wait/60000").await;
    let mut streaming = send(&server, "/function/f/stream/1000000").await;
    let mut first = [0; 16];
    streaming.read_exact(&mut first).await.unwrap();
    assert_eq!(server.stop().await, Drained::Cut(2));
    let mut rest = Vec::new();
    // A reset or an end without the last chunk: never a complete reply.
    let _ = streaming.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    let mut nothing = Vec::new();
    let _ = waiting.read_to_end(&mut nothing).await;
    assert_eq!(nothing, b"");
}

#[tokio::test]
async fn a_tunnel_is_waited_for() {
    let server = with_function(Config::default()).await;
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
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!stopping.is_finished());
    client.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    client.read_exact(&mut echoed).await.unwrap();
    drop(client);
    assert_eq!(stopping.await.unwrap(), Drained::Clean);
}

/// Clients that keep their connections and go on until they are told to close, or find nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_server_stops_under_load() {
    let server = with_function(Config::default()).await;
    let address = server.address;
    let stopped = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (stopped, served) = (Arc::clone(&stopped), Arc::clone(&served));
            tokio::spawn(async move {
                let request = b"GET /function/f/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
                'connections: while let Ok(mut client) = TcpStream::connect(address).await {
                    loop {
                        client
                            .write_all(request)
                            .await
                            .expect("a request could not be sent");
                        let mut reply = Vec::new();
                        while !reply.ends_with(b"\n\n") {
                            let mut buffer = [0; 4096];
                            let n = client.read(&mut buffer).await.expect("a reply broke off");
                            assert!(n > 0, "no reply: {:?}", String::from_utf8_lossy(&reply));
                            reply.extend_from_slice(&buffer[..n]);
                        }
                        assert!(reply.starts_with(b"HTTP/1.1 200 "));
                        served.fetch_add(1, Ordering::SeqCst);
                        if String::from_utf8_lossy(&reply).contains("connection: close") {
                            continue 'connections;
                        }
                    }
                }
                assert!(
                    stopped.load(Ordering::SeqCst),
                    "nobody listened before the stop"
                );
            })
        })
        .collect();
    while served.load(Ordering::SeqCst) < 500 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stopped.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(server.stop().await, Drained::Clean);
    assert!(begun.elapsed() < PATIENCE);
    for client in clients {
        client.await.unwrap();
    }
}
