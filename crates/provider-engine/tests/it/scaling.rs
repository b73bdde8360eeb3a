//! To zero when idle, from zero by a call, and by the calls in flight.

use std::time::Duration;

use provider_engine::{SCALE_WARNING_ANNOTATION, STATUS_ANNOTATION};
use provider_types::{ErrorKind, FunctionSpec, Lease, ResolveError};
use tokio::time::{Instant, sleep};

use crate::fake::{Bench, Fake, spec, with_label};

fn labelled(image: &str, labels: &[(&str, &str)]) -> FunctionSpec {
    labels.iter().fold(spec("f", image), |spec, (key, value)| {
        with_label(spec, &format!("com.openfaas.scale.{key}"), value)
    })
}

fn idle_after(duration: &str) -> FunctionSpec {
    labelled("ready:50", &[("zero", "true"), ("zero-duration", duration)])
}

/// Replicas wanted, and those that answer.
async fn counts(bench: &Bench) -> (u64, u64) {
    let status = bench.status("f").await.unwrap();
    (status.replicas, status.available_replicas)
}

#[tokio::test(start_paused = true)]
async fn an_idle_function_goes_to_zero_after_its_time_and_a_call_wakes_it() {
    let bench = Bench::new().await;
    bench.deploy(idle_after("10m")).await.unwrap();
    let minute = Duration::from_secs(60);
    sleep(5 * minute).await;
    drop(bench.call("f").await.unwrap());
    sleep(9 * minute).await;
    assert_eq!(
        counts(&bench).await,
        (1, 1),
        "it was called nine minutes ago"
    );
    sleep(3 * minute).await;
    assert_eq!(counts(&bench).await, (0, 0));
    assert!(bench.fake.running().is_empty());
    let status = bench.status("f").await.unwrap();
    assert!(status.annotations[STATUS_ANNOTATION].contains("a call wakes it"));

    let lease = bench.call("f").await.unwrap();
    assert!(lease.phases().started >= Duration::from_millis(50));
    assert_eq!(counts(&bench).await, (1, 1));
    assert_eq!(bench.fake.starts_of("ready:50").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_keeps_it_awake_however_long() {
    let bench = Bench::new().await;
    bench.deploy(idle_after("1m")).await.unwrap();
    let tunnel = bench.call("f").await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(counts(&bench).await, (1, 1));
    drop(tunnel);
    sleep(Duration::from_secs(55)).await;
    assert_eq!(counts(&bench).await, (1, 1));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(counts(&bench).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_without_the_label_or_with_false_stays() {
    let bench = Bench::new().await;
    bench
        .deploy(labelled(
            "ready",
            &[("zero", "false"), ("zero-duration", "1s")],
        ))
        .await
        .unwrap();
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(counts(&bench).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_function_scaled_to_zero_by_hand_is_woken_by_a_call_to_its_minimum() {
    let bench = Bench::new().await;
    bench
        .deploy(labelled("ready:20", &[("min", "2")]))
        .await
        .unwrap();
    bench.scale("f", 0).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(&bench).await, (0, 0));
    bench.call("f").await.unwrap();
    bench.available("f", 2).await;
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_start_it_once_and_all_are_served() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready:300")).await.unwrap();
    bench.available("f", 1).await;
    bench.scale("f", 0).await.unwrap();
    bench.until("gone", |fake| fake.running().is_empty()).await;
    let calls = futures_util::future::join_all((0..100).map(|_| bench.call("f"))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(bench.fake.starts_of("ready:300").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_start_any_more_tells_those_who_wait() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "crash:20000")).await.unwrap();
    bench.scale("f", 0).await.unwrap();
    bench.until("gone", |fake| fake.running().is_empty()).await;
    bench.update(spec("f", "exit-late:7")).await.unwrap();
    // It fails, and again after each pause; what waits is told why, not merely that it was late.
    let begun = Instant::now();
    let refused = bench.call("f").await.unwrap_err();
    let ResolveError::NotReady { reason, .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.unwrap().contains("exited with code 7"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn asleep_and_awake_survive_a_restart() {
    let bench = Bench::new().await;
    bench.deploy(idle_after("1m")).await.unwrap();
    sleep(Duration::from_secs(90)).await;
    assert_eq!(counts(&bench).await, (0, 0));
    let bench = bench.restart().await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(counts(&bench).await, (0, 0));
    assert!(bench.fake.starts_of("ready:50").is_empty());

    bench.call("f").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let bench = bench.restart().await;
    bench.available("f", 1).await;
    sleep(Duration::from_secs(90)).await;
    assert_eq!(counts(&bench).await, (0, 0), "it is idle once more");
}

#[tokio::test(start_paused = true)]
async fn a_function_follows_its_calls_in_flight_up_at_once_and_down_after_the_window() {
    let bench = Bench::new().await;
    let labels = [
        ("type", "capacity"),
        ("target", "2"),
        ("target-proportion", "1.0"),
        ("max", "4"),
        ("down.window", "30s"),
    ];
    bench.deploy(labelled("ready:10", &labels)).await.unwrap();
    let mut calls = Vec::new();
    for wanted in [1, 1, 2, 2, 3, 3, 4, 4, 4, 4] {
        calls.push(bench.call("f").await.unwrap());
        sleep(Duration::from_millis(2_100)).await;
        assert_eq!(counts(&bench).await, (wanted, wanted), "{}", calls.len());
    }
    calls.truncate(3);
    sleep(Duration::from_secs(25)).await;
    assert_eq!(counts(&bench).await, (4, 4));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(counts(&bench).await, (2, 2));
    calls.clear();
    sleep(Duration::from_secs(40)).await;
    assert_eq!(counts(&bench).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_asks_for_stays_for_a_window_and_the_host_bounds_it() {
    let bench = Bench::with(Fake::default(), |config| config.max_replicas = 5).await;
    let labels = [
        ("type", "capacity"),
        ("target", "1"),
        ("max", "50"),
        ("down.window", "1m"),
    ];
    bench.deploy(labelled("ready:10", &labels)).await.unwrap();
    sleep(Duration::from_secs(600)).await;
    bench.scale("f", 3).await.unwrap();
    sleep(Duration::from_secs(55)).await;
    assert_eq!(counts(&bench).await, (3, 3));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(counts(&bench).await, (1, 1));

    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(bench.call("f").await.unwrap());
    }
    bench.available("f", 5).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(counts(&bench).await, (5, 5));
}

#[tokio::test(start_paused = true)]
async fn the_same_bounds_or_another_type_leave_the_count_alone() {
    for labels in [
        vec![
            ("type", "capacity"),
            ("target", "1"),
            ("min", "2"),
            ("max", "2"),
        ],
        vec![("type", "rps"), ("target", "1"), ("min", "2"), ("max", "9")],
    ] {
        let bench = Bench::new().await;
        let outcome = bench.deploy(labelled("ready", &labels)).await.unwrap();
        bench.available("f", 2).await;
        let calls = futures_util::future::join_all((0..20).map(|_| bench.call("f"))).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(counts(&bench).await, (2, 2));
        drop(calls);
        let status = bench.status("f").await.unwrap();
        let said = status.annotations.get(SCALE_WARNING_ANNOTATION);
        if labels.contains(&("type", "rps")) {
            assert!(outcome.warnings[0].contains("rps is unsupported"));
            assert!(said.unwrap().contains("rps is unsupported"));
        } else {
            assert_eq!((said, outcome.warnings.len()), (None, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn labels_that_contradict_each_other_are_refused_and_nothing_is_kept() {
    let bench = Bench::new().await;
    for labels in [
        [("min", "3"), ("max", "2")],
        [("zero", "true"), ("zero-duration", "soon")],
        [("type", "capacity"), ("target", "0")],
        [("min", "101"), ("max", "200")],
    ] {
        let error = bench.deploy(labelled("ready", &labels)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(bench.status("f").await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_of_a_sleeping_function_is_taken_and_tried_with_its_next_call() {
    let bench = Bench::new().await;
    bench.deploy(idle_after("1m")).await.unwrap();
    sleep(Duration::from_secs(90)).await;
    bench.update(spec("f", "ready:7")).await.unwrap();
    assert_eq!(counts(&bench).await, (0, 0));
    bench.call("f").await.unwrap();
    assert_eq!(bench.fake.starts_of("ready:7").len(), 1);
    // The labels went with the version that had them.
    sleep(Duration::from_secs(600)).await;
    assert_eq!(counts(&bench).await, (1, 1));
}
