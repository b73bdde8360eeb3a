//! Every route with its statuses, headers and bodies.

use std::sync::Arc;

use provider_http::{Role, Server};

use crate::support::{Memory, run, start};

fn deployment(name: &str) -> String {
    format!(r#"{{"service":"{name}","image":"img"}}"#)
}

#[tokio::test]
async fn a_function_is_deployed_listed_described_scaled_updated_and_removed() {
    let server = start(|s| s).await;

    let reply = server
        .ask("PUT", "/system/functions", &deployment("b"))
        .await;
    assert_eq!(
        (reply.status, reply.refusal()),
        (404, "function: b.openfaas-fn not found")
    );

    let reply = server
        .ask("POST", "/system/functions", &deployment("b"))
        .await;
    assert!(reply.status == 202 && reply.is_empty(), "{reply:?}");
    assert_eq!(reply.header("content-length"), "0");
    assert_eq!(
        reply.header("warning"),
        "299 - \"constraints are not looked at\""
    );

    let reply = server
        .ask("POST", "/system/functions", &deployment("b"))
        .await;
    assert_eq!(
        (reply.status, reply.refusal()),
        (409, "function: b.openfaas-fn already exists")
    );

    let reply = server
        .ask("PUT", "/system/functions", &deployment("b"))
        .await;
    assert!(reply.status == 200 && reply.is_empty(), "{reply:?}");

    server
        .ask("POST", "/system/functions", &deployment("a"))
        .await;
    let reply = server.ask("GET", "/system/functions", "").await;
    assert_eq!(
        (reply.status, reply.header("content-type").as_str()),
        (200, "application/json")
    );
    let one = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"image\":\"img\",\"namespace\":\"openfaas-fn\",\
             \"labels\":{{\"faas_function\":\"{name}\"}},\"annotations\":{{}},\
             \"replicas\":1,\"availableReplicas\":1,\"createdAt\":\"0001-01-01T00:00:00Z\"}}"
        )
    };
    assert_eq!(reply.body, format!("[{},{}]", one("a"), one("b")));

    let reply = server.ask("GET", "/system/function/a", "").await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, one("a").as_str())
    );
    assert_eq!(reply.header("content-type"), "application/json");
    for (query, shown) in [
        ("usage=1", true),
        ("usage=true", true),
        ("usage=0", false),
        ("usage=false", false),
    ] {
        let reply = server
            .ask("GET", &format!("/system/function/a?{query}"), "")
            .await;
        assert_eq!(reply.body.contains("\"usage\":{}"), shown, "{query}");
    }

    let reply = server
        .ask(
            "POST",
            "/system/scale-function/a",
            r#"{"serviceName":"other","replicas":0}"#,
        )
        .await;
    assert!(reply.status == 202 && reply.is_empty(), "{reply:?}");
    let reply = server.ask("GET", "/system/function/a", "").await;
    assert!(!reply.body.contains("eplicas"), "{reply:?}");

    let reply = server
        .ask("DELETE", "/system/functions", r#"{"functionName":"a"}"#)
        .await;
    assert!(reply.status == 200 && reply.is_empty(), "{reply:?}");
    let reply = server
        .ask("DELETE", "/system/functions", r#"{"functionName":"a"}"#)
        .await;
    assert_eq!(
        (reply.status, reply.refusal()),
        (404, "function: a.openfaas-fn not found")
    );

    server.backend.add("drains");
    let reply = server
        .ask(
            "DELETE",
            "/system/functions",
            r#"{"functionName":"drains"}"#,
        )
        .await;
    assert!(reply.status == 202 && reply.is_empty(), "{reply:?}");
}

#[tokio::test]
async fn what_is_absent_or_wrong_has_its_status() {
    let server = start(|s| s).await;
    server.backend.add("f");
    let unmarked = r#"{"name":"x"}"#;
    let marked = r#"{"name":"x","labels":{"openfaas":"1"}}"#;
    for (method, target, body, status, words) in [
        (
            "GET",
            "/system/functions?namespace=nowhere",
            "",
            400,
            "namespace nowhere not found",
        ),
        (
            "GET",
            "/system/functions?namespace=../x",
            "",
            400,
            "namespace",
        ),
        ("GET", "/system/function/Bad_Name", "", 400, "function name"),
        ("GET", "/system/function/a.b", "", 400, "function name"),
        ("GET", "/system/function/..%2fetc", "", 400, "function name"),
        (
            "GET",
            "/system/function/broken",
            "",
            500,
            "could not look it up",
        ),
        (
            "POST",
            "/system/functions",
            "",
            400,
            "unexpected end of JSON input",
        ),
        ("POST", "/system/functions", "{", 400, ""),
        ("POST", "/system/functions", "[]", 400, ""),
        ("POST", "/system/functions", "{} x", 400, ""),
        (
            "POST",
            "/system/functions",
            r#"{"image":"i"}"#,
            400,
            "service",
        ),
        (
            "POST",
            "/system/functions",
            r#"{"service":"f2"}"#,
            400,
            "image",
        ),
        (
            "POST",
            "/system/functions",
            r#"{"service":"../x","image":"i"}"#,
            400,
            "service",
        ),
        (
            "POST",
            "/system/functions",
            r#"{"service":"f2","image":"i","namespace":"a/b"}"#,
            400,
            "namespace",
        ),
        (
            "POST",
            "/system/functions",
            r#"{"service":"f2","image":"i","secrets":["../x"]}"#,
            400,
            "secret",
        ),
        (
            "POST",
            "/system/functions",
            r#"{"service":"f2","image":"i","limits":{"memory":"lots"}}"#,
            400,
            "lots",
        ),
        (
            "PUT",
            "/system/functions",
            r#"{"service":"a/b","image":"i"}"#,
            400,
            "service",
        ),
        ("PUT", "/system/functions", "nonsense", 400, ""),
        (
            "DELETE",
            "/system/functions",
            "",
            400,
            "unexpected end of JSON input",
        ),
        (
            "DELETE",
            "/system/functions",
            "{}",
            400,
            "function name is required",
        ),
        (
            "DELETE",
            "/system/functions",
            r#"{"functionName":"../x"}"#,
            400,
            "function name",
        ),
        (
            "POST",
            "/system/scale-function/absent",
            r#"{"replicas":1}"#,
            404,
            "function: absent.openfaas-fn not found",
        ),
        (
            "POST",
            "/system/scale-function/..",
            r#"{"replicas":1}"#,
            400,
            "function name",
        ),
        (
            "POST",
            "/system/scale-function/f",
            r#"{"replicas":-1}"#,
            400,
            "replicas",
        ),
        (
            "POST",
            "/system/scale-function/f",
            "",
            400,
            "unexpected end of JSON input",
        ),
        (
            "POST",
            "/system/secrets",
            r#"{"name":"../x","value":"v"}"#,
            400,
            "secret name",
        ),
        (
            "POST",
            "/system/secrets",
            r#"{"value":"v"}"#,
            400,
            "secret name is required",
        ),
        (
            "POST",
            "/system/secrets",
            r#"{"name":"s","namespace":"../x"}"#,
            400,
            "namespace",
        ),
        (
            "PUT",
            "/system/secrets",
            r#"{"name":"a/b"}"#,
            400,
            "secret name",
        ),
        (
            "PUT",
            "/system/secrets",
            r#"{"name":"absent"}"#,
            404,
            "no such secret",
        ),
        (
            "DELETE",
            "/system/secrets",
            r#"{"name":"../../x"}"#,
            400,
            "secret name",
        ),
        (
            "DELETE",
            "/system/secrets",
            r#"{"name":"absent"}"#,
            404,
            "no such secret",
        ),
        ("DELETE", "/system/secrets", "x", 400, ""),
        ("GET", "/system/secrets?namespace=.", "", 400, "namespace"),
        (
            "GET",
            "/system/namespace/absent",
            "",
            404,
            "namespace absent not found",
        ),
        (
            "GET",
            "/system/namespace/",
            "",
            400,
            "namespace not specified in URL",
        ),
        ("GET", "/system/namespace/a.b", "", 400, "namespace"),
        (
            "POST",
            "/system/namespace/",
            "x",
            400,
            "error parsing request body: ",
        ),
        (
            "POST",
            "/system/namespace/",
            "",
            400,
            "error parsing request body: ",
        ),
        (
            "POST",
            "/system/namespace/",
            "{}",
            400,
            "namespace not specified in request body",
        ),
        (
            "POST",
            "/system/namespace/",
            r#"{"name":"../x","labels":{"openfaas":"1"}}"#,
            400,
            "namespace",
        ),
        (
            "POST",
            "/system/namespace/",
            unmarked,
            400,
            "request does not have openfaas=1 label",
        ),
        (
            "POST",
            "/system/namespace/",
            r#"{"name":"openfaas-fn","labels":{"openfaas":"1"}}"#,
            409,
            "namespace openfaas-fn already exists",
        ),
        (
            "PUT",
            "/system/namespace/y",
            marked,
            400,
            "namespace in request body does not match namespace in URL",
        ),
        (
            "PUT",
            "/system/namespace/",
            marked,
            400,
            "namespace not specified in URL",
        ),
        (
            "PUT",
            "/system/namespace/x",
            unmarked,
            400,
            "request does not have openfaas=1 label",
        ),
        (
            "PUT",
            "/system/namespace/x",
            marked,
            404,
            "namespace x not found",
        ),
        (
            "DELETE",
            "/system/namespace/x",
            "",
            404,
            "namespace x not found",
        ),
        (
            "DELETE",
            "/system/namespace/x",
            r#"{"name":"y"}"#,
            400,
            "namespace in request body does not match namespace in URL",
        ),
        (
            "DELETE",
            "/system/namespace/x",
            "x",
            400,
            "error parsing request body: ",
        ),
        (
            "DELETE",
            "/system/namespace/",
            "",
            400,
            "namespace not specified in URL",
        ),
        (
            "DELETE",
            "/system/namespace/openfaas-fn",
            "",
            409,
            "cannot be deleted",
        ),
        ("GET", "/system/logs", "", 400, "function name is required"),
        (
            "GET",
            "/system/logs?name=absent",
            "",
            404,
            "function: absent.openfaas-fn not found",
        ),
        ("GET", "/system/logs?name=..", "", 400, "function name"),
        (
            "GET",
            "/system/logs?name=f&namespace=a/b",
            "",
            400,
            "namespace",
        ),
        (
            "GET",
            "/system/logs?name=f&tail=x",
            "",
            422,
            "could not parse the log request",
        ),
        (
            "GET",
            "/system/logs?name=f&since=yesterday",
            "",
            422,
            "could not parse the log request",
        ),
        ("POST", "/async-function/f", "x", 501, "does not queue"),
        ("GET", "/nowhere", "", 404, "404 page not found"),
        ("GET", "/", "", 404, "404 page not found"),
        ("GET", "/system", "", 404, "404 page not found"),
        ("GET", "/system/", "", 404, "404 page not found"),
        ("GET", "/system/nowhere", "", 404, "404 page not found"),
        ("GET", "/system/functions/", "", 404, "404 page not found"),
        ("GET", "/system/namespace", "", 404, "404 page not found"),
        ("GET", "/function", "", 404, "404 page not found"),
        ("GET", "/function/", "", 404, "404 page not found"),
        ("GET", "/System/Functions", "", 404, "404 page not found"),
        ("GET", "//system/functions", "", 404, "404 page not found"),
    ] {
        let reply = server.ask(method, target, body).await;
        assert_eq!(reply.status, status, "{method} {target} {body}: {reply:?}");
        assert!(
            reply.refusal().contains(words),
            "{method} {target} {body}: {reply:?}"
        );
        assert!(!reply.body.contains("/secret/path"), "{reply:?}");
    }
}

#[tokio::test]
async fn status_of_an_absent_function_is_an_empty_404() {
    let server = start(|s| s).await;
    let reply = server.ask("GET", "/system/function/absent", "").await;
    assert!(reply.status == 404 && reply.is_empty(), "{reply:?}");
}

#[tokio::test]
async fn a_known_path_with_another_method_is_an_empty_405() {
    let server = start(|s| s).await;
    for (method, target) in [
        ("PATCH", "/system/functions"),
        ("OPTIONS", "/system/functions"),
        ("HEAD", "/system/functions"),
        ("get", "/system/functions"),
        ("POST", "/system/function/f"),
        ("HEAD", "/system/function/f"),
        ("GET", "/system/scale-function/f"),
        ("POST", "/system/info"),
        ("HEAD", "/system/info"),
        ("PATCH", "/system/secrets"),
        ("POST", "/system/logs"),
        ("HEAD", "/system/logs"),
        ("POST", "/system/namespaces"),
        ("PATCH", "/system/namespace/x"),
        ("HEAD", "/system/telemetry"),
        ("POST", "/healthz"),
    ] {
        let reply = server.ask(method, target, "").await;
        assert!(
            reply.status == 405 && reply.is_empty(),
            "{method} {target}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn a_namespace_comes_from_the_body_or_the_query_and_never_from_two_that_differ() {
    let server = start(|s| s).await;
    for (method, target, body) in [
        (
            "POST",
            "/system/functions",
            r#"{"service":"f","image":"i"%}"#,
        ),
        (
            "PUT",
            "/system/functions",
            r#"{"service":"f","image":"i"%}"#,
        ),
        ("POST", "/system/scale-function/f", r#"{"replicas":2%}"#),
        ("POST", "/system/secrets", r#"{"name":"s"%}"#),
        ("PUT", "/system/secrets", r#"{"name":"s"%}"#),
        ("DELETE", "/system/secrets", r#"{"name":"s"%}"#),
        ("DELETE", "/system/functions", r#"{"functionName":"f"%}"#),
    ] {
        let plain = body.replace('%', "");
        let named = body.replace('%', r#","namespace":"dev""#);
        let in_query = format!("{target}?namespace=dev");
        let wrong = server
            .ask(method, &format!("{target}?namespace=prod"), &named)
            .await;
        assert_eq!(wrong.status, 400, "{method} {target}: {wrong:?}");
        assert!(
            wrong.refusal().contains("dev") && wrong.refusal().contains("prod"),
            "{wrong:?}"
        );
        let good = [200, 201, 202];
        // Created, changed and removed again, so each verb is seen with each place.
        for (target, body) in [
            (in_query.as_str(), plain.as_str()),
            (target, &named),
            (&in_query, &named),
        ] {
            let reply = server.ask(method, target, body).await;
            assert!(
                good.contains(&reply.status) || [404, 409].contains(&reply.status),
                "{reply:?}"
            );
            assert!(
                !reply.body.contains("openfaas-fn"),
                "{method} {target} {body}: {reply:?}"
            );
        }
    }
    server.backend.add("f.dev");
    let reply = server
        .ask("GET", "/system/functions?namespace=dev", "")
        .await;
    assert!(reply.body.contains("\"namespace\":\"dev\""), "{reply:?}");
    assert_eq!(server.ask("GET", "/system/functions", "").await.body, "[]");
    assert_eq!(
        server
            .ask("GET", "/system/function/f?namespace=dev&namespace=prod", "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let server = start(|s| s).await;
    assert_eq!(server.ask("GET", "/system/secrets", "").await.body, "[]");

    let reply = server
        .ask("POST", "/system/secrets", r#"{"name":"b","value":"v1"}"#)
        .await;
    assert!(reply.status == 201 && reply.is_empty(), "{reply:?}");
    assert_eq!(server.backend.secret("b").unwrap(), b"v1");
    let reply = server
        .ask("POST", "/system/secrets", r#"{"name":"b","value":"v2"}"#)
        .await;
    assert_eq!((reply.status, reply.refusal()), (409, "the secret exists"));

    let both = r#"{"name":"b","value":"text","rawValue":"AAEC"}"#;
    let reply = server.ask("PUT", "/system/secrets", both).await;
    assert!(reply.status == 200 && reply.is_empty(), "{reply:?}");
    assert_eq!(
        server.backend.secret("b").unwrap(),
        [0, 1, 2],
        "rawValue goes first"
    );

    server
        .ask("POST", "/system/secrets", r#"{"name":"a","value":""}"#)
        .await;
    assert_eq!(
        server.backend.secret("a").unwrap(),
        b"",
        "an empty value is one"
    );
    let reply = server.ask("GET", "/system/secrets", "").await;
    assert_eq!(
        (reply.status, reply.header("content-type").as_str()),
        (200, "application/json")
    );
    assert_eq!(
        reply.body,
        r#"[{"name":"a","namespace":"openfaas-fn"},{"name":"b","namespace":"openfaas-fn"}]"#
    );

    let reply = server
        .ask("DELETE", "/system/secrets", r#"{"name":"b"}"#)
        .await;
    assert!(reply.status == 200 && reply.is_empty(), "{reply:?}");
    assert_eq!(server.backend.secret("b"), None);
}

#[tokio::test]
async fn namespaces_come_and_go_and_the_default_one_stays_first() {
    let server = start(|s| s).await;
    let list = async || server.ask("GET", "/system/namespaces", "").await;
    assert_eq!(list().await.body, r#"["openfaas-fn"]"#);

    let by_label = r#"{"name":"dev","labels":{"openfaas":"1","team":"a"}}"#;
    let reply = server.ask("POST", "/system/namespace/", by_label).await;
    assert!(reply.status == 201 && reply.is_empty(), "{reply:?}");
    let reply = server.ask("POST", "/system/namespace/", by_label).await;
    assert_eq!(
        (reply.status, reply.refusal()),
        (409, "namespace dev already exists")
    );
    let by_annotation = r#"{"name":"a-first","annotations":{"openfaas":"1"}}"#;
    assert_eq!(
        server
            .ask("POST", "/system/namespace/", by_annotation)
            .await
            .status,
        201
    );

    let reply = list().await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.body, r#"["openfaas-fn","a-first","dev"]"#);

    let reply = server.ask("GET", "/system/namespace/dev", "").await;
    assert_eq!(
        (reply.status, reply.header("content-type").as_str()),
        (200, "application/json")
    );
    assert_eq!(
        reply.body,
        "{\"name\":\"dev\",\"labels\":{\"openfaas\":\"1\",\"team\":\"a\"}}\n"
    );

    let changed = r#"{"name":"dev","labels":{"openfaas":"1"}}"#;
    let reply = server.ask("PUT", "/system/namespace/dev", changed).await;
    assert!(reply.status == 202 && reply.is_empty(), "{reply:?}");
    assert!(
        !server
            .ask("GET", "/system/namespace/dev", "")
            .await
            .body
            .contains("team")
    );

    let reply = server
        .ask("DELETE", "/system/namespace/dev", r#"{"name":"dev"}"#)
        .await;
    assert!(reply.status == 202 && reply.is_empty(), "{reply:?}");
    let reply = server.ask("DELETE", "/system/namespace/a-first", "").await;
    assert!(
        reply.status == 202 && reply.is_empty(),
        "a body is not needed: {reply:?}"
    );
    assert_eq!(list().await.body, r#"["openfaas-fn"]"#);
}

#[tokio::test]
async fn logs_are_ndjson() {
    let server = start(|s| s).await;
    server.backend.add("f");
    let reply = server
        .ask("GET", "/system/logs?name=f&tail=-1&follow=0", "")
        .await;
    assert_eq!(
        (reply.status, reply.header("content-type").as_str()),
        (200, "application/x-ndjson")
    );
    assert!(
        reply.body.contains(
            "{\"name\":\"f\",\"namespace\":\"openfaas-fn\",\"instance\":\"i-1\",\
         \"timestamp\":\"1970-01-01T00:00:00Z\",\"text\":\"a \\u003cline\\u003e\"}\n"
        ),
        "{reply:?}"
    );
}

#[tokio::test]
async fn info_is_a_providers_or_a_gateways() {
    let provider = r#"{"provider":"memory","version":{"sha":"abcdef","release":"1.2.3"},"orchestration":"none"}"#;
    let server = start(|s| s).await;
    let reply = server.ask("GET", "/system/info", "").await;
    assert_eq!(
        (reply.status, reply.header("content-type").as_str()),
        (200, "application/json")
    );
    assert_eq!(reply.body, provider);

    let server = start(|s| s.role(Role::Standalone)).await;
    let reply = server.ask("GET", "/system/info", "").await;
    assert_eq!(
        reply.body,
        format!(
            r#"{{"provider":{provider},"version":{{"sha":"abcdef","release":"1.2.3"}},"arch":"{}"}}"#,
            std::env::consts::ARCH
        )
    );
}

#[tokio::test]
async fn health_and_telemetry_answer() {
    let server = start(|s| s).await;
    for method in ["GET", "HEAD"] {
        let reply = server.ask(method, "/healthz", "").await;
        assert!(reply.status == 200 && reply.is_empty(), "{reply:?}");
    }
    let reply = server.ask("GET", "/system/telemetry", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"ok":true}"#));
}

#[tokio::test]
async fn a_capability_that_is_not_given_answers_as_the_sdk_does() {
    let backend = Arc::new(Memory::default());
    let server = run(
        Server::builder(Arc::clone(&backend)).bind("127.0.0.1:0"),
        backend,
    );
    for (method, target, status, words) in [
        ("GET", "/system/secrets", 501, "secrets"),
        ("POST", "/system/secrets", 501, "secrets"),
        ("PUT", "/system/secrets", 501, "secrets"),
        ("DELETE", "/system/secrets", 501, "secrets"),
        ("GET", "/system/logs?name=f", 501, "logs"),
        (
            "GET",
            "/system/namespace/x",
            501,
            "Feature not implemented in this version of OpenFaaS",
        ),
        (
            "GET",
            "/system/namespace/",
            501,
            "Feature not implemented in this version of OpenFaaS",
        ),
        ("GET", "/system/telemetry", 404, "404 page not found"),
        ("GET", "/function/f", 501, "does not invoke functions"),
    ] {
        let reply = server.ask(method, target, "{}").await;
        assert_eq!(reply.status, status, "{method} {target}: {reply:?}");
        assert!(
            reply.refusal().contains(words),
            "{method} {target}: {reply:?}"
        );
    }
    assert_eq!(
        server.ask("GET", "/system/namespaces", "").await.body,
        r#"["openfaas-fn"]"#
    );
    let reply = server.ask("POST", "/system/namespace/", "{}").await;
    assert!(reply.status == 405 && reply.is_empty(), "{reply:?}");
}
