//! A connection over a real socket, and against hyper's server as the oracle.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::HeaderMap;
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Ending {
    begun: AtomicBool,
    woken: Notify,
}

impl Ending {
    fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
        self.woken.notify_waiters();
    }
}

impl Stop for Ending {
    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    async fn begun(&self) {
        let woken = self.woken.notified();
        if !self.has_begun() {
            woken.await;
        }
    }
}

type Reply = Response<BoxBody<Bytes, BoxError>>;

fn reply<B>(body: B) -> Reply
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    Response::new(body.map_err(Into::into).boxed())
}

/// A body of these frames whose length is not told.
fn frames(frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Reply {
    reply(StreamBody::new(futures(frames)))
}

fn futures<T: Unpin>(items: Vec<T>) -> Items<T> {
    Items(items.into_iter())
}

struct Items<T>(std::vec::IntoIter<T>);

impl<T: Unpin> futures_core::Stream for Items<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(self.0.next())
    }
}

struct Server {
    address: SocketAddr,
    stop: Arc<Ending>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const LONG: Patience = Patience {
    header: PATIENCE,
    idle: PATIENCE,
};

async fn start<S, F>(patience: Patience, service: S) -> Server
where
    S: Fn(Request<RequestBody>) -> F + Clone + Send + 'static,
    F: Future<Output = Reply> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        stop: Arc::default(),
        open: Arc::default(),
    };
    let (stop, open) = (Arc::clone(&server.stop), Arc::clone(&server.open));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            open.fetch_add(1, Ordering::SeqCst);
            let guard = Box::new(Open(Arc::clone(&open)));
            let (stop, service) = (Arc::clone(&stop), service.clone());
            tokio::spawn(async move {
                serve(Socket::Tcp(socket), guard, patience, &*stop, service).await;
            });
        }
    });
    server
}

async fn read_all(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(PATIENCE, from.read_to_end(&mut text))
        .await
        .expect("the connection is not closed")
        .unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the pieces one after another and reads until the connection is closed.
    async fn say(&self, pieces: &[&[u8]]) -> String {
        let mut client = self.connect().await;
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        read_all(client).await
    }

    async fn ask(&self, text: &str) -> String {
        self.say(&[text.as_bytes()]).await
    }
}

/// What a service sees of a request.
async fn seen<B>(request: Request<B>) -> String
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let listed = |headers: &HeaderMap| {
        let mut lines: Vec<String> = headers
            .iter()
            .filter(|(name, _)| *name != http::header::CONNECTION)
            .map(|(name, value)| format!("{name}={:?}", value.as_bytes()))
            .collect();
        lines.sort();
        lines.join("&")
    };
    let start = format!(
        "{} {} {:?} {}",
        head.method,
        head.uri,
        head.version,
        listed(&head.headers)
    );
    match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().map(listed).unwrap_or_default();
            format!("{start} {:?} {trailers}", body.to_bytes())
        }
        Err(_) => format!("{start} broken"),
    }
}

async fn echo(request: Request<RequestBody>) -> Reply {
    reply(Full::new(Bytes::from(format!("<{}>", seen(request).await))))
}

/// The bodies of the replies, each in angle brackets.
fn bodies(text: &str) -> Vec<&str> {
    text.split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
        .collect()
}

#[tokio::test]
async fn requests_are_answered_one_after_another_however_they_are_cut() {
    let server = start(LONG, echo).await;
    let text = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
        PUT /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n\r\n\
        HEAD /3 HTTP/1.1\r\nHost: h\r\n\r\n\
        GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: h\r\n\r\n";
    let once = server.say(&[text]).await;
    let strip = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("date: "));
        lines.map(str::to_owned).collect()
    };
    let seen = bodies(&once);
    assert_eq!(seen.len(), 3, "{once}");
    assert!(seen[0].starts_with("POST /1 ") && seen[0].contains("b\"abc\""));
    assert!(seen[1].contains("b\"abcde\" t=[49]"), "{once}");
    assert!(seen[2].starts_with("GET /4 "), "{once}");
    assert_eq!(once.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{once}");
    assert_eq!(once.matches("connection: close\r\n").count(), 1, "{once}");
    assert_eq!(once.matches("\r\ndate: ").count(), 4, "{once}");
    for at in (1..text.len()).step_by(7) {
        let (first, second) = text.split_at(at);
        let again = server.say(&[first, second]).await;
        assert_eq!(strip(&again), strip(&once), "cut at {at}");
    }
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(strip(&server.say(&bytes).await), strip(&once));
}

