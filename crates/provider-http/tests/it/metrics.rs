//! What `/metrics` says, and who counts what.

use std::time::Duration;

use provider_http::{BasicAuth, Config, Credentials, Role};
use provider_types::{FunctionLogReading, FunctionRef, LogReading, Namespace};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Running, start};
use crate::upstream;

async fn metrics(server: &Running) -> String {
    let reply = server.ask("GET", "/metrics", "").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("content-type")
            .starts_with("text/plain; version=0.0.4"),
        "{reply:?}"
    );
    reply.body
}

/// The value of a series, without which the test fails.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|r| r.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn with_function(role: Role) -> Running {
    let server = start(|s| s.role(role)).await;
    server.backend.add("f");
    *server.backend.upstream.lock().unwrap() = Some(upstream::start().await);
    server
}

/// A call has ended a moment after its last byte was read.
async fn settled(server: &Running) -> String {
    let wait = async {
        loop {
            let text = metrics(server).await;
            let series = "provider_function_invocations_in_flight{function=\"f\",namespace=\"openfaas-fn\"} 0";
            if text.contains(series) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("a call never ended")
}

#[tokio::test]
async fn system_calls_are_counted_under_the_sdks_names_with_bounded_paths() {
    let server = start(|s| s).await;
    for (method, target) in [
        ("GET", "/system/functions"),
        ("GET", "/system/function/one"),
        ("GET", "/system/function/two"),
        ("POST", "/system/scale-function/one"),
        ("GET", "/system/namespace/one"),
        ("GET", "/system/namespace/two"),
        ("GET", "/system/namespace/"),
        // Not counted: no route, no method, open.
        ("GET", "/system/nowhere"),
        ("PATCH", "/system/functions"),
        ("GET", "/healthz"),
        ("GET", "/function/absent"),
    ] {
        server.ask(method, target, "").await;
    }
    let text = metrics(&server).await;
    let count = |labels: &str| value(&text, &format!("provider_http_requests_total{{{labels}}}"));
    assert_eq!(
        count(r#"code="200",method="GET",path="/system/functions""#),
        1.0
    );
    assert_eq!(
        count(r#"code="404",method="GET",path="/system/function""#),
        2.0
    );
    assert_eq!(
        count(r#"code="400",method="POST",path="/system/scale-function""#),
        1.0
    );
    assert_eq!(
        count(r#"code="404",method="GET",path="/system/namespace""#),
        2.0
    );
    assert_eq!(
        count(r#"code="400",method="GET",path="/system/namespace""#),
        1.0
    );
    let lines = text
        .lines()
        .filter(|line| line.starts_with("provider_http_requests_total"));
    assert_eq!(lines.count(), 5, "{text}");

    let seconds = "provider_http_request_duration_seconds";
    let labels = r#"code="200",method="GET",path="/system/functions""#;
    for bucket in [
        "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
    ] {
        value(
            &text,
            &format!("{seconds}_bucket{{{labels},le=\"{bucket}\"}}"),
        );
    }
    assert_eq!(value(&text, &format!("{seconds}_count{{{labels}}}")), 1.0);
    assert!(value(&text, "process_resident_memory_bytes") > 0.0);
}

#[tokio::test]
async fn refused_credentials_are_counted() {
    let auth = BasicAuth::new([Credentials::new("admin", "s3cr3t").unwrap()]);
    let server = start(|s| s.auth(std::sync::Arc::new(auth))).await;
    server.ask("GET", "/system/info", "").await;
    // What a client makes up is no label.
    server.ask("BREW", "/system/info", "").await;
    let text = metrics(&server).await;
    assert!(!text.contains("BREW"), "{text}");
    let series = r#"provider_http_requests_total{code="401",method="GET",path="/system/info"}"#;
    assert_eq!(value(&text, series), 1.0);
}

#[tokio::test]
async fn calls_of_functions_are_counted_and_those_of_unknown_ones_are_not() {
    let server = with_function(Role::Provider).await;
    server.ask("GET", "/function/f", "").await;
    server
        .ask("GET", "/function/f.openfaas-fn/status/503", "")
        .await;
    for i in 0..20 {
        server
            .ask("GET", &format!("/function/absent-{i}"), "")
            .await;
    }
    let text = settled(&server).await;
    let f = r#"function="f",namespace="openfaas-fn""#;
    let count = |code: u16| {
        let series = format!("provider_function_invocations_total{{code=\"{code}\",{f}}}");
        value(&text, &series)
    };
    assert_eq!((count(200), count(503)), (1.0, 1.0));
    let seconds = format!("provider_function_invocation_duration_seconds_count{{{f}}}");
    assert_eq!(value(&text, &seconds), 2.0);
    assert!(!text.contains("absent-"), "{text}");
    assert!(!text.contains("gateway_"), "{text}");
    assert!(
        !server
            .ask("GET", "/system/function/f", "")
            .await
            .body
            .contains("invocationCount")
    );
}

#[tokio::test]
async fn a_call_is_in_flight_until_its_last_byte() {
    let server = with_function(Role::Provider).await;
    let calling = async { server.ask("GET", "/function/f/stream/40", "").await };
    let watching = async {
        let series =
            r#"provider_function_invocations_in_flight{function="f",namespace="openfaas-fn"}"#;
        loop {
            let text = metrics(&server).await;
            if text.contains(series) && value(&text, series) == 1.0 {
                return;
            }
        }
    };
    let both = async { tokio::join!(calling, watching) };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("never in flight");
    settled(&server).await;
}

#[tokio::test]
async fn a_standalone_server_has_the_gateways_series_and_counts_invocations() {
    let server = with_function(Role::Standalone).await;
    server.backend.add("g.dev");
    for _ in 0..3 {
        server.ask("GET", "/function/f", "").await;
    }
    server.ask("GET", "/function/f/status/500", "").await;
    let text = settled(&server).await;
    let f = r#"function_name="f.openfaas-fn""#;
    assert_eq!(
        value(
            &text,
            &format!("gateway_function_invocation_started{{{f}}}")
        ),
        4.0
    );
    assert_eq!(
        value(
            &text,
            &format!("gateway_function_invocation_total{{code=\"200\",{f}}}")
        ),
        3.0
    );
    assert_eq!(
        value(
            &text,
            &format!("gateway_function_invocation_total{{code=\"500\",{f}}}")
        ),
        1.0
    );
    assert_eq!(
        value(
            &text,
            &format!("gateway_functions_seconds_count{{code=\"200\",{f}}}")
        ),
        3.0
    );
    assert_eq!(value(&text, &format!("gateway_service_count{{{f}}}")), 1.0);

    let reply = server.ask("GET", "/system/function/f", "").await;
    assert!(reply.body.contains("\"invocationCount\":4,"), "{reply:?}");
    let reply = server.ask("GET", "/system/functions", "").await;
    assert!(reply.body.contains("\"invocationCount\":4,"), "{reply:?}");
}

#[tokio::test]
async fn the_series_of_a_deleted_function_go_with_it() {
    let server = with_function(Role::Standalone).await;
    server.ask("GET", "/function/f", "").await;
    assert!(settled(&server).await.contains("f.openfaas-fn"));
    server
        .ask("DELETE", "/system/functions", r#"{"functionName":"f"}"#)
        .await;
    let text = metrics(&server).await;
    let about_calls = text
        .lines()
        .filter(|line| !line.starts_with("gateway_service_count"));
    assert!(!about_calls.collect::<String>().contains("\"f"), "{text}");
}

#[tokio::test]
async fn the_series_of_a_function_that_vanished_go_when_functions_are_listed() {
    let server = with_function(Role::Provider).await;
    server.ask("GET", "/function/f", "").await;
    settled(&server).await;
    server.backend.functions.lock().unwrap().clear();
    server.ask("GET", "/system/functions", "").await;
    assert!(!metrics(&server).await.contains("function=\"f\""));
}

#[tokio::test]
async fn a_caller_that_leaves_is_counted_as_499() {
    let server = start(|s| {
        let mut config = Config::default();
        config.upstream_timeout = Duration::from_secs(60);
        s.config(config)
    })
    .await;
    server.backend.add("f");
    *server.backend.upstream.lock().unwrap() = Some(upstream::start().await);
    let left = tokio::time::timeout(
        Duration::from_millis(200),
        server.ask("GET", "/function/f/wait/60000", ""),
    );
    assert!(left.await.is_err());
    let text = settled(&server).await;
    let series =
        r#"provider_function_invocations_total{code="499",function="f",namespace="openfaas-fn"}"#;
    assert_eq!(value(&text, series), 1.0);
}

#[tokio::test]
async fn a_call_that_outlives_its_function_does_not_bring_the_series_back() {
    let server = with_function(Role::Standalone).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let request =
        "GET /function/f/stream/20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 16];
    client.read_exact(&mut first).await.unwrap();
    let body = r#"{"functionName":"f"}"#;
    let deleted = server.ask("DELETE", "/system/functions", body).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");

    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("frame 19"), "{rest}");
    // The call ends on its worker right after its last byte: what it wrote would be seen by now.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let text = metrics(&server).await;
    assert!(!text.contains(r#"function="f""#), "{text}");
    assert!(!text.contains("f.openfaas-fn"), "{text}");

    // One of the same name starts from nothing.
    server.backend.add("f");
    server.ask("GET", "/function/f", "").await;
    let calls =
        r#"provider_function_invocations_total{code="200",function="f",namespace="openfaas-fn"}"#;
    assert_eq!(value(&settled(&server).await, calls), 1.0);
}

#[tokio::test]
async fn a_source_that_knows_what_it_keeps_of_log_lines_has_it_in_the_metrics() {
    let server = start(|s| s).await;
    let text = metrics(&server).await;
    assert!(!text.contains("provider_log_"), "{text}");

    let function = FunctionRef::parse_dotted("f.dev", &Namespace::default()).unwrap();
    let mut reading = LogReading::default();
    reading.bytes = 4096;
    reading.segments = 3;
    reading.dropped.not_taken = 1;
    reading.dropped.no_room = 20;
    reading.dropped.failed = 300;
    reading.functions = vec![FunctionLogReading::new(function, 1024, 12, 5)];
    *server.backend.log_reading.lock().unwrap() = Some(reading);
    let text = metrics(&server).await;
    for (series, expected) in [
        ("provider_log_bytes", 4096.0),
        ("provider_log_segments", 3.0),
        (
            "provider_log_dropped_lines_total{reason=\"not_taken\"}",
            1.0,
        ),
        ("provider_log_dropped_lines_total{reason=\"no_room\"}", 20.0),
        (
            "provider_log_dropped_lines_total{reason=\"write_failed\"}",
            300.0,
        ),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    let of_function = |name: &str| {
        value(
            &text,
            &format!("{name}{{function=\"f\",namespace=\"dev\"}}"),
        )
    };
    assert_eq!(of_function("provider_function_log_bytes"), 1024.0);
    assert_eq!(of_function("provider_function_log_lines_total"), 12.0);
    assert_eq!(
        of_function("provider_function_log_dropped_lines_total"),
        5.0
    );
}
