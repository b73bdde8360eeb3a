//! Upgrades and tunnels.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use provider_proxy::{Budgets, Proxy};
use provider_types::Report;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Functions, Wire, ask, front, front_within, function, header, replying, serve, until,
};

const UPGRADE: &str = "GET /function/f/chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
                       Upgrade: own/1\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own/1\r\n\r\n";

#[tokio::test]
async fn websocket_messages_pass_both_ways_and_the_tunnel_owns_the_lease() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let functions = Functions::at(listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let proxy = Proxy::builder(functions.clone()).build();
    let front = serve(proxy.clone()).await;
    let (mut socket, reply) =
        tokio_tungstenite::connect_async(format!("ws://{front}/function/f/chat"))
            .await
            .unwrap();
    assert_eq!(reply.status(), 101);
    for message in [
        Message::text("hello"),
        Message::binary(vec![7; 100_000]),
        Message::text("bye"),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    assert_eq!((functions.held(), proxy.tunnels()), (1, 1));
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    crate::support::soon("closing the tunnel", proxy.tunnels_closed()).await;
    functions.all_given_back().await;
    assert_eq!(functions.reports(), [Report::FirstByte, Report::Done]);
}

#[tokio::test]
async fn a_half_closed_tunnel_still_carries_the_other_half() {
    let patient = function(|_, mut wire| async move {
        wire.head().await;
        wire.send(SWITCH).await;
        // All of the caller's half is read before the answer starts.
        let all = wire.rest().await;
        wire.send(format!("got {all}")).await;
    })
    .await;
    let functions = Functions::at(patient);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller.send(UPGRADE).await;
    caller.head().await;
    caller.send("question").await;
    caller.half_close().await;
    assert_eq!(caller.rest().await, "got question");
    functions.all_given_back().await;
}

#[tokio::test]
async fn what_follows_the_switch_at_once_is_not_lost() {
    let eager = function(|_, mut wire| async move {
        let head = wire.head().await;
        assert!(head.starts_with("GET /chat "), "{head}");
        wire.send(format!("{SWITCH}first")).await;
        assert_eq!(wire.exactly(5).await, b"early");
    })
    .await;
    let mut caller = Wire::connect(front(&Functions::at(eager)).await).await;
    caller.send(format!("{UPGRADE}early")).await;
    caller.head().await;
    assert_eq!(caller.rest().await, "first");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_reply() {
    for status in ["400 Bad Request", "426 Upgrade Required", "200 OK"] {
        let refusing = function(move |_, mut wire| async move {
            wire.head().await;
            wire.send(format!(
                "HTTP/1.1 {status}\r\nUpgrade: other/2\r\nConnection: Upgrade\r\n\
                 Content-Length: 2\r\n\r\nno"
            ))
            .await;
            wire.rest().await;
        })
        .await;
        let functions = Functions::at(refusing);
        let mut caller = Wire::connect(front(&functions).await).await;
        caller.send(UPGRADE).await;
        let head = caller.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        assert_eq!(caller.exactly(2).await, b"no");
        functions.all_given_back().await;
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_502() {
    let switching = replying(SWITCH).await;
    let reply = ask(
        front(&Functions::at(switching)).await,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nUpgrade: own/1\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-reason").as_deref(),
        Some("upstream-invalid")
    );
}

#[tokio::test]
async fn a_tunnel_ends_when_its_caller_leaves() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let patient = function(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            wire.send(SWITCH).await;
            wire.closed().await;
            tell.send(()).await.unwrap();
        }
    })
    .await;
    let functions = Functions::at(patient);
    let mut caller = Wire::connect(front(&functions).await).await;
    caller.send(UPGRADE).await;
    caller.head().await;
    until("the tunnel", || functions.held() == 1).await;
    drop(caller);
    crate::support::soon("the function's end", told.recv()).await;
    functions.all_given_back().await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let mute = function(|_, mut wire| async move {
        wire.head().await;
        wire.send(SWITCH).await;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            wire.send(".").await;
        }
        wire.rest().await;
    })
    .await;
    let functions = Functions::at(mute);
    let budgets = Budgets {
        idle: Duration::from_millis(200),
        ..Budgets::default()
    };
    let mut caller = Wire::connect(front_within(&functions, budgets).await).await;
    caller.send(UPGRADE).await;
    caller.head().await;
    assert_eq!(caller.rest().await, "......");
    functions.all_given_back().await;
}