#[tokio::test]
async fn a_refused_request_ends_its_connection_and_what_follows_is_not_run() {
    let server = start(LONG, echo).await;
    let next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: h\n\n", "400 Bad Request"),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400 Bad Request",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n",
            "501 Not Implemented",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n",
            "417 Expectation Failed",
        ),
        ("PRI * HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported"),
    ] {
        let text = server.ask(&format!("{head}{next}")).await;
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{text}"
        );
        assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
        assert!(text.contains(&format!("\r\n\r\n{status}: ")), "{text}");
        assert_eq!(text.matches("\r\ndate: ").count(), 1, "{head:?}: {text}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_body_is_an_error_to_its_reader_and_ends_the_connection() {
    let server = start(LONG, echo).await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: 1\n\r\n",
        "ffffffffffffffffff\r\n",
    ] {
        let next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
        let text = server.ask(&format!("{head}{body}{next}")).await;
        assert_eq!(bodies(&text).len(), 1, "{body:?}: {text}");
        assert!(text.contains(" broken>"), "{body:?}: {text}");
    }
}

#[tokio::test]
async fn an_end_is_told_as_the_client_understands_it() {
    let server = start(LONG, async |request| match request.uri().path() {
        "/stream" => frames(vec![
            Ok(Frame::data(Bytes::from_static(b"abc"))),
            Ok(Frame::data(Bytes::new())),
            Ok(Frame::data(Bytes::from(vec![b'x'; 5000]))),
        ]),
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x", "1".parse().unwrap());
            trailers.insert("content-length", "1".parse().unwrap());
            frames(vec![
                Ok(Frame::data(Bytes::from_static(b"abc"))),
                Ok(Frame::trailers(trailers)),
            ])
        }
        "/none" => {
            let mut none = reply(Full::from("no such body"));
            *none.status_mut() = StatusCode::NO_CONTENT;
            none
        }
        "/empty" => reply(Empty::new()),
        _ => reply(Full::from("whole")),
    })
    .await;
    let ask = async |line: &str| {
        server
            .ask(&format!("{line}\r\nHost: h\r\nConnection: close\r\n\r\n"))
            .await
    };

    let stream = ask("GET /stream HTTP/1.1").await;
    let x = "x".repeat(5000);
    assert!(
        stream.contains("\r\ntransfer-encoding: chunked\r\n"),
        "{stream}"
    );
    assert!(
        stream.ends_with(&format!("\r\n\r\n3\r\nabc\r\n1388\r\n{x}\r\n0\r\n\r\n")),
        "{stream}"
    );
    let old = ask("GET /stream HTTP/1.0").await;
    assert!(
        old.starts_with("HTTP/1.0 200 OK\r\n") && !old.contains("chunked"),
        "{old}"
    );
    assert!(old.ends_with(&format!("\r\n\r\nabc{x}")), "{old}");

    let trailers = ask("GET /trailers HTTP/1.1").await;
    assert!(
        trailers.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx: 1\r\n\r\n"),
        "{trailers}"
    );

    for (line, length) in [
        ("GET /none", None),
        ("GET /empty", Some(0)),
        ("GET /", Some(5)),
        ("HEAD /", Some(5)),
    ] {
        let text = ask(&format!("{line} HTTP/1.1")).await;
        let told = length.map(|length| format!("\r\ncontent-length: {length}\r\n"));
        assert_eq!(
            text.matches("content-length").count(),
            usize::from(told.is_some()),
            "{text}"
        );
        assert!(told.is_none_or(|told| text.contains(&told)), "{text}");
        assert!(!text.contains("transfer-encoding"), "{text}");
        assert_eq!(text.ends_with("\r\n\r\nwhole"), line == "GET /", "{text}");
    }
}

