//! The test function does what it is told, right and wrong.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provider_conformance::{FunctionSettings, TestFunction};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn start(settings: FunctionSettings) -> (SocketAddr, JoinHandle<u8>) {
    let function = TestFunction::bind(settings).await.unwrap();
    let address = function.address();
    (address, tokio::spawn(function.serve(pending())))
}

async fn function() -> SocketAddr {
    start(FunctionSettings::default()).await.0
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Reads until these bytes are there.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).ends_with(end) {
        let byte = timeout(PATIENCE, stream.read_u8()).await;
        match byte.unwrap_or_else(|_| panic!("only {:?} came", String::from_utf8_lossy(&seen))) {
            Ok(byte) => seen.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&seen)),
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// Everything up to the end of the connection.
async fn rest(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all))
        .await
        .unwrap()?;
    Ok(all)
}

/// Sends that, reads to the end of the connection.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&rest(&mut stream).await.unwrap()).into_owned()
}

/// The whole reply to a GET.
async fn get(address: SocketAddr, target: &str) -> String {
    exchange(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n"),
    )
    .await
}

fn json(reply: &str) -> Value {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    serde_json::from_str(body).unwrap()
}

/// The calls of that id, once the last of them satisfies the condition.
async fn calls(address: SocketAddr, id: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let seen = async {
        loop {
            let reply = json(&get(address, &format!("/do/calls?id={id}")).await);
            let calls = reply
                .get("calls")
                .and_then(Value::as_array)
                .unwrap()
                .clone();
            if calls.last().is_some_and(&wanted) {
                return calls;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, seen).await.unwrap()
}

#[tokio::test]
async fn an_echo_shows_what_was_received_as_it_was_received() {
    let address = function().await;
    let reply = exchange(
        address,
        "PURGE //a%2Fb?x=%20&&y HTTP/1.1\r\nhOsT: f\r\nX-A: 1\r\nx-a:\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n2;note\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 5\r\n\r\n",
    )
    .await;
    let echo = json(&reply);
    assert_eq!(echo["method"], "PURGE");
    assert_eq!(echo["target"], "//a%2Fb?x=%20&&y");
    assert_eq!(
        echo["headers"].to_string(),
        r#"[["hOsT","f"],["X-A","1"],["x-a",""],["Connection","close"],["Transfer-Encoding","chunked"]]"#
    );
    assert_eq!(
        echo["body"].to_string(),
        r#"{"complete":true,"framing":"chunked","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5}"#
    );
    assert_eq!(echo["trailers"].to_string(), r#"[["X-Sum","5"]]"#);

    // Two calls that follow each other on one connection.
    let order = "POST /any HTTP/1.1\r\nX-Do: echo?body=yes\r\nContent-Length: 5\r\n\r\nhello";
    let last = order.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let replies = exchange(address, &format!("{order}{last}")).await;
    let bodies = replies.matches(r#""base64":"aGVsbG8=""#);
    assert_eq!(bodies.count(), 2, "{replies}");
}

#[tokio::test]
async fn status_headers_and_bodies_are_as_ordered() {
    let address = function().await;
    assert_eq!(
        get(
            address,
            "/do/text?text=tea%21&status=418&header=Set-Cookie:a&header=Set-Cookie:%20b&keep=no"
        )
        .await,
        "HTTP/1.1 418 I'm a teapot\r\nContent-Type: text/plain\r\nSet-Cookie:a\r\nSet-Cookie: b\r\n\
         Content-Length: 4\r\nConnection: close\r\n\r\ntea!"
    );
    assert_eq!(
        get(address, "/do/stream?pieces=3&as=ndjson&trailer=X-Sum:3").await,
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         c\r\n{\"piece\":0}\n\r\nc\r\n{\"piece\":1}\n\r\nc\r\n{\"piece\":2}\n\r\n0\r\nX-Sum:3\r\n\r\n"
    );
    assert_eq!(
        get(
            address,
            "/do/text?text=x&length=1&length=2&framing=chunked&type=&after=HTTP"
        )
        .await,
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP"
    );
    assert_eq!(
        get(address, "/do/none?status=204").await,
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    );
    let head = exchange(
        address,
        "HEAD /do/bytes?size=70000 HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(head.contains("\r\nContent-Length: 70000\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");

    let mut stream = connect(address).await;
    let request = "GET /do/bytes?size=70000&framing=close HTTP/1.0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    until(&mut stream, "\r\n\r\n").await;
    let bytes = rest(&mut stream).await.unwrap();
    let expected: Vec<u8> = (0..70_000_u32)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0])
        .collect();
    assert!(bytes == expected, "{} bytes that differ", bytes.len());
}

#[tokio::test]
async fn a_reply_breaks_off_where_and_how_it_is_told() {
    let address = function().await;
    assert_eq!(get(address, "/do/text?cut=start").await, "");
    let part = get(address, "/do/text?cut=header").await;
    assert!(
        part.starts_with("HTTP/1.1 200") && !part.contains("\r\n\r\n"),
        "{part}"
    );
    let part = get(address, "/do/text?text=hello&cut=2").await;
    assert!(
        part.contains("Content-Length: 5\r\n") && part.ends_with("\r\n\r\nhe"),
        "{part}"
    );
    let part = get(address, "/do/stream?pieces=2&cut=4").await;
    assert!(part.ends_with("\r\n\r\n2\r\n0\n\r\n2\r\n1\n\r\n"), "{part}");

    let mut stream = connect(address).await;
    let order = "GET /do/text?text=hello&cut=2&how=reset HTTP/1.1\r\n\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    let error = rest(&mut stream).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let mut stream = connect(address).await;
    let order = "GET /do/text?text=hello&cut=2&how=stall HTTP/1.1\r\n\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    until(&mut stream, "\r\n\r\nhe").await;
    assert!(
        timeout(Duration::from_millis(50), stream.read_u8())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn raw_bytes_are_sent_as_they_are() {
    let address = function().await;
    let raw = "POST /do/raw HTTP/1.1\r\nContent-Length: 7\r\n\r\nno http";
    assert_eq!(exchange(address, raw).await, "no http");
    assert_eq!(get(address, "/do/raw?text=a%00b").await, "a\0b");
}

#[tokio::test]
async fn pieces_pass_in_both_directions_one_by_one() {
    let address = function().await;
    let mut stream = connect(address).await;
    let order =
        "POST /do/mirror?id=m HTTP/1.1\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(head.contains("Content-Type: a/b\r\n"), "{head}");
    for piece in ["one", "two"] {
        let chunk = format!("3\r\n{piece}\r\n");
        stream.write_all(chunk.as_bytes()).await.unwrap();
        assert_eq!(until(&mut stream, &chunk).await, chunk);
        calls(address, "m", |call| call["received"] == call["sent"]).await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(until(&mut stream, "0\r\n\r\n").await, "0\r\n\r\n");
    let calls = calls(address, "m", |call| call["ended"] == "done").await;
    assert_eq!(calls[0]["received"], 6);
    assert_eq!(calls[0]["complete"], true);
}

// A gateway makes chunks of every body, and the order still is for a length.
#[tokio::test]
async fn a_body_in_chunks_is_mirrored_with_the_length_that_was_ordered() {
    let address = function().await;
    let mut stream = connect(address).await;
    let order = "POST /do/mirror?framing=length&length=3 HTTP/1.1\r\n\
                 Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    let reply = until(&mut stream, "\r\n\r\none").await;
    assert!(reply.contains("Content-Length: 3\r\n"), "{reply}");
    assert!(!reply.contains("Transfer-Encoding"), "{reply}");
}

#[tokio::test]
async fn interim_replies_come_before_the_reply() {
    let address = function().await;
    let reply = get(
        address,
        "/do/none?interim=103&interim-header=Link:%20a&interim=102",
    )
    .await;
    assert!(
        reply.starts_with(
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\nLink: a\r\n\r\n\
             HTTP/1.1 200 OK\r\n"
        ),
        "{reply}"
    );

    let mut stream = connect(address).await;
    let order = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    assert_eq!(
        until(&mut stream, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"x").await.unwrap();
    until(&mut stream, "\"}").await;
}

#[tokio::test]
async fn a_reply_can_come_before_the_body_of_the_call() {
    let address = function().await;
    let order = "POST /do/none?read=no&status=413&id=e HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
    let mut stream = connect(address).await;
    stream.write_all(order.as_bytes()).await.unwrap();
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(
        head.contains("413") && head.contains("Connection: close"),
        "{head}"
    );
    assert!(rest(&mut stream).await.unwrap().is_empty());
    let calls = calls(address, "e", |call| call["ended"] == "done").await;
    assert_eq!(calls[0]["complete"], false);
}

#[tokio::test]
async fn the_journal_tells_who_left_and_how_often_it_was_called() {
    let address = function().await;
    for target in [
        "/do/none?id=g&sleep=60000",
        "/do/stream?id=g&pieces=2&gap=60000",
    ] {
        let mut stream = connect(address).await;
        let order = format!("GET {target} HTTP/1.1\r\n\r\n");
        stream.write_all(order.as_bytes()).await.unwrap();
        calls(address, "g", |call| call["target"] == target).await;
        drop(stream);
        calls(address, "g", |call| call["ended"] == "gone").await;
    }

    let statuses: Vec<String> = [
        get(address, "/do/none?id=f&first=2&status=500").await,
        get(address, "/do/none?id=f&first=2&status=500").await,
        get(address, "/do/none?id=f&first=2&status=500").await,
    ]
    .map(|reply| reply[9..12].to_owned())
    .into();
    assert_eq!(statuses, ["500", "500", "200"]);
    assert_eq!(calls(address, "f", |_| true).await.len(), 3);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_complete() {
    let address = function().await;
    let mut stream = connect(address).await;
    let order =
        "POST /do/echo?id=b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.unwrap().is_empty());
    let calls = calls(address, "b", |call| call["ended"] == "gone").await;
    assert_eq!(
        (&calls[0]["received"], &calls[0]["complete"]),
        (&2.into(), &false.into())
    );
}

#[tokio::test]
async fn a_request_that_is_none_is_counted() {
    let address = function().await;
    for request in [
        "hello\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        let reply = exchange(address, request).await;
        assert!(
            reply.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{request}: {reply}"
        );
    }
    let identity = json(&get(address, "/do/identity").await);
    assert_eq!(
        (&identity["calls"], &identity["malformed"]),
        (&1.into(), &7.into())
    );

    let reply = get(address, "/do/tea").await;
    assert!(
        reply.starts_with("HTTP/1.1 400 ") && reply.contains("there are echo"),
        "{reply}"
    );
}

#[tokio::test]
async fn an_upgrade_is_a_tunnel_of_bytes_or_frames() {
    let address = function().await;
    let mut stream = connect(address).await;
    let order = "GET /do/upgrade?text=hi&cut=7 HTTP/1.1\r\nConnection: keep-alive, uPGRADE\r\n\
                 Upgrade: EcHo/1, b\r\n\r\nab";
    stream.write_all(order.as_bytes()).await.unwrap();
    assert_eq!(
        until(&mut stream, "\r\n\r\n").await,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: EcHo/1\r\n\r\n"
    );
    until(&mut stream, "hiab").await;
    stream.write_all(b"cdefg").await.unwrap();
    assert_eq!(rest(&mut stream).await.unwrap(), b"cde");

    let reply = get(address, "/do/upgrade").await;
    assert!(reply.starts_with("HTTP/1.1 426 "), "{reply}");

    let mut stream = connect(address).await;
    let order = "GET /do/upgrade?as=websocket HTTP/1.1\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(order.as_bytes()).await.unwrap();
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(
        head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{head}"
    );
    stream
        .write_all(b"\x81\x82\x01\x02\x03\x04ik")
        .await
        .unwrap();
    until(&mut stream, "\u{2}hi").await;
}

#[tokio::test]
async fn it_tells_its_variables_and_its_secrets() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("key"), b"\xff\n").unwrap();
    let variables = [
        ("host", "127.0.0.1"),
        ("port", "0"),
        ("A", "=b"),
        ("OPENFAAS_SECRETS_DIR", secrets.path().to_str().unwrap()),
    ];
    let settings = FunctionSettings::from_variables(
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
    .unwrap();
    let (address, _running) = start(settings).await;
    let environment = json(&get(address, "/do/environment").await);
    assert_eq!(environment["variables"]["A"], "=b");
    let secrets = json(&get(address, "/do/secrets").await);
    assert_eq!(secrets["files"][0]["name"], "key");
    assert_eq!(secrets["files"][0]["base64"], "/wo=");
    assert_eq!(secrets["files"].as_array().unwrap().len(), 1);
    let limits = json(&get(address, "/do/limits").await);
    assert!(
        limits["open_files"].as_u64().is_some_and(|count| count > 2),
        "{limits}"
    );
}

#[tokio::test]
async fn lines_are_written_as_ordered() {
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (stdout, stderr) = (Kept::default(), Kept::default());
    let mut settings = FunctionSettings::default();
    settings.stdout = Box::new(stdout.clone());
    settings.stderr = Box::new(stderr.clone());
    let (address, _running) = start(settings).await;
    get(address, "/do/log?stdout=a%20b&stderr=c").await;
    get(address, "/do/log?stdout=n&times=2").await;
    assert_eq!(*stdout.0.lock().unwrap(), b"a b\nn 0\nn 1\n");
    assert_eq!(*stderr.0.lock().unwrap(), b"c\n");
}

#[tokio::test]
async fn it_is_ready_when_its_time_has_come() {
    let mut settings = FunctionSettings::default();
    settings.ready_after = Duration::from_secs(3600);
    let (late, _running) = start(settings).await;
    assert!(get(late, "/_/ready").await.starts_with("HTTP/1.1 503 "));
    assert!(get(late, "/_/health").await.starts_with("HTTP/1.1 200 "));
    assert!(
        get(function().await, "/_/ready")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn it_finishes_its_calls_before_it_ends() {
    let function = TestFunction::bind(FunctionSettings::default())
        .await
        .unwrap();
    let address = function.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(function.serve(async {
        stopped.await.unwrap();
    }));
    let mut idle = connect(address).await;
    let mut busy = connect(address).await;
    let order = "POST /do/text?text=done HTTP/1.1\r\nContent-Length: 1\r\n\r\n";
    busy.write_all(order.as_bytes()).await.unwrap();
    let identified =
        async { while json(&get(address, "/do/identity").await)["calls"].as_u64() < Some(2) {} };
    timeout(PATIENCE, identified).await.unwrap();
    stop.send(()).unwrap();
    assert!(rest(&mut idle).await.unwrap().is_empty());
    assert!(TcpStream::connect(address).await.is_err());
    busy.write_all(b"x").await.unwrap();
    until(&mut busy, "done").await;
    drop(busy);
    assert_eq!(timeout(PATIENCE, running).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn it_ends_with_the_code_that_it_is_told() {
    let (address, running) = start(FunctionSettings::default()).await;
    get(address, "/do/exit?code=3").await;
    assert_eq!(timeout(PATIENCE, running).await.unwrap().unwrap(), 3);
}
