//! What is logged.

use crate::support::{Reply, client, serve, serve_script};

/// Whether a line begins with a date, and what comes after it.
fn after_date(line: &str) -> Option<&str> {
    let (date, rest) = line.split_at_checked(20)?;
    let shape: String = date
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    (shape == "9999/99/99 99:99:99 ").then_some(rest)
}

/// The lines that end with a call, without what varies.
fn calls(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(after_date)
        .filter_map(|line| {
            let (call, rest) = line.split_once("B (")?;
            let (seconds, id) = rest.split_once("s)")?;
            let decimals = seconds.split_once('.')?.1;
            assert_eq!(decimals.len(), 4, "{line}");
            Some(format!("{call}B{id}"))
        })
        .collect()
}

#[tokio::test]
async fn a_call_is_logged_as_the_watchdogs_do() {
    let served = serve(&[("fprocess", "cat")]).await;
    served.post("/some?path", "x".repeat(83)).await;
    let log = served.stderr.until("(0.").await;
    assert_eq!(calls(&log), ["POST /some?path - 200 - ContentLength: 83B"]);
    let log = served.stderr.until("Wrote 83 Bytes - Duration: 0.").await;
    assert!(log.contains(" Forking fprocess.\n"), "{log}");
    served.stopped().await;
}

#[tokio::test]
async fn a_forwarded_call_is_logged_with_the_words_of_its_status() {
    let upstream = crate::http::Upstream::start().await;
    let served = upstream.serve(&[("log_callid", "true")]).await;
    let request = client()
        .post(served.url("/echo"))
        .header("X-Call-Id", "7-8");
    request
        .body("hello")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    served.get("/missing").await;
    let log = served.stderr.until("[none]").await;
    assert_eq!(
        calls(&log),
        [
            "POST /echo - 200 OK - ContentLength: 5B [7-8]",
            "GET /missing - 404 Not Found - ContentLength: 0B [none]"
        ]
    );
    served.stopped().await;
}

#[tokio::test]
async fn health_checks_are_not_logged() {
    let served = serve(&[("fprocess", "cat")]).await;
    served.get("/_/health").await;
    let probe = client()
        .get(served.url("/"))
        .header("user-agent", "kube-probe/1.29");
    Reply::of(probe.send().await.unwrap()).await;
    served.get("/after").await;
    let log = served.stderr.until("GET /after").await;
    assert_eq!(calls(&log), ["GET /after - 200 - ContentLength: 0B"]);
    served.stopped().await;
}

#[tokio::test]
async fn a_programs_lines_are_prefixed_unless_switched_off() {
    let served = serve_script("echo one >&2", &[]).await;
    served.get("/").await;
    let log = served.stderr.until("stderr: one\n").await;
    assert!(
        log.lines()
            .filter_map(after_date)
            .any(|line| line == "stderr: one")
    );
    served.stopped().await;

    let served = serve_script("echo one >&2", &[("prefix_logs", "false")]).await;
    served.get("/").await;
    let log = served.stderr.until("one\n").await;
    assert!(log.lines().any(|line| line == "one"), "{log}");
    served.stopped().await;
}

#[tokio::test]
async fn lines_of_any_length_are_logged_and_reading_goes_on() {
    let text = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2";
    let served = serve_script(
        text,
        &[("prefix_logs", "false"), ("log_buffer_size", "65536")],
    )
    .await;
    served.get("/").await;
    let log = served.stderr.until("\nlast\n").await;
    let mark = " [cut: it goes on in the next line]";
    let pieces: Vec<&str> = log.lines().filter(|line| line.starts_with("xx")).collect();
    let marked = pieces.iter().filter(|piece| piece.ends_with(mark));
    assert_eq!(marked.count(), pieces.len() - 1);
    let long: Vec<usize> = pieces
        .iter()
        .map(|piece| piece.strip_suffix(mark).unwrap_or(piece).len())
        .collect();
    assert_eq!(long.iter().sum::<usize>(), 3_000_000);
    assert!(long.iter().all(|length| *length <= 65_536), "{long:?}");
    served.stopped().await;
}

#[tokio::test]
async fn unsupported_variables_of_the_classic_watchdog_are_told() {
    let vars = [
        ("fprocess", "cat"),
        ("write_debug", "true"),
        ("marshal_request", "false"),
    ];
    let served = serve(&vars).await;
    let log = served.stderr.until("Listening on").await;
    assert!(log.contains("Warning: write_debug "), "{log}");
    assert!(!log.contains("marshal_request"), "{log}");
    served.stopped().await;
}

#[tokio::test]
async fn calls_are_measured() {
    let served = serve(&[("fprocess", "cat")]).await;
    served.post("/", "x").await;
    served.stderr.until("POST / - 200").await;
    let reply = client()
        .get(format!("http://{}/metrics", served.metrics))
        .send();
    let reply = Reply::of(reply.await.unwrap()).await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "http_requests_total{code=\"200\",method=\"post\"} 1",
        "http_request_duration_seconds_count{code=\"200\",method=\"post\"} 1",
        "http_requests_in_flight 0",
    ] {
        assert!(reply.body.lines().any(|l| l == line), "{}", reply.body);
    }
    served.stopped().await;
}
