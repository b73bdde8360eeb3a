//! Lines, and following them.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, Provider, image, process, with};

async fn texts(provider: &Provider, query: &str) -> Vec<String> {
    let reply = provider.get(&format!("/system/logs?{query}")).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let body = reply.text().await.unwrap();
    body.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_function_writes_is_in_its_logs() {
    let place = Place::new();
    place.script("writes", "#!/bin/sh\nread word\necho \"heard $word\" >&2\n");
    let provider = place.start().await;
    let plain = json!({"prefix_logs": "false"});
    provider
        .deployed(with(image("writes", "writes"), plain))
        .await;
    for word in ["one", "two", "three"] {
        provider.called("writes", word).await;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let all = texts(&provider, "name=writes").await;
        let heard: Vec<&String> = all.iter().filter(|it| it.starts_with("heard")).collect();
        if heard.len() == 3 {
            assert_eq!(heard, ["heard one", "heard two", "heard three"]);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{all:?}");
    }
    assert_eq!(texts(&provider, "name=writes&tail=1").await.len(), 1);
    let unknown = provider.get("/system/logs?name=unknown").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_follower_hears_a_line_when_it_is_written() {
    let place = Place::new();
    place.script("writes", "#!/bin/sh\nread word\necho \"heard $word\" >&2\n");
    let provider = place.start().await;
    provider.deployed(image("writes", "writes")).await;
    provider.called("writes", "before").await;
    let url = format!("{}/system/logs?name=writes&follow=1&tail=1", provider.url);
    let mut reply = provider.client.get(url).send().await.unwrap();
    provider.called("writes", "now").await;
    let mut seen = String::new();
    while !seen.contains("heard now") {
        let chunk = timeout(PATIENCE, reply.chunk())
            .await
            .expect("nothing came");
        seen.push_str(&String::from_utf8_lossy(&chunk.unwrap().unwrap()));
    }
}

#[tokio::test]
async fn a_chatty_function_is_not_held_up_by_nobody_reading() {
    let place = Place::new();
    let provider = place.start().await;
    place.script("chatty", "#!/bin/sh\nseq 1 200000 >&2\necho done\n");
    provider.deployed(image("chatty", "chatty")).await;
    assert_eq!(provider.called("chatty", "").await, "done\n");
    let tail = texts(&provider, "name=chatty&tail=3").await;
    assert_eq!(tail.len(), 3);
    provider.deployed(process("other", "cat")).await;
    assert_eq!(provider.called("other", "fine").await, "fine");
}
