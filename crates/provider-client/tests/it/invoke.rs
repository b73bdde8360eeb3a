//! Calls of functions.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Method, StatusCode, header};
use provider_client::{Body, Client, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::raw::{PATIENCE, Step, say, server};

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_call_is_sent_as_it_was_put_together() {
    let (client, mut heard) = server(vec![Step::Hear(4), say(DONE)]).await;
    let client = client.basic_auth("admin", "secret").build().unwrap();
    let reply = client
        .invoke("f")
        .namespace("dev")
        .method(Method::PUT)
        .path("/a%2Fb//c?x=%20")
        .header(header::CONTENT_TYPE, HeaderValue::from_static("text/x"))
        .body("body")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (reply.status(), reply.is_from_provider()),
        (StatusCode::OK, false)
    );
    assert_eq!(reply.text().await.unwrap(), "ok");
    let heard = heard.recv().await.unwrap();
    assert!(
        heard.starts_with("PUT /function/f.dev/a%2Fb//c?x=%20 HTTP/1.1\r\n"),
        "{heard}"
    );
    assert!(
        heard.contains("\r\ncontent-type: text/x\r\n") && heard.ends_with("\r\n\r\nbody"),
        "{heard}"
    );
    assert!(
        !heard.contains("authorization"),
        "the function sees them: {heard}"
    );
}

#[tokio::test]
async fn what_is_not_said_is_a_post_of_nothing_and_credentials_are_shown_when_asked() {
    for (path, target) in [
        ("", "/function/f"),
        ("x", "/function/f/x"),
        ("?x=1", "/function/f?x=1"),
    ] {
        let (client, mut heard) = server(vec![say(DONE)]).await;
        let client = client.bearer_auth("token").build().unwrap();
        client
            .invoke("f")
            .path(path)
            .with_credentials()
            .send()
            .await
            .unwrap();
        let heard = heard.recv().await.unwrap();
        assert!(
            heard.starts_with(&format!("POST {target} HTTP/1.1\r\n")),
            "{heard}"
        );
        assert!(
            heard.contains("\r\nauthorization: Bearer token\r\n"),
            "{heard}"
        );
    }
    let (client, mut heard) = server(vec![say(DONE)]).await;
    client
        .build()
        .unwrap()
        .invoke("f")
        .default_namespace()
        .send()
        .await
        .unwrap();
    assert!(
        heard
            .recv()
            .await
            .unwrap()
            .starts_with("POST /function/f.openfaas-fn HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn both_bodies_stream_at_once() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    // The second piece is sent only after the first of the reply was read.
    let steps = vec![
        Step::Hear("3\r\none\r\n".len()),
        say(format!("{head}3\r\nONE\r\n")),
        Step::Hear("3\r\ntwo\r\n0\r\n\r\n".len()),
        say("3\r\nTWO\r\n0\r\n\r\n"),
    ];
    let (client, _heard) = server(steps).await;
    let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
    let first = stream::iter([Ok::<_, Infallible>("one")]);
    let second = stream::once(async {
        wait.await.unwrap();
        Ok("two")
    });
    let body = Body::stream(first.chain(second));
    let call = client.build().unwrap().invoke("f").body(body).send();
    let mut reply = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(reply.chunk().await.unwrap().unwrap(), "ONE");
    go_on.send(()).unwrap();
    assert_eq!(reply.chunk().await.unwrap().unwrap(), "TWO");
    assert!(reply.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_reply_may_take_longer_than_a_call_once_it_has_begun() {
    let (client, _heard) = server(vec![
        say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
        Step::Wait,
    ])
    .await;
    let client = client.timeout(Duration::from_millis(200)).build().unwrap();
    let mut reply = client.invoke("f").send().await.unwrap();
    assert_eq!(reply.chunk().await.unwrap().unwrap(), "a");
    let next = tokio::time::timeout(Duration::from_millis(400), reply.chunk()).await;
    assert!(next.is_err(), "{next:?}");

    let (client, _heard) = server(vec![Step::Wait]).await;
    let client = client.timeout(Duration::from_millis(200)).build().unwrap();
    let error = client.invoke("f").send().await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
}

#[tokio::test]
async fn every_status_is_a_reply_and_one_that_breaks_off_is_an_error() {
    let busy = "HTTP/1.1 429 Busy\r\nX-OpenFaaS-Internal: proxy\r\nContent-Length: 0\r\n\r\n";
    let (client, _heard) = server(vec![say(busy)]).await;
    let reply = client.build().unwrap().invoke("f").send().await.unwrap();
    assert_eq!(
        (reply.status(), reply.is_from_provider()),
        (StatusCode::TOO_MANY_REQUESTS, true)
    );

    let (client, _heard) = server(vec![say(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    )])
    .await;
    let reply = client.build().unwrap().invoke("f").send().await.unwrap();
    let error = reply.bytes().await.unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
}

#[tokio::test]
async fn a_queued_call_gives_its_id() {
    let (client, mut heard) = server(vec![say(
        "HTTP/1.1 202 Accepted\r\nX-Call-Id: abc\r\nContent-Length: 0\r\n\r\n",
    )])
    .await;
    let id = client
        .build()
        .unwrap()
        .invoke("f")
        .send_async()
        .await
        .unwrap();
    assert_eq!(id.as_deref(), Some("abc"));
    assert!(
        heard
            .recv()
            .await
            .unwrap()
            .starts_with("POST /async-function/f HTTP/1.1\r\n")
    );

    let (client, _heard) = server(vec![say(
        "HTTP/1.1 501 No\r\nContent-Length: 3\r\n\r\nno\n",
    )])
    .await;
    let error = client
        .build()
        .unwrap()
        .invoke("f")
        .send_async()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "POST /async-function/f: 501 Not Implemented: no"
    );
}

#[tokio::test]
async fn a_unix_socket_is_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(DONE.as_bytes()).await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    let client = Client::builder(format!("unix:{}", path.display()))
        .build()
        .unwrap();
    assert_eq!(
        client
            .invoke("f")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "ok"
    );
    let heard = server.await.unwrap();
    assert!(heard.contains("\r\nhost: localhost\r\n"), "{heard}");
}
