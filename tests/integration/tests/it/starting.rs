//! Flags, variables, addresses, credentials and exit codes.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::json;
use tokio::process::Command;

use crate::support::{PATIENCE, Place, Provider, binary, failing, image, process, until, with};

/// Runs the last line of a banner, which deploys `env` and calls it.
async fn the_command_to_try_works(banner: &str) {
    let next = banner.lines().last().unwrap().trim();
    let output = Command::new("/bin/sh")
        .args(["-c", next])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("OPENFAAS_NAME=env"), "{next}: {said}");
}

#[tokio::test]
async fn a_log_that_nobody_takes_any_more_costs_no_reply() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command();
    command.stderr(writer);
    let provider = Provider::start(command).await;
    // Each is a line of the log.
    provider.deployed(process("one", "cat")).await;
    provider.deployed(process("two", "cat")).await;
    assert_eq!(provider.called("two", "hello").await, "hello");
}

#[tokio::test]
async fn what_is_printed_says_what_is_protected_and_what_to_try() {
    let place = Place::new();
    let mut provider = place.start().await;
    let banner = &provider.banner;
    for wanted in [
        "no credentials are asked for",
        "not isolated from each other",
        "upstream_timeout 60s",
        "standalone",
    ] {
        assert!(banner.contains(wanted), "{wanted} is not in {banner}");
    }
    the_command_to_try_works(banner).await;
    assert!(provider.end("-TERM").await.success());
}

#[tokio::test]
async fn help_begins_with_what_functions_may_do() {
    let output = Command::new(binary()).arg("--help").output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let at = |wanted: &str| {
        words
            .find(wanted)
            .unwrap_or_else(|| panic!("{wanted}: {words}"))
    };
    let first = at("Functions run as the user that runs this provider and are not isolated");
    assert!(first < at("Usage:"));
    for wanted in [
        "--listen",
        "--state-dir",
        "--functions-dir",
        "--role",
        "--run-as",
        "Exit codes",
    ] {
        at(wanted);
    }
}

#[tokio::test]
async fn one_flag_is_enough() {
    let place = Place::new();
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("HOME", place.path("."))
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let provider = Provider::start(command).await;
    assert_eq!(provider.list().await, serde_json::json!([]));
    let state = place.path(".local/state/faas-process");
    assert_eq!(
        fs::metadata(state).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[tokio::test]
async fn an_ephemeral_provider_leaves_nothing() {
    let place = Place::new();
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", place.path("tmp"))
        .arg("--ephemeral")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut provider = Provider::start(command).await;
    assert!(!provider.url.ends_with(":0") && !provider.url.ends_with(":8080"));
    provider.deployed(process("echo", "cat")).await;
    assert_eq!(provider.called("echo", "kept?").await, "kept?");
    assert!(fs::read_dir(place.path("tmp")).unwrap().count() > 0);
    assert_eq!(provider.end("-INT").await.code(), Some(0));
    assert_eq!(fs::read_dir(place.path("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_taken_port_is_refused_and_another_one_offered() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let mut command = Command::new(binary());
    command.args(["--listen", &address, "--state-dir", &place.text("state")]);
    let (code, said) = failing(command).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
    let offered = said.split(" is free").next().unwrap();
    let offered = offered.rsplit(' ').next().unwrap();
    assert!(TcpListener::bind(offered).is_ok(), "{said}");
}

#[tokio::test]
async fn a_bad_address_is_refused() {
    let place = Place::new();
    for bad in [
        "nonsense",
        "127.0.0.1:99999",
        "no.such.host.invalid:80",
        "unix:",
    ] {
        let mut command = Command::new(binary());
        command.args(["--listen", bad, "--state-dir", &place.text("state")]);
        let (code, said) = failing(command).await;
        assert_eq!(code, 3, "{bad}: {said}");
        assert!(said.contains(bad), "{bad}: {said}");
    }
}

#[tokio::test]
async fn others_are_not_let_in_without_credentials() {
    let place = Place::new();
    let mut command = Command::new(binary());
    command.args(["--listen", "0.0.0.0:0", "--state-dir", &place.text("state")]);
    let (code, said) = failing(command).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("basic_auth"), "{said}");
}

#[tokio::test]
async fn a_refused_address_is_refused_before_anything_is_kept_or_started() {
    let place = Place::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = (tcp.local_addr().unwrap().to_string(), tcp);
    let socket = place.path("taken.sock");
    let unix = UnixListener::bind(&socket).unwrap();
    let socket = format!("unix:{}", socket.display());
    let refused = || async {
        for arguments in [
            &["--listen", &tcp.0][..],
            &["--listen", &socket],
            &["--listen", "0.0.0.0:0"],
            &["--listen", "127.0.0.1:0", "--system-listen", &tcp.0],
            &["--listen", "127.0.0.1:0", "--system-listen", "0.0.0.0:0"],
            &["--listen", "127.0.0.1:0", "--metrics-listen", &tcp.0],
        ] {
            let mut command = Command::new(binary());
            command.args(arguments);
            command.args(["--state-dir", &place.text("state")]);
            let (code, said) = failing(command).await;
            assert_eq!(code, 3, "{arguments:?}: {said}");
        }
    };
    refused().await;
    assert!(!place.path("state").exists(), "something was kept");

    place.script(
        "counts",
        "#!/bin/sh\necho start >> $TMPDIR/starts\nexec sleep 300\n",
    );
    let starts = || {
        let text = fs::read_to_string(place.path("tmp/starts")).unwrap_or_default();
        text.lines().count()
    };
    let mut provider = place.start().await;
    let deployment = with(image("counts", "counts"), json!({"mode": "http"}));
    provider.deployed(deployment).await;
    until("its start", || starts() == 1).await;
    provider.end("-TERM").await;
    refused().await;
    assert_eq!(starts(), 1);
    drop((tcp, unix));
    // It is one that is started where nothing is refused.
    let _provider = place.start().await;
    until("its start", || starts() == 2).await;
}

#[tokio::test]
async fn one_provider_at_a_time_has_a_state_directory() {
    let place = Place::new();
    let first = place.start().await;
    first.deployed(process("echo", "cat")).await;
    let (code, said) = failing(place.command()).await;
    assert_eq!(code, 4, "{said}");
    let state = place.text("state");
    let wanted = format!(
        "the state directory {state} is in use by process {}",
        first.pid()
    );
    assert!(said.contains(&wanted), "{said}");
    // The first one does not notice.
    assert_eq!(first.called("echo", "still here").await, "still here");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_refused() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let mut command = Command::new(binary());
    let below = place.text("file/state");
    command.args(["--listen", "127.0.0.1:0", "--state-dir", &below]);
    let (code, said) = failing(command).await;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(&below), "{said}");

    let mut command = Command::new(binary());
    let (state, none) = (place.text("state"), place.text("none"));
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        &state,
        "--functions-dir",
        &none,
    ]);
    let (code, said) = failing(command).await;
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("functions directory") && said.contains(&none),
        "{said}"
    );
    assert!(!place.path("state").exists(), "something was left");
}

