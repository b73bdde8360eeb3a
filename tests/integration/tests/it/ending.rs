//! Signals, kills and restarts.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{
    PATIENCE, Place, Provider, SERVER, children, image, process, runs, signal, until, with,
};

/// Leaves processes in every way that a process can, and stays: a child, one in a session of its
/// own, one forked twice, in its own session and without its environment.
const FAMILY: &str = r#"#!/bin/sh
list="$TMPDIR/pids"
echo $$ >> "$list"
sleep 300 & echo $! >> "$list"
setsid sh -c "echo \$\$ >> '$list'; exec sleep 300" &
(setsid sh -c "echo \$\$ >> '$list'; exec env -i /bin/sleep 300" &) &
echo up
exec sleep 300
"#;

fn pids(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A call that started a family and goes on; all that belongs to it, the watchdog included.
async fn family(place: &Place, provider: &Provider) -> Vec<String> {
    place.script("family", FAMILY);
    provider.deployed(image("family", "family")).await;
    let url = format!("{}/function/family", provider.url);
    let mut reply = provider.client.post(url).send().await.unwrap();
    assert_eq!(&reply.chunk().await.unwrap().unwrap()[..], b"up\n");
    tokio::spawn(async move { while let Ok(Some(_)) = reply.chunk().await {} });
    let list = place.path("tmp/pids");
    until("the family", || pids(&list).len() == 4).await;
    let mut all = pids(&list);
    all.extend(children(&provider.pid()));
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|pid| runs(pid)), "{all:?}");
    all
}

#[tokio::test]
async fn nothing_outlives_a_killed_provider_by_more_than_a_second() {
    let place = Place::new();
    let mut provider = place.start().await;
    let family = family(&place, &provider).await;
    signal("-KILL", &provider.pid());
    let killed = Instant::now();
    while family.iter().any(|pid| runs(pid)) {
        assert!(killed.elapsed() < Duration::from_secs(1), "{family:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    provider.child.wait().await.unwrap();
    // The next one starts what was deployed, on a clean place.
    let next = place.start().await;
    assert_eq!(next.list().await[0]["name"], "family");
}

/// Hands itself on to a child in a session of its own, again and again.
const RELAY: &str = r#"#!/usr/bin/perl
use POSIX;
$0 = "relay in $ENV{TMPDIR}";
$| = 1;
print "up\n";
if (!fork) {
    while (1) {
        exit 0 if fork;
        POSIX::setsid();
        select undef, undef, undef, 0.01;
    }
}
sleep 300;
"#;

#[tokio::test]
async fn a_process_whose_parents_keep_ending_is_not_overlooked() {
    for _ in 0..8 {
        let place = Place::new();
        let mut provider = place.start().await;
        place.script("relay", RELAY);
        provider.deployed(image("relay", "relay")).await;
        let url = format!("{}/function/relay", provider.url);
        let mut reply = provider.client.post(url).send().await.unwrap();
        assert_eq!(&reply.chunk().await.unwrap().unwrap()[..], b"up\n");
        let name = format!("relay in {}", place.text("tmp"));
        until("the relay", || named(&name) > 1).await;

        provider.end("-KILL").await;
        // It may be on its way from one process to the next.
        let mut looks_without = 0;
        until("its end", || {
            looks_without = if named(&name) == 0 {
                looks_without + 1
            } else {
                0
            };
            looks_without == 10
        })
        .await;
    }
}

/// How many processes are named so.
fn named(name: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let names = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    names.filter(|it| it.starts_with(name.as_bytes())).count()
}

#[tokio::test]
async fn nothing_outlives_a_killed_watchdog() {
    let place = Place::new();
    let provider = place.start().await;
    let family = family(&place, &provider).await;
    let (watchdog, family) = family.split_last().unwrap();
    signal("-KILL", watchdog);
    for pid in family {
        until("its end", || !runs(pid)).await;
    }
    // No zombie is left, and the function comes back.
    provider.deployed(process("other", "cat")).await;
    assert_eq!(provider.called("other", "here").await, "here");
    until("the zombies' end", || {
        let ours = children(&provider.pid());
        ours.iter().all(|pid| runs(pid))
    })
    .await;
}

#[tokio::test]
async fn a_running_call_is_finished_on_sigterm() {
    let place = Place::new();
    place.script("slow", "#!/bin/sh\necho started\nsleep 1\necho done\n");
    let mut provider = place.start().await;
    provider.deployed(image("slow", "slow")).await;
    let url = format!("{}/function/slow", provider.url);
    let mut reply = provider.client.get(url).send().await.unwrap();
    assert_eq!(&reply.chunk().await.unwrap().unwrap()[..], b"started\n");
    signal("-TERM", &provider.pid());
    assert_eq!(&reply.chunk().await.unwrap().unwrap()[..], b"done\n");
    assert!(reply.chunk().await.unwrap().is_none());
    let status = tokio::time::timeout(PATIENCE, provider.child.wait()).await;
    assert_eq!(status.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_drain() {
    let place = Place::new();
    let mut provider = place.start().await;
    let family = family(&place, &provider).await;
    signal("-INT", &provider.pid());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(runs(&provider.pid()), "it did not wait for the call");
    assert_eq!(provider.end("-INT").await.code(), Some(0));
    for pid in family {
        until("its end", || !runs(&pid)).await;
    }
}

#[tokio::test]
async fn what_was_deployed_is_there_after_a_restart() {
    let place = Place::new();
    place.script("server", SERVER);
    let mut provider = place.start().await;
    let variables = json!({"mode": "http", "VERSION": "7"});
    provider
        .deployed(with(image("it", "server"), variables))
        .await;
    assert_eq!(provider.scale("it", 2).await, StatusCode::ACCEPTED);
    provider.available("it", 2).await;
    let before = provider.status("it").await;
    for end in ["-TERM", "-KILL"] {
        provider.end(end).await;
        provider = place.start().await;
        provider.available("it", 2).await;
        assert!(provider.called("it", "").await.ends_with(" 7"));
        let after = provider.status("it").await;
        for field in ["createdAt", "envVars", "replicas", "image"] {
            assert_eq!(before[field], after[field], "{field}");
        }
    }
}

#[tokio::test]
async fn a_function_that_crashes_is_started_again() {
    let place = Place::new();
    place.script("server", SERVER);
    let provider = place.start().await;
    let variables = json!({"mode": "http", "VERSION": "1"});
    provider
        .deployed(with(image("it", "server"), variables))
        .await;
    let first = provider.called("it", "").await;
    let pid = first.split(' ').next().unwrap().to_owned();
    signal("-KILL", &pid);
    until("its end", || !runs(&pid)).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (status, body) = provider.call("it", "").await;
        if status == StatusCode::OK {
            assert_ne!(body, first);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status} {body}");
    }
}
