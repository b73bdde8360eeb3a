//! How a watchdog ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Raw, client, config, number_in, runs, script, serve_config, serve_script, wait,
};

const UNTIL_GO: &str = "touch started; while [ ! -e go ]; do sleep 0.02; done; echo done";

#[tokio::test]
async fn calls_that_go_on_are_finished() {
    let mut served = serve_script(UNTIL_GO, &[]).await;
    let call = tokio::spawn(client().get(served.url("/")).send());
    wait("the call", || served.file("started").exists()).await;
    served.stop();
    served.stderr.until("draining: 1 requests").await;
    assert!(
        tokio::net::TcpStream::connect(served.address)
            .await
            .is_err(),
        "takes new connections"
    );
    assert!(!served.has_ended());
    std::fs::write(served.file("go"), "").unwrap();
    let reply = call.await.unwrap().unwrap();
    assert_eq!(reply.text().await.unwrap(), "done\n");
    let log = served.stderr.clone();
    served.ended().await.unwrap();
    assert!(log.text().contains("Exiting. Active connections: 0"));
}

#[tokio::test]
async fn calls_that_do_not_end_are_killed_after_the_write_timeout() {
    let mut served = serve_script(
        "sleep 1000 & echo $! > grandchild; echo $$ > child; wait",
        &[("write_timeout", "300ms")],
    )
    .await;
    let mut raw = Raw::open(served.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
    let child = number_in(&served.file("child")).await;
    let grandchild = number_in(&served.file("grandchild")).await;
    served.stop();
    served.ended().await.unwrap();
    assert!(!runs(child));
    wait("the grandchild to end", || !runs(grandchild)).await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut served = serve_script("cat", &[("write_timeout", "1h")]).await;
    let mut used = Raw::open(served.address).await;
    used.send("POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 1\r\n\r\nx")
        .await;
    used.until("0\r\n\r\n").await;
    let mut fresh = Raw::open(served.address).await;
    served.stderr.until("POST / - 200").await;
    served.stop();
    served.ended().await.unwrap();
    assert_eq!(used.rest().await, "");
    assert_eq!(fresh.rest().await, "");
}

#[tokio::test]
async fn a_program_is_asked_to_end_when_its_calls_are_done() {
    let (dir, command) =
        script("trap 'echo got-term; exit 0' TERM; echo $$ > child; while :; do sleep 0.02; done");
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let vars = [
        ("mode", "http"),
        ("fprocess", command.as_str()),
        ("upstream_url", url.as_str()),
    ];
    let mut config = config(&vars);
    config.working_dir = Some(dir.path().to_owned());
    let mut served = serve_config(config, dir).await;
    let child = number_in(&served.file("child")).await;
    let call = tokio::spawn(client().get(served.url("/")).send());
    let (mut program, _) = upstream.accept().await.unwrap();
    let mut read = [0; 1024];
    assert!(program.read(&mut read).await.unwrap() > 0);
    served.stop();
    served.stderr.until("draining: 1 requests").await;
    // Long enough for a program that was asked too early to say so.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(served.stdout.text(), "");
    program
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await
        .unwrap();
    let reply = call.await.unwrap().unwrap();
    assert_eq!(reply.text().await.unwrap(), "ok");
    let stdout = served.stdout.clone();
    served.ended().await.unwrap();
    assert!(stdout.text().contains("got-term"));
    assert!(!runs(child));
}

#[tokio::test]
async fn a_program_that_does_not_listen_to_sigterm_is_killed_with_its_group() {
    let (dir, command) = script(
        "trap '' TERM; sleep 1000 & echo $! > grandchild; echo $$ > child; while :; do wait; done",
    );
    let vars = [
        ("mode", "http"),
        ("fprocess", command.as_str()),
        ("upstream_url", "http://127.0.0.1:1"),
        ("write_timeout", "200ms"),
    ];
    let mut config = config(&vars);
    config.working_dir = Some(dir.path().to_owned());
    let mut served = serve_config(config, dir).await;
    let child = number_in(&served.file("child")).await;
    let grandchild = number_in(&served.file("grandchild")).await;
    served.stop();
    served.ended().await.unwrap();
    assert!(!runs(child));
    wait("the grandchild to end", || !runs(grandchild)).await;
}

#[tokio::test]
async fn dropping_the_future_kills_what_runs() {
    for vars in [
        &[("mode", "streaming")][..],
        &[("mode", "http"), ("upstream_url", "http://127.0.0.1:1")],
    ] {
        let served = serve_script("echo $$ > child; sleep 1000; :", vars).await;
        let mut raw = Raw::open(served.address).await;
        raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
        let child = number_in(&served.file("child")).await;
        assert!(runs(child));
        served.abort();
        wait("the program to end", || !runs(child)).await;
    }
}

#[tokio::test]
async fn a_program_can_be_supervised_without_standing_in_its_way() {
    let (dir, command) =
        script("trap 'echo got-term; exit 0' TERM; echo up; while :; do sleep 0.02; done");
    let vars = [
        ("mode", "http"),
        ("fprocess", command.as_str()),
        ("upstream_url", "http://127.0.0.1:1"),
        ("prefix_logs", "false"),
    ];
    let stdout = crate::support::Written::default();
    let logs = provider_watchdog::Logs::new(stdout.clone(), tokio::io::sink());
    let watchdog = provider_watchdog::Watchdog::new(config(&vars), logs).unwrap();
    let up = stdout.clone();
    let shutdown = async move {
        up.until("up\n").await;
    };
    watchdog.supervise(shutdown).await.unwrap();
    assert_eq!(stdout.text(), "up\ngot-term\n");
    drop(dir);
}
