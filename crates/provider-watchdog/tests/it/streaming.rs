//! Mode `streaming`.

use crate::support::{
    PATIENCE, Raw, Reply, client, config, number_in, runs, serve, serve_config, serve_script, wait,
};

#[tokio::test]
async fn a_body_goes_through_the_program_piece_by_piece() {
    let served = serve(&[("fprocess", "cat")]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("POST / HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    raw.send("5\r\nfirst\r\n").await;
    let reply = raw.until("first\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(
        reply.contains("\r\ncontent-type: application/octet-stream\r\n"),
        "{reply}"
    );
    raw.send("6\r\nsecond\r\n").await;
    raw.until("second\r\n").await;
    raw.send("0\r\n\r\n").await;
    raw.until("0\r\n\r\n").await;
    served.stopped().await;
}

#[tokio::test]
async fn a_large_body_comes_back_whole() {
    let served = serve(&[("fprocess", "cat")]).await;
    let body: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let request = client().post(served.url("/")).body(body.clone());
    let reply = request.send().await.unwrap().bytes().await.unwrap();
    assert!(reply == body);
    served.stopped().await;
}

#[tokio::test]
async fn a_program_learns_about_its_call_and_sees_no_other_environment() {
    let served = serve(&[("fprocess", "env")]).await;
    let request = client()
        .put(served.url("/a/b?x=1&y"))
        .header("X-Some-Thing", "one")
        .header("X-Some-Thing", "two")
        .header("Proxy", "http://evil")
        .body("12345");
    let reply = Reply::of(request.send().await.unwrap()).await;
    let lines: Vec<&str> = reply.body.lines().collect();
    for line in [
        "Http_Method=PUT",
        "Http_Path=/a/b",
        "Http_Query=x=1&y",
        "Http_X_Some_Thing=one, two",
        "Http_ContentLength=5",
        "Http_Content_Length=5",
        &format!("Http_Host={}", served.address),
        "FUNCTION_OWN=yes",
    ] {
        assert!(lines.contains(&line), "no {line} in {}", reply.body);
    }
    assert!(!reply.body.to_lowercase().contains("http_proxy"));
    assert!(!reply.body.contains("CARGO"), "{}", reply.body);
    served.stopped().await;
}

#[tokio::test]
async fn a_path_that_no_variable_can_hold_is_400() {
    let served = serve(&[("fprocess", "env")]).await;
    let reply = served.get("/a%00b").await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("NUL"), "{}", reply.body);
    served.stopped().await;
}

#[tokio::test]
async fn many_headers_reach_the_program() {
    let served = serve(&[("fprocess", "env")]).await;
    let mut request = client().get(served.url("/"));
    for n in 0..1000 {
        request = request.header(format!("x-many-{n}"), "x".repeat(50));
    }
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(reply.body.matches("Http_X_Many_").count(), 1000);
    served.stopped().await;
}

#[tokio::test]
async fn cgi_headers_can_be_switched_off() {
    let served = serve(&[("fprocess", "env"), ("cgi_headers", "false")]).await;
    assert!(!served.get("/").await.body.contains("Http_"));
    served.stopped().await;
}

#[tokio::test]
async fn a_program_that_cannot_start_is_500_with_words() {
    let served = serve(&[("fprocess", "/nonexistent/program --now")]).await;
    let reply = served.post("/", "x").await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("no program"), "{}", reply.body);
    assert!(
        reply.body.contains("/nonexistent/program"),
        "{}",
        reply.body
    );
    assert_eq!(reply.header("x-openfaas-internal"), Some("of-watchdog"));
    assert!(served.stderr.text().contains("Warning: calls will fail"));
    served.stopped().await;
}

#[tokio::test]
async fn a_missing_interpreter_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    std::fs::write(&path, "#!/nonexistent/interpreter\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let served = serve_config(config(&[("fprocess", path.to_str().unwrap())]), dir).await;
    let reply = served.get("/").await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("interpreter"), "{}", reply.body);
    served.stopped().await;
}

#[tokio::test]
async fn failing_without_output_is_500_and_marked_as_a_crash() {
    let served = serve_script("exit 3", &[]).await;
    let reply = served.post("/", "x").await;
    assert_eq!(reply.status, 500);
    assert_eq!(reply.body, "the function ended with exit status: 3\n");
    assert_eq!(reply.header("x-openfaas-internal"), Some("of-watchdog"));
    assert_eq!(reply.header("x-openfaas-reason"), Some("function-crashed"));
    served.stopped().await;
}

#[tokio::test]
async fn ending_well_without_output_is_an_empty_200() {
    let served = serve(&[("fprocess", "true"), ("content_type", "text/x-own")]).await;
    let reply = served.post("/", "x").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("content-type"), Some("text/x-own"));
    served.stopped().await;
}

