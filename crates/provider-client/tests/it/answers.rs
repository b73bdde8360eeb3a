//! What each answer becomes.

use std::error::Error as _;
use std::time::Duration;

use provider_client::{Client, Error, Info};
use provider_types::wire::{FunctionDeployment, FunctionNamespace, Secret};
use wiremock::matchers::{any, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::raw::{PATIENCE, Step, say, server};

async fn answering(answer: ResponseTemplate) -> (MockServer, Client) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let client = Client::builder(server.uri()).build().unwrap();
    (server, client)
}

#[tokio::test]
async fn a_change_is_accepted_as_faas_cli_accepts_it() {
    for status in [200, 201, 202] {
        let (_server, client) = answering(ResponseTemplate::new(status)).await;
        let accepted = client
            .deploy(&FunctionDeployment::new("f", "i"))
            .await
            .unwrap();
        assert_eq!(accepted.status, status);
        assert!(accepted.warnings.is_empty());
    }
    for status in [
        204, 206, 301, 400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 501, 503,
    ] {
        let answer = ResponseTemplate::new(status)
            .insert_header("x-a", "1")
            .set_body_string("no such thing\n");
        let (_server, client) = answering(answer).await;
        let function = FunctionDeployment::new("f", "i");
        let secret = Secret::new("s", "");
        let namespace = FunctionNamespace::new("n");
        for (refused, call) in [
            (client.deploy(&function).await, "POST /system/functions"),
            (client.update(&function).await, "PUT /system/functions"),
            (
                client.delete_function("f", None).await,
                "DELETE /system/functions",
            ),
            (
                client.scale("f", None, 1).await,
                "POST /system/scale-function/f",
            ),
            (client.create_secret(&secret).await, "POST /system/secrets"),
            (client.update_secret(&secret).await, "PUT /system/secrets"),
            (
                client.delete_secret("s", None).await,
                "DELETE /system/secrets",
            ),
            (
                client.create_namespace(&namespace).await,
                "POST /system/namespace/",
            ),
            (
                client.update_namespace(&namespace).await,
                "PUT /system/namespace/n",
            ),
            (
                client.delete_namespace("n").await,
                "DELETE /system/namespace/n",
            ),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.status().unwrap(), status, "{call}");
            assert_eq!(error.is_not_found(), status == 404);
            assert_eq!(error.is_conflict(), status == 409);
            assert_eq!(error.is_unauthorized(), status == 401);
            let words = error.to_string();
            assert!(words.starts_with(&format!("{call}: {status} ")), "{words}");
            // A 204 has no body.
            assert!(
                status == 204 || words.ends_with(": no such thing"),
                "{words}"
            );
            let Error::Status(refused) = error else {
                panic!("{error:?}")
            };
            assert_eq!(refused.headers["x-a"], "1");
        }
    }
}

#[tokio::test]
async fn warnings_and_retry_after_are_read() {
    let answer = ResponseTemplate::new(202)
        .append_header("warning", "299 - \"constraints are not \\\"looked\\\" at\"")
        .append_header("warning", "299 - \"second\"");
    let (_server, client) = answering(answer).await;
    let accepted = client
        .deploy(&FunctionDeployment::new("f", "i"))
        .await
        .unwrap();
    assert_eq!(
        accepted.warnings,
        ["constraints are not \"looked\" at", "second"]
    );

    let busy = ResponseTemplate::new(429).insert_header("retry-after", "7");
    let (_server, client) = answering(busy).await;
    let Error::Status(refused) = client.functions(None).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(
        refused.to_string(),
        "GET /system/functions: 429 Too Many Requests"
    );
}

