//! Health checks, readiness and the lock file.

use crate::support::{Raw, client, config, serve, serve_config, serve_script};

#[tokio::test]
async fn health_answers_get_only() {
    let served = serve(&[("fprocess", "cat")]).await;
    for path in ["/_/health", "/_/ready"] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.body, if path == "/_/health" { "OK" } else { "" });
        assert_eq!(served.post(path, "x").await.status, 405, "{path}");
    }
    served.stopped().await;
}

#[tokio::test]
async fn without_a_lock_file_it_is_healthy_all_the_same() {
    let served = serve(&[("fprocess", "cat"), ("suppress_lock", "true")]).await;
    assert_eq!(served.get("/_/health").await.status, 200);
    served.stopped().await;
}

#[tokio::test]
async fn the_lock_file_is_there_while_calls_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new").join(".lock");
    let mut config = config(&[("fprocess", "cat"), ("healthcheck_interval", "300ms")]);
    config.lock_file = Some(path.clone());
    let mut served = serve_config(config, dir).await;
    assert_eq!(served.get("/_/health").await.status, 200);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o007, 0, "{mode:o}");
    let content = std::fs::read_to_string(&path).unwrap();
    assert_eq!(content.trim(), served.address.to_string());

    served.stop();
    served.stderr.until("No new connections in").await;
    assert!(!path.exists());
    for path in ["/_/health", "/_/ready"] {
        assert_eq!(served.get(path).await.status, 503, "{path}");
    }
    // It still serves.
    assert_eq!(served.post("/", "x").await.body, "x");
    served.ended().await.unwrap();
}

#[tokio::test]
async fn removing_the_lock_file_takes_the_function_out_of_service() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".lock");
    let mut config = config(&[("fprocess", "cat")]);
    config.lock_file = Some(path.clone());
    let served = serve_config(config, dir).await;
    assert_eq!(served.get("/_/health").await.status, 200);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(served.get("/_/health").await.status, 503);
    assert_eq!(served.get("/_/ready").await.status, 503);
    served.stopped().await;
}

#[tokio::test]
async fn a_lock_file_that_cannot_be_written_is_an_error_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&[("fprocess", "cat")]);
    config.lock_file = Some("/proc/nothing/.lock".into());
    let error = serve_config(config, dir).await.ended().await.unwrap_err();
    assert!(error.to_string().contains("suppress_lock=true"), "{error}");
}

#[tokio::test]
async fn the_function_itself_can_be_asked_whether_it_is_ready() {
    let served = serve_script(
        "test \"$Http_Method $Http_Path\" = 'GET /am-i/ready' && test -e ready && echo yes",
        &[("ready_path", "/am-i/ready")],
    )
    .await;
    assert_eq!(served.get("/_/ready").await.status, 500);
    std::fs::write(served.file("ready"), "").unwrap();
    let reply = served.get("/_/ready").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "yes\n"));
    served.stopped().await;
}

#[tokio::test]
async fn paths_that_only_look_alike_are_calls() {
    let served = serve(&[("fprocess", "env")]).await;
    for path in ["/_/health/", "/_/healthy", "/x/_/health"] {
        let reply = client().get(served.url(path)).send().await.unwrap();
        let body = reply.text().await.unwrap();
        assert!(body.contains(&format!("Http_Path={path}\n")), "{body}");
    }
    served.stopped().await;
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = provider_watchdog::Listener::unix(&path).unwrap();
    let logs = provider_watchdog::Logs::new(tokio::io::sink(), tokio::io::sink());
    let watchdog = provider_watchdog::Watchdog::new(config(&[("fprocess", "cat")]), logs).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(watchdog.serve(listener, None, async {
        let _dropped = stopped.await;
    }));
    let client = reqwest::Client::builder()
        .unix_socket(path.as_path())
        .build()
        .unwrap();
    let reply = client
        .post("http://function/")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.text().await.unwrap(), "hello");
    drop(stop);
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn two_calls_on_one_connection_are_answered_in_turn() {
    let served = serve(&[("fprocess", "cat")]).await;
    let mut raw = Raw::open(served.address).await;
    for text in ["one", "two"] {
        raw.send(&format!(
            "POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 3\r\n\r\n{text}"
        ))
        .await;
        raw.until(&format!("{text}\r\n0\r\n\r\n")).await;
    }
    served.stopped().await;
}