#[tokio::test]
async fn a_wrong_value_is_named() {
    let place = Place::new();
    for (name, value) in [
        ("basic_auth", "yes"),
        ("upstream_timeout", "soon"),
        ("role", "gateway"),
        ("port", "http"),
        ("RUST_LOG", "a=b=c"),
    ] {
        let mut command = place.command();
        command.env(name, value);
        let (code, said) = failing(command).await;
        assert_eq!(code, 2, "{name}: {said}");
        assert!(said.contains(name), "{name}: {said}");
    }
    for arguments in [
        &["--role", "x"][..],
        &["--run-as", "no-such-user"],
        &["--no-such-flag"],
    ] {
        let mut command = place.command();
        command.args(arguments);
        let (code, said) = failing(command).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(arguments.last().unwrap()), "{said}");
    }
}

#[tokio::test]
async fn credentials_are_asked_for_or_it_does_not_start() {
    let place = Place::new();
    let secrets = place.text("secrets");
    let with_auth = || {
        let mut command = place.command();
        command
            .env("basic_auth", "true")
            .env("secret_mount_path", &secrets);
        command
    };
    let (code, said) = failing(with_auth()).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("basic-auth-user"), "{said}");

    fs::create_dir(&secrets).unwrap();
    fs::write(place.path("secrets/basic-auth-user"), "admin\n").unwrap();
    fs::write(place.path("secrets/basic-auth-password"), "\n").unwrap();
    let (code, said) = failing(with_auth()).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("basic-auth-password"), "{said}");

    fs::write(place.path("secrets/basic-auth-password"), "pass word\n").unwrap();
    let provider = Provider::start(with_auth()).await;
    let reply = provider.get("/system/functions").await;
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    let reply = provider
        .client
        .get(format!("{}/system/functions", provider.url))
        .basic_auth("admin", Some("pass word"))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(provider.get("/healthz").await.status(), StatusCode::OK);
    the_command_to_try_works(&provider.banner).await;
}

#[tokio::test]
async fn a_unix_socket_is_private_and_removed() {
    let place = Place::new();
    let socket = place.path("api.sock");
    let mut command = Command::new(binary());
    command
        .args(["--listen", &format!("unix:{}", socket.display())])
        .args(["--state-dir", &place.text("state")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut provider = Provider::start(command).await;
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "others can write to it");
    the_command_to_try_works(&provider.banner).await;
    assert!(provider.end("-TERM").await.success());
    assert!(!socket.exists());
}

#[tokio::test]
async fn system_calls_and_metrics_can_have_addresses_of_their_own() {
    let place = Place::new();
    let mut command = place.command();
    command.args([
        "--system-listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    let mut provider = Provider::start(command).await;
    let first = provider.banner.lines().next().unwrap().to_owned();
    let urls: Vec<&str> = first
        .split(' ')
        .filter(|word| word.starts_with("http"))
        .collect();
    let [main, system, metrics] = urls[..] else {
        panic!("{first}");
    };
    provider.url = system.to_owned();
    provider.deployed(process("echo", "cat")).await;
    assert_eq!(
        provider.get("/function/echo").await.status(),
        StatusCode::NOT_FOUND
    );
    provider.url = main.to_owned();
    assert_eq!(provider.called("echo", "here").await, "here");
    assert_eq!(
        provider.get("/system/functions").await.status(),
        StatusCode::NOT_FOUND
    );
    provider.url = metrics.to_owned();
    assert_eq!(provider.get("/metrics").await.status(), StatusCode::OK);
    assert_eq!(
        provider.get("/system/functions").await.status(),
        StatusCode::NOT_FOUND
    );
    tokio::time::timeout(PATIENCE, provider.end("-TERM"))
        .await
        .unwrap();
}
