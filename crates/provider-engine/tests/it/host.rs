//! Requests for more than the host has, at each operation that asks for more.

use std::time::Duration;

use provider_types::{ErrorKind, FunctionSpec, Host, Quantity, Resources};
use tokio::time::sleep;

use crate::fake::{Bench, Fake, spec, with_label};

const GIB: u64 = 1 << 30;

/// An engine on a host of 4 GiB and two cores.
async fn small() -> Bench {
    let mut fake = Fake::default();
    fake.host = Host::new(4 * GIB, 2000);
    Bench::with(fake, |_| {}).await
}

fn needs(name: &str, memory: &str) -> FunctionSpec {
    let mut requests = Resources::default();
    requests.memory = Some(Quantity::parse(memory).unwrap());
    let mut spec = spec(name, "ready");
    spec.requests = Some(requests);
    spec
}

#[tokio::test(start_paused = true)]
async fn a_deployment_for_more_than_is_left_is_refused_with_numbers_and_leaves_nothing() {
    let bench = small().await;
    bench.deploy(needs("a", "3Gi")).await.unwrap();
    let error = bench.deploy(needs("b", "2Gi")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    for number in ["2 GiB", "4 GiB", "3 GiB", "1 GiB"] {
        assert!(error.message().contains(number), "{error}");
    }
    assert!(bench.status("b").await.unwrap_err().is_not_found());
    let error = bench.deploy(needs("b", "5Gi")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");

    bench.deploy(needs("b", "1Gi")).await.unwrap();
    bench.delete("a").await.unwrap();
    bench.deploy(needs("c", "3Gi")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_deployment_was_promised_is_free_again() {
    let bench = small().await;
    let mut failing = needs("a", "3Gi");
    failing.image = "exit:1".to_owned();
    bench.deploy(failing).await.unwrap_err();
    bench.deploy(needs("b", "3Gi")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn scaling_is_bounded_by_the_host_too() {
    let bench = small().await;
    bench.deploy(needs("a", "1Gi")).await.unwrap();
    bench.deploy(needs("b", "1Gi")).await.unwrap();
    let error = bench.scale("a", 4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.message().contains("4 replicas"), "{error}");
    assert_eq!(bench.status("a").await.unwrap().replicas, 1);
    bench.scale("a", 3).await.unwrap();
    bench.scale("a", 0).await.unwrap();
    bench.available("a", 0).await;
    bench.scale("b", 4).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_update_is_measured_by_what_it_comes_to_and_gives_back_when_it_is_undone() {
    let bench = small().await;
    bench.deploy(needs("a", "3Gi")).await.unwrap();
    // Both versions run for a while, but only one stays.
    bench.update(needs("a", "4Gi")).await.unwrap();
    bench.available("a", 1).await;
    let error = bench.update(needs("a", "5Gi")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);

    let mut failing = needs("a", "1Gi");
    failing.image = "exit:1".to_owned();
    bench.update(failing).await.unwrap_err();
    let error = bench.deploy(needs("b", "1Gi")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    bench.update(needs("a", "1Gi")).await.unwrap();
    bench.deploy(needs("b", "3Gi")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_scale_a_function_no_further_than_the_host_goes() {
    let bench = small().await;
    let labels = [("type", "capacity"), ("target", "1"), ("max", "20")];
    let busy = labels.iter().fold(needs("f", "1Gi"), |spec, (key, value)| {
        with_label(spec, &format!("com.openfaas.scale.{key}"), value)
    });
    bench.deploy(busy).await.unwrap();
    bench.deploy(needs("g", "1Gi")).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(bench.call("f").await.unwrap());
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.status("f").await.unwrap().replicas, 3);
}
