//! To zero when idle, from zero by a call, replicas by the calls in flight, limits and queues.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::{Place, Provider, SERVER, children, image, process, until, with};

/// A deployment with labels `com.openfaas.scale.KEY`.
fn labelled(mut deployment: Value, labels: &[(&str, &str)]) -> Value {
    let own = |(key, value): &(&str, &str)| (format!("com.openfaas.scale.{key}"), json!(value));
    let labels = labels.iter().map(own).collect();
    let fields = deployment.as_object_mut().unwrap();
    fields.insert("labels".to_owned(), Value::Object(labels));
    deployment
}

fn idle_after(deployment: Value, duration: &str) -> Value {
    labelled(deployment, &[("zero", "true"), ("zero-duration", duration)])
}

fn replicas(status: &Value) -> u64 {
    status["replicas"].as_u64().unwrap_or(0)
}

async fn asleep(provider: &Provider, name: &str) {
    provider.available(name, 0).await;
    assert_eq!(replicas(&provider.status(name).await), 0);
    until("the end of its processes", || {
        children(&provider.pid()).is_empty()
    })
    .await;
}

/// The value of a series, by the beginning of its line.
async fn metric(provider: &Provider, begins: &str) -> Option<f64> {
    let text = provider.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn an_idle_function_goes_to_zero_and_comes_back_with_its_next_call() {
    let place = Place::new();
    let provider = place.start().await;
    provider
        .deployed(idle_after(process("it", "cat"), "500ms"))
        .await;
    for _ in 0..2 {
        assert_eq!(provider.called("it", "here").await, "here");
        asleep(&provider, "it").await;
    }
    // Those who come at once are all served, by one start.
    let calls = (0..30).map(|_| provider.called("it", "here"));
    let replies = futures_util::future::join_all(calls).await;
    assert!(replies.iter().all(|reply| reply == "here"));
    assert_eq!(children(&provider.pid()).len(), 1);
    for phase in ["wake", "start", "ready"] {
        let series = format!(
            "provider_function_cold_start_seconds_count{{function=\"it\",\
             namespace=\"openfaas-fn\",phase=\"{phase}\"}}"
        );
        assert!(metric(&provider, &series).await >= Some(2.0), "{phase}");
    }

    // The log is still there.
    let logs = provider.get("/system/logs?name=it").await;
    assert_eq!(logs.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_tunnel_and_a_stream_keep_a_function_awake() {
    let place = Place::new();
    place.script("echo", ECHO_TUNNEL);
    let provider = place.start().await;
    let http = with(image("tunnel", "echo"), json!({"mode": "http"}));
    provider.deployed(idle_after(http, "300ms")).await;
    let slow = process("stream", "sleep 3");
    provider.deployed(idle_after(slow, "300ms")).await;

    let mut tunnel = TcpStream::connect(provider.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    tunnel
        .write_all(
            b"GET /function/tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n\
              Upgrade: echo\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = [0; 12];
    tunnel.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let stream = provider.call("stream", "");
    let tunnel_held = async {
        sleep(Duration::from_millis(2_000)).await;
        assert_eq!(replicas(&provider.status("tunnel").await), 1);
        assert_eq!(replicas(&provider.status("stream").await), 1);
        tunnel.write_all(b"still there\n").await.unwrap();
        let mut rest = Vec::new();
        while !rest.ends_with(b"still there\n") {
            let byte = tunnel.read_u8().await.expect("the tunnel was closed");
            rest.push(byte);
        }
    };
    let ((status, _), ()) = tokio::join!(stream, tunnel_held);
    assert_eq!(status, StatusCode::OK);
    drop(tunnel);
    for name in ["tunnel", "stream"] {
        provider.available(name, 0).await;
    }
}

#[tokio::test]
async fn a_call_for_a_function_that_never_gets_ready_from_zero_is_told_in_time() {
    let place = Place::new();
    place.script("fine", SERVER);
    place.script("deaf", "#!/bin/sh\nexec sleep 1000\n");
    let mut command = place.command();
    command.env("resolve_timeout", "2s");
    let provider = Provider::start(command).await;
    let http = |name: &str| with(image("it", name), json!({"mode": "http", "VERSION": "1"}));
    provider.deployed(http("fine")).await;
    provider.called("it", "").await;
    provider.scale("it", 0).await;
    asleep(&provider, "it").await;
    let reply = provider
        .system(reqwest::Method::PUT, "functions", http("deaf"))
        .await;
    assert!(reply.status().is_success());
    let begun = Instant::now();
    let (status, said) = provider.call("it", "").await;
    assert!(matches!(status.as_u16(), 503 | 504), "{status} {said}");
    assert!(said.contains("nothing listens"), "{said}");
    assert!(begun.elapsed() >= Duration::from_millis(1_900));
}

#[tokio::test]
async fn a_function_follows_its_calls_in_flight() {
    let place = Place::new();
    let provider = place.start().await;
    let labels = [
        ("type", "capacity"),
        ("target", "1"),
        ("target-proportion", "1.0"),
        ("max", "3"),
        ("down.window", "1s"),
    ];
    provider
        .deployed(labelled(process("it", "sleep 4"), &labels))
        .await;
    let calls = futures_util::future::join_all((0..9).map(|_| provider.call("it", "")));
    let watch = async {
        provider.available("it", 3).await;
    };
    let (replies, ()) = tokio::join!(calls, watch);
    assert!(replies.iter().all(|(status, _)| *status == StatusCode::OK));
    provider.available("it", 1).await;
    assert_eq!(replicas(&provider.status("it").await), 1);
}

#[tokio::test]
async fn a_free_replica_is_found_before_anybody_is_refused() {
    let place = Place::new();
    let provider = place.start().await;
    let limited = with(process("it", "sleep 1"), json!({"max_inflight": "1"}));
    provider.deployed(limited).await;
    provider.scale("it", 4).await;
    provider.available("it", 4).await;
    let calls = (0..4).map(|_| provider.call("it", ""));
    for (status, said) in futures_util::future::join_all(calls).await {
        assert_eq!(status, StatusCode::OK, "{said}");
    }
}

#[tokio::test]
async fn calls_wait_their_turn_and_one_too_many_is_told_when_to_come_again() {
    let place = Place::new();
    let mut command = place.command();
    command.env("queue_wait", "20s").env("queue_length", "3");
    let provider = Provider::start(command).await;
    assert!(provider.banner.contains("queue_wait 20s"));
    let limited = with(process("it", "sleep 1"), json!({"max_inflight": "1"}));
    provider.deployed(limited).await;
    let url = format!("{}/function/it", provider.url);
    let calls = (0..8).map(|_| provider.client.post(&url).send());
    let mut served = 0;
    for reply in futures_util::future::join_all(calls).await {
        let reply = reply.unwrap();
        match reply.status() {
            StatusCode::OK => served += 1,
            status => {
                assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                let after = reply.headers()["retry-after"].to_str().unwrap();
                assert!(after.parse::<u64>().unwrap() >= 1);
                assert_eq!(reply.headers()["x-openfaas-reason"], "overloaded");
            }
        }
    }
    // One at once and three that waited.
    assert_eq!(served, 4);
}

#[tokio::test]
async fn labels_that_make_no_sense_are_refused_and_those_not_honoured_are_said() {
    let place = Place::new();
    let provider = place.start().await;
    for (labels, word) in [
        ([("min", "3"), ("max", "2")], "contradict"),
        ([("zero", "maybe"), ("max", "2")], "true or false"),
        ([("zero", "true"), ("zero-duration", "-1s")], "below zero"),
        ([("type", "capacity"), ("target", "0")], "1 or more"),
    ] {
        let (status, said) = provider
            .deploy(&labelled(process("it", "cat"), &labels))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
        assert!(said.contains(word), "{said}");
    }
    let by_rate = labelled(process("it", "cat"), &[("type", "rps"), ("max", "2")]);
    let reply = provider
        .system(reqwest::Method::POST, "functions", by_rate)
        .await;
    assert_eq!(reply.status(), StatusCode::ACCEPTED);
    let warned = reply.headers()["warning"].to_str().unwrap();
    assert!(warned.contains("rps is unsupported"), "{warned}");
    let status = provider.status("it").await;
    let said = &status["annotations"]["dev.provider.scale-warning"];
    assert!(said.as_str().unwrap().contains("unsupported"), "{status}");
    assert_eq!(status["labels"]["com.openfaas.scale.type"], "rps");
}

#[tokio::test]
async fn asleep_is_asleep_after_a_kill_and_a_restart() {
    let place = Place::new();
    let mut provider = place.start().await;
    let mut names = BTreeSet::new();
    for name in ["one", "two"] {
        provider
            .deployed(idle_after(process(name, "cat"), "300ms"))
            .await;
        names.insert(name);
    }
    for name in &names {
        provider.available(name, 0).await;
    }
    // It is written down soon after.
    sleep(Duration::from_millis(500)).await;
    provider.end("-KILL").await;
    let provider = place.start().await;
    for name in names {
        assert_eq!(replicas(&provider.status(name).await), 0);
        assert_eq!(provider.called(name, "again").await, "again");
    }
}

#[tokio::test]
async fn calls_wait_until_the_readiness_path_answers_and_stop_when_it_does_not() {
    let place = Place::new();
    place.script("slow", SLOW_TO_LEARN);
    let provider = place.start().await;
    let gate = place.path("tmp/ready");
    let mut deployment = with(
        image("it", "slow"),
        json!({"mode": "http", "GATE": gate.display().to_string()}),
    );
    deployment["annotations"] = json!({
        "com.openfaas.ready.http.path": "/learned",
        "com.openfaas.ready.http.periodSeconds": "100ms",
        "com.openfaas.ready.http.failureThreshold": "2",
    });
    provider.deployed(deployment.clone()).await;
    // It listens, and says that it is not ready.
    let lacks = async |word: &str| {
        let deadline = Instant::now() + crate::support::PATIENCE;
        loop {
            let status = provider.status("it").await;
            let said = status["annotations"]["dev.provider.status"].as_str();
            if said.is_some_and(|said| said.contains(word)) {
                assert_eq!(status["availableReplicas"].as_u64().unwrap_or(0), 0);
                return;
            }
            assert!(Instant::now() < deadline, "{status}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    lacks("GET /learned does not say that it is ready: the answer was 503").await;
    let call = provider.called("it", "");
    let open = async {
        sleep(Duration::from_millis(300)).await;
        std::fs::write(&gate, "").unwrap();
    };
    let (reply, ()) = tokio::join!(call, open);
    assert_eq!(reply, "learned");
    provider.available("it", 1).await;
    std::fs::remove_file(&gate).unwrap();
    lacks("503").await;
    std::fs::write(&gate, "").unwrap();
    provider.available("it", 1).await;
    provider.called("it", "").await;

    deployment["service"] = json!("wrong");
    deployment["annotations"] = json!({"com.openfaas.ready.http.path": "learned"});
    let (status, said) = provider.deploy(&deployment).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    assert!(said.contains("starts with /"), "{said}");
}

/// Is ready, and answers so at `/learned`, while a file is there; other paths are calls, which must
/// not come before.
const SLOW_TO_LEARN: &str = r#"#!/usr/bin/perl
use strict; use IO::Socket::INET;
$| = 1; $SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT},
    Listen => 5, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    my $request = <$client>;
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    my $ready = -e $ENV{GATE};
    my $status = $request =~ m{^GET /learned } ? ($ready ? 200 : 503) : ($ready ? 200 : 500);
    print $client "HTTP/1.1 $status X\r\nContent-Length: 7\r\nConnection: close\r\n\r\nlearned";
    close $client;
}
"#;

/// Answers an upgrade with 101 and then repeats each line.
const ECHO_TUNNEL: &str = r#"#!/usr/bin/perl
use strict; use IO::Socket::INET;
$| = 1; $SIG{TERM} = sub { exit 0 }; $SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT},
    Listen => 5, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    next if fork;
    $client->autoflush(1);
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    print $client "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    while (my $line = <$client>) { print $client $line }
    exit 0;
}
"#;
