//! Modes, environment, streams, secrets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{PATIENCE, Place, Provider, SERVER, image, process, with};

#[tokio::test]
async fn every_mode_answers() {
    let place = Place::new();
    place.script("server", SERVER);
    fs::create_dir(place.path("functions/site")).unwrap();
    fs::write(place.path("functions/site/page.txt"), "a page").unwrap();
    let provider = place.start().await;
    for mode in ["streaming", "serializing"] {
        provider
            .deployed(with(process(mode, "cat"), json!({"mode": mode})))
            .await;
        assert_eq!(provider.called(mode, "through").await, "through");
    }
    let http = json!({"mode": "http", "VERSION": "1"});
    provider.deployed(with(image("http", "server"), http)).await;
    let answer = provider.called("http", "").await;
    assert!(answer.ends_with(" 1"), "{answer}");
    provider
        .deployed(with(image("site", "site"), json!({"mode": "static"})))
        .await;
    let page = provider.get("/function/site/page.txt").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.text().await.unwrap(), "a page");
}

#[tokio::test]
async fn a_function_gets_exactly_the_environment_that_is_promised() {
    let place = Place::new();
    let mut command = place.command();
    command
        .env("AWS_SECRET_ACCESS_KEY", "leak")
        .env("TZ", "UTC")
        .env("LANG", "C");
    let provider = Provider::start(command).await;
    let variables = json!({"MINE": "a b=\"c\" $d", "EMPTY": ""});
    provider
        .deployed(with(process("env", "env"), variables))
        .await;
    let url = format!("{}/function/env/sub/path?q=1", provider.url);
    let reply = provider
        .client
        .request(Method::PUT, url)
        .body("x")
        .send()
        .await
        .unwrap();
    let text = reply.text().await.unwrap();
    let all: BTreeMap<&str, &str> = text.lines().filter_map(|it| it.split_once('=')).collect();
    let ours: Vec<&str> = all
        .keys()
        .copied()
        .filter(|it| !it.starts_with("Http_"))
        .collect();
    let expected = [
        "EMPTY",
        "HOME",
        "LANG",
        "MINE",
        "OPENFAAS_NAME",
        "OPENFAAS_NAMESPACE",
        "OPENFAAS_SECRETS_DIR",
        "OPENFAAS_URL",
        "PATH",
        "TMPDIR",
        "TZ",
        "fprocess",
    ];
    assert_eq!(ours, expected, "{text}");
    let value = |name: &str| all.get(name).copied().unwrap_or_default();
    assert_eq!(value("MINE"), "a b=\"c\" $d");
    assert_eq!(value("OPENFAAS_URL"), provider.url);
    assert_eq!(value("OPENFAAS_NAME"), "env");
    assert_eq!(value("OPENFAAS_NAMESPACE"), "openfaas-fn");
    assert_eq!(value("Http_Method"), "PUT");
    assert_eq!(value("Http_Path"), "/sub/path");
    assert_eq!(value("Http_Query"), "q=1");
}

