//! Leases and observers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use provider_proxy::{Budgets, Proxy, Reason};
use provider_types::Report;

use crate::support::{Functions, Notes, Wire, ask, front, function, get, replying, serve, soon};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_lease_is_held_until_the_reply_is_over_and_then_done() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&gate);
    let slow = function(move |_, mut wire| {
        let wait = Arc::clone(&wait);
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
                .await;
            wait.notified().await;
            wire.send("0\r\n\r\n").await;
            wire.rest().await;
        }
    })
    .await;
    let functions = Functions::at(slow);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send("GET /function/f HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    caller.through("ok\r\n").await.unwrap();
    assert_eq!(functions.held(), 1);
    assert_eq!(functions.reports(), [Report::FirstByte]);
    gate.notify_one();
    caller.through("0\r\n\r\n").await.unwrap();
    functions.all_given_back().await;
    assert_eq!(functions.reports(), [Report::FirstByte, Report::Done]);
}

#[tokio::test]
async fn a_function_that_breaks_is_reported() {
    for (reply, reports) in [
        ("", vec![Report::Reset]),
        ("nonsense\r\n\r\n", vec![Report::Reset]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            vec![Report::FirstByte, Report::Reset],
        ),
    ] {
        let breaking = function(move |_, mut wire| async move {
            wire.head().await;
            wire.send(reply).await;
        })
        .await;
        let functions = Functions::at(breaking);
        get(front(&functions).await, "/function/f").await;
        functions.all_given_back().await;
        assert_eq!(functions.reports(), reports, "{reply:?}");
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

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
async fn the_log_says_why_a_reply_broke_off_down_to_its_first_cause() {
    let log = Log::default();
    let writer = log.clone();
    let listening = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // The test runs in one thread, its servers too.
    let _listening = tracing::subscriber::set_default(listening);
    let garbling = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n")
            .await;
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(garbling);
    get(front(&functions).await, "/function/f").await;
    functions.all_given_back().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in [
        "a reply broke off",
        "function=f.",
        "body of the reply is invalid",
        "chunk does not begin",
    ] {
        assert!(log.contains(part), "{part:?} is not in {log}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_mid_reply_frees_the_function() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let endless = function(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            while wire.try_send(b"1\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tell.send(()).await.unwrap();
        }
    })
    .await;
    let functions = Functions::at(endless);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send("GET /function/f HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    caller.through("1\r\nx\r\n").await.unwrap();
    drop(caller);
    functions.all_given_back().await;
    assert_eq!(functions.reports(), [Report::FirstByte]);
    soon("closing the function's connection", told.recv()).await;
}

#[tokio::test]
async fn an_observer_is_told_of_every_call_of_a_known_function_and_of_no_other() {
    let dying = function(|_, mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nhello")
            .await;
    })
    .await;
    let mute = function(|_, mut wire| async move {
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(replying(OK).await)
        .with("dying", [provider_types::Endpoint::tcp(dying)])
        .with("mute", [provider_types::Endpoint::tcp(mute)]);
    let notes = Notes::default();
    let budgets = Budgets {
        first_byte: Duration::from_millis(100),
        ..Budgets::default()
    };
    let proxy = Proxy::builder(functions.clone())
        .budgets(budgets)
        .observer(notes.clone())
        .build();
    let front = serve(proxy).await;
    for path in ["f", "none", "dying", "mute", "starting", "f/../x"] {
        get(front, &format!("/function/{path}")).await;
    }
    let mut leaver = Wire::connect(front).await;
    leaver
        .send("GET /function/mute HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    crate::support::until("the call", || functions.held() == 1).await;
    drop(leaver);
    let ended: Vec<_> = notes
        .ended(5)
        .await
        .iter()
        .map(|ended| (ended.status.map(|status| status.as_u16()), ended.failure))
        .collect();
    assert_eq!(
        ended,
        [
            (Some(200), None),
            (Some(201), Some(Reason::UpstreamClosed)),
            (Some(504), Some(Reason::FirstByteTimeout)),
            (Some(503), Some(Reason::NotReady)),
            (None, Some(Reason::ClientLeft)),
        ]
    );
    assert_eq!(notes.functions()[0], "f.openfaas-fn");
    functions.all_given_back().await;
}

#[tokio::test]
async fn an_upload_that_outlasts_its_reply_keeps_the_lease() {
    let early = function(|_, mut wire| async move {
        wire.head().await;
        wire.send(OK).await;
        wire.exactly(8).await;
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(early);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller
        .send("POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    caller.through("ok").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(functions.held(), 1);
    caller.send("more").await;
    functions.all_given_back().await;
}

#[tokio::test]
async fn a_refused_call_leaves_no_lease_behind() {
    let functions = Functions::default();
    let reply = ask(
        front(&functions).await,
        "POST /function/busy HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 429 "), "{reply}");
    assert_eq!((functions.held(), functions.resolved()), (0, 0));
}
