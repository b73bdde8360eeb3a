//! One test per defect of the Go SDK's proxy, by its number in the list of oddities that clients
//! of the provider API have met. P18 is the resolver's business, P19 needs no test: nothing here
//! reads the environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use provider_proxy::{Budgets, HeaderPolicy};

use crate::support::{
    Functions, Wire, ask, front, front_with, front_within, function, get, header, hyper_function,
    mirror, replying, soon,
};

const EVENTS: &str = "GET /function/f HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\
                      Connection: close\r\n\r\n";

#[tokio::test]
async fn p1_a_stream_from_a_dead_function_is_no_empty_success() {
    let dead = function(|_, mut wire| async move {
        wire.head().await;
    })
    .await;
    let reply = ask(front(&Functions::at(dead)).await, EVENTS).await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-internal").as_deref(),
        Some("proxy")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_function_that_dies_mid_chunk_gives_no_complete_reply() {
    for cut in [
        "5\r\nhello\r\n",
        "5\r\nhello\r\n5\r\nwo",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello",
    ] {
        let dying = function(move |_, mut wire| async move {
            wire.head().await;
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{cut}"
            ))
            .await;
        })
        .await;
        let reply = get(front(&Functions::at(dying)).await, "/function/f").await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        assert!(reply.contains("hello"), "what did come was lost: {reply}");
        assert!(!reply.ends_with("0\r\n\r\n"), "it looks complete: {reply}");
    }
}

#[tokio::test]
async fn p3_hop_by_hop_headers_stop_here_both_ways() {
    let chatty = function(|_, mut wire| async move {
        let head = wire.head().await;
        let reply = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\n\
                     Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: yes\r\n";
        wire.send(format!("{reply}Content-Length: {}\r\n\r\n{head}", head.len()))
            .await;
        wire.rest().await;
    })
    .await;
    let reply = ask(
        front(&Functions::at(chatty)).await,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nConnection: close, X-Secret\r\nConnection: x-other\r\n\
         X-Secret: 1\r\nX-Other: 1\r\nX-Third: 1\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n\
         Proxy-Authorization: Basic x\r\nTE: gzip\r\nUpgrade: websocket\r\n\r\n",
    )
    .await;
    let (head, seen) = reply.split_once("\r\n\r\n").unwrap();
    for name in ["keep-alive", "proxy-authenticate", "upgrade", "x-private"] {
        assert_eq!(header(head, name), None, "{name} reached the caller");
    }
    assert_eq!(header(head, "connection").as_deref(), Some("close"));
    assert_eq!(header(head, "x-kept").as_deref(), Some("yes"));
    for name in [
        "connection",
        "x-secret",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
    ] {
        assert_eq!(header(seen, name), None, "{name} reached the function");
    }
    assert_eq!(header(seen, "x-third").as_deref(), Some("1"));
}

