//! Bodies: streaming, lengths, trailers, broken ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::{
    Functions, Wire, ask, front, function, get, header, mirror, replying, soon, until,
};

#[tokio::test]
async fn a_function_that_dies_within_its_length_ends_the_reply_visibly() {
    let dying = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            .await;
    })
    .await;
    let functions = Functions::at(dying);
    let reply = get(front(&functions).await, "/function/f").await;
    assert_eq!(header(&reply, "content-length").as_deref(), Some("100"));
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    functions.all_given_back().await;
}

#[tokio::test]
async fn a_client_library_sees_a_broken_reply_as_an_error() {
    let dying = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
    })
    .await;
    let front = front(&Functions::at(dying)).await;
    let reply = reqwest::get(format!("http://{front}/function/f"))
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.text().await.is_err());
}

#[tokio::test]
async fn a_reply_without_a_length_ends_with_its_connection() {
    let old = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.0 200 OK\r\n\r\nall there is").await;
    })
    .await;
    let reply = get(front(&Functions::at(old)).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(
        reply.ends_with("\r\n\r\nC\r\nall there is\r\n0\r\n\r\n"),
        "{reply}"
    );
}

#[tokio::test]
async fn a_caller_of_http_1_0_gets_no_chunks() {
    let chunked =
        replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .await;
    let reply = ask(
        front(&Functions::at(chunked)).await,
        "GET /function/f HTTP/1.0\r\n\r\n",
    )
    .await;
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    assert_eq!(header(&reply, "transfer-encoding"), None);
}

