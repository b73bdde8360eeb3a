//! Heads of requests read from bytes, however they are cut.

use http::header::{CONTENT_LENGTH, HOST};

use super::*;

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<RequestHead>, BadRequest> {
    let mut buffer = BytesMut::new();
    let mut seen = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Some(head) = RequestHead::take(&mut buffer, &mut seen)? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

fn whole(text: &str) -> Result<RequestHead, BadRequest> {
    read([text.as_bytes()]).map(|head| head.expect("it is not whole"))
}

/// The head of a GET with these lines beside its host.
fn with(lines: &str) -> Result<RequestHead, BadRequest> {
    whole(&format!("GET / HTTP/1.1\r\nHost: me\r\n{lines}\r\n"))
}

#[test]
fn a_head_reads_the_same_however_it_is_cut() {
    let text =
        "\r\n\r\nPUT /a?b=c HTTP/1.1\r\nHost: me\r\nX: 1\r\nX: 2\r\nContent-Length: 3\r\n\r\nabc";
    for at in 0..text.len() - 3 {
        let (first, second) = text.split_at(at);
        let head = read([first.as_bytes(), second.as_bytes()])
            .unwrap()
            .unwrap();
        assert_eq!(head.request.method(), Method::PUT, "cut at {at}");
        assert_eq!(head.request.uri(), "/a?b=c");
        assert_eq!(head.request.headers()[HOST], "me");
        assert_eq!(head.request.headers().get_all("x").iter().count(), 2);
        assert_eq!(head.coding.remaining(), Some(3));
    }
    assert!(read(text.as_bytes().chunks(1)).unwrap().is_some());
}

#[test]
fn what_two_readers_could_understand_differently_is_refused() {
    for (text, status) in [
        ("GET / HTTP/1.1\nHost: me\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nX: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nX : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\n: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nX\u{e9}: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: me\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET /\tHTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: me\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET / HTTP/11\r\nHost: me\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
        ("GET / HTTP/1.2\r\nHost: me\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("GET x HTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET ** HTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET ftp://x/ HTTP/1.1\r\nHost: me\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: me\r\nHost: me\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: me\r\nHost: me\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ] {
        let refusal = whole(text).expect_err(text);
        assert_eq!(refusal.status(), status, "{text:?}: {refusal}");
    }
    for (lines, status) in [
        ("Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        ("Content-Length: 3, 3\r\n", 400),
        ("Content-Length: +3\r\n", 400),
        ("Content-Length: -3\r\n", 400),
        ("Content-Length: 0x3\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 18446744073709551616\r\n", 400),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
        ("Transfer-Encoding: gzip\r\nContent-Length: 0\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 501),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: chunked, chunked\r\n", 501),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            501,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            501,
        ),
        ("Transfer-Encoding: \"chunked\"\r\n", 501),
        ("Transfer-Encoding: chunked;a=b\r\n", 501),
        ("Transfer-Encoding:\r\n", 501),
        ("Expect: 200-maybe\r\n", 417),
        ("Expect:\r\n", 417),
    ] {
        let refusal = with(lines).expect_err(lines);
        assert_eq!(refusal.status(), status, "{lines:?}: {refusal}");
    }
}

#[test]
fn what_is_said_twice_alike_is_taken_once() {
    let head = with("Content-Length: 3\r\nContent-Length: 3\r\n").unwrap();
    assert_eq!(head.coding.remaining(), Some(3));
    let lengths = head.request.headers().get_all(CONTENT_LENGTH);
    assert_eq!(lengths.iter().collect::<Vec<_>>(), ["3"]);
}

#[test]
fn bytes_that_no_uri_has_are_percent_encoded() {
    for (target, uri) in [
        ("/a%2fb/..%2Fc?q=%20", "/a%2fb/..%2Fc?q=%20"),
        ("/a#b?c#d", "/a%23b?c%23d"),
        ("/<a>?\"`{|}^\\", "/%3Ca%3E?%22%60%7B%7C%7D%5E%5C"),
        ("/\u{e9}#", "/%C3%A9%23"),
        ("/%zz", "/%zz"),
        ("//x//y", "//x//y"),
        ("/?", "/?"),
        ("http://h:1/p?q", "http://h:1/p?q"),
        ("HTTPS://h", "HTTPS://h/"),
    ] {
        let head = whole(&format!("GET {target} HTTP/1.1\r\nHost: me\r\n\r\n")).expect(target);
        let seen = head.request.uri().to_string();
        assert!(seen.eq_ignore_ascii_case(uri), "{target}: {seen}");
    }
    let star = whole("OPTIONS * HTTP/1.1\r\nHost: me\r\n\r\n").unwrap();
    assert_eq!(star.request.uri().path(), "*");
    let connect = whole("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n").unwrap();
    assert_eq!(connect.request.uri().authority().unwrap(), "h:1");
}

#[test]
fn a_request_says_what_becomes_of_its_connection() {
    let old = |lines: &str| whole(&format!("GET / HTTP/1.0\r\n{lines}\r\n")).unwrap();
    assert!(with("").unwrap().keeps_alive);
    assert!(with("Connection: keep-alive, x\r\n").unwrap().keeps_alive);
    assert!(!with("Connection: x , CLOSE\r\n").unwrap().keeps_alive);
    assert!(
        !with("Connection: x\r\nConnection: close\r\n")
            .unwrap()
            .keeps_alive
    );
    assert!(!old("").keeps_alive);
    assert!(old("Connection: Keep-Alive\r\n").keeps_alive);

    assert!(with("Expect: 100-Continue\r\n").unwrap().expects_continue);
    assert!(!old("Expect: 100-continue\r\n").expects_continue);
    assert!(
        with("Connection: Upgrade\r\nUpgrade: x\r\n")
            .unwrap()
            .asks_upgrade
    );
    assert!(!with("Upgrade: x\r\n").unwrap().asks_upgrade);
    assert!(!old("Connection: upgrade\r\n").asks_upgrade);
}

#[test]
fn what_has_no_end_is_refused_before_it_fills_the_memory() {
    let lines = |count: usize| -> String { (0..count).map(|i| format!("x-{i}: 1\r\n")).collect() };
    assert!(with(&lines(USUAL_LINES)).is_ok());
    assert!(with(&lines(MAX_LINES - 1)).is_ok());
    assert!(matches!(with(&lines(MAX_LINES)), Err(BadRequest::TooLarge)));

    let mut buffer = BytesMut::from("GET / HTTP/1.1\r\nX: ");
    let mut seen = 0;
    let refusal = loop {
        buffer.extend_from_slice(&[b'x'; 1024]);
        match RequestHead::take(&mut buffer, &mut seen) {
            Ok(_) => assert!(buffer.len() < 2 * MAX_HEAD, "it is kept"),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.status(), 431);

    let long = "x".repeat(MAX_TARGET);
    let refusal = whole(&format!("GET /{long} HTTP/1.1\r\nHost: me\r\n\r\n")).unwrap_err();
    assert_eq!(refusal.status(), 414);
}
