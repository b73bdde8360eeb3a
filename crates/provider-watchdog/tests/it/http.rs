//! Mode `http`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use provider_watchdog::WatchdogError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Raw, Reply, Served, client, config, script, serve, serve_config, wait};

/// A program that listens, in this process.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

// === impl Upstream ===

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer)),
                );
            }
        });
        Self { address }
    }

    /// One that writes these bytes to every connection once it has read something, and closes it.
    async fn that_answers(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = [0; 4096];
                let _length = stream.read(&mut read).await.unwrap();
                stream.write_all(bytes).await.unwrap();
            }
        });
        Self { address }
    }

    /// A watchdog in front of it.
    pub(crate) async fn serve(&self, vars: &[(&str, &str)]) -> Served {
        let url = format!("http://{}", self.address);
        let mut all = vec![
            ("mode", "http"),
            ("fprocess", "sleep 1000"),
            ("upstream_url", url.as_str()),
        ];
        all.extend_from_slice(vars);
        serve(&all).await
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let full = |bytes: Bytes| Full::new(bytes).boxed_unsync();
    Ok(match request.uri().path() {
        "/echo" => Response::new(
            StreamBody::new(
                request
                    .into_body()
                    .into_data_stream()
                    .map(|bytes| Ok(Frame::data(bytes.unwrap_or_default()))),
            )
            .boxed_unsync(),
        ),
        "/length" => {
            let whole = request.into_body().collect().await.unwrap().to_bytes();
            Response::builder()
                .header("keep-alive", "timeout=5")
                .body(full(whole))
                .unwrap()
        }
        "/events" => {
            let events = futures_util::stream::unfold(0, |n| async move {
                sleep(Duration::from_millis(50)).await;
                let event = Bytes::from(format!("data: {n}\n\n"));
                Some((Ok(Frame::data(event)), n + 1))
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(StreamBody::new(events).boxed_unsync())
                .unwrap()
        }
        "/stuck" => std::future::pending().await,
        "/redirect" => Response::builder()
            .status(302)
            .header("location", "/elsewhere")
            .body(full(Bytes::new()))
            .unwrap(),
        "/missing" => Response::builder()
            .status(404)
            .body(full(Bytes::new()))
            .unwrap(),
        _ => {
            let mut text = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            Response::builder()
                .header("x-own", "1")
                .header("x-own", "2")
                .body(full(text.into()))
                .unwrap()
        }
    })
}

#[tokio::test]
async fn a_call_reaches_the_program_as_it_came() {
    let served = Upstream::start().await.serve(&[]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send(
        "PATCH /a%2Fb//c(d)/?q=%20&r HTTP/1.1\r\nHost: function.example\r\nX-A: 1\r\nX-A: 2\r\n\
         Connection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let reply = raw.rest().await;
    assert!(reply.contains("\r\nx-own: 1\r\nx-own: 2\r\n"), "{reply}");
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines.remove(0), "PATCH /a%2Fb//c(d)/?q=%20&r");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "content-length: 2",
            "host: function.example",
            "te: trailers",
            "x-a: 1",
            "x-a: 2"
        ]
    );
    served.stopped().await;
}

#[tokio::test]
async fn a_reply_keeps_its_length_and_tells_its_duration() {
    let served = Upstream::start().await.serve(&[]).await;
    let reply = served.post("/length", "hello").await;
    assert_eq!(reply.body, "hello");
    assert_eq!(reply.header("content-length"), Some("5"));
    assert_eq!(reply.header("keep-alive"), None);
    let seconds = reply.header("x-duration-seconds").unwrap();
    assert!(seconds.parse::<f64>().unwrap() >= 0.0);
    assert_eq!(served.get("/redirect").await.status, 302);
    served.stopped().await;
}

#[tokio::test]
async fn the_upstreams_path_comes_first() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}/base/", upstream.address);
    let served = upstream.serve(&[("upstream_url", &url)]).await;
    let reply = served.get("/x?y").await;
    assert!(reply.body.starts_with("GET /base/x?y\n"), "{}", reply.body);
    served.stopped().await;
}

