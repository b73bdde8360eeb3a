//! Replies read from bytes, however they are cut, and against hyper's client as the oracle.

use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::framing::Part;

/// A reply as its receiver sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let pairs = headers.iter();
    let mut pairs: Vec<_> = pairs
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    // Hyper keeps a length that is said twice alike.
    pairs.dedup_by(|next, one| next == one && one.0 == "content-length");
    pairs
}

/// Reads the reply to a GET that comes in these pieces and then ends. `None` if it is invalid or
/// not whole.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Seen> {
    let mut pieces = pieces.into_iter();
    let mut buffer = BytesMut::new();
    let mut seen = 0;
    let mut head = loop {
        match ResponseHead::take(&mut buffer, &mut seen, false).ok()? {
            Some(head) if !head.is_interim() => break head,
            Some(_) => {}
            None => buffer.extend_from_slice(pieces.next()?),
        }
    };
    let mut seen = Seen {
        status: head.status,
        headers: listed(&head.headers),
        body: Vec::new(),
        trailers: Vec::new(),
    };
    loop {
        match head.coding.take(&mut buffer).ok()? {
            Part::Data(data) => seen.body.extend_from_slice(&data),
            Part::Trailers(trailers) => seen.trailers = listed(&trailers),
            Part::End => return Some(seen),
            Part::NeedsMore => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => return matches!(head.coding, Coding::UntilClose).then_some(seen),
            },
        }
    }
}

fn whole(reply: &str) -> Option<Seen> {
    read([reply.as_bytes()])
}

#[test]
fn a_reply_reads_the_same_however_it_is_cut() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: 1\r\nA: 2\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 201 Created\r\nTransfer-Encoding: Chunked\r\nTrailer: x\r\n\r\n\
         5;name=value\r\nhello\r\n1\r\n \r\n0005\r\nworld\r\n0\r\nX: 1\r\nY: 2\r\n\r\n",
        "HTTP/1.1 404\r\n\r\nuntil the end",
        "HTTP/1.0 200 OK\nContent-Length: 2\n\nhi",
        "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
    ] {
        let once = whole(reply);
        assert!(once.is_some(), "{reply}");
        let bytes = reply.as_bytes();
        assert_eq!(read(bytes.chunks(1)), once, "{reply}");
        for at in 0..bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(read([first, second]), once, "{reply} cut at {at}");
        }
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for reply in [
        "\r\n\r\n",
        "hello\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 1000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nblank : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: 1\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
    ] {
        assert_eq!(whole(reply), None, "{reply:?}");
    }
}

#[test]
fn what_has_no_end_is_refused_before_it_fills_the_memory() {
    let lines = |count: usize| {
        let lines: String = (0..count).map(|i| format!("x-{i}: 1\r\n")).collect();
        format!("HTTP/1.1 204 No Content\r\n{lines}\r\n")
    };
    assert!(whole(&lines(USUAL_LINES + 1)).is_some());
    assert!(whole(&lines(MAX_LINES)).is_some());
    assert!(whole(&lines(MAX_LINES + 1)).is_none());

    let endless = |start: &str, more: &str| {
        let mut buffer = BytesMut::from(start);
        let mut coding = None;
        let mut seen = 0;
        let most = 2 * MAX_HEAD;
        while buffer.len() < most {
            buffer.extend_from_slice(more.as_bytes());
            let refused = match &mut coding {
                None => match ResponseHead::take(&mut buffer, &mut seen, false) {
                    Ok(Some(head)) => {
                        coding = Some(head.coding);
                        false
                    }
                    Ok(None) => false,
                    Err(_) => true,
                },
                Some(coding) => Coding::take(coding, &mut buffer).is_err(),
            };
            if refused {
                return true;
            }
        }
        false
    };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(endless("HTTP/1.1 200 OK\r\n", "a: b\r\n"));
    assert!(endless("HTTP/1.1 200 OK\r\na: ", "bbbbbbbb"));
    assert!(endless(&format!("{chunked}5;"), "xxxxxxxx"));
    assert!(endless(&format!("{chunked}0\r\n"), "a: b\r\n"));
}

