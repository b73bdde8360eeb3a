//! Time budgets. Each test lets one budget run out and leaves the others long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use provider_proxy::{Budgets, Knobs};

use crate::support::{Functions, Wire, front_within, function, get, header};

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_function_that_is_never_ready_is_503_and_names_the_budget() {
    let budgets = Budgets {
        resolve: SHORT,
        ..Budgets::default()
    };
    let reply = get(
        front_within(&Functions::default(), budgets).await,
        "/function/cold",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-reason").as_deref(),
        Some("resolve-timeout")
    );
    assert_eq!(header(&reply, "retry-after").as_deref(), Some("1"));
    assert!(
        reply.ends_with(
            "\r\n\r\nNo endpoints available for: cold. No replica was ready within 150ms \
             (resolve_timeout).\n"
        ),
        "{reply}"
    );
}

#[tokio::test]
async fn a_silent_function_runs_once_and_the_504_names_the_budget() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let mute = function(move |_, mut wire| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            wire.rest().await;
        }
    })
    .await;
    let functions = Functions::at(mute);
    let budgets = Budgets {
        first_byte: SHORT,
        knobs: Knobs {
            first_byte: "read_timeout".into(),
            ..Knobs::default()
        },
        ..Budgets::default()
    };
    let reply = get(front_within(&functions, budgets).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-reason").as_deref(),
        Some("first-byte-timeout")
    );
    assert!(
        reply.ends_with(
            "\r\n\r\nCan't reach service for: f. It sent no reply within 150ms (read_timeout).\n"
        ),
        "{reply}"
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    functions.all_given_back().await;
}