#[tokio::test]
async fn a_function_is_updated_or_else_deployed() {
    let server = MockServer::start().await;
    let absent = ResponseTemplate::new(404);
    Mock::given(method("PUT"))
        .respond_with(absent)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(201))
        .mount(&server)
        .await;
    let client = Client::builder(server.uri()).build().unwrap();
    let function = FunctionDeployment::new("f", "i");
    assert_eq!(client.apply(&function).await.unwrap().status, 201);

    // Any other refusal is the answer.
    let (server, client) = answering(ResponseTemplate::new(400)).await;
    assert_eq!(
        client.apply(&function).await.unwrap_err().status().unwrap(),
        400
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_list_holds_is_read_and_nothing_is_an_empty_list() {
    let functions = r#"[{"name":"f","image":"i","availableReplicas":2,"createdAt":"2026-01-01T00:00:00Z","labels":null}]"#;
    let (_server, client) = answering(ResponseTemplate::new(200).set_body_string(functions)).await;
    let found = client.functions(None).await.unwrap();
    assert_eq!((&*found[0].name, found[0].available_replicas), ("f", 2));
    assert!(found[0].created_at.is_some() && found[0].labels.is_empty());

    for nothing in ["[]", "null", " [ ] \n"] {
        let (_server, client) =
            answering(ResponseTemplate::new(200).set_body_string(nothing)).await;
        assert!(client.functions(None).await.unwrap().is_empty());
        assert!(client.secrets(None).await.unwrap().is_empty());
        assert!(client.namespaces().await.unwrap().is_empty());
    }
    let secrets = r#"[{"name":"s","namespace":"n"}]"#;
    let (_server, client) = answering(ResponseTemplate::new(202).set_body_string(secrets)).await;
    assert_eq!(client.secrets(None).await.unwrap()[0].namespace, "n");
}

#[tokio::test]
async fn who_answers_tells_a_provider_from_a_gateway() {
    let provider = r#"{"provider":"p","version":{"sha":"s","release":"r"},"orchestration":"o"}"#;
    let (_server, client) = answering(ResponseTemplate::new(200).set_body_string(provider)).await;
    let info = client.info().await.unwrap();
    assert!(matches!(&info, Info::Provider(_)));
    assert_eq!(info.provider().unwrap().provider, "p");

    let gateway = format!(
        r#"{{"provider":{provider},"version":{{"sha":"g","release":"2"}},"arch":"x86_64"}}"#
    );
    let (_server, client) = answering(ResponseTemplate::new(200).set_body_string(gateway)).await;
    let info = client.info().await.unwrap();
    assert!(matches!(&info, Info::Gateway(gateway) if gateway.arch == "x86_64"));
    assert_eq!(info.provider().unwrap().orchestration, "o");

    let (_server, client) =
        answering(ResponseTemplate::new(200).set_body_string(r#"{"provider":null}"#)).await;
    assert_eq!(
        client
            .info()
            .await
            .unwrap()
            .provider()
            .map(|p| &*p.provider),
        Some("")
    );
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error_that_shows_it() {
    for garbage in ["", "<html>", "{", "[1]", "[{\"name\":1}]", "[]x"] {
        let (_server, client) =
            answering(ResponseTemplate::new(200).set_body_string(garbage)).await;
        let error = client.functions(None).await.unwrap_err();
        let words = error.to_string();
        assert!(words.contains("GET /system/functions"), "{words}");
        assert!(error.source().is_some(), "{garbage:?}");
        let Error::Decode { body, .. } = error else {
            panic!("{garbage:?}: {error:?}")
        };
        assert_eq!(body, garbage);
        assert!(matches!(client.info().await, Err(Error::Decode { .. })));
    }
}

#[tokio::test]
async fn no_answer_is_told_from_a_broken_and_a_late_one() {
    // Port 1 of this machine: nobody listens.
    let nobody = Client::builder("http://127.0.0.1:1").build().unwrap();
    let error = nobody.health().await.unwrap_err();
    assert!(
        matches!(error, Error::Connect { .. }) && error.source().is_some(),
        "{error:?}"
    );
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
    let nobody = Client::builder("unix:/nowhere/x.sock").build().unwrap();
    let error = nobody.health().await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to unix:/nowhere/x.sock");

    for broken in [
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
    ] {
        let (client, _heard) = server(vec![say(broken)]).await;
        let error = client.build().unwrap().functions(None).await.unwrap_err();
        assert!(
            matches!(error, Error::Transport(_)),
            "{broken:?}: {error:?}"
        );
    }

    let limit = Duration::from_millis(200);
    for late in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        "HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nshort",
    ] {
        let (client, _heard) = server(vec![say(late), Step::Wait]).await;
        let client = client
            .timeout(PATIENCE)
            .build()
            .unwrap()
            .with_timeout(limit);
        let error = client.functions(None).await.unwrap_err();
        assert!(
            matches!(error, Error::Timeout(told) if told == limit),
            "{late:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let answer = ResponseTemplate::new(301).insert_header("location", "/elsewhere");
    let (server, client) = answering(answer).await;
    assert_eq!(client.health().await.unwrap_err().status().unwrap(), 301);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}
