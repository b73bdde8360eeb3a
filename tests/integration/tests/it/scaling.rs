//! Replicas, updates, deletion.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Place, SERVER, children, image, process, until, with};

#[tokio::test]
async fn three_replicas_share_the_calls_and_go_again() {
    let place = Place::new();
    place.script("server", SERVER);
    let provider = place.start().await;
    let deployment = with(
        image("it", "server"),
        json!({"mode": "http", "VERSION": "1"}),
    );
    provider.deployed(deployment).await;
    assert_eq!(provider.scale("it", 3).await, StatusCode::ACCEPTED);
    assert_eq!(provider.status("it").await["replicas"], json!(3));
    provider.available("it", 3).await;
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        seen.insert(provider.called("it", "").await);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(children(&provider.pid()).len(), 3);

    assert_eq!(provider.scale("it", 1).await, StatusCode::ACCEPTED);
    provider.available("it", 1).await;
    until("one", || children(&provider.pid()).len() == 1).await;
    provider.called("it", "").await;

    assert_eq!(provider.scale("it", 0).await, StatusCode::ACCEPTED);
    until("none", || children(&provider.pid()).is_empty()).await;
    // A call wakes it.
    provider.called("it", "").await;
    provider.available("it", 1).await;
}

#[tokio::test]
async fn an_update_fails_no_call() {
    let place = Place::new();
    place.script("server", SERVER);
    let provider = Arc::new(place.start().await);
    let version = |version: &str| {
        with(
            image("it", "server"),
            json!({"mode": "http", "VERSION": version}),
        )
    };
    provider.deployed(version("1")).await;
    provider.called("it", "").await;

    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (provider, over) = (provider.clone(), over.clone());
            tokio::spawn(async move {
                let mut replies = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    replies.push(provider.call("it", "").await);
                }
                replies
            })
        })
        .collect();
    let reply = provider
        .system(Method::PUT, "functions", version("2"))
        .await;
    assert_eq!(reply.status(), StatusCode::OK);
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while !provider.called("it", "").await.ends_with(" 2") {
        assert!(tokio::time::Instant::now() < deadline);
    }
    over.store(true, Ordering::Relaxed);
    let mut versions = BTreeSet::new();
    for caller in callers {
        for (status, body) in caller.await.unwrap() {
            assert_eq!(status, StatusCode::OK, "{body}");
            versions.insert(body.rsplit(' ').next().unwrap().to_owned());
        }
    }
    assert_eq!(versions.len(), 2, "{versions:?}");
    until("the old one's end", || children(&provider.pid()).len() == 1).await;
}

#[tokio::test]
async fn a_broken_update_leaves_the_old_version_serving() {
    let place = Place::new();
    place.script("server", SERVER);
    place.script("dies", "#!/bin/sh\nexit 3\n");
    let provider = place.start().await;
    let http = |name: &str| with(image("it", name), json!({"mode": "http", "VERSION": "1"}));
    provider.deployed(http("server")).await;
    provider.called("it", "").await;
    for broken in [http("none"), http("dies")] {
        let reply = provider.system(Method::PUT, "functions", broken).await;
        let status = reply.status();
        let said = reply.text().await.unwrap();
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{said}");
        for _ in 0..5 {
            let answer = provider.called("it", "").await;
            assert!(answer.ends_with(" 1"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_deleted_function_is_gone_with_its_processes() {
    let place = Place::new();
    let provider = place.start().await;
    provider.deployed(process("it", "cat")).await;
    provider.called("it", "").await;
    let status = provider.delete("it").await;
    assert!(matches!(status.as_u16(), 200 | 202), "{status}");
    until("its end", || children(&provider.pid()).is_empty()).await;
    assert_eq!(provider.call("it", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(provider.delete("it").await, StatusCode::NOT_FOUND);
    assert_eq!(provider.list().await, json!([]));
    // The name is free again.
    provider.deployed(process("it", "echo again")).await;
    assert_eq!(provider.called("it", "").await, "again\n");
}

#[tokio::test]
async fn usage_is_told_when_it_is_asked_for() {
    let place = Place::new();
    let provider = place.start().await;
    provider.deployed(process("it", "cat")).await;
    provider.called("it", "").await;
    let reply = provider.get("/system/function/it?usage=1").await;
    let status: serde_json::Value = reply.json().await.unwrap();
    assert!(
        status["usage"]["totalMemoryBytes"].as_f64() > Some(100_000.0),
        "{status}"
    );
    assert!(provider.status("it").await.get("usage").is_none());
}