#[test]
fn a_connection_is_reusable_as_its_replies_say() {
    let reusable = |head: &str| {
        let mut buffer = BytesMut::from(head);
        ResponseHead::take(&mut buffer, &mut 0, false)
            .unwrap()
            .unwrap()
            .reusable
    };
    assert!(reusable("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(reusable(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    assert!(!reusable(
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(!reusable("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!reusable(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    ));
}

#[test]
fn a_reply_to_head_has_no_body_whatever_it_says() {
    let mut buffer = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let head = ResponseHead::take(&mut buffer, &mut 0, true)
        .unwrap()
        .unwrap();
    assert!(head.coding.is_done());
    assert_eq!(head.headers[http::header::CONTENT_LENGTH], "5");
}

/// What hyper's client makes of the same bytes.
fn oracle(reply: &[u8]) -> Option<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        let driver = tokio::spawn(connection);
        let reply = reply.to_vec();
        let server = tokio::spawn(async move {
            let mut request = [0_u8; 4];
            tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut request).await?;
            theirs.write_all(&reply).await?;
            theirs.shutdown().await?;
            // Held until the client has left, so that what it writes is no error.
            tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await
        });
        let request = http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        let seen = async {
            let response = sender.send_request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.ok()?;
            let trailers = body.trailers().map(listed).unwrap_or_default();
            Some(Seen {
                status: head.status,
                headers: listed(&head.headers),
                body: body.to_bytes().to_vec(),
                trailers,
            })
        }
        .await;
        drop(sender);
        driver.abort();
        server.abort();
        seen
    })
}

/// Replies that are nearly right.
fn replies() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.1 500 \r\n"),
        Just("HTTP/1.1 204 None\r\n"),
        Just("HTTP/1.0 200 OK\r\n"),
        Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"),
        Just("HTTP/1.1 2x0 OK\r\n"),
    ];
    let line = prop_oneof![
        4 => "[a-zA-Z][a-zA-Z0-9-]{0,8}: [ -~]{0,12}\r\n",
        1 => Just(" folded\r\n".to_owned()),
        1 => Just("Content-Length: 5\r\n".to_owned()),
        1 => Just("blank : x\r\n".to_owned()),
        1 => Just("x: y\n".to_owned()),
    ];
    let body = prop_oneof![
        "[ -~]{0,12}".prop_map(|text| format!("Content-Length: {}\r\n\r\n{text}", text.len())),
        "[ -~]{0,12}".prop_map(|text| format!("\r\n{text}")),
        ("[ -~]{1,12}", "(;[a-z]{0,4})?", "(X: [a-z]{0,3}\r\n)?").prop_map(
            |(text, extension, trailer)| format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}{extension}\r\n{text}\r\n0\r\n{trailer}\r\n",
                text.len()
            )
        ),
        Just("Transfer-Encoding: chunked\r\n\r\n5\r\nhel".to_owned()),
        Just("Content-Length: 9\r\n\r\nhello".to_owned()),
    ];
    (status, proptest::collection::vec(line, 0..4), body)
        .prop_map(|(status, lines, body)| [status, &lines.concat(), &body].concat().into_bytes())
}

proptest! {
    /// What we take hyper takes too, and sees the same. We refuse more: hyper sees through several
    /// lengths that agree in number only, and through other codings.
    #[test]
    fn what_is_taken_is_what_hyper_sees(reply in replies(), cut in 0_usize..80) {
        let (first, second) = reply.split_at(cut.min(reply.len()));
        let ours = read([first, second]);
        prop_assert_eq!(&ours, &read([&reply[..]]));
        let theirs = oracle(&reply);
        if let Some(ours) = ours {
            prop_assert_eq!(Some(ours), theirs, "{}", String::from_utf8_lossy(&reply));
        } else if let Some(theirs) = theirs {
            let lengths = theirs.headers.iter().filter(|(name, _)| name == "content-length");
            let chunked = theirs.headers.iter().any(|(name, _)| name == "transfer-encoding");
            prop_assert!(
                lengths.count() + usize::from(chunked) > 1,
                "refused: {}", String::from_utf8_lossy(&reply)
            );
        }
    }

    /// Whatever comes, it is read or refused.
    #[test]
    fn nothing_that_comes_panics(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        reply in replies(),
        at in 0_usize..100,
    ) {
        let mut bytes = reply;
        let at = at.min(bytes.len());
        bytes.splice(at..at, garbage.iter().copied());
        let _ = read([&garbage[..]]);
        let _ = read([&bytes[..]]);
    }
}
