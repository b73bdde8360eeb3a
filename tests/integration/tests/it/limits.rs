//! Limits, what the host has, usage, and what the doctor says.

use std::process::Stdio;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Place, Provider, binary, failing, image, process};

/// Takes as many MiB as it is sent, and holds them.
const HOG: &str = r#"#!/usr/bin/perl
my @held;
for (1 .. <STDIN>) { push @held, "x" . ("a" x 1048575); select undef, undef, undef, 0.002 }
print "held"; $| = 1; print ""; sleep 60;
"#;

fn limited(mut deployment: Value, field: &str, resources: Value) -> Value {
    deployment[field] = resources;
    deployment
}

#[tokio::test]
async fn a_function_that_runs_out_of_memory_says_so_in_its_status_and_logs_and_comes_back() {
    for way in ["auto", "watch"] {
        let place = Place::new();
        place.script("hog", HOG);
        let mut command = place.command();
        command.args(["--limits", way]);
        let provider = Provider::start(command).await;
        assert!(
            provider.banner.contains("  limits    memory"),
            "{}",
            provider.banner
        );
        let limits = json!({"memory": "32Mi"});
        provider
            .deployed(limited(image("it", "hog"), "limits", limits))
            .await;
        let shown = provider.status("it").await["annotations"]["dev.provider.limits"].to_string();
        assert!(shown.contains("memory 32Mi"), "{shown}");

        // It is cut off.
        let url = format!("{}/function/it", provider.url);
        let _ = provider.client.post(url).body("60").send().await;
        let mut said = String::new();
        for _ in 0..400 {
            said = provider.status("it").await["annotations"].to_string();
            if said.contains("out of memory") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert!(said.contains("ran out of memory"), "{way}: {said}");
        assert!(said.contains("it may use 32Mi\""), "{way}: {said}");
        provider.available("it", 1).await;
        let logs = provider.get("/system/logs?name=it&follow=false").await;
        let logs = logs.text().await.unwrap();
        assert!(logs.contains("ran out of memory"), "{way}: {logs}");
    }
}

#[tokio::test]
async fn a_request_for_more_than_the_host_has_is_refused_with_numbers() {
    let place = Place::new();
    let provider = place.start().await;
    let asks = |field: &str, memory: &str| {
        limited(process("it", "cat"), field, json!({ "memory": memory }))
    };
    for (field, wrong) in [("limits", "1Pi"), ("requests", "1Pi"), ("limits", "-1Mi")] {
        let (status, words) = provider.deploy(&asks(field, wrong)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{words}");
        assert!(words.contains(field) && words.contains(wrong), "{words}");
    }
    let mut both = asks("requests", "2Gi");
    both["limits"] = json!({"memory": "1Gi"});
    let (status, words) = provider.deploy(&both).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(words.contains("2Gi") && words.contains("1Gi"), "{words}");

    let each = format!("{}Ki", memory_kib() * 4 / 10);
    provider.deployed(asks("requests", &each)).await;
    assert_eq!(provider.scale("it", 2).await, StatusCode::ACCEPTED);
    assert_eq!(provider.scale("it", 3).await, StatusCode::BAD_REQUEST);
    assert_eq!(provider.status("it").await["replicas"], json!(2));
    let other = limited(
        process("other", "cat"),
        "requests",
        json!({ "memory": each }),
    );
    let (status, words) = provider.deploy(&other).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{words}");
    assert!(words.contains("GiB") && words.contains("left"), "{words}");
    assert_eq!(provider.scale("it", 1).await, StatusCode::ACCEPTED);
    provider.deployed(other).await;
}

fn memory_kib() -> u64 {
    let all = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = all.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let line = line.unwrap().trim().trim_end_matches("kB");
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn what_functions_use_is_in_their_status_and_in_the_metrics() {
    let place = Place::new();
    let provider = place.start().await;
    place.script(
        "burns",
        "#!/usr/bin/perl\nwhile ((times)[0] < 0.3) { $x++ for (1..10000) }\n",
    );
    provider.deployed(image("it", "burns")).await;
    provider.called("it", "").await;
    let usage = provider.get("/system/function/it?usage=1").await;
    let usage: Value = usage.json().await.unwrap();
    assert!(
        usage["usage"]["totalMemoryBytes"].as_f64() > Some(100_000.0),
        "{usage}"
    );
    let metrics = provider.get("/metrics").await.text().await.unwrap();
    let value = |name: &str| -> f64 {
        let labels = "{function=\"it\",namespace=\"openfaas-fn\"} ";
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(labels));
        line.unwrap_or_else(|| panic!("{name}: {metrics}"))
            .parse()
            .unwrap()
    };
    let cpu = value("provider_function_cpu_seconds_total");
    assert!((0.25..3.0).contains(&cpu), "{cpu} s");
    assert!(value("provider_function_memory_bytes") > 100_000.0);
}

/// The exit code of the doctor and what it found.
async fn examined(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, Value) {
    let mut command = Command::new(binary());
    command
        .args(["doctor", "--json"])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(20), command.output()).await;
    let output = output.expect("it ends").unwrap();
    let found = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), found)
}

