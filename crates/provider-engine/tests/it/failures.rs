//! Instances that fail, and what becomes of them.

use std::time::Duration;

use provider_engine::{LAST_ERROR_ANNOTATION, STATUS_ANNOTATION, UPDATE_ERROR_ANNOTATION};
use provider_types::{ErrorKind, ExitReason, Lease, Progress, ResolveError};
use tokio::time::Instant;

use crate::fake::{Bench, function, spec, with_env, with_label};

fn reason(answer: Result<impl Sized, ResolveError>) -> String {
    match answer {
        Err(ResolveError::NotReady { reason, .. }) => reason.unwrap(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a lease"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_exits_at_once_is_refused_with_its_cause_and_leaves_nothing() {
    let bench = Bench::new().await;
    let error = bench.deploy(spec("f", "exit:3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        error.message(),
        "function: f.openfaas-fn was not deployed: it exited with code 3: boom"
    );
    assert!(bench.status("f").await.unwrap_err().is_not_found());
    assert!(matches!(bench.call("f").await, Err(ResolveError::NotFound)));
    bench.deploy(spec("f", "ready")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.fake.starts_of("exit:3").len(), 1);

    bench.delete("f").await.unwrap();
    bench.deploy(spec("g", "exit:1")).await.unwrap_err();
    let bench = bench.restart().await;
    assert!(bench.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_starts_ever_less_often_and_says_so() {
    let bench = Bench::new().await;
    let begun = Instant::now();
    assert_eq!(
        bench.deploy(spec("f", "crash:50")).await.unwrap().progress,
        Progress::Done
    );
    tokio::time::sleep(Duration::from_secs(120)).await;
    let starts = bench.fake.starts_of("crash:50");
    let early = starts
        .iter()
        .filter(|start| start.at.duration_since(begun) <= Duration::from_secs(11))
        .count();
    assert!((2..=12).contains(&early), "{early}");
    let gaps: Vec<_> = starts
        .windows(2)
        .map(|pair| pair[1].at.duration_since(pair[0].at))
        .collect();
    assert!(gaps.windows(2).all(|pair| pair[0] < pair[1]), "{gaps:?}");

    let status = bench.status("f").await.unwrap();
    assert_eq!((status.replicas, status.available_replicas), (1, 0));
    let said = &status.annotations[STATUS_ANNOTATION];
    assert!(said.contains("times in a row, next start in"), "{said}");
    assert_eq!(
        status.annotations[LAST_ERROR_ANNOTATION],
        "was ended by signal 9"
    );

    // Calls are told at once.
    let asked = Instant::now();
    assert_eq!(
        reason(bench.call("f").await),
        "it does not start: was ended by signal 9"
    );
    assert_eq!(asked.elapsed(), Duration::ZERO);

    // A version that works ends it.
    bench.update(spec("f", "ready")).await.unwrap();
    bench.available("f", 1).await;
    assert!(
        !bench
            .status("f")
            .await
            .unwrap()
            .annotations
            .contains_key(LAST_ERROR_ANNOTATION)
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_crashes_once_is_replaced_and_calls_wait_for_that() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let id = bench.fake.running()[0].clone();
    bench.fake.crash(&id, ExitReason::OutOfMemory);
    tokio::task::yield_now().await;
    let lease = bench.call("f").await.unwrap();
    assert!(
        lease.phases().started <= Duration::from_millis(400),
        "{lease:?}"
    );
    let status = bench.status("f").await.unwrap();
    assert_eq!(
        status.annotations[LAST_ERROR_ANNOTATION],
        "ran out of memory"
    );
    assert!(!bench.fake.running().contains(&id));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_fail_together_count_once() {
    let bench = Bench::new().await;
    bench
        .deploy(with_label(
            spec("f", "ready"),
            "com.openfaas.scale.min",
            "5",
        ))
        .await
        .unwrap();
    bench.available("f", 5).await;
    for id in bench.fake.running() {
        bench.fake.crash(&id, ExitReason::Code(1));
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    bench.available("f", 5).await;
    assert_eq!(bench.fake.starts_of("ready").len(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_never_gets_ready_is_given_up_and_calls_are_told() {
    let bench = Bench::new().await;
    let outcome = bench.deploy(spec("f", "silent")).await.unwrap();
    assert_eq!(outcome.progress, Progress::Ongoing);
    let asked = Instant::now();
    let words = reason(bench.call("f").await);
    assert_eq!(
        words,
        "no replica became ready within 20.0 s: nothing listens there"
    );
    let status = bench.status("f").await.unwrap();
    assert_eq!(
        status.annotations[STATUS_ANNOTATION],
        "starting: nothing listens there"
    );
    assert!(asked.elapsed() <= Duration::from_secs(25));

    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = Instant::now();
    let words = reason(bench.call("f").await);
    let why = "did not become ready within 60 s: nothing listens there";
    assert_eq!(words, format!("it does not start: {why}"));
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.annotations[LAST_ERROR_ANNOTATION], why);
    assert_eq!(asked.elapsed(), Duration::ZERO);
    bench
        .until("next one", |fake| fake.starts_of("silent").len() == 2)
        .await;
    assert_eq!(bench.fake.stops().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_of_a_deploy_is_in_the_status() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "exit-late:7")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    let status = bench.status("f").await.unwrap();
    assert_eq!(
        status.annotations[LAST_ERROR_ANNOTATION],
        "exited with code 7: boom"
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_that_exits_at_once_is_refused_and_the_old_version_serves_on() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let wider = with_label(spec("f", "exit:2"), "com.openfaas.scale.min", "3");
    let error = bench.update(wider).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.message().contains("exited with code 2: boom"),
        "{error}"
    );
    let status = bench.status("f").await.unwrap();
    assert_eq!((&*status.image, status.replicas), ("ready", 1));
    assert_eq!(status.available_replicas, 1);
    bench.call("f").await.unwrap();
    assert_eq!(
        bench.fake.starts_of("ready").len(),
        1,
        "it was never stopped"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.fake.running().len(), 1);

    let bench = bench.restart().await;
    assert_eq!(bench.list().await[0].image, "ready");
    bench.available("f", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_update_is_found_before_anything_is_touched() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.scale("f", 2).await.unwrap();
    let mut no_secret = spec("f", "ready:1");
    no_secret.secrets = vec![provider_types::SecretName::new("key").unwrap()];
    for (wrong, words) in [
        (spec("f", "absent"), "no such program"),
        (no_secret, "unable to find secret: key"),
        (
            with_env(spec("f", "ready:1"), "max_inflight", "-1"),
            "max_inflight",
        ),
        (
            with_env(spec("f", "ready:1"), "grace_period", "soon"),
            "envVars: grace_period \"soon\" is no time: use whole seconds (90) or a duration (1m30s)",
        ),
        (
            with_env(spec("f", "ready:1"), "single", ""),
            "port 9000 is fixed",
        ),
    ] {
        let error = bench.update(wrong).await.unwrap_err();
        assert!(error.message().contains(words), "{error}");
    }
    bench.available("f", 2).await;
    assert_eq!(bench.fake.starts_of("ready").len(), 2);
    assert_eq!(bench.fake.starts_of("ready:1").len(), 0);
    assert!(bench.fake.stops().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_update_that_never_gets_ready_is_undone_and_the_status_says_why() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let outcome = bench.update(spec("f", "silent")).await.unwrap();
    assert_eq!(outcome.progress, Progress::Ongoing);
    assert_eq!(bench.status("f").await.unwrap().image, "silent");
    for _ in 0..70 {
        assert!(bench.call("f").await.unwrap().phases().started.is_zero());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = bench.status("f").await.unwrap();
    assert_eq!((&*status.image, status.available_replicas), ("ready", 1));
    let said = &status.annotations[UPDATE_ERROR_ANNOTATION];
    assert!(said.contains("did not become ready within 60 s"), "{said}");
    bench
        .until("the new one is gone", |fake| fake.running().len() == 1)
        .await;
    // The next update starts with a clean sheet.
    bench.update(spec("f", "ready:1")).await.unwrap();
    let status = bench.status("f").await.unwrap();
    assert!(!status.annotations.contains_key(UPDATE_ERROR_ANNOTATION));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_hangs_is_overtaken_by_the_next_one() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.update(spec("f", "silent")).await.unwrap();
    bench.call("f").await.unwrap();
    let outcome = bench.update(spec("f", "ready:1")).await.unwrap();
    assert_eq!(outcome.progress, Progress::Done);
    bench
        .until("only the newest", |fake| fake.running().len() == 1)
        .await;
    assert_eq!(bench.status("f").await.unwrap().image, "ready:1");

    // One that fails goes back to what served, with the count that was asked for since.
    bench.update(spec("f", "silent")).await.unwrap();
    bench.scale("f", 2).await.unwrap();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(bench.status("f").await.unwrap().replicas, 2);
    bench.available("f", 2).await;

    // And to that, not to one that hung.
    bench.update(spec("f", "silent")).await.unwrap();
    bench.update(spec("f", "exit:1")).await.unwrap_err();
    assert_eq!(bench.status("f").await.unwrap().image, "ready:1");
}

#[tokio::test(start_paused = true)]
async fn a_single_instance_comes_back_when_its_update_fails() {
    let bench = Bench::new().await;
    let single = |image: &str| with_env(spec("s", image), "single", "");
    bench.deploy(single("ready")).await.unwrap();
    bench.update(single("exit:1")).await.unwrap_err();
    bench.available("s", 1).await;
    assert_eq!(bench.fake.starts_of("ready").len(), 2);
    assert_eq!(bench.fake.running().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn instances_that_ended_unseen_are_found_when_the_runtime_is_back() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.deploy(spec("g", "ready:1")).await.unwrap();
    bench.fake.lose();
    let id = bench.fake.starts_of("ready")[0].id.clone();
    bench.fake.crash(&id, ExitReason::Code(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.status("f").await.unwrap().available_replicas, 1);
    bench.fake.find();
    bench
        .until("f again", |fake| fake.starts_of("ready").len() == 2)
        .await;
    bench.available("f", 1).await;
    assert_eq!(bench.fake.starts_of("ready:1").len(), 1);
    assert!(
        bench
            .engine
            .resolver()
            .table()
            .get(&function("g"))
            .unwrap()
            .replicas()
            .len()
            == 1
    );
}
