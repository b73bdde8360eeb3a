//! Updates, scaling down and deletion while calls are under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Place, Provider, SERVER, children, image, until, with};

const UPDATES: usize = 10;
const CALLERS: usize = 8;

/// Calls until told otherwise; what was answered, and how often.
async fn caller(
    provider: Arc<Provider>,
    over: Arc<AtomicBool>,
) -> BTreeMap<(StatusCode, String), usize> {
    let mut seen = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        let (status, body) = provider.call("it", "").await;
        // Without the process id.
        let said = body.rsplit(' ').next().unwrap().to_owned();
        *seen.entry((status, said)).or_default() += 1;
    }
    seen
}

fn version(number: usize, replicas: u64) -> Value {
    let variables = json!({"mode": "http", "VERSION": number.to_string()});
    let mut deployment = with(image("it", "server"), variables);
    let labels = json!({"com.openfaas.scale.min": replicas.to_string()});
    deployment
        .as_object_mut()
        .unwrap()
        .insert("labels".to_owned(), labels);
    deployment
}

#[tokio::test]
async fn of_thousands_of_calls_during_ten_updates_none_fails() {
    let place = Place::new();
    place.script("server", SERVER);
    let provider = Arc::new(place.start().await);
    provider.deployed(version(0, 2)).await;
    provider.available("it", 2).await;

    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(caller(Arc::clone(&provider), Arc::clone(&over))))
        .collect();
    let deadline = tokio::time::Instant::now() + 10 * PATIENCE;
    for number in 1..=UPDATES {
        let replicas = 1 + (number % 3) as u64;
        let reply = provider
            .system(Method::PUT, "functions", version(number, replicas))
            .await;
        assert_eq!(reply.status(), StatusCode::OK);
        // Every version serves before the next one comes.
        while !provider
            .called("it", "")
            .await
            .ends_with(&format!(" {number}"))
        {
            assert!(tokio::time::Instant::now() < deadline);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut seen: BTreeMap<(StatusCode, String), usize> = BTreeMap::new();
    for caller in callers {
        for (reply, times) in caller.await.unwrap() {
            *seen.entry(reply).or_default() += times;
        }
    }
    let failed: Vec<_> = seen
        .keys()
        .filter(|(status, _)| *status != StatusCode::OK)
        .collect();
    assert!(failed.is_empty(), "{seen:?}");
    assert!(seen.values().sum::<usize>() > 1_000, "{seen:?}");
    assert!(seen.len() >= UPDATES, "{seen:?}");
    until("the end of the old ones", || {
        children(&provider.pid()).len() == 2
    })
    .await;
}

/// Says that it has begun, and its version when the call ends.
const SLOW: &str = "#!/bin/sh\necho begun\nsleep 1.5\necho done $VERSION\n";

#[tokio::test]
async fn an_update_scaling_down_and_deletion_let_calls_end() {
    let place = Place::new();
    place.script("slow", SLOW);
    let provider = place.start().await;
    let version = |number: &str| with(image("it", "slow"), json!({"VERSION": number}));
    provider.deployed(version("1")).await;
    for (number, step) in ["1", "2", "3"]
        .into_iter()
        .zip(["update", "to zero", "delete"])
    {
        let url = format!("{}/function/it", provider.url);
        let mut reply = provider.client.post(url).send().await.unwrap();
        assert_eq!(&reply.chunk().await.unwrap().unwrap()[..], b"begun\n");
        match step {
            "update" => {
                let put = provider
                    .system(Method::PUT, "functions", version("2"))
                    .await;
                assert_eq!(put.status(), StatusCode::OK);
            }
            "to zero" => {
                assert_eq!(provider.scale("it", 0).await, StatusCode::ACCEPTED);
                assert_eq!(
                    provider.status("it").await["availableReplicas"],
                    Value::Null
                );
            }
            _ => {
                let status = provider.delete("it").await;
                assert!(matches!(status.as_u16(), 200 | 202), "{status}");
            }
        }
        let rest = reply.chunk().await.unwrap().unwrap();
        assert_eq!(rest, format!("done {number}\n"), "{step}");
        assert!(reply.chunk().await.unwrap().is_none());
        if step == "to zero" {
            let put = provider
                .system(Method::PUT, "functions", version("3"))
                .await;
            assert_eq!(put.status(), StatusCode::OK);
        }
    }
    until("the end", || children(&provider.pid()).is_empty()).await;
}

#[tokio::test]
async fn an_update_that_fails_says_why_and_the_old_version_serves() {
    let place = Place::new();
    place.script("server", SERVER);
    place.script(
        "dies",
        "#!/bin/sh\necho no database >&2\nsleep 1.5\nexit 9\n",
    );
    let provider = place.start().await;
    provider.deployed(version(1, 2)).await;
    provider.available("it", 2).await;
    let mut broken = version(2, 2);
    broken["image"] = json!("dies");
    let reply = provider.system(Method::PUT, "functions", broken).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let said = loop {
        assert!(provider.called("it", "").await.ends_with(" 1"));
        let status = provider.status("it").await;
        if let Some(said) = status["annotations"]["dev.provider.update-error"].as_str() {
            break said.to_owned();
        }
        assert!(tokio::time::Instant::now() < deadline, "{status}");
    };
    assert!(said.contains("exited with code 9: "), "{said}");
    assert!(said.contains("no database"), "{said}");
    assert_eq!(provider.status("it").await["envVars"]["VERSION"], "1");
    assert!(provider.called("it", "").await.ends_with(" 1"));
    until("the end of the new ones", || {
        children(&provider.pid()).len() == 2
    })
    .await;
}
