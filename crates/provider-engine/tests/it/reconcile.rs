//! Instances from before, events that were missed, and a runtime that refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use provider_engine::{
    Engine, EngineConfig, EngineError, FAILURES_ANNOTATION, LAST_ERROR_ANNOTATION,
    LAST_EXIT_ANNOTATION, LIMIT_REACHED_ANNOTATION,
};
use provider_types::{Call, ExitReason, InstanceId, Lease, Resolver, RuntimeEvent, SecretName};
use tokio::time::Instant;

use crate::fake::{Bench, Fake, Shared, function, spec, with_env, with_label};

/// A runtime whose instances outlive the provider.
fn lasting() -> Fake {
    let mut fake = Fake::default();
    fake.capabilities.survives_restart = true;
    fake
}

/// The same runtime and state under a new engine, after the old one is gone from one moment to the
/// next.
async fn killed(bench: Bench) -> Bench {
    let Bench { engine, fake, dir } = bench;
    drop(engine);
    let mut config = EngineConfig::new(dir.path().join("state"));
    config.seed = 2;
    loop {
        let runtime = Arc::new(Shared(Arc::clone(&fake)));
        match Engine::open(config.clone(), runtime).await {
            Ok(engine) => return Bench { engine, fake, dir },
            // The tasks of the first one end by themselves.
            Err(EngineError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn ids(bench: &Bench, image: &str) -> Vec<InstanceId> {
    let starts = bench.fake.starts_of(image);
    starts.into_iter().map(|started| started.id).collect()
}

#[tokio::test(start_paused = true)]
async fn instances_that_outlive_a_killed_provider_are_taken_over_and_serve_at_once() {
    let bench = Bench::with(lasting(), |_| {}).await;
    let two = with_label(spec("f", "ready"), "com.openfaas.scale.min", "2");
    bench.deploy(two).await.unwrap();
    bench.available("f", 2).await;
    let before = bench.fake.running();

    let bench = killed(bench).await;
    assert_eq!(bench.status("f").await.unwrap().available_replicas, 0);
    let lease = bench.call("f").await.unwrap();
    drop(lease);
    bench.available("f", 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.fake.running(), before);
    assert_eq!(bench.fake.starts_of("ready").len(), 2);
    assert!(bench.fake.stops().is_empty());

    // It is as any other from here on: its end is seen, and it is stopped when it is not wanted.
    bench.fake.crash(&before[0], ExitReason::OutOfMemory);
    bench
        .until("a third", |fake| fake.starts_of("ready").len() == 3)
        .await;
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "out of memory");
    bench.scale("f", 0).await.unwrap();
    bench.until("none", |fake| fake.running().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_get_its_secrets_ends_its_calls_before_another_takes_its_place() {
    let bench = Bench::with(lasting(), |_| {}).await;
    bench.secret("key", b"value").await;
    let mut reading = spec("f", "ready");
    reading.secrets.push(SecretName::new("key").unwrap());
    bench.deploy(reading).await.unwrap();
    let before = bench.fake.running();

    bench.fake.refused_refreshes.store(1, Ordering::SeqCst);
    let bench = killed(bench).await;
    let lease = bench.call("f").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "start failed");
    assert_eq!(
        bench.fake.running(),
        before,
        "it was stopped under its call"
    );
    drop(lease);
    bench
        .until("another", |fake| fake.starts_of("ready").len() == 2)
        .await;
    assert!(!bench.fake.running().contains(&before[0]));
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_while_the_provider_is_killed_is_taken_over_too() {
    let bench = Bench::with(lasting(), |_| {}).await;
    bench.deploy(spec("f", "ready:5000")).await.unwrap();
    let bench = killed(bench).await;
    bench.available("f", 1).await;
    assert_eq!(bench.fake.starts_of("ready:5000").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_an_update_that_is_cut_off_the_old_version_serves_until_the_new_one_is_ready() {
    let bench = Bench::with(lasting(), |_| {}).await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.update(spec("f", "ready:20000")).await.unwrap();
    let (old, new) = (ids(&bench, "ready"), ids(&bench, "ready:20000"));

    let bench = killed(bench).await;
    let lease = bench.call("f").await.unwrap();
    assert!(format!("{:?}", lease.endpoint()).contains(old[0].as_str()));
    drop(lease);
    bench
        .until("the old one's end", |fake| fake.running() == new)
        .await;
    let lease = bench.call("f").await.unwrap();
    assert!(format!("{:?}", lease.endpoint()).contains(new[0].as_str()));
}

#[tokio::test(start_paused = true)]
async fn instances_of_no_wanted_version_are_ended_and_have_a_place_until_they_are() {
    let bench = Bench::with(lasting(), |_| {}).await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.deploy(spec("g", "ready:1")).await.unwrap();
    bench.fake.leave_over("old-f", &function("f"));
    bench.fake.leave_over("old-h", &function("h"));
    bench.fake.refused_stops.store(6, Ordering::SeqCst);
    let bench = killed(bench).await;
    bench.available("f", 1).await;
    bench.available("g", 1).await;
    bench
        .until("the end of the others", |fake| fake.running().len() == 2)
        .await;
    assert_eq!(bench.fake.starts_of("ready").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_instances_do_not_outlive_the_provider_what_is_left_is_ended_before_its_successor_starts()
 {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.fake.refused_stops.store(3, Ordering::SeqCst);
    let bench = killed(bench).await;
    bench.available("f", 1).await;
    let (starts, stops) = (bench.fake.starts_of("ready"), bench.fake.stops());
    assert_eq!((starts.len(), stops.len()), (2, 4));
    assert_eq!(stops[3].0, starts[0].id);
    assert!(stops[3].2 <= starts[1].at, "{stops:?} {starts:?}");
    assert_eq!(bench.fake.running(), [starts[1].id.clone()]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_cannot_be_stopped_is_asked_again_before_its_successor_starts() {
    let bench = Bench::new().await;
    let single = |version: &str| with_env(spec("f", version), "single", "1");
    bench.deploy(single("ready")).await.unwrap();
    bench.fake.refused_stops.store(5, Ordering::SeqCst);
    bench.update(single("ready:1")).await.unwrap();
    bench
        .until("the new one", |fake| fake.starts_of("ready:1").len() == 1)
        .await;
    let stops = bench.fake.stops();
    assert_eq!(stops.len(), 6);
    assert!(stops[5].2 <= bench.fake.starts_of("ready:1")[0].at);
    bench.available("f", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_never_answered_fails_and_does_not_hold_up_others() {
    let bench = Bench::with(Fake::default(), |config| config.parallel_starts = 1).await;
    bench.deploy(spec("f", "hang")).await.unwrap();
    bench.deploy(spec("g", "ready")).await.unwrap();
    bench.available("g", 1).await;
    let status = bench.status("f").await.unwrap();
    assert_eq!(
        status.annotations[LAST_ERROR_ANNOTATION],
        "could not be started: the runtime did not start the instance within 60 s"
    );
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "start failed");
}

#[tokio::test(start_paused = true)]
async fn what_got_ready_or_ended_while_events_were_lost_is_found_with_its_cause() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready:2000")).await.unwrap();
    bench.deploy(spec("g", "ready")).await.unwrap();
    bench.fake.lose();
    let g = ids(&bench, "ready").remove(0);
    bench.fake.crash(&g, ExitReason::OutOfMemory);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.status("f").await.unwrap().available_replicas, 0);
    bench.fake.find();
    bench.available("f", 1).await;
    assert_eq!(bench.fake.starts_of("ready:2000").len(), 1);
    bench
        .until("g again", |fake| fake.starts_of("ready").len() == 2)
        .await;
    let status = bench.status("g").await.unwrap();
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "out of memory");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_back_and_does_not_list_is_asked_again_ever_less_often() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.fake.lose();
    let f = ids(&bench, "ready").remove(0);
    bench.fake.crash(&f, ExitReason::OutOfMemory);
    bench.fake.refused_lists.store(5, Ordering::SeqCst);
    let back = Instant::now();
    bench.fake.find();
    bench
        .until("f again", |fake| fake.starts_of("ready").len() == 2)
        .await;
    // Five pauses that double from a quarter of a second, and one before the start.
    let took = back.elapsed();
    assert!(
        (Duration::from_secs(6)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "out of memory");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_comes_back_once_more_is_asked_at_once() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.fake.lose();
    let f = ids(&bench, "ready").remove(0);
    bench.fake.crash(&f, ExitReason::OutOfMemory);
    bench.fake.refused_lists.store(6, Ordering::SeqCst);
    bench.fake.find();
    // It has failed for the sixth time, and would be asked again eight seconds later.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(bench.fake.refused_lists.load(Ordering::SeqCst), 0);
    let back = Instant::now();
    bench.fake.lose();
    bench.fake.find();
    bench
        .until("f again", |fake| fake.starts_of("ready").len() == 2)
        .await;
    assert!(
        back.elapsed() < Duration::from_secs(1),
        "{:?}",
        back.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn events_that_end_are_asked_for_anew_and_what_was_missed_is_found() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let f = ids(&bench, "ready").remove(0);
    bench.fake.hang_up();
    bench.fake.crash(&f, ExitReason::Code(3));
    bench.available("f", 0).await;
    bench.available("f", 1).await;
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "exit code 3");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_an_instance_was_held_to_is_in_the_status_until_the_next_update() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.available("f", 1).await;
    let id = ids(&bench, "ready").remove(0);
    let limit = "was refused it".to_owned();
    bench.fake.tell(&RuntimeEvent::LimitReached { id, limit });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let status = bench.status("f").await.unwrap();
    let said = &status.annotations[LIMIT_REACHED_ANNOTATION];
    assert_eq!(said, "a replica was refused it");
    assert_eq!(status.available_replicas, 1);
    bench.update(spec("f", "ready")).await.unwrap();
    let status = bench.status("f").await.unwrap();
    assert!(!status.annotations.contains_key(LIMIT_REACHED_ANNOTATION));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_nobody_knows_is_ended_when_the_runtime_is_back() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.fake.lose();
    bench.fake.leave_over("stranger", &function("f"));
    bench.fake.find();
    bench
        .until("its end", |fake| fake.running().len() == 1)
        .await;
    assert_eq!(bench.fake.stops()[0].0.as_str(), "stranger");
    assert_eq!(bench.status("f").await.unwrap().available_replicas, 1);
}

#[tokio::test(start_paused = true)]
async fn that_a_call_woke_it_is_written_down_once_it_is_ready_and_not_in_the_way_of_that() {
    let mut bench = Bench::new().await;
    bench.deploy(spec("f", "ready:500")).await.unwrap();
    bench.scale("f", 0).await.unwrap();
    bench.until("none", |fake| fake.running().is_empty()).await;
    for (after, replicas) in [(300, 0), (2000, 1)] {
        let resolver = bench.engine.resolver();
        let call = tokio::spawn(async move {
            let f = function("f");
            drop(resolver.resolve(Call::new(&f)).await);
        });
        tokio::time::sleep(Duration::from_millis(after)).await;
        call.abort();
        let restarted = killed(bench).await;
        assert_eq!(restarted.status("f").await.unwrap().replicas, replicas);
        bench = restarted;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_told_twice_counts_once() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let id = ids(&bench, "ready").remove(0);
    let ended = Instant::now();
    for _ in 0..3 {
        bench.fake.crash(&id, ExitReason::Code(4));
        let (id, reason) = (id.clone(), ExitReason::Code(4));
        bench.fake.tell(&RuntimeEvent::Exited { id, reason });
        bench
            .fake
            .tell(&RuntimeEvent::Ready(ids(&bench, "ready").remove(0)));
    }
    bench
        .until("a second", |fake| fake.starts_of("ready").len() == 2)
        .await;
    bench.available("f", 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let starts = bench.fake.starts_of("ready");
    assert_eq!(starts.len(), 2);
    let gap = starts[1].at.duration_since(ended);
    assert!(gap >= Duration::from_millis(200), "{gap:?}");
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.annotations[LAST_EXIT_ANNOTATION], "exit code 4");
    assert_eq!(status.annotations[FAILURES_ANNOTATION], "1");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_was_taken_during_an_update_stays_when_the_update_is_undone() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.update(spec("f", "silent")).await.unwrap();
    bench.scale("f", 3).await.unwrap();
    let bench = bench.restart().await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let status = bench.status("f").await.unwrap();
    assert_eq!((status.image.as_str(), status.replicas), ("ready", 3));
    let bench = bench.restart().await;
    assert_eq!(bench.status("f").await.unwrap().replicas, 3);
}

#[tokio::test(start_paused = true)]
async fn an_update_from_one_instance_at_a_time_to_several_comes_through() {
    let bench = Bench::new().await;
    bench
        .deploy(with_env(spec("f", "ready"), "single", "1"))
        .await
        .unwrap();
    let three = with_label(spec("f", "ready:1"), "com.openfaas.scale.min", "3");
    bench.update(three).await.unwrap();
    bench.available("f", 3).await;
    bench
        .until("the old one's end", |fake| fake.running().len() == 3)
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_update_to_one_instance_at_a_time_waits_for_what_a_deleted_function_left() {
    let bench = Bench::new().await;
    let single = with_env(spec("f", "ready"), "single", "1");
    bench.deploy(single.clone()).await.unwrap();
    let first = bench.fake.running();
    bench.fake.refused_stops.store(5, Ordering::SeqCst);
    bench.delete("f").await.unwrap();
    // Beside it there can be one that is not the only one.
    bench.deploy(spec("f", "ready:1")).await.unwrap();
    assert!(bench.fake.running().contains(&first[0]));
    bench.update(single).await.unwrap();
    assert!(!bench.fake.running().contains(&first[0]));
}
