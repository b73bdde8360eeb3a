//! How long calls may take, and how many may run.

use std::time::Duration;

use crate::support::{Raw, client, number_in, runs, serve_config, serve_script, wait};
use crate::{http::Upstream, support::config};

const STUCK: &str = "sleep 1000 & echo $! > grandchild; echo $$ > child; wait";

#[tokio::test]
async fn a_call_that_takes_too_long_is_504_and_its_process_group_is_killed() {
    for mode in ["streaming", "serializing"] {
        let served = serve_script(STUCK, &[("exec_timeout", "300ms"), ("mode", mode)]).await;
        let reply = served.post("/", "x").await;
        assert_eq!(reply.status, 504);
        assert_eq!(
            reply.body,
            "the function did not finish within 300ms (exec_timeout)\n"
        );
        assert_eq!(reply.header("x-openfaas-internal"), Some("of-watchdog"));
        assert_eq!(reply.header("x-openfaas-reason"), Some("total-timeout"));
        let child = number_in(&served.file("child")).await;
        let grandchild = number_in(&served.file("grandchild")).await;
        wait("both to end", || !runs(child) && !runs(grandchild)).await;
        served.stopped().await;
    }
}

#[tokio::test]
async fn a_reply_that_takes_too_long_is_cut() {
    let served = serve_script("echo begun; sleep 1000", &[("exec_timeout", "400ms")]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
    let reply = raw.rest().await;
    assert!(reply.contains("begun"), "{reply}");
    assert!(!reply.contains("\r\n0\r\n"), "looks complete: {reply}");
    served.stopped().await;
}

#[tokio::test]
async fn a_limit_that_nobody_set_does_not_cut_a_reply_that_goes_on() {
    let (dir, command) =
        crate::support::script("for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done");
    let mut config = config(&[("fprocess", &command)]);
    assert_eq!(config.first_byte_timeout, Some(Duration::from_secs(30)));
    config.first_byte_timeout = Some(Duration::from_millis(300));
    let served = serve_config(config, dir).await;
    assert_eq!(served.get("/").await.body, "1\n2\n3\n4\n5\n6\n");
    served.stopped().await;
}

#[tokio::test]
async fn the_wait_for_a_reply_is_bounded_though_nobody_set_a_limit() {
    for mode in ["streaming", "serializing"] {
        let mut config = config(&[("fprocess", "sleep 1000"), ("mode", mode)]);
        config.first_byte_timeout = Some(Duration::from_millis(300));
        let served = serve_config(config, tempfile::tempdir().unwrap()).await;
        let started = std::time::Instant::now();
        let reply = served.get("/").await;
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert_eq!(reply.status, 504);
        assert_eq!(
            reply.body,
            "the function did not answer within 300ms (exec_timeout)\n"
        );
        assert_eq!(
            reply.header("x-openfaas-reason"),
            Some("first-byte-timeout")
        );
        served.stopped().await;
    }
}

#[tokio::test]
async fn a_caller_can_ask_for_less_time() {
    let served = serve_script("sleep 1000", &[("exec_timeout", "1h")]).await;
    let request = client().get(served.url("/")).header("X-Timeout", "200ms");
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status(), 504);
    assert!(reply.text().await.unwrap().contains("200ms (X-Timeout)"));
    served.stopped().await;
}

#[tokio::test]
async fn calls_over_the_limit_are_429_in_every_mode() {
    for mode in ["streaming", "serializing"] {
        let text = "touch started; while [ ! -e go ]; do sleep 0.02; done; echo ok";
        let served = serve_script(text, &[("max_inflight", "1"), ("mode", mode)]).await;
        let first = tokio::spawn(client().get(served.url("/")).send());
        wait("the first call", || served.file("started").exists()).await;
        over_limit(&served.get("/").await);
        assert_eq!(served.get("/_/ready").await.status, 429);
        assert_eq!(served.get("/_/health").await.status, 200);
        std::fs::write(served.file("go"), "").unwrap();
        let reply = first.await.unwrap().unwrap();
        assert_eq!(reply.text().await.unwrap(), "ok\n");
        wait_for_room(&served).await;
        assert_eq!(served.get("/").await.body, "ok\n");
        served.stopped().await;
    }
}

#[tokio::test]
async fn calls_over_the_limit_are_429_when_they_are_forwarded() {
    let upstream = Upstream::start().await;
    let served = upstream.serve(&[("max_inflight", "1")]).await;
    let mut first = client().get(served.url("/events")).send().await.unwrap();
    assert!(first.chunk().await.unwrap().is_some());
    over_limit(&served.get("/").await);
    drop(first);
    wait_for_room(&served).await;
    assert_eq!(served.get("/").await.status, 200);
    served.stopped().await;
}

async fn wait_for_room(served: &crate::support::Served) {
    for _ in 0..200 {
        if served.get("/_/ready").await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the limit was never free again");
}

fn over_limit(reply: &crate::support::Reply) {
    assert_eq!(reply.status, 429);
    assert_eq!(
        reply.body,
        "Concurrent request limit exceeded. Max concurrent requests: 1\n"
    );
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    assert_eq!(reply.header("x-openfaas-internal"), Some("faas-middleware"));
}

#[tokio::test]
async fn a_header_that_trickles_is_cut() {
    let served = serve_script("cat", &[("read_timeout", "300ms")]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("GET / HTTP/1.1\r\nhost").await;
    assert_eq!(raw.rest().await, "");
    served.stopped().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let served = serve_script(
        "echo $$ > child; exec cat /dev/zero",
        &[("write_timeout", "400ms")],
    )
    .await;
    let mut raw = Raw::open(served.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
    let child = number_in(&served.file("child")).await;
    wait("the program to end", || !runs(child)).await;
    served.stopped().await;
}
