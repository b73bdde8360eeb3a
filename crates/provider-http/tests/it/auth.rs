//! Credentials on every route, and who is answered without them.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use provider_http::{BasicAuth, Config, Credentials};

use crate::support::{Builder, start};

const PASS: (&str, &str) = ("Authorization", "Basic YWRtaW46czNjcjN0");

fn with_auth(builder: Builder) -> Builder {
    let credentials = Credentials::new("admin", "s3cr3t").unwrap();
    builder
        .auth(Arc::new(BasicAuth::new([credentials])))
        .merge(Router::new().route("/ui/", get(|| async { "mine" })))
        .merge_open(Router::new().route("/open/", get(|| async { "anybody's" })))
}

#[tokio::test]
async fn every_route_that_is_not_open_asks_for_credentials() {
    let server = start(with_auth).await;
    server.backend.add("f");
    for (method, target) in [
        ("GET", "/system/functions"),
        ("POST", "/system/functions"),
        ("PUT", "/system/functions"),
        ("DELETE", "/system/functions"),
        ("GET", "/system/function/f"),
        ("POST", "/system/scale-function/f"),
        ("GET", "/system/info"),
        ("GET", "/system/secrets"),
        ("POST", "/system/secrets"),
        ("PUT", "/system/secrets"),
        ("DELETE", "/system/secrets"),
        ("GET", "/system/logs?name=f"),
        ("GET", "/system/namespaces"),
        ("GET", "/system/namespace/x"),
        ("GET", "/system/namespace/"),
        ("POST", "/system/namespace/"),
        ("PUT", "/system/namespace/x"),
        ("DELETE", "/system/namespace/x"),
        ("GET", "/system/telemetry"),
        ("GET", "/system/nowhere"),
        ("GET", "/ui/"),
    ] {
        for wrong in [
            None,
            Some("Basic YWRtaW46d3Jvbmc="),
            Some("Bearer "),
            Some("Basic !!!"),
        ] {
            let headers: Vec<_> = wrong
                .iter()
                .map(|value| ("Authorization", *value))
                .collect();
            let reply = server.ask_with(method, target, &headers, "").await;
            assert_eq!(reply.status, 401, "{method} {target} {wrong:?}: {reply:?}");
            assert_eq!(reply.body, "invalid credentials", "{method} {target}");
            assert_eq!(
                reply.header("www-authenticate"),
                "Basic realm=\"Restricted\""
            );
            assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        }
        let reply = server.ask_with(method, target, &[PASS], "").await;
        assert_ne!(reply.status, 401, "{method} {target}: {reply:?}");
    }
}

#[tokio::test]
async fn what_is_open_asks_for_none() {
    let server = start(with_auth).await;
    for (target, status) in [
        ("/healthz", 200),
        ("/metrics", 200),
        ("/function/absent", 404),
        ("/async-function/f", 501),
        ("/open/", 200),
        ("/nowhere", 404),
    ] {
        let reply = server.ask("GET", target, "").await;
        assert_eq!(reply.status, status, "{target}: {reply:?}");
    }
}

#[tokio::test]
async fn with_credentials_any_host_and_any_page_is_answered() {
    let server = start(with_auth).await;
    let headers = [
        PASS,
        ("Host", "faas.example"),
        ("Origin", "http://faas.example"),
    ];
    assert_eq!(
        server
            .ask_with("GET", "/system/info", &headers, "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn without_credentials_only_this_machine_is_answered() {
    let server = start(|s| {
        let mut config = Config::default();
        config.allow_hosts = vec!["faas.local".to_owned()];
        s.config(config)
            .merge(Router::new().route("/ui/", get(|| async { "mine" })))
    })
    .await;
    server.backend.add("f");
    let address = server.address.to_string();
    let own_page = format!("http://{address}");
    for (headers, status) in [
        (vec![], 200),
        (vec![("Host", "localhost")], 200),
        (vec![("Host", "faas.local:80")], 200),
        (vec![("Host", "evil.example")], 403),
        (
            vec![("Host", address.as_str()), ("Origin", own_page.as_str())],
            200,
        ),
        (vec![("Origin", "http://evil.example")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Sec-Fetch-Site", "same-origin")], 200),
    ] {
        for target in ["/system/info", "/system/namespaces", "/ui/"] {
            let reply = server.ask_with("GET", target, &headers, "").await;
            assert_eq!(reply.status, status, "{target} {headers:?}: {reply:?}");
            if status == 403 {
                let words = reply.refusal();
                assert!(
                    words.contains("basic_auth=true") && words.contains("allow_host"),
                    "{words}"
                );
            }
        }
        // What is open is open to pages, too.
        assert_eq!(
            server
                .ask_with("GET", "/healthz", &headers, "")
                .await
                .status,
            200
        );
        assert_eq!(
            server
                .ask_with("GET", "/function/absent", &headers, "")
                .await
                .status,
            404
        );
    }
    let body = r#"{"service":"g","image":"i"}"#;
    let reply = server
        .ask_with(
            "POST",
            "/system/functions",
            &[("Origin", "http://evil.example")],
            body,
        )
        .await;
    assert_eq!(reply.status, 403);
    assert_eq!(
        server.ask("GET", "/system/function/g", "").await.status,
        404
    );
}