#[tokio::test]
async fn a_connection_of_http_1_0_is_kept_only_when_asked_and_said() {
    let server = start(LONG, echo).await;
    let text = server
        .ask("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /3 HTTP/1.0\r\n\r\n")
        .await;
    assert_eq!(bodies(&text).len(), 2, "{text}");
    assert_eq!(
        text.matches("connection: keep-alive\r\n").count(),
        1,
        "{text}"
    );
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_no_reply_that_ends() {
    let server = start(LONG, async |request| match request.uri().path() {
        "/short" => {
            let mut short = reply(Full::from("abc"));
            short
                .headers_mut()
                .insert("content-length", "4".parse().unwrap());
            short
        }
        "/long" => {
            let mut long = reply(Full::from("abcd"));
            long.headers_mut()
                .insert("content-length", "3".parse().unwrap());
            long
        }
        _ => frames(vec![
            Ok(Frame::data(Bytes::from_static(b"abc"))),
            Err("broken".into()),
        ]),
    })
    .await;
    let two = |path: &str, version: &str| {
        format!("GET {path} {version}\r\nHost: h\r\n\r\nGET /next {version}\r\nHost: h\r\n\r\n")
    };
    for (path, end) in [
        ("/short", "\r\n\r\nabc"),
        ("/long", "\r\n\r\nabc"),
        ("/", "\r\n3\r\nabc\r\n"),
    ] {
        let text = server.ask(&two(path, "HTTP/1.1")).await;
        assert!(text.ends_with(end), "{path}: {text:?}");
    }
    // Where the end of the connection is the end of the body, it is reset instead.
    let mut client = server.connect().await;
    client
        .write_all(two("/", "HTTP/1.0").as_bytes())
        .await
        .unwrap();
    let mut text = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, client.read_to_end(&mut text))
        .await
        .unwrap();
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_is_told_to_go_on_only_when_its_body_is_wanted() {
    let server = start(LONG, async |request| match request.uri().path() {
        "/want" => echo(request).await,
        _ => reply(Full::from("<refused>")),
    })
    .await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = server.connect().await;
    client.write_all(head("/want").as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").await.unwrap();
    client.write_all(head("/refuse").as_bytes()).await.unwrap();
    let rest = read_all(client).await;
    assert!(rest.contains("b\"abc\""), "{rest}");
    assert!(
        rest.contains("connection: close\r\n") && rest.ends_with("<refused>"),
        "{rest}"
    );
    assert_eq!(rest.matches("100 Continue").count(), 0, "{rest}");
}

#[tokio::test]
async fn a_body_may_be_read_in_another_task_and_after_the_reply_has_begun() {
    let server = start(LONG, async |request| {
        let (head, body) = request.into_parts();
        if head.uri.path() == "/next" {
            return reply(Full::from("<next>"));
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let body = runtime
                .block_on(body.collect())
                .map(|body| body.to_bytes().len());
            sender.send(body).unwrap();
        });
        if head.uri.path() == "/early" {
            return reply(Full::from("<early>"));
        }
        reply(Full::from(format!("<{:?}>", receiver.await.unwrap())))
    })
    .await;
    const LENGTH: usize = 3_000_000;
    for (path, answer) in [("/late", "Ok(3000000)"), ("/early", "early")] {
        let mut text =
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n")
                .into_bytes();
        text.resize(text.len() + LENGTH, b'x');
        text.extend_from_slice(b"GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let client = server.connect().await;
        let (from, mut to) = client.into_split();
        let sent = tokio::spawn(async move { to.write_all(&text).await.map(|()| to) });
        let replies = read_all(from).await;
        assert_eq!(bodies(&replies), [answer, "next"], "{replies}");
        sent.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_its_connection_after_the_reply() {
    let server = start(LONG, async |_| reply(Full::from("<refused>"))).await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
    let mut client = server.connect().await;
    client.write_all(head.as_bytes()).await.unwrap();
    // It comes while the reply does, so the client must not be reset before it has read that.
    client.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
    let text = read_all(client).await;
    assert!(
        text.contains("\r\nconnection: close\r\n") && text.ends_with("<refused>"),
        "{text}"
    );
}

#[tokio::test]
async fn a_call_whose_client_left_is_given_up_and_one_that_only_waits_is_not() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let server = start(LONG, move |request| {
        let call = Open(Arc::clone(&count));
        async move {
            let _call = call;
            let wait = match request.uri().path() {
                "/for-ever" => Duration::from_secs(3600),
                _ => HALF_CLOSED / 2,
            };
            tokio::time::sleep(wait).await;
            reply(Full::from("<done>"))
        }
    })
    .await;
    dropped.store(2, Ordering::SeqCst);
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");

    let mut waits = server.connect().await;
    waits.write_all(ask("/").as_bytes()).await.unwrap();
    waits.shutdown().await.unwrap();
    assert!(read_all(waits).await.ends_with("<done>"));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);

    let mut leaves = server.connect().await;
    leaves.write_all(ask("/for-ever").as_bytes()).await.unwrap();
    drop(leaves);
    let given_up = async {
        while dropped.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up)
        .await
        .expect("its call goes on");
}

#[tokio::test]
async fn a_connection_without_a_request_ends_when_the_server_does() {
    let server = start(LONG, echo).await;
    let idle = server.connect().await;
    let mut used = server.connect().await;
    let ask = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    used.write_all(ask).await.unwrap();
    let mut reply = [0; 15];
    used.read_exact(&mut reply).await.unwrap();
    server.stop.begin();
    // One more that was on its way is answered.
    used.write_all(ask).await.unwrap();
    let rest = read_all(used).await;
    assert_eq!(bodies(&rest).len(), 2, "{rest}");
    assert_eq!(read_all(idle).await, "");
    assert_eq!(server.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_upgraded_connection_is_bytes_and_counts_until_it_is_closed() {
    let server = start(LONG, async |mut request| {
        let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
            return reply(Full::from("<plain>"));
        };
        tokio::spawn(async move {
            let mut upgraded = upgrade.await.unwrap();
            let mut line = [0; 4];
            upgraded.read_exact(&mut line).await.unwrap();
            upgraded.write_all(&line).await.unwrap();
            upgraded.shutdown().await.unwrap();
        });
        let mut switch = reply(Empty::new());
        *switch.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = switch.headers_mut();
        headers.insert("connection", "upgrade".parse().unwrap());
        headers.insert("upgrade", "echo".parse().unwrap());
        switch
    })
    .await;
    let lines = "Host: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    // What follows at once is the other protocol's already.
    let text = server.ask(&format!("GET / HTTP/1.1\r\n{lines}ping")).await;
    assert!(
        text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{text}"
    );
    assert!(text.contains("\r\nconnection: upgrade\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nping"), "{text}");
    let closed = async {
        while server.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("it counts for ever");
    let old = server.ask(&format!("GET / HTTP/1.0\r\n{lines}")).await;
    assert!(old.ends_with("<plain>"), "{old}");
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_cut() {
    let patience = Patience {
        header: Duration::from_millis(200),
        idle: Duration::from_millis(200),
    };
    let server = start(patience, async |_| {
        reply(Full::from(vec![b'x'; 100_000_000]))
    })
    .await;
    let mut trickles = server.connect().await;
    trickles.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_all(trickles).await, "");
    assert_eq!(
        read_all(server.connect().await).await,
        "",
        "one that says nothing"
    );

    let mut takes_nothing = server.connect().await;
    takes_nothing
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let closed = async {
        while server.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("it is waited for");
}

/// What hyper's server makes of the same bytes, with the same service.
async fn oracle(pieces: &[&[u8]]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service =
            hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let body = format!("<{}>", seen(request).await);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            });
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(socket), service)
            .await;
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    for piece in pieces {
        let _ = client.write_all(piece).await;
    }
    let _ = client.shutdown().await;
    let mut text = Vec::new();
    // What was not read when it closes resets the connection.
    let _ = client.read_to_end(&mut text).await;
    server.abort();
    String::from_utf8_lossy(&text).into_owned()
}

/// Requests that are nearly right.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        4 => Just("GET / HTTP/1.1\r\n"),
        2 => Just("POST /a%2Fb?c=d HTTP/1.1\r\n"),
        1 => Just("PUT http://h/p HTTP/1.1\r\n"),
        1 => Just("OPTIONS * HTTP/1.1\r\n"),
        1 => Just("GET / HTTP/1.0\r\n"),
        1 => Just("\r\nGET / HTTP/1.1\r\n"),
        1 => Just("GET / HTTP/1.1\n"),
        1 => Just("GET  / HTTP/1.1\r\n"),
        1 => Just("G@T / HTTP/1.1\r\n"),
    ];
    let line = prop_oneof![
        6 => "x-[a-z]{0,3}: ?[!-;=?-~]{0,6}( [!-;=?-~]{1,6})?\r\n",
        1 => Just("Connection: close\r\n".to_owned()),
        1 => Just("Connection: keep-alive\r\n".to_owned()),
        1 => Just("X: a\r\n b\r\n".to_owned()),
        1 => Just("X : a\r\n".to_owned()),
        1 => Just("X: a\n".to_owned()),
        1 => Just("Content-Length: 2\r\n".to_owned()),
        1 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => Just("Host: h\r\n".to_owned()),
    ];
    let body = prop_oneof![
        3 => Just("\r\n".to_owned()),
        2 => "[a-z]{0,9}".prop_map(|text| format!("Content-Length: {}\r\n\r\n{text}", text.len())),
        2 => ("[a-z]{1,9}", "(;[a-z]{0,4})?", "(X: [a-z]{0,3}\r\n)?").prop_map(
            |(text, extension, trailer)| format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}{extension}\r\n{text}\r\n0\r\n{trailer}\r\n",
                text.len()
            )
        ),
        1 => Just("Transfer-Encoding: chunked\r\n\r\n3\r\nab".to_owned()),
        1 => Just("Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n".to_owned()),
        1 => Just("Content-Length: 9\r\n\r\nshort".to_owned()),
    ];
    (start, proptest::collection::vec(line, 0..3), body).prop_map(|(start, lines, body)| {
        [start, "Host: h\r\n", &lines.concat(), &body]
            .concat()
            .into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every request that we answer hyper answers too, and its service sees the same. We refuse
    /// more, and end the connection there.
    #[test]
    fn what_is_answered_is_what_hyper_sees(first in requests(), second in requests(), cut in 0_usize..120) {
        let text = [first, second].concat();
        let (start, end) = text.split_at(cut.min(text.len()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ours, theirs) = runtime.block_on(async {
            let server = self::start(LONG, echo).await;
            let mut client = server.connect().await;
            let _ = client.write_all(start).await;
            tokio::task::yield_now().await;
            let _ = client.write_all(end).await;
            let _ = client.shutdown().await;
            (read_all(client).await, oracle(&[&text]).await)
        });
        let words = format!("{:?}\nours: {ours}\ntheirs: {theirs}", String::from_utf8_lossy(&text));
        let (seen, theirs) = (bodies(&ours), bodies(&theirs));
        prop_assert!(theirs.len() >= seen.len(), "{}", words);
        for (ours, theirs) in seen.iter().zip(&theirs) {
            prop_assert_eq!(ours, theirs, "{}", words);
        }
        if theirs.len() > seen.len() {
            // We stopped earlier: with a refusal that says why, or after a body that broke off.
            let strict = [
                "carriage return", "too many Host", "exclude each other", "has no Transfer-Encoding",
                "said in different ways", "taken is chunked",
            ];
            let said = strict.iter().any(|reason| ours.contains(reason));
            prop_assert!(said || ours.contains(" broken>"), "{}", words);
        }
    }
}
