//! `in_memory` is a whole provider: deploy, list, invoke, scale, update, remove.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use reqwest::{Client, Method};

use crate::program::Program;

/// A function: answers every call with a greeting.
fn function() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n");
        }
    });
    address
}

#[tokio::test]
async fn a_function_lives_from_its_deployment_to_its_removal() {
    let program = Program::start(env!("CARGO_BIN_EXE_in_memory"), &[]);
    let client = Client::builder().no_proxy().build().unwrap();
    let call = async |method: Method, path: &str, body: String| {
        let url = format!("{}{path}", program.url);
        let reply = client.request(method, url).body(body).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let get = async |path: &str| call(Method::GET, path, String::new()).await;
    let deployment = format!(r#"{{"service":"hi","image":"{}"}}"#, function());
    let scaled_to = |replicas: u8| format!(r#"{{"serviceName":"hi","replicas":{replicas}}}"#);
    let functions = "/system/functions";

    assert_eq!(get("/function/hi").await.0, 404);
    assert_eq!(
        call(Method::PUT, functions, deployment.clone()).await.0,
        404
    );
    assert_eq!(
        call(Method::POST, functions, deployment.clone()).await.0,
        202
    );
    assert_eq!(
        call(Method::POST, functions, deployment.clone()).await.0,
        409
    );
    assert_eq!(get("/function/hi").await, (200, "hi\n".to_owned()));
    assert!(get(functions).await.1.starts_with(r#"[{"name":"hi","#));

    let scale = "/system/scale-function/hi";
    assert_eq!(call(Method::POST, scale, scaled_to(0)).await.0, 202);
    assert_eq!(get("/function/hi").await.0, 503);
    assert_eq!(call(Method::POST, scale, scaled_to(3)).await.0, 202);
    assert_eq!(call(Method::PUT, functions, deployment).await.0, 200);
    let (_, status) = get("/system/function/hi").await;
    assert!(status.contains(r#""availableReplicas":3"#), "{status}");

    let pulled = r#"{"service":"no","image":"ghcr.io/example/no"}"#.to_owned();
    let (code, words) = call(Method::POST, functions, pulled).await;
    assert!(
        code == 400 && words.contains("ADDRESS:PORT"),
        "{code} {words}"
    );

    let removal = r#"{"functionName":"hi"}"#.to_owned();
    assert_eq!(
        call(Method::DELETE, functions, removal.clone()).await.0,
        200
    );
    assert_eq!(call(Method::DELETE, functions, removal).await.0, 404);
    assert_eq!(get(functions).await, (200, "[]".to_owned()));
}
