//! Real processes that crash, and a provider that is killed at any moment.

use std::fs;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{PATIENCE, Place, SERVER, children, image, signal, until, with};

/// Writes down when it starts, and ends after longer than a deploy waits.
const DIES: &str = "#!/bin/sh\ndate +%s%N >> \"$TMPDIR/starts\"\necho out of luck >&2\nsleep 1.2\n";

async fn status_says(provider: &crate::support::Provider, key: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = provider.status("it").await;
        if let Some(said) = status["annotations"][key].as_str() {
            return said.to_owned();
        }
        assert!(Instant::now() < deadline, "no {key}: {status}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_crash_loop_starts_ever_less_often_and_the_status_says_how_it_ended() {
    let place = Place::new();
    place.script("dies", &format!("{DIES}exit 3\n"));
    let provider = place.start().await;
    provider
        .deployed(with(image("it", "dies"), json!({"mode": "http"})))
        .await;
    sleep(Duration::from_secs(11)).await;
    let starts = fs::read_to_string(place.path("tmp/starts")).unwrap();
    let starts: Vec<u128> = starts.lines().map(|line| line.parse().unwrap()).collect();
    assert!((2..=12).contains(&starts.len()), "{starts:?}");
    let gaps: Vec<u128> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[0] < pair[1]), "{gaps:?}");

    assert_eq!(
        status_says(&provider, "dev.provider.last-exit").await,
        "exit code 3"
    );
    let error = status_says(&provider, "dev.provider.last-error").await;
    assert!(error.starts_with("exited with code 3: "), "{error}");
    assert!(error.ends_with("out of luck"), "{error}");
    let said = status_says(&provider, "dev.provider.status").await;
    assert!(said.contains("in a row"), "{said}");
    let (status, said) = provider.call("it", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.contains("exited with code 3: "), "{said}");
}

#[tokio::test]
async fn a_signal_and_a_program_that_vanished_are_told_from_an_exit() {
    let place = Place::new();
    place.script("server", SERVER);
    place.script("dies", &format!("{DIES}kill -SEGV $$\n"));
    let provider = place.start().await;
    let http = |name: &str| with(image("it", name), json!({"mode": "http"}));
    provider.deployed(http("dies")).await;
    assert_eq!(
        status_says(&provider, "dev.provider.last-exit").await,
        "signal 11"
    );
    let reply = provider
        .system(Method::PUT, "functions", http("server"))
        .await;
    assert_eq!(reply.status(), StatusCode::OK);
    provider.available("it", 1).await;
    assert_eq!(provider.status("it").await["annotations"], json!({}));

    fs::remove_file(place.path("functions/server")).unwrap();
    let pid = provider.called("it", "").await;
    signal("-KILL", pid.split(' ').next().unwrap());
    let gone = async {
        while status_says(&provider, "dev.provider.last-exit").await != "start failed" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("the start does not fail");
    let error = status_says(&provider, "dev.provider.last-error").await;
    assert!(error.contains("could not be started"), "{error}");
}

/// What was asked for last, and what may have been asked for since.
#[derive(Debug, Default, Clone)]
struct Known {
    versions: Vec<u64>,
    counts: Vec<u64>,
}

#[tokio::test]
async fn a_provider_killed_at_any_moment_keeps_what_it_acknowledged_and_doubles_nothing() {
    let place = Place::new();
    place.script("server", SERVER);
    let deployment = |version: u64| {
        let variables = json!({"mode": "http", "VERSION": version.to_string()});
        with(image("it", "server"), variables)
    };
    let mut provider = place.start().await;
    provider.deployed(deployment(0)).await;
    let mut known = Known {
        versions: vec![0],
        counts: vec![1],
    };
    let mut version = 0;
    // Every time a little later in what it does.
    for round in 0..8_u64 {
        let kill_after = Duration::from_millis(30 + 130 * round);
        let asked = std::sync::Mutex::new(known.clone());
        let work = async {
            loop {
                version += 1;
                asked.lock().unwrap().versions.push(version);
                let put = provider.system(Method::PUT, "functions", deployment(version));
                if put.await.status() == StatusCode::OK {
                    asked.lock().unwrap().versions = vec![version];
                }
                let count = 1 + version % 3;
                asked.lock().unwrap().counts.push(count);
                if provider.scale("it", count).await == StatusCode::ACCEPTED {
                    asked.lock().unwrap().counts = vec![count];
                }
            }
        };
        // What is under way when the time is over was asked for and not acknowledged.
        let over: Result<(), _> = timeout(kill_after, work).await;
        assert!(over.is_err());
        known = asked.into_inner().unwrap();
        provider.end("-KILL").await;
        provider = place.start().await;

        let number = |value: &Value| value.as_u64().unwrap();
        let status = provider.status("it").await;
        let replicas = number(&status["replicas"]);
        assert!(known.counts.contains(&replicas), "{known:?} {status}");
        provider.available("it", replicas).await;
        let status = provider.status("it").await;
        let now = status["envVars"]["VERSION"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(known.versions.contains(&now), "{known:?} {status}");
        let said = provider.called("it", "").await;
        assert!(
            known
                .versions
                .iter()
                .any(|it| said.ends_with(&format!(" {it}"))),
            "{said}"
        );
        until("one process a replica", || {
            children(&provider.pid()).len() as u64 == replicas
        })
        .await;
        known = Known {
            versions: vec![now],
            counts: vec![replicas],
        };
    }
}
