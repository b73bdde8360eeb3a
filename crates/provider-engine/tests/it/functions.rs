//! Deploy, update, scale, delete, status.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use provider_types::{
    CallContext, Capabilities, DeployFunction, ErrorKind, GetFunction, Lease, Namespace, Progress,
    Provider, Quantity, Resources,
};
use tokio::time::Instant;

use crate::fake::{Bench, Fake, function, spec, with_env, with_label};

const MIN: &str = "com.openfaas.scale.min";
const MAX: &str = "com.openfaas.scale.max";

#[tokio::test(start_paused = true)]
async fn a_deployed_function_is_reported_as_deployed_and_takes_calls() {
    let bench = Bench::with(Fake::default(), |config| {
        config.clock = Arc::new(|| std::time::UNIX_EPOCH + Duration::from_secs(1_000));
    })
    .await;
    let mut figlet = with_label(with_env(spec("figlet", "ready"), "A", "1"), "l", "x");
    figlet.env_process = Some("figlet -f slant".to_owned());
    figlet
        .annotations
        .insert("topic".to_owned(), "t".to_owned());
    let outcome = bench.deploy(figlet).await.unwrap();
    assert_eq!(
        (outcome.progress, outcome.warnings.len()),
        (Progress::Done, 0)
    );

    let status = bench.status("figlet").await.unwrap();
    assert_eq!((status.replicas, status.available_replicas), (1, 1));
    assert_eq!(status.env_process, "figlet -f slant");
    assert_eq!(status.env_vars["A"], "1");
    assert_eq!(status.labels["l"], "x");
    assert_eq!(status.annotations["topic"], "t");
    assert_eq!(status.annotations["dev.provider.runtime"], "fake");
    assert_eq!(
        status.annotations.len(),
        2,
        "a healthy function says no more"
    );
    assert_eq!(
        status.created_at,
        Some(std::time::UNIX_EPOCH + Duration::from_secs(1_000))
    );
    let lease = bench.call("figlet").await.unwrap();
    let id = &bench.fake.running()[0];
    assert_eq!(
        *lease.endpoint(),
        provider_types::Endpoint::unix(format!("/fake/{id}"))
    );
}