#[tokio::test]
async fn a_body_is_forwarded_as_it_comes_or_whole() {
    let chunked = "POST / HTTP/1.1\r\nhost: f\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    for (buffer, framing) in [
        ("false", "transfer-encoding: chunked\n"),
        ("true", "content-length: 2\n"),
    ] {
        let vars = [("http_buffer_req_body", buffer)];
        let served = Upstream::start().await.serve(&vars).await;
        let mut raw = Raw::open(served.address).await;
        raw.send(chunked).await;
        let reply = raw.rest().await;
        assert!(reply.contains(framing), "{reply}");
        served.stopped().await;
    }
}

#[tokio::test]
async fn both_directions_stream() {
    let served = Upstream::start().await.serve(&[]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("POST /echo HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    raw.until("one").await;
    raw.send("3\r\ntwo\r\n0\r\n\r\n").await;
    raw.until("two").await;

    let mut events = client().get(served.url("/events")).send().await.unwrap();
    assert_eq!(events.chunk().await.unwrap().unwrap(), "data: 0\n\n");
    assert_eq!(events.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    drop(events);
    served.stopped().await;
}

#[tokio::test]
async fn an_event_stream_is_not_cut_by_the_limit_of_a_call() {
    let served = Upstream::start()
        .await
        .serve(&[("exec_timeout", "300ms")])
        .await;
    let mut events = client().get(served.url("/events")).send().await.unwrap();
    for _ in 0..10 {
        assert!(events.chunk().await.unwrap().is_some());
    }
    drop(events);
    served.stopped().await;
}

#[tokio::test]
async fn web_sockets_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream {
        address: listener.local_addr().unwrap(),
    };
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                let text = format!("got {}", message.to_text().unwrap());
                socket.send(Message::text(text)).await.unwrap();
            }
        }
    });
    let mut served = upstream.serve(&[]).await;
    let stream = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    let (mut socket, response) =
        tokio_tungstenite::client_async(format!("ws://{}/", served.address), stream)
            .await
            .unwrap();
    assert_eq!(response.status(), 101);
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        let got = socket.next().await.unwrap().unwrap();
        assert_eq!(got.to_text().unwrap(), format!("got {text}"));
    }
    // The tunnel counts as a call: a drain waits for it.
    served.stop();
    served.stderr.until("draining: 1 requests").await;
    socket.send(Message::text("three")).await.unwrap();
    let got = socket.next().await.unwrap().unwrap();
    assert_eq!(got.to_text().unwrap(), "got three");
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    served.ended().await.unwrap();
}

#[tokio::test]
async fn no_answer_in_time_is_504() {
    let served = Upstream::start()
        .await
        .serve(&[("exec_timeout", "200ms")])
        .await;
    let reply = served.get("/stuck").await;
    assert_eq!(reply.status, 504);
    assert!(
        reply.body.contains("200ms (exec_timeout)"),
        "{}",
        reply.body
    );
    assert_eq!(reply.header("x-openfaas-internal"), Some("of-watchdog"));
    assert!(reply.header("x-duration-seconds").is_some());
    assert_eq!(served.get("/missing").await.status, 404);
    served.stopped().await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_500() {
    for (bytes, reason) in [
        (&b""[..], "upstream-closed"),
        (b"this is not HTTP\r\n\r\n", "upstream-invalid"),
    ] {
        let served = Upstream::that_answers(bytes).await.serve(&[]).await;
        let reply = served.get("/").await;
        assert_eq!(reply.status, 500);
        assert_eq!(reply.header("x-openfaas-internal"), Some("of-watchdog"));
        assert_eq!(reply.header("x-openfaas-reason"), Some(reason));
        assert!(reply.body.contains("did not answer"), "{}", reply.body);
        served.stopped().await;
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_cut() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let served = Upstream::that_answers(bytes).await.serve(&[]).await;
        let mut raw = Raw::open(served.address).await;
        raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
        let reply = raw.rest().await;
        assert!(reply.contains("half"), "{reply}");
        assert!(!reply.contains("\r\n0\r\n"), "looks complete: {reply}");
        served.stopped().await;
    }
}

#[tokio::test]
async fn a_connection_that_the_program_closed_is_replaced() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let served = Upstream::that_answers(ok).await.serve(&[]).await;
    for _ in 0..20 {
        let reply = served.post("/", "x").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
        // Long enough for the close to arrive, and shorter than a connection is kept.
        sleep(Duration::from_millis(10)).await;
    }
    served.stopped().await;
}

