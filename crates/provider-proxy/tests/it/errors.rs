//! Replies of our own.

use provider_proxy::Proxy;
use provider_types::{NameRule, Namespace};

use crate::support::{Functions, front, get, header, replying, serve};

#[tokio::test]
async fn each_refusal_says_what_it_is() {
    let front = front(&Functions::default()).await;
    for (path, status, reason, retry_after, text) in [
        (
            "/function/none",
            "404",
            "function-not-found",
            None,
            "No endpoints available for: none.",
        ),
        (
            "/function/Not_A_Name/x",
            "404",
            "function-not-found",
            None,
            "No endpoints available for: Not_A_Name.",
        ),
        (
            "/function/",
            "404",
            "function-not-found",
            None,
            "Provide function name in the request path: /function/NAME.",
        ),
        (
            "/elsewhere",
            "404",
            "function-not-found",
            None,
            "Provide function name in the request path: /function/NAME.",
        ),
        (
            "/function/starting",
            "503",
            "not-ready",
            Some("3"),
            "No endpoints available for: starting. the program exited with code 1.",
        ),
        (
            "/function/deaf",
            "503",
            "resolve-timeout",
            Some("1"),
            "No endpoints available for: deaf. No replica was ready within 20s (resolve_timeout): \
             nothing listens there.",
        ),
        (
            "/function/busy.openfaas-fn",
            "429",
            "overloaded",
            Some("1"),
            "All replicas are at their limit for: busy.openfaas-fn.",
        ),
        (
            "/function/broken",
            "500",
            "internal",
            None,
            "Failed to resolve service: broken.",
        ),
        (
            "/function/f/%2e%2E/g",
            "400",
            "bad-path",
            None,
            "The path leads out of the function.",
        ),
    ] {
        let reply = get(front, path).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        for (name, value) in [
            ("x-openfaas-internal", Some("proxy")),
            ("x-openfaas-reason", Some(reason)),
            ("content-type", Some("text/plain; charset=utf-8")),
            ("x-content-type-options", Some("nosniff")),
            ("retry-after", retry_after),
        ] {
            assert_eq!(header(&reply, name).as_deref(), value, "{name} of {path}");
        }
        assert!(
            reply.ends_with(&format!("\r\n\r\n{text}\n")),
            "{path}: {reply}"
        );
    }
}

#[tokio::test]
async fn a_functions_own_errors_are_not_ours() {
    let failing = replying(
        "HTTP/1.1 500 Internal Server Error\r\nX-OpenFaaS-Internal: of-watchdog\r\n\
         Content-Length: 4\r\n\r\noops",
    )
    .await;
    let reply = get(front(&Functions::at(failing)).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 500 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-internal").as_deref(),
        Some("of-watchdog")
    );
    assert_eq!(header(&reply, "x-openfaas-reason"), None);
}

#[tokio::test]
async fn namespaces_and_wider_names_are_configured() {
    let functions = Functions::at(replying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
    let proxy = Proxy::builder(functions.with("a.b", []))
        .default_namespace(Namespace::new("mine").unwrap())
        .name_rule(NameRule::Dotted)
        .build();
    let front = serve(proxy).await;
    assert!(get(front, "/function/f").await.ends_with("ok"));
    assert!(get(front, "/function/f.other/x").await.ends_with("ok"));
    // Split at the last dot: a function that is known and has no replica, not one that is not.
    let reply = get(front, "/function/a.b.c").await;
    assert!(reply.ends_with("for: a.b.c.\n"), "{reply}");
}

#[tokio::test]
async fn the_tower_service_answers_inside_an_axum_router() {
    let functions = Functions::at(replying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
    let proxy = Proxy::builder(functions).build();
    let router = axum::Router::new()
        .route("/mine", axum::routing::get(|| async { "mine" }))
        .route_service("/function/{*path}", proxy);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert!(get(front, "/function/f/a//b").await.ends_with("ok"));
    assert!(get(front, "/mine").await.ends_with("mine"));
}