#[tokio::test]
async fn p4_x_forwarded_for_is_the_bare_address_appended() {
    let functions = Functions::at(mirror().await);
    let reply = get(front(&functions).await, "/function/f").await;
    assert_eq!(
        header(&reply, "x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );

    let trusting = HeaderPolicy {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..HeaderPolicy::default()
    };
    let reply = ask(
        front_with(&functions, trusting).await,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.1.1.1\r\n\
         X-Forwarded-For: 10.2.2.2\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(
        header(&reply, "x-forwarded-for").as_deref(),
        Some("10.1.1.1, 10.2.2.2, 127.0.0.1")
    );
}

#[tokio::test]
async fn p5_host_is_the_callers_whatever_it_accepts() {
    let front = front(&Functions::at(mirror().await)).await;
    for accept in ["*/*", "text/event-stream"] {
        let reply = ask(
            front,
            &format!(
                "GET /function/f HTTP/1.1\r\nHost: example.org:81\r\nAccept: {accept}\r\n\
                 Connection: close\r\n\r\n"
            ),
        )
        .await;
        for name in ["host", "x-forwarded-host"] {
            assert_eq!(header(&reply, name).as_deref(), Some("example.org:81"));
        }
        assert_eq!(header(&reply, "x-forwarded-proto").as_deref(), Some("http"));
    }
}

#[tokio::test]
async fn p6_a_known_length_stays_known() {
    let front = front(&Functions::at(mirror().await)).await;
    let reply = ask(
        front,
        "POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    )
    .await;
    let seen = reply.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(header(seen, "content-length").as_deref(), Some("5"));
    assert_eq!(header(seen, "transfer-encoding"), None);

    let reply = ask(
        front,
        "POST /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    let seen = reply.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(header(seen, "content-length").as_deref(), Some("0"));
}

#[tokio::test]
async fn p7_no_encoding_and_no_agent_is_added() {
    let front = front(&Functions::at(mirror().await)).await;
    let reply = get(front, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    for name in ["accept-encoding", "user-agent", "accept"] {
        assert_eq!(header(&reply, name), None);
    }
}

#[tokio::test]
async fn p8_the_path_arrives_byte_for_byte() {
    let front = front(&Functions::at(mirror().await)).await;
    for (path, arrives) in [
        ("/function/f", "/"),
        ("/function/f/a%2Fb%20c(1)?x=%2B", "/a%2Fb%20c(1)?x=%2B"),
        ("/function/f//a//", "//a//"),
        ("/function/f/%3B%40!*'()[]|%c3%a9", "/%3B%40!*'()[]|%c3%a9"),
        ("/function/f/a%0Ab", "/a%0Ab"),
        ("/function/f?", "/?"),
    ] {
        let reply = get(front, path).await;
        assert!(
            reply.contains(&format!("\r\n\r\nGET {arrives} HTTP/1.1\r\n")),
            "{path}: {reply}"
        );
    }
}

#[tokio::test]
async fn p9_a_stream_outlasts_every_budget_but_the_total() {
    let slow = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            wire.send("1\r\nx\r\n").await;
        }
        wire.send("0\r\n\r\n").await;
    })
    .await;
    let budgets = Budgets {
        first_byte: Duration::from_millis(200),
        idle: Duration::from_millis(300),
        ..Budgets::default()
    };
    let reply = get(
        front_within(&Functions::at(slow), budgets).await,
        "/function/f",
    )
    .await;
    assert_eq!(reply.matches("1\r\nx\r\n").count(), 8, "{reply}");
    assert!(reply.ends_with("0\r\n\r\n"), "{reply}");
}

#[tokio::test]
async fn p10_a_timeout_is_504_and_a_refusal_502() {
    let mute = function(|_, mut wire| async move {
        wire.rest().await;
    })
    .await;
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let budgets = Budgets {
        first_byte: Duration::from_millis(50),
        ..Budgets::default()
    };
    let reply = get(
        front_within(&Functions::at(mute), budgets).await,
        "/function/f",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    let reply = get(front(&Functions::at(gone)).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
}

#[tokio::test]
async fn p11_p12_each_frame_is_flushed_whatever_the_request_accepts() {
    for reply_type in ["text/event-stream", "application/x-ndjson", "text/plain"] {
        let seen = Arc::new(tokio::sync::Notify::new());
        let wait = Arc::clone(&seen);
        let stepwise = function(move |_, mut wire| {
            let wait = Arc::clone(&wait);
            async move {
                wire.head().await;
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {reply_type}\r\n\
                     Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
                ))
                .await;
                // The second frame is sent only once the first has reached the caller.
                wait.notified().await;
                wire.send("3\r\ntwo\r\n0\r\n\r\n").await;
            }
        })
        .await;
        let mut caller = Wire::connect(front(&Functions::at(stepwise)).await).await;
        caller
            .send("GET /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await;
        assert!(caller.through("one").await.is_some());
        seen.notify_one();
        assert!(caller.through("two").await.is_some());
    }
}

#[tokio::test]
async fn p13_trailers_pass_both_ways_and_interim_replies_end_here() {
    let trailing = function(|_, mut wire| async move {
        let head = wire.head().await;
        assert_eq!(header(&head, "trailer").as_deref(), Some("X-Sum"));
        assert_eq!(header(&head, "te").as_deref(), Some("trailers"));
        let body = wire.through("\r\n\r\n").await.unwrap();
        assert_eq!(body, "5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n");
        wire.send(
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
             HTTP/1.1 200 OK\r\nTrailer: X-Took\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\nX-Took: 9\r\n\r\n",
        )
        .await;
        wire.rest().await;
    })
    .await;
    let reply = ask(
        front(&Functions::at(trailing)).await,
        "POST /function/f HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(header(&reply, "trailer").as_deref(), Some("X-Took"));
    assert!(
        reply.ends_with("2\r\nok\r\n0\r\nx-took: 9\r\n\r\n"),
        "{reply}"
    );
    assert_eq!(header(&reply, "link"), None);
}

#[tokio::test]
async fn p14_a_timed_out_get_runs_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    // The first reply makes the connection a pooled one; then it is closed without a reply, as a
    // server does that runs into its own time limit.
    let flaky = function(move |_, mut wire| {
        let runs = Arc::clone(&counted);
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            if wire.through("\r\n\r\n").await.is_some() {
                runs.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let front = front(&Functions::at(flaky)).await;
    assert!(get(front, "/function/f").await.starts_with("HTTP/1.1 200 "));
    let reply = get(front, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn p15_expect_is_answered_here_and_goes_no_further() {
    let mut caller = Wire::connect(front(&Functions::at(mirror().await)).await).await;
    caller
        .send(
            "POST /function/f HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\n",
        )
        .await;
    assert_eq!(caller.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    caller.send("hello").await;
    let reply = caller.rest().await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(header(&reply, "expect"), None);

    // A call that is refused does not ask for its body.
    let mut caller = Wire::connect(front(&Functions::default()).await).await;
    caller
        .send(
            "POST /function/none HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
             Content-Length: 5\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(caller.head().await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn p16_a_reply_without_a_type_gets_the_requests_where_it_has_a_body() {
    const WITH_TYPE: &str = "POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-thing\r\n\
                             Content-Length: 0\r\nConnection: close\r\n\r\n";
    for (reply, asked, answered) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            WITH_TYPE,
            Some("application/x-thing"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "GET /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            Some("text/plain"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\nok",
            WITH_TYPE,
            Some("image/png"),
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", WITH_TYPE, None),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", WITH_TYPE, None),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            WITH_TYPE,
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            "HEAD /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            None,
        ),
    ] {
        let front = front(&Functions::at(replying(reply).await)).await;
        let got = ask(front, asked).await;
        assert_eq!(header(&got, "content-type").as_deref(), answered, "{got}");
    }
}

#[tokio::test]
async fn p17_an_unknown_function_is_404() {
    let reply = get(
        front(&Functions::default()).await,
        "/function/none.staging/x",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 404 "), "{reply}");
    assert!(
        reply.ends_with("\r\n\r\nNo endpoints available for: none.staging.\n"),
        "{reply}"
    );
}

#[tokio::test]
async fn p20_a_caller_that_leaves_cancels_the_call() {
    let (tell, mut told) = tokio::sync::mpsc::channel(4);
    let patient = function(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            tell.send("called").await.unwrap();
            wire.closed().await;
            tell.send("left alone").await.unwrap();
        }
    })
    .await;
    let functions = Functions::at(patient);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send("GET /function/f HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(soon("the call", told.recv()).await, Some("called"));
    drop(caller);
    assert_eq!(soon("its end", told.recv()).await, Some("left alone"));
    functions.all_given_back().await;
}

#[tokio::test]
async fn p21_an_upgrade_is_known_in_any_case() {
    let upgrading = function(|_, mut wire| async move {
        let head = wire.head().await;
        assert_eq!(header(&head, "upgrade").as_deref(), Some("WebSocket"));
        assert_eq!(header(&head, "connection").as_deref(), Some("upgrade"));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nhi")
            .await;
        assert_eq!(wire.exactly(5).await, b"there");
    })
    .await;
    let mut caller = Wire::connect(front(&Functions::at(upgrading)).await).await;
    caller
        .send(
            "GET /function/f HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, UPGRADE\r\n\
             Upgrade: WebSocket\r\n\r\n",
        )
        .await;
    let head = caller.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade").as_deref(), Some("WebSocket"));
    assert_eq!(caller.exactly(2).await, b"hi");
    caller.send("there").await;
    caller.closed().await;
}

#[tokio::test]
async fn any_method_reaches_the_function() {
    let echo = hyper_function(|request| async move {
        http::Response::new(http_body_util::Full::<bytes::Bytes>::from(
            request.method().to_string(),
        ))
    })
    .await;
    let front = front(&Functions::at(echo)).await;
    for method in ["OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "X-OWN"] {
        let reply = ask(
            front,
            &format!("{method} /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        assert!(reply.ends_with(&format!("\r\n\r\n{method}")), "{reply}");
    }
}