#[tokio::test]
async fn an_upload_that_moves_is_not_cut_by_the_first_byte_budget() {
    let counting = function(|_, mut wire| async move {
        wire.head().await;
        wire.exactly(8).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        wire.rest().await;
    })
    .await;
    let budgets = Budgets {
        first_byte: SHORT,
        ..Budgets::default()
    };
    let mut caller = Wire::connect(front_within(&Functions::at(counting), budgets).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n")
        .await;
    for pause in [50, 50, 50, 50, 50, 50, 400, 50] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        caller.send("x").await;
    }
    let head = caller.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn the_first_byte_budget_starts_when_the_upload_is_over() {
    let thinking = function(|_, mut wire| async move {
        let head = wire.head().await;
        wire.exactly(2).await;
        if head.starts_with("POST /slow ") {
            tokio::time::sleep(Duration::from_millis(200)).await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
        wire.rest().await;
    })
    .await;
    let budgets = Budgets {
        first_byte: Duration::from_millis(400),
        ..Budgets::default()
    };
    let front = front_within(&Functions::at(thinking), budgets).await;
    // The upload ends between two looks at the clock, and the next look is before the reply.
    for (path, pause, status) in [("slow", 1500, "200"), ("mute", 0, "504")] {
        let mut caller = Wire::connect(front).await;
        caller
            .send(format!(
                "POST /function/f/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"
            ))
            .await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        caller.send("b").await;
        let head = caller.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn a_caller_that_stops_sending_is_408() {
    let taking = function(|_, mut wire| async move {
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(taking);
    let budgets = Budgets {
        idle: SHORT,
        ..Budgets::default()
    };
    let mut caller = Wire::connect(front_within(&functions, budgets).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nxx")
        .await;
    let reply = caller.rest().await;
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    assert!(
        reply.ends_with("The caller sent nothing for 150ms (idle_timeout).\n"),
        "{reply}"
    );
    functions.all_given_back().await;
}

#[tokio::test]
async fn a_reply_that_falls_silent_is_cut() {
    let stuck = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(stuck);
    let budgets = Budgets {
        idle: SHORT,
        ..Budgets::default()
    };
    let reply = get(front_within(&functions, budgets).await, "/function/f").await;
    assert!(reply.ends_with("5\r\nhello\r\n"), "{reply}");
    functions.all_given_back().await;
}

#[tokio::test]
async fn a_silent_upload_is_not_cut_while_the_reply_moves() {
    let talking = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(80)).await;
            wire.send("1\r\nx\r\n").await;
        }
        wire.through("0\r\n\r\n").await.unwrap();
        wire.send("0\r\n\r\n").await;
        wire.rest().await;
    })
    .await;
    let budgets = Budgets {
        idle: Duration::from_millis(300),
        ..Budgets::default()
    };
    let mut caller = Wire::connect(front_within(&Functions::at(talking), budgets).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..8 {
        assert!(caller.through("1\r\nx\r\n").await.is_some());
    }
    caller.send("0\r\n\r\n").await;
    assert_eq!(caller.through("0\r\n\r\n").await.unwrap(), "0\r\n\r\n");
}

#[tokio::test]
async fn an_upload_that_nobody_reads_any_more_is_given_up() {
    let given_up = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&given_up);
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let hasty = function(move |_, mut wire| {
        let (gate, tell) = (Arc::clone(&gate), tell.clone());
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            gate.notified().await;
            tell.send(wire.rest().await.len()).await.unwrap();
        }
    })
    .await;
    let functions = Functions::at(hasty);
    let budgets = Budgets {
        idle: SHORT,
        ..Budgets::default()
    };
    let front = front_within(&functions, budgets).await;
    let caller = tokio::spawn(async move {
        let mut wire = Wire::connect(front).await;
        wire.send("POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")
            .await;
        let piece = vec![b'x'; 64 * 1024];
        while wire.try_send(&piece).await.is_ok() {}
    });
    functions.all_given_back().await;
    given_up.notify_one();
    let got = crate::support::soon("closing the connection", told.recv()).await;
    assert!(got.unwrap() < 99_999_999);
    crate::support::soon("cutting the caller", caller)
        .await
        .unwrap();
}

#[tokio::test]
async fn silence_in_one_direction_is_none_while_the_other_moves() {
    let listening = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        wire.exactly(8).await;
        wire.send("2\r\nok\r\n0\r\n\r\n").await;
        wire.rest().await;
    })
    .await;
    let budgets = Budgets {
        idle: Duration::from_millis(300),
        ..Budgets::default()
    };
    let mut caller = Wire::connect(front_within(&Functions::at(listening), budgets).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n")
        .await;
    caller.head().await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        caller.send("x").await;
    }
    assert!(caller.through("0\r\n\r\n").await.is_some());
}

#[tokio::test]
async fn a_total_that_was_set_bounds_the_whole_call() {
    let budgets = Budgets {
        total: Some(SHORT),
        ..Budgets::default()
    };
    let mute = function(|_, mut wire| async move {
        wire.rest().await;
    })
    .await;
    let reply = get(
        front_within(&Functions::at(mute), budgets.clone()).await,
        "/function/f",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-reason").as_deref(),
        Some("total-timeout")
    );

    let endless = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        while wire.try_send(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let reply = get(
        front_within(&Functions::at(endless), budgets).await,
        "/function/f",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(!reply.ends_with("0\r\n\r\n"), "{reply}");
}

#[tokio::test]
async fn a_slow_reader_is_not_the_functions_fault() {
    let long = function(|_, mut wire| async move {
        wire.head().await;
        let piece = "x".repeat(64 * 1024);
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            piece.len() * 256
        ))
        .await;
        for _ in 0..256 {
            wire.send(&piece).await;
        }
        wire.rest().await;
    })
    .await;
    let budgets = Budgets {
        idle: SHORT,
        ..Budgets::default()
    };
    let mut caller = Wire::connect(front_within(&Functions::at(long), budgets).await).await;
    caller
        .send("GET /function/f HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    caller.head().await;
    tokio::time::sleep(SHORT * 4).await;
    assert_eq!(caller.exactly(64 * 1024 * 256).await.len(), 64 * 1024 * 256);
}