#[tokio::test]
async fn a_function_of_http_1_0_gets_the_next_chunked_body_whole() {
    // It keeps its connection, which hyper would use for HTTP/1.0 from then on.
    let old = function(|_, mut wire| async move {
        while let Some(head) = wire.through("\r\n\r\n").await {
            let body = match header(&head, "transfer-encoding") {
                Some(_) => wire.through("0\r\n\r\n").await.unwrap(),
                None => "none".into(),
            };
            wire.send(format!(
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        }
    })
    .await;
    let front = front(&Functions::at(old)).await;
    assert!(get(front, "/function/f").await.ends_with("none"));
    let reply = ask(
        front,
        "POST /function/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    assert!(reply.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{reply}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_chunked_whatever_the_method() {
    let front = front(&Functions::at(mirror().await)).await;
    for method in ["GET", "HEAD", "DELETE", "POST", "OPTIONS", "X-OWN"] {
        let seen = Arc::new(Notify::new());
        let note = Arc::clone(&seen);
        let taking = function(move |_, mut wire| {
            let note = Arc::clone(&note);
            async move {
                let head = wire.head().await;
                assert_eq!(
                    header(&head, "transfer-encoding").as_deref(),
                    Some("chunked")
                );
                assert_eq!(header(&head, "content-length"), None);
                assert_eq!(
                    wire.through("0\r\n\r\n").await.unwrap(),
                    "3\r\nabc\r\n0\r\n\r\n"
                );
                note.notify_one();
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
                wire.rest().await;
            }
        })
        .await;
        let reply = ask(
            crate::support::front(&Functions::at(taking)).await,
            &format!(
                "{method} /function/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        )
        .await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{method}: {reply}");
        soon(method, seen.notified()).await;
    }
    let seen = get(front, "/function/f").await;
    let seen = seen.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(header(seen, "content-length"), None, "a GET without a body");
}

#[tokio::test]
async fn a_reply_to_head_keeps_its_length_and_its_connection() {
    let head_only = replying("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n").await;
    let mut caller = Wire::connect(front(&Functions::at(head_only)).await).await;
    for _ in 0..2 {
        caller
            .send("HEAD /function/f HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        let head = caller.head().await;
        assert_eq!(header(&head, "content-length").as_deref(), Some("12345"));
    }
}

#[tokio::test]
async fn replies_that_can_have_no_body_have_none() {
    for (reply, status) in [
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "204",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n",
            "304",
        ),
    ] {
        let mut caller = Wire::connect(front(&Functions::at(replying(reply).await)).await).await;
        for _ in 0..2 {
            caller
                .send("GET /function/f HTTP/1.1\r\nHost: h\r\n\r\n")
                .await;
            let head = caller.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(header(&head, "content-length"), None, "{head}");
            assert_eq!(header(&head, "transfer-encoding"), None, "{head}");
        }
    }
}

#[tokio::test]
async fn a_function_that_contradicts_itself_is_502() {
    for reply in [
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: 5, 6\r\n\r\nhello",
        "Content-Length: five\r\n\r\nhello",
        "Content-Length: -5\r\n\r\nhello",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\nhello",
        "Bad Header: 1\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let wrong = function(move |_, mut wire| async move {
            wire.head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\n{reply}")).await;
            wire.rest().await;
        })
        .await;
        let functions = Functions::at(wrong);
        let got = get(front(&functions).await, "/function/f").await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{reply:?}: {got}");
        assert_eq!(
            header(&got, "x-openfaas-reason").as_deref(),
            Some("upstream-invalid"),
            "{reply:?}"
        );
        functions.all_given_back().await;
    }
}

#[tokio::test]
async fn one_length_said_twice_is_one_length() {
    let stutter =
        replying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello").await;
    let reply = get(front(&Functions::at(stutter)).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(header(&reply, "content-length").as_deref(), Some("5"));
}

#[tokio::test]
async fn a_large_upload_waits_for_a_slow_function() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 1024;
    let open = Arc::new(Notify::new());
    let gate = Arc::clone(&open);
    let slow = function(move |_, mut wire| {
        let gate = Arc::clone(&gate);
        async move {
            wire.head().await;
            gate.notified().await;
            for _ in 0..PIECES {
                wire.exactly(PIECE).await;
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
            wire.rest().await;
        }
    })
    .await;
    let front = front(&Functions::at(slow)).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let caller = tokio::spawn(async move {
        let mut wire = Wire::connect(front).await;
        wire.send(format!(
            "POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            PIECE * PIECES
        ))
        .await;
        let piece = vec![b'x'; PIECE];
        for _ in 0..PIECES {
            wire.send(&piece).await;
            count.fetch_add(PIECE, Ordering::SeqCst);
        }
        wire.rest().await
    });
    // It fills the buffers of three sockets and of the proxy, and then it stands still.
    let mut before = usize::MAX;
    soon("standing still", async {
        while before != sent.load(Ordering::SeqCst) || before == 0 {
            before = sent.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(
        before < PIECE * PIECES / 2,
        "{before} bytes of {} went somewhere",
        PIECE * PIECES
    );
    open.notify_one();
    let reply = caller.await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(sent.load(Ordering::SeqCst), PIECE * PIECES);
}

#[tokio::test]
async fn both_bodies_stream_at_the_same_time() {
    let echo = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        loop {
            let chunk = wire.through("\r\n").await.unwrap();
            wire.send(&chunk).await;
            let rest = wire.through("\r\n").await.unwrap();
            wire.send(&rest).await;
            if chunk == "0\r\n" {
                break;
            }
        }
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(echo);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    caller.head().await;
    for word in ["one", "two", "six"] {
        caller.send(format!("3\r\n{word}\r\n")).await;
        assert_eq!(
            caller.through(&format!("{word}\r\n")).await.unwrap(),
            format!("3\r\n{word}\r\n")
        );
        assert_eq!(functions.held(), 1);
    }
    caller.send("0\r\n\r\n").await;
    assert_eq!(caller.through("0\r\n\r\n").await.unwrap(), "0\r\n\r\n");
    functions.all_given_back().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_none_that_ended() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let taking = function(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            tell.send(wire.rest().await).await.unwrap();
        }
    })
    .await;
    let functions = Functions::at(taking);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send(
            "POST /function/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n",
        )
        .await;
    until("the call", || functions.held() == 1).await;
    drop(caller);
    let got = soon("what the function got", told.recv()).await.unwrap();
    assert!(!got.contains("0\r\n\r\n"), "it looks complete: {got}");
    functions.all_given_back().await;
}

#[tokio::test]
async fn trailers_stay_where_the_caller_did_not_ask_for_them() {
    let trailing = replying(
        "HTTP/1.1 200 OK\r\nTrailer: X-Took\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Took: 9\r\n\r\n",
    )
    .await;
    let reply = get(front(&Functions::at(trailing)).await, "/function/f").await;
    assert!(reply.ends_with("2\r\nok\r\n0\r\n\r\n"), "{reply}");
}

#[tokio::test]
async fn a_reply_that_comes_before_the_upload_is_over_is_passed_on() {
    let hasty = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .await;
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(hasty);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome")
        .await;
    let head = caller.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(caller.exactly(3).await, b"big");
    drop(caller);
    functions.all_given_back().await;
}

#[tokio::test]
async fn redirects_and_repeated_headers_are_handed_back() {
    let moving = replying(
        "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nSet-Cookie: a=1\r\n\
         Set-Cookie: b=2\r\nDate: then\r\nServer: mine\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let reply = get(front(&Functions::at(moving)).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 302 "), "{reply}");
    for (name, value) in [
        ("location", "http://elsewhere/"),
        ("set-cookie", "a=1 | b=2"),
        ("date", "then"),
        ("server", "mine"),
        ("x-openfaas-internal", ""),
    ] {
        assert_eq!(header(&reply, name).unwrap_or_default(), value);
    }
}
