//! What each call sends.

use provider_client::{Client, Error, LogQuery};
use provider_types::wire::{FunctionDeployment, FunctionNamespace, Secret};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// A server that takes everything, and a client of it.
async fn start() -> (MockServer, Client) {
    let server = MockServer::start().await;
    let answer = |request: &Request| match request.method.as_str() {
        "GET" if request.url.path() == "/system/namespaces" => {
            ResponseTemplate::new(200).set_body_string("[\"a\"]")
        }
        "GET"
            if request.url.path() == "/system/functions"
                || request.url.path() == "/system/secrets" =>
        {
            ResponseTemplate::new(200).set_body_string("[]")
        }
        "GET" => ResponseTemplate::new(200).set_body_string("{}"),
        _ => ResponseTemplate::new(202),
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let client = Client::builder(format!("{}/", server.uri()))
        .basic_auth("admin", "pass:word")
        .user_agent("tests")
        .build()
        .unwrap();
    (server, client)
}

async fn last(server: &MockServer) -> Request {
    server.received_requests().await.unwrap().pop().unwrap()
}

fn target(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}"));
    format!(
        "{} {}{}",
        request.method,
        request.url.path(),
        query.unwrap_or_default()
    )
}

#[tokio::test]
async fn every_call_goes_where_providers_look_for_it() {
    let (server, client) = start().await;
    let mut function = FunctionDeployment::new("f", "image");
    function.namespace = "dev".to_owned();
    let deployed = json!({"service": "f", "image": "image", "namespace": "dev"});
    let marked = |name: &str| json!({"name": name, "labels": {"openfaas": "1"}, "annotations": {"openfaas": "1"}});
    let mut secret = Secret::new("s", "dev");
    secret.raw_value = vec![0, 255];
    let secret_sent = json!({"name": "s", "namespace": "dev", "rawValue": "AP8="});
    let namespace = FunctionNamespace::new("dev");

    macro_rules! sends {
        ($call:expr, $target:expr, $body:expr) => {
            $call.await.unwrap();
            let request = last(&server).await;
            assert_eq!(target(&request), $target);
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            assert_eq!(body, $body, "{}", $target);
            assert_eq!(
                request.headers["authorization"],
                "Basic YWRtaW46cGFzczp3b3Jk"
            );
            assert_eq!(request.headers["user-agent"], "tests");
            let json = request
                .headers
                .get("content-type")
                .map(|json| json.as_bytes());
            assert_eq!(
                json,
                (body != Value::Null).then_some(&b"application/json"[..])
            );
        };
    }
    let none = Value::Null;
    let dev = Some("dev");
    sends!(client.functions(None), "GET /system/functions", none);
    sends!(
        client.functions(dev),
        "GET /system/functions?namespace=dev",
        none
    );
    sends!(client.function("f", None), "GET /system/function/f", none);
    sends!(
        client.function("a/b", dev),
        "GET /system/function/a%2Fb?namespace=dev",
        none
    );
    sends!(
        client.function_with_usage("f", dev),
        "GET /system/function/f?usage=1&namespace=dev",
        none
    );
    sends!(client.deploy(&function), "POST /system/functions", deployed);
    sends!(client.update(&function), "PUT /system/functions", deployed);
    sends!(client.apply(&function), "PUT /system/functions", deployed);
    sends!(
        client.delete_function("f", None),
        "DELETE /system/functions",
        json!({"functionName": "f"})
    );
    sends!(
        client.delete_function("f", dev),
        "DELETE /system/functions",
        json!({"functionName": "f", "namespace": "dev"})
    );
    sends!(
        client.scale("f", dev, 3),
        "POST /system/scale-function/f?namespace=dev",
        json!({"serviceName": "f", "replicas": 3, "namespace": "dev"})
    );
    sends!(
        client.secrets(dev),
        "GET /system/secrets?namespace=dev",
        none
    );
    sends!(
        client.create_secret(&secret),
        "POST /system/secrets",
        secret_sent
    );
    sends!(
        client.update_secret(&secret),
        "PUT /system/secrets",
        secret_sent
    );
    sends!(
        client.delete_secret("s", dev),
        "DELETE /system/secrets?namespace=dev",
        json!({"name": "s", "namespace": "dev"})
    );
    sends!(client.namespaces(), "GET /system/namespaces", none);
    sends!(client.namespace("dev"), "GET /system/namespace/dev", none);
    sends!(
        client.create_namespace(&namespace),
        "POST /system/namespace/",
        marked("dev")
    );
    sends!(
        client.update_namespace(&namespace),
        "PUT /system/namespace/dev",
        marked("dev")
    );
    sends!(
        client.delete_namespace("dev"),
        "DELETE /system/namespace/dev",
        marked("dev")
    );
    sends!(client.health(), "GET /healthz", none);
    sends!(client.metrics(), "GET /metrics", none);

    let mut logs = LogQuery::new("f");
    sends!(client.logs(&logs), "GET /system/logs?name=f", none);
    logs.namespace = Some("dev".to_owned());
    logs.instance = Some("f-1".to_owned());
    logs.tail = Some(5);
    logs.since = Some(std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_500));
    logs.follow = true;
    let all = "GET /system/logs?name=f&namespace=dev&instance=f-1&tail=5&since=1970-01-01T00%3A00%3A01.5Z&follow=1";
    sends!(client.logs(&logs), all, none);
}

#[tokio::test]
async fn credentials_are_a_token_too_or_none() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let client = Client::builder(server.uri())
        .bearer_auth("to.ken")
        .build()
        .unwrap();
    client.health().await.unwrap();
    assert_eq!(
        last(&server).await.headers["authorization"],
        "Bearer to.ken"
    );
    client.anonymous().health().await.unwrap();
    assert!(last(&server).await.headers.get("authorization").is_none());
    assert!(!format!("{client:?}").contains("to.ken"));

    let error = Client::builder(server.uri())
        .bearer_auth("a\nb")
        .build()
        .unwrap_err();
    assert!(matches!(error, Error::Request(_)), "{error:?}");
}

#[tokio::test]
async fn any_other_call_can_be_made() {
    let (server, client) = start().await;
    let request = http::Request::patch("/system/x?y=z")
        .header("x-a", "1")
        .body("body".into())
        .unwrap();
    let response = client.call(request).await.unwrap();
    assert_eq!(response.status(), 202);
    let request = last(&server).await;
    assert_eq!(target(&request), "PATCH /system/x?y=z");
    assert_eq!(
        (&request.headers["x-a"], &*request.body),
        (&"1".parse().unwrap(), &b"body"[..])
    );
    assert!(request.headers.contains_key("authorization"));
}