/// What was found under a name, as `STATUS: FOUND | MEND`.
fn found(report: &Value, name: &str) -> String {
    let checks = report["checks"].as_array().unwrap().iter();
    let named = checks.filter(|check| check["name"] == name);
    named
        .map(|check| {
            format!(
                "{}: {} | {}",
                check["status"], check["found"], check["mend"]
            )
        })
        .collect()
}

#[tokio::test]
async fn the_doctor_finds_what_keeps_a_provider_from_working_and_how_to_mend_it() {
    let place = Place::new();
    let state = place.text("state");
    let (code, report) = examined(&["--state-dir", &state, "--listen", "127.0.0.1:0"], &[]).await;
    assert_eq!((code, &report["ok"]), (0, &json!(true)), "{report}");
    for name in [
        "limits",
        "sandbox",
        "open files",
        "processes",
        "clock",
        "disk",
        "state",
    ] {
        assert!(!found(&report, name).is_empty(), "{name}: {report}");
    }

    let provider = place.start().await;
    let address = provider.url.trim_start_matches("http://").to_owned();
    let (code, report) = examined(&["--state-dir", &state, "--listen", &address], &[]).await;
    assert_eq!(code, 0, "{report}");
    let pid = provider.pid();
    assert!(found(&report, "provider").contains(&pid), "{report}");
    assert!(
        found(&report, "address").contains("the provider that runs"),
        "{report}"
    );

    // Somebody else's port, no credentials, a gateway that is not there.
    let other = place.text("other");
    let arguments = [
        "--state-dir",
        &other,
        "--listen",
        &address,
        "--role",
        "provider",
    ];
    let variables = [("gateway_url", "http://127.0.0.1:1")];
    let (code, report) = examined(&arguments, &variables).await;
    assert_eq!((code, &report["ok"]), (1, &json!(false)), "{report}");
    let taken = found(&report, "address");
    assert!(taken.contains("fail") && taken.contains(&pid), "{taken}");
    assert!(found(&report, "role").contains("--basic-auth"), "{report}");
    assert!(found(&report, "gateway").contains("warn"), "{report}");

    let (code, report) = examined(&["--state-dir", "/proc/version"], &[]).await;
    assert_eq!(code, 1);
    assert!(found(&report, "state").contains("fail"), "{report}");
    let (code, report) = examined(&[], &[("HOME", "/root"), ("read_timeout", "soon")]).await;
    assert_eq!(code, 1);
    assert!(
        found(&report, "settings").contains("read_timeout"),
        "{report}"
    );
}

#[tokio::test]
async fn a_way_that_this_host_has_not_is_refused_at_the_start() {
    let place = Place::new();
    let mut command = place.command();
    command.args(["--limits", "cgroup-v3"]);
    let (code, said) = failing(command).await;
    assert_eq!(code, 2);
    assert!(said.contains("cgroup-v2"), "{said}");
}