#[tokio::test]
async fn a_reply_arrives_as_it_is_written() {
    let place = Place::new();
    place.script(
        "ticks",
        "#!/bin/sh\necho one\nread wait < \"$1\"\necho two\n",
    );
    let gate = place.path("functions/gate");
    let made = std::process::Command::new("mkfifo").arg(&gate).status();
    assert!(made.unwrap().success());
    let provider = place.start().await;
    provider
        .deployed(json!({"service": "ticks", "image": "ticks",
            "envProcess": format!("{} {}", place.text("functions/ticks"), gate.display())}))
        .await;
    let url = format!("{}/function/ticks", provider.url);
    let mut reply = provider.client.get(url).send().await.unwrap();
    let first = tokio::time::timeout(PATIENCE, reply.chunk()).await;
    let first = first.expect("held back").unwrap().unwrap();
    assert_eq!(&first[..], b"one\n");
    // Only now may it go on.
    tokio::task::spawn_blocking(move || fs::write(gate, "\n").unwrap())
        .await
        .unwrap();
    assert_eq!(&reply.chunk().await.unwrap().unwrap()[..], b"two\n");
    assert!(reply.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_large_body_comes_back_whole() {
    let place = Place::new();
    let provider = place.start().await;
    provider.deployed(process("echo", "cat")).await;
    let body = "0123456789abcdef".repeat(512 * 1024);
    assert!(provider.called("echo", &body).await == body);
}

#[tokio::test]
async fn a_slow_function_is_cut_with_words_and_its_process_ends() {
    let place = Place::new();
    place.script(
        "slow",
        "#!/bin/sh\necho $$ > \"$TMPDIR/pid\"\nexec sleep 300\n",
    );
    let mut command = place.command();
    command.env("upstream_timeout", "500ms");
    let provider = Provider::start(command).await;
    provider.deployed(image("slow", "slow")).await;
    let (status, said) = provider.call("slow", "").await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(said.contains("slow"), "{said}");
    let pid = fs::read_to_string(place.path("tmp/pid")).unwrap();
    crate::support::until("its end", || !crate::support::runs(&pid)).await;
}

#[tokio::test]
async fn max_inflight_holds_in_the_mode_streaming() {
    let place = Place::new();
    let provider = place.start().await;
    let limited = with(process("one", "sleep 1"), json!({"max_inflight": "1"}));
    provider.deployed(limited).await;
    let calls = (0..4).map(|_| provider.call("one", ""));
    let calls: Vec<_> = calls.collect();
    let mut statuses = Vec::new();
    for reply in futures_util::future::join_all(calls).await {
        statuses.push(reply.0.as_u16());
    }
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(
        statuses.iter().all(|it| matches!(it, 200 | 429)),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn secrets_reach_the_function_and_follow_their_values() {
    let place = Place::new();
    place.script("reads", "#!/bin/sh\ncat \"$OPENFAAS_SECRETS_DIR/key\"\n");
    let provider = place.start().await;
    let secret = |value: &str| json!({"name": "key", "value": value});
    let made = provider
        .system(Method::POST, "secrets", secret("old"))
        .await;
    assert_eq!(made.status(), StatusCode::CREATED);
    provider
        .deployed(json!({"service": "reads", "image": "reads", "secrets": ["key"]}))
        .await;
    assert_eq!(provider.called("reads", "").await, "old");
    let changed = provider.system(Method::PUT, "secrets", secret("new")).await;
    assert_eq!(changed.status(), StatusCode::OK);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while provider.called("reads", "").await != "new" {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The list does not show it.
    let list = provider.get("/system/secrets").await.text().await.unwrap();
    assert!(list.contains("key") && !list.contains("new"), "{list}");
}

#[tokio::test]
async fn secrets_that_functions_read_are_in_memory_for_root_and_closed_to_others() {
    let place = Place::new();
    place.script(
        "looks",
        "#!/bin/sh\ncd \"$OPENFAAS_SECRETS_DIR\" && pwd && stat -f -c %T . && stat -c %a . key && cat key\n",
    );
    let mut provider = place.start().await;
    let secret = json!({"name": "key", "value": "kept"});
    provider.system(Method::POST, "secrets", secret).await;
    let deployment = json!({"service": "looks", "image": "looks", "secrets": ["key"]});
    provider.deployed(deployment).await;
    let said = provider.called("looks", "").await;
    let lines: Vec<&str> = said.lines().collect();
    let [dir, kind, rest @ ..] = &lines[..] else {
        panic!("{said}")
    };
    assert_eq!(rest, ["700", "400", "kept"]);
    let banner = &provider.banner;
    if rustix::process::geteuid().is_root() {
        assert!(banner.contains("secrets   in memory"), "{banner}");
        assert_eq!(*kind, "tmpfs");
        assert!(dir.starts_with("/run/faas-process/"), "{dir}");
    } else {
        assert!(banner.contains("secrets   on disk"), "{banner}");
        assert!(dir.starts_with(&place.text("state/run/")), "{dir}");
    }

    // The values are kept elsewhere: the next provider has them, and removes these.
    provider.end("-KILL").await;
    let provider = place.start().await;
    let again = provider.called("looks", "").await;
    assert!(again.ends_with("kept"), "{again}");
    assert_ne!(again, said);
    assert!(!Path::new(dir).exists(), "{dir} is left");
}