#[tokio::test]
async fn failing_after_output_cuts_the_reply() {
    for end in ["exit 1", "kill -9 $$"] {
        let served = serve_script(&format!("echo begun; sleep 0.2; {end}"), &[]).await;
        let mut raw = Raw::open(served.address).await;
        raw.send("GET / HTTP/1.1\r\nhost: f\r\n\r\n").await;
        let reply = raw.rest().await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains("begun\n"), "{reply}");
        assert!(!reply.contains("\r\n0\r\n"), "looks complete: {reply}");
        served.stderr.until("(cut short)").await;
        served.stopped().await;
    }
}

#[tokio::test]
async fn the_reply_begins_before_the_program_ends() {
    let served = serve_script(
        "echo early; while [ ! -e go ]; do sleep 0.02; done; echo late",
        &[],
    )
    .await;
    let mut response = client().get(served.url("/")).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "early\n");
    std::fs::write(served.file("go"), "").unwrap();
    assert_eq!(response.text().await.unwrap(), "late\n");
    served.stopped().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_whole_process_group() {
    // Before and after the reply has begun.
    for output in ["", "echo begun"] {
        let served = serve_script(
            &format!("sleep 1000 & echo $! > grandchild; echo $$ > child; {output}\nwait"),
            &[],
        )
        .await;
        let mut raw = Raw::open(served.address).await;
        raw.send("POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 1\r\n\r\nx")
            .await;
        let child = number_in(&served.file("child")).await;
        let grandchild = number_in(&served.file("grandchild")).await;
        if !output.is_empty() {
            raw.until("begun").await;
        }
        assert!(runs(child) && runs(grandchild));
        drop(raw);
        wait("both to end", || !runs(child) && !runs(grandchild)).await;
        served.stderr.until("the client left").await;
        served.stopped().await;
    }
}

#[tokio::test]
async fn half_a_body_is_not_taken_for_the_whole() {
    let served = serve_script(
        "echo $$ > child; cat > /dev/null; touch finished",
        &[("read_timeout", "300ms")],
    )
    .await;
    let mut raw = Raw::open(served.address).await;
    raw.send("POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    let child = number_in(&served.file("child")).await;
    let reply = raw.until("read_timeout").await;
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    wait("the program to end", || !runs(child)).await;
    assert!(!served.file("finished").exists());
    served.stopped().await;
}

#[tokio::test]
async fn a_body_that_is_not_read_does_not_stand_in_the_way_of_the_reply() {
    let served = serve(&[("fprocess", "echo done")]).await;
    let reply = served.post("/", vec![b'x'; 8_000_000]).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "done\n"));
    served.stopped().await;
}

#[tokio::test]
async fn the_client_is_told_to_go_on_when_it_asks() {
    let served = serve(&[("fprocess", "cat")]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        .await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send("hi").await;
    raw.until("hi").await;
    served.stopped().await;
}

#[tokio::test]
async fn head_lets_the_program_finish() {
    let served = serve_script("echo output; sleep 0.2; touch finished", &[]).await;
    let reply = client().head(served.url("/")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(served.file("finished").exists());
    served.stopped().await;
}

#[tokio::test]
async fn stderr_is_logged_or_joins_the_reply() {
    let text = "echo out; echo err >&2";
    let served = serve_script(text, &[]).await;
    assert_eq!(served.get("/").await.body, "out\n");
    served.stderr.until("stderr: err\n").await;
    served.stopped().await;

    let served = serve_script(text, &[("combine_output", "true")]).await;
    assert_eq!(served.get("/").await.body, "out\nerr\n");
    served.stopped().await;
}

#[tokio::test]
async fn every_process_is_reaped() {
    let served = serve_script("echo $$; exit $(( $$ % 2 ))", &[]).await;
    for _ in 0..10 {
        let mut raw = Raw::open(served.address).await;
        raw.send("GET / HTTP/1.1\r\nhost: f\r\nconnection: close\r\n\r\n")
            .await;
        raw.rest().await;
    }
    let own = std::process::id().to_string();
    tokio::time::timeout(PATIENCE, async {
        while zombies_of(&own).iter().any(|name| name == "sh") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("no zombies");
    served.stopped().await;
}

/// The names of a process's children that ended and were not waited for.
fn zombies_of(parent: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let (head, tail) = stat.rsplit_once(") ").unwrap();
        if tail.starts_with('Z') && tail.split(' ').nth(1) == Some(parent) {
            names.push(head.split_once('(').unwrap().1.to_owned());
        }
    }
    names
}
