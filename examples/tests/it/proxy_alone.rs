//! `proxy_alone` passes calls on to the functions it was told of.

use axum::Router;
use axum::http::{HeaderMap, Method, Uri};
use reqwest::Client;
use tokio::net::TcpListener;

use crate::program::Program;

async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: String) -> String {
    let caller = headers.get("x-forwarded-for").unwrap().to_str().unwrap();
    format!("{method} {uri} from {caller}: {body}")
}

#[tokio::test]
async fn calls_reach_the_function_and_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echoing = format!("echo={}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
    // Its second replica is not there: its calls go to the first one.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let missing = format!("echo={}", gone.local_addr().unwrap());
    drop(gone);

    let program = Program::start(env!("CARGO_BIN_EXE_proxy_alone"), &[&echoing, &missing]);
    let client = Client::builder().no_proxy().build().unwrap();
    for _ in 0..4 {
        let reply = client
            .put(format!("{}/function/echo/a%2Fb?c=%2B", program.url))
            .body("hello")
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(
            reply.text().await.unwrap(),
            "PUT /a%2Fb?c=%2B from 127.0.0.1: hello"
        );
    }

    let none = client.get(format!("{}/function/none", program.url));
    let none = none.send().await.unwrap();
    assert_eq!(none.status(), 404);
    assert_eq!(none.headers()["x-openfaas-reason"], "function-not-found");
}