#[tokio::test(start_paused = true)]
async fn lists_are_sorted_and_of_one_namespace_and_an_unknown_one_is_refused() {
    let bench = Bench::new().await;
    for name in ["c", "a", "b"] {
        bench.deploy(spec(name, "ready")).await.unwrap();
    }
    let names: Vec<_> = bench.list().await.into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let nowhere = Namespace::new("nowhere").unwrap();
    let request = provider_types::ListFunctions::new(CallContext::default(), nowhere);
    let error = bench.engine.list_functions(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn what_exists_is_not_deployed_twice_and_what_does_not_is_not_found() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let twice = bench.deploy(spec("f", "ready")).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.fake.starts_of("ready").len(), 1);
    for error in [
        // Not found goes before anything else that is wrong with it.
        bench.update(spec("g", "absent")).await.unwrap_err(),
        bench.delete("g").await.unwrap_err(),
        bench.scale("g", 1_000_000).await.unwrap_err(),
        bench.status("g").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), "function: g.openfaas-fn not found");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_cannot_be_is_refused_and_nothing_of_it_stays() {
    let bench = Bench::new().await;
    let mut no_secret = spec("f", "ready");
    no_secret.secrets = vec![provider_types::SecretName::new("key").unwrap()];
    for (wrong, words) in [
        (spec("f", "absent"), "there is no such program"),
        (no_secret, "unable to find secret: key"),
        (
            spec("f.nowhere", "ready"),
            "namespace nowhere does not exist",
        ),
        (with_label(spec("f", "ready"), MIN, "101"), "at most 100"),
        (
            with_label(with_label(spec("f", "ready"), MIN, "3"), MAX, "2"),
            "contradict",
        ),
        (
            with_env(spec("f", "ready"), "max_inflight", "x"),
            "max_inflight",
        ),
        (
            with_label(with_env(spec("f", "ready"), "single", "1"), MIN, "2"),
            "port 9000 is fixed",
        ),
    ] {
        let error = bench.deploy(wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(words), "{error}");
    }
    assert!(bench.list().await.is_empty() && bench.fake.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_starter_is_answered_within_the_grace_and_gets_ready_later() {
    let bench = Bench::new().await;
    let begun = Instant::now();
    let outcome = bench.deploy(spec("f", "ready:4000")).await.unwrap();
    assert_eq!(outcome.progress, Progress::Ongoing);
    assert!(
        begun.elapsed() <= Duration::from_millis(1_100),
        "{:?}",
        begun.elapsed()
    );
    let status = bench.status("f").await.unwrap();
    assert_eq!((status.replicas, status.available_replicas), (1, 0));
    assert_eq!(
        status.annotations[provider_engine::STATUS_ANNOTATION],
        "starting"
    );
    let lease = bench.call("f").await.unwrap();
    assert!(lease.phases().started >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_update_replaces_all_and_no_call_is_without_a_replica() {
    let bench = Bench::new().await;
    let old = with_label(with_env(spec("f", "ready"), "OLD", "1"), MIN, "2");
    bench.deploy(old).await.unwrap();
    bench.available("f", 2).await;
    let created_at = bench.status("f").await.unwrap().created_at;
    let held = bench.call("f").await.unwrap();

    let outcome = bench
        .update(with_env(spec("f", "ready:3000"), "NEW", "1"))
        .await
        .unwrap();
    assert_eq!(outcome.progress, Progress::Ongoing);
    let status = bench.status("f").await.unwrap();
    assert_eq!((status.replicas, status.available_replicas), (2, 2));
    assert_eq!(status.env_vars.len(), 1);
    assert!(!status.labels.contains_key(MIN) && status.env_vars.contains_key("NEW"));
    assert_eq!(status.created_at, created_at);

    // Every call finds a replica at once, all the way through.
    let mut endpoints = std::collections::HashSet::new();
    for _ in 0..60 {
        let lease = bench.call("f").await.unwrap();
        assert!(lease.phases().started.is_zero());
        endpoints.insert(lease.endpoint().clone());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.status("f").await.unwrap().available_replicas, 2);
    let old_ones = bench.fake.starts_of("ready");
    let old_id = |started: &crate::fake::Started| {
        provider_types::Endpoint::unix(format!("/fake/{}", started.id))
    };
    // The idle old one is gone, the one with a call is not.
    let stopped: Vec<_> = bench.fake.stops().into_iter().map(|stop| stop.0).collect();
    assert_eq!(stopped.len(), 1, "{stopped:?}");
    let busy = old_ones
        .iter()
        .find(|s| old_id(s) == *held.endpoint())
        .unwrap();
    assert!(!stopped.contains(&busy.id));
    drop(held);
    bench.until("stopped", |fake| fake.stops().len() == 2).await;
    assert_eq!(bench.fake.running().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_update_keeps_the_count_unless_a_label_says_otherwise() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.scale("f", 3).await.unwrap();
    bench.update(spec("f", "ready:1")).await.unwrap();
    assert_eq!(bench.status("f").await.unwrap().replicas, 3);
    let at_most = with_label(spec("f", "ready:1"), MAX, "2");
    bench.update(at_most).await.unwrap();
    assert_eq!(bench.status("f").await.unwrap().replicas, 2);
    let at_least = with_label(spec("f", "ready:1"), MIN, "4");
    bench.update(at_least).await.unwrap();
    bench.available("f", 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_scaled_function_shows_the_new_count_at_once_and_gets_there() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready:500")).await.unwrap();
    bench.scale("f", 3).await.unwrap();
    let status = bench.status("f").await.unwrap();
    assert_eq!((status.replicas, status.available_replicas), (3, 1));
    bench.available("f", 3).await;

    let held = bench.call("f").await.unwrap();
    bench.scale("f", 0).await.unwrap();
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.replicas, 0);
    bench
        .until("two stopped", |fake| fake.running().len() == 1)
        .await;
    drop(held);
    bench
        .until("all stopped", |fake| fake.running().is_empty())
        .await;
    bench.scale("f", 1).await.unwrap();
    bench.available("f", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_count_beyond_the_bound_or_of_a_single_instance_is_refused_in_words() {
    let bench = Bench::with(Fake::default(), |config| config.max_replicas = 5).await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let error = bench.scale("f", u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("at most 5"), "{error}");
    assert_eq!(bench.status("f").await.unwrap().replicas, 1);

    bench
        .deploy(with_env(spec("s", "ready"), "single", ""))
        .await
        .unwrap();
    let error = bench.scale("s", 2).await.unwrap_err();
    assert!(error.message().contains("port 9000 is fixed"), "{error}");
    bench.scale("s", 0).await.unwrap();
    bench.scale("s", 1).await.unwrap();
    bench.available("s", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_single_instance_is_gone_before_its_successor_starts() {
    let bench = Bench::new().await;
    let single = |image: &str| with_env(spec("s", image), "single", "");
    bench.deploy(single("ready")).await.unwrap();
    let held = bench.call("s").await.unwrap();
    let outcome = bench.update(single("ready:1")).await.unwrap();
    assert_eq!(outcome.progress, Progress::Ongoing);
    assert!(bench.fake.starts_of("ready:1").is_empty());
    drop(held);
    bench
        .until("new one", |fake| !fake.starts_of("ready:1").is_empty())
        .await;
    assert_eq!(bench.fake.stops().len(), 1);
    bench.available("s", 1).await;

    // After a delete too, with a call still in flight.
    let held = bench.call("s").await.unwrap();
    assert_eq!(bench.delete("s").await.unwrap().progress, Progress::Ongoing);
    let (outcome, ()) = tokio::join!(bench.deploy(single("ready:2")), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(bench.fake.starts_of("ready:2").is_empty());
        drop(held);
    });
    outcome.unwrap();
    assert_eq!(bench.fake.running().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_function_is_gone_at_once_and_its_calls_finish() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let held = bench.call("f").await.unwrap();
    assert_eq!(bench.delete("f").await.unwrap().progress, Progress::Ongoing);
    assert!(bench.status("f").await.unwrap_err().is_not_found());
    assert!(matches!(
        bench.call("f").await,
        Err(provider_types::ResolveError::NotFound)
    ));
    assert!(bench.fake.stops().is_empty());
    // The name is free again while the old one drains.
    bench.deploy(spec("f", "ready:1")).await.unwrap();
    drop(held);
    bench.until("stopped", |fake| fake.stops().len() == 1).await;
    assert_eq!(bench.fake.running().len(), 1);
    assert_eq!(bench.delete("f").await.unwrap().progress, Progress::Done);
    assert!(bench.fake.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_end_are_cut_after_the_grace_that_the_function_states() {
    let bench = Bench::new().await;
    let stubborn = with_env(spec("f", "ready"), "grace_period", "7s");
    bench.deploy(stubborn).await.unwrap();
    let _held = bench.call("f").await.unwrap();
    let begun = Instant::now();
    bench.delete("f").await.unwrap();
    bench
        .until("stopped", |fake| !fake.stops().is_empty())
        .await;
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(bench.fake.stops()[0].1, Duration::from_secs(1));

    // An idle one has all of it to end by itself.
    bench
        .deploy(with_env(spec("g", "ready"), "grace_period", "7s"))
        .await
        .unwrap();
    bench.delete("g").await.unwrap();
    assert_eq!(bench.fake.stops()[1].1, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_changes_nothing_about_what_was_begun() {
    let bench = Bench::new().await;
    let request = DeployFunction::new(CallContext::default(), spec("f", "ready:300"));
    tokio::select! {
        biased;
        _ = bench.engine.deploy_function(request) => panic!("too early"),
        () = tokio::time::sleep(Duration::from_millis(1)) => {}
    }
    bench
        .until("started", |fake| fake.running().len() == 1)
        .await;
    bench.available("f", 1).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_many_deploys_of_a_name_wins_and_different_names_go_side_by_side() {
    let bench = Bench::new().await;
    let same = (0..5).map(|_| bench.deploy(spec("f", "ready")));
    let won = futures_util::future::join_all(same).await;
    assert_eq!(won.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(bench.fake.running().len(), 1);

    let begun = Instant::now();
    let names: Vec<_> = (0..6).map(|n| format!("g{n}")).collect();
    let different = names
        .iter()
        .map(|name| bench.deploy(spec(name, "ready:900")));
    for outcome in futures_util::future::join_all(different).await {
        assert_eq!(outcome.unwrap().progress, Progress::Done);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_instances_start_at_a_time_than_may() {
    let bench = Bench::with(Fake::default(), |config| config.parallel_starts = 3).await;
    bench
        .deploy(with_label(spec("f", "ready"), MIN, "20"))
        .await
        .unwrap();
    bench.available("f", 20).await;
    assert_eq!(bench.fake.most_starting.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn fields_that_have_no_effect_are_echoed_and_warned_of() {
    let mut asked = spec("f", "ready");
    let mut limits = Resources::default();
    limits.memory = Some(Quantity::parse("64Mi").unwrap());
    asked.limits = Some(limits.clone());
    asked.requests = Some(limits);
    asked.constraints = vec!["zone=a".to_owned()];
    asked.read_only_root_filesystem = true;

    let bench = Bench::new().await;
    let warnings = bench.deploy(asked.clone()).await.unwrap().warnings;
    for word in [
        "limits",
        "requests",
        "constraints",
        "readOnlyRootFilesystem",
    ] {
        assert!(warnings.iter().any(|w| w.starts_with(word)), "{warnings:?}");
    }
    let status = bench.status("f").await.unwrap();
    assert_eq!(status.limits.unwrap().memory, "64Mi");
    assert_eq!(status.constraints, ["zone=a"]);
    assert!(status.read_only_root_filesystem);

    let mut fake = Fake::default();
    let mut able = Capabilities::default();
    (able.limits, able.read_only_root_filesystem) = (true, true);
    fake.capabilities = able;
    let bench = Bench::with(fake, |_| {}).await;
    let warnings = bench.deploy(asked).await.unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn max_inflight_bounds_each_replica() {
    let bench = Bench::new().await;
    bench
        .deploy(with_env(spec("f", "ready"), "max_inflight", "1"))
        .await
        .unwrap();
    let _held = bench.call("f").await.unwrap();
    assert!(matches!(
        bench.call("f").await,
        Err(provider_types::ResolveError::Overloaded { .. })
    ));
    bench.scale("f", 2).await.unwrap();
    bench.available("f", 2).await;
    bench.call("f").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_function_used_is_summed_over_replicas_and_never_shrinks() {
    let bench = Bench::new().await;
    assert!(bench.engine.usage().await.unwrap().is_empty());
    bench
        .deploy(with_label(spec("f", "ready"), MIN, "2"))
        .await
        .unwrap();
    bench.available("f", 2).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = bench.engine.usage().await.unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].memory_bytes, 2_000_000);
    // Half a core each.
    assert_eq!(before[0].cpu.as_secs(), 10);
    bench.scale("f", 0).await.unwrap();
    bench.available("f", 0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = bench.engine.usage().await.unwrap();
    assert_eq!(after[0].memory_bytes, 0);
    assert!(after[0].cpu >= before[0].cpu, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn usage_is_measured_when_asked_for() {
    let bench = Bench::new().await;
    bench
        .deploy(with_label(spec("f", "ready"), MIN, "2"))
        .await
        .unwrap();
    bench.available("f", 2).await;
    assert!(bench.status("f").await.unwrap().usage.is_none());
    for measured_before in [false, true] {
        let begun = Instant::now();
        let request = GetFunction::new(CallContext::default(), function("f"), true);
        let status = bench.engine.function_status(request).await.unwrap();
        let usage = status.usage.unwrap();
        assert_eq!(begun.elapsed().is_zero(), measured_before);
        assert_eq!(usage.cpu.round(), 1000.0);
        assert_eq!(usage.total_memory_bytes, 2_000_000.0);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_refuses_what_is_new_lets_calls_end_and_stops_all() {
    let bench = Bench::new().await;
    bench
        .deploy(with_label(spec("f", "ready"), MIN, "2"))
        .await
        .unwrap();
    bench.available("f", 2).await;
    let held = bench.call("f").await.unwrap();
    let begun = Instant::now();
    let ((), ()) = tokio::join!(bench.engine.shutdown(Duration::from_secs(20)), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let error = bench.deploy(spec("g", "ready")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(bench.call("f").await.is_err());
        assert_eq!(bench.fake.running().len(), 1);
        drop(held);
    });
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert!(bench.fake.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_keeps_its_deadline() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let _held = bench.call("f").await.unwrap();
    let begun = Instant::now();
    bench.engine.shutdown(Duration::from_secs(3)).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert!(bench.fake.running().is_empty());
}