#[tokio::test]
async fn old_programs_are_spoken_for_in_our_version() {
    let old = b"HTTP/1.0 200 Fine\r\ncontent-type: a/b\r\n\r\nuntil the end";
    let served = Upstream::that_answers(old).await.serve(&[]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
    let reply = raw.until("\r\n0\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(reply.contains("until the end"), "{reply}");
    served.stopped().await;
}

#[tokio::test]
async fn calls_wait_for_a_program_that_does_not_listen_yet() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream {
        address: free.local_addr().unwrap(),
    };
    drop(free);
    let served = upstream.serve(&[]).await;
    assert_eq!(served.get("/_/health").await.status, 200);
    assert_eq!(served.get("/_/ready").await.status, 503);
    let call = tokio::spawn(client().get(served.url("/")).send());
    sleep(Duration::from_millis(200)).await;
    assert!(!call.is_finished());
    let listener = TcpListener::bind(upstream.address).await.unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let server = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        server.await.unwrap();
    });
    let reply = Reply::of(call.await.unwrap().unwrap()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(served.get("/_/ready").await.status, 200);
    served.stopped().await;
}

#[tokio::test]
async fn a_program_that_never_listens_is_told_of() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream {
        address: free.local_addr().unwrap(),
    };
    drop(free);
    let served = upstream.serve(&[("exec_timeout", "200ms")]).await;
    assert_eq!(served.get("/").await.status, 504);
    served.stopped().await;
}

#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_the_watchdog() {
    let (dir, command) = script("echo to-stdout; echo to-stderr >&2; exit 7");
    let vars = [
        ("mode", "http"),
        ("fprocess", command.as_str()),
        ("upstream_url", "http://127.0.0.1:1"),
    ];
    let served = serve_config(config(&vars), dir).await;
    let (stdout, stderr) = (served.stdout.clone(), served.stderr.clone());
    let error = served.ended().await.unwrap_err();
    assert!(error.to_string().contains("exit status: 7"), "{error}");
    let WatchdogError::Ended(status) = error else {
        panic!("{error:?}");
    };
    assert_eq!(status.code(), Some(7));
    assert!(stdout.text().contains(" stdout: to-stdout\n"));
    assert!(stderr.text().contains(" stderr: to-stderr\n"));
}

#[tokio::test]
async fn a_program_that_does_not_start_is_an_error_at_start() {
    let upstream = Upstream {
        address: "127.0.0.1:1".parse().unwrap(),
    };
    let served = upstream
        .serve(&[("fprocess", "/nonexistent/program")])
        .await;
    let error = served.ended().await.unwrap_err();
    assert!(matches!(error, WatchdogError::Start(_)), "{error:?}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call_of_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream {
        address: listener.local_addr().unwrap(),
    };
    let served = upstream.serve(&[]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = [0; 1024];
    assert!(stream.read(&mut read).await.unwrap() > 0);
    drop(raw);
    let closed = tokio::time::timeout(crate::support::PATIENCE, stream.read(&mut read)).await;
    assert_eq!(closed.expect("closed").unwrap(), 0);
    let log = served.stderr.clone();
    wait("the call in the log", || {
        log.text().contains("GET / - 499 ")
    })
    .await;
    served.stopped().await;
}
