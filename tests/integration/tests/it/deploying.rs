//! What an image and a command may be, and what is refused with nothing left behind.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Place, Provider, children, image, process, until, with};

/// Nothing of a refused deployment is there.
async fn nothing_is_left(place: &Place, provider: &Provider) {
    assert_eq!(provider.list().await, json!([]));
    assert_eq!(children(&provider.pid()), Vec::<String>::new());
    let left: Vec<_> = fs::read_dir(place.path("state/run/0"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name != ".lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn every_form_of_image_and_command_runs() {
    let place = Place::new();
    place.script("single", "#!/bin/sh\necho single in $(basename $PWD)\n");
    place.script("app/handler", "#!/bin/sh\necho $1 in $(basename $PWD)\n");
    let provider = place.start().await;
    let both = |name: &str, image: &str, command: &str| json!({"service": name, "image": image, "envProcess": command});
    for (deployment, said) in [
        (image("a", "single"), "single in work"),
        (
            image("b", &place.text("functions/single")),
            "single in work",
        ),
        (both("c", "app", "handler x"), "x in app"),
        (both("d", "app", "./handler y"), "y in app"),
        (
            both("e", &place.text("functions/app"), "handler z"),
            "z in app",
        ),
        (both("f", "app", "echo from-path"), "from-path"),
        (process("g", "echo pulled nothing"), "pulled nothing"),
        (
            process("h", &place.text("functions/single")),
            "single in work",
        ),
    ] {
        let name = deployment["service"].as_str().unwrap().to_owned();
        provider.deployed(deployment).await;
        assert_eq!(provider.called(&name, "").await.trim(), said);
    }
}

#[tokio::test]
async fn the_status_says_that_an_image_was_not_run() {
    let place = Place::new();
    let provider = place.start().await;
    let reply = provider
        .system(Method::POST, "functions", process("env", "env"))
        .await;
    assert_eq!(reply.status(), StatusCode::ACCEPTED);
    let warning = reply.headers()["warning"].to_str().unwrap().to_owned();
    assert!(warning.contains("ghcr.io/openfaas/alpine"), "{warning}");
    let status = provider.status("env").await;
    let said = status["annotations"]["dev.provider.image-not-run"].as_str();
    assert!(
        said.unwrap().contains("ghcr.io/openfaas/alpine"),
        "{status}"
    );
    assert_eq!(status["image"], "ghcr.io/openfaas/alpine");
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_its_cause_and_leaves_nothing() {
    let place = Place::new();
    place.script("no-shell", "#!/no/such/shell\n");
    place.script("no-line", "echo hi\n");
    place.script("plain", "#!/bin/sh\n");
    let plain = place.path("functions/plain");
    fs::set_permissions(plain, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(place.path("functions/dir")).unwrap();
    let provider = place.start().await;
    let cases: Vec<(Value, &[&str])> = vec![
        (
            image("f", "ghcr.io/openfaas/alpine"),
            &["local programs", "no images", "envProcess"],
        ),
        (
            process("f", "no-such-program"),
            &["no-such-program", "does not exist"],
        ),
        (
            process("f", "/no/such/program"),
            &["/no/such/program", "does not exist"],
        ),
        (image("f", "/no/such/program"), &["does not exist"]),
        (process("f", "/etc/passwd"), &["not executable"]),
        (image("f", "plain"), &["not executable"]),
        (
            image("f", "no-shell"),
            &["/no/such/shell", "does not exist"],
        ),
        (image("f", "no-line"), &["interpreter"]),
        (image("f", "dir"), &["directory", "envProcess"]),
        (process("f", "/usr"), &["directory"]),
        (image("f", "../functions/plain"), &[".."]),
        (process("f", "sh -c 'date'"), &["quote", "script"]),
        (process("f", "date | wc"), &["shell"]),
        (
            with(process("f", "cat"), json!({"mode": "inproc"})),
            &["inproc", "streaming"],
        ),
        (
            with(process("f", "cat"), json!({"exec_timeout": "soon"})),
            &["exec_timeout", "soon"],
        ),
        (
            with(
                process("f", "cat"),
                json!({"mode": "http", "upstream_url": "http://x:1"}),
            ),
            &["upstream_url", "127.0.0.1"],
        ),
        (json!({"service": "f"}), &["image"]),
        (image("../f", "plain"), &["../f"]),
        (
            json!({"service": "f", "image": "x", "envProcess": "cat", "secrets": ["none"]}),
            &["none"],
        ),
    ];
    for (deployment, wanted) in cases {
        let (status, said) = provider.deploy(&deployment).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{deployment}: {said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "{deployment}: {said}");
        }
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    nothing_is_left(&place, &provider).await;
}

#[tokio::test]
async fn malformed_and_oversized_bodies_are_refused() {
    let place = Place::new();
    let provider = place.start().await;
    for (body, status) in [
        ("{".to_owned(), StatusCode::BAD_REQUEST),
        (String::new(), StatusCode::BAD_REQUEST),
        (
            format!("\"{}\"", "x".repeat(11 * 1024 * 1024)),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let url = format!("{}/system/functions", provider.url);
        let reply = provider.client.post(url).body(body).send().await.unwrap();
        assert_eq!(reply.status(), status);
    }
    nothing_is_left(&place, &provider).await;
}

#[tokio::test]
async fn a_program_that_exits_at_once_is_said_to_in_the_reply_or_the_status() {
    let place = Place::new();
    place.script("dies", "#!/bin/sh\necho no config >&2\nexit 7\n");
    let provider = place.start().await;
    let deployment = with(image("dies", "dies"), json!({"mode": "http"}));
    let (status, said) = provider.deploy(&deployment).await;
    if status == StatusCode::ACCEPTED {
        provider.available("dies", 0).await;
        let text = provider.status("dies").await.to_string();
        assert!(text.contains("code 7"), "{text}");
    } else {
        assert!(said.contains("code 7"), "{said}");
    }
    let (status, said) = provider.call("dies", "").await;
    assert!(
        matches!(status.as_u16(), 502..=504 | 404),
        "{status}: {said}"
    );
    if status != StatusCode::NOT_FOUND {
        assert_eq!(provider.delete("dies").await, StatusCode::ACCEPTED);
        until("its end", || children(&provider.pid()).is_empty()).await;
    }
    nothing_is_left(&place, &provider).await;
}

#[tokio::test]
async fn a_program_that_never_listens_is_not_called_in_vain() {
    let place = Place::new();
    place.script("deaf", "#!/bin/sh\nexec sleep 300\n");
    let mut command = place.command();
    command.env("resolve_timeout", "300ms");
    let provider = Provider::start(command).await;
    provider
        .deployed(with(image("deaf", "deaf"), json!({"mode": "http"})))
        .await;
    let status = provider.status("deaf").await;
    assert!(status.get("availableReplicas").is_none(), "{status}");
    let (status, said) = provider.call("deaf", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    for words in [
        "deaf",
        "within 300ms (resolve_timeout): nothing listens on 127.0.0.1:",
        "the program must listen on the port in its variable PORT",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let status = provider.status("deaf").await;
    let why = status["annotations"]["dev.provider.status"].as_str();
    assert!(why.unwrap().contains("nothing listens on"), "{status}");
    provider.delete("deaf").await;
    until("its end", || children(&provider.pid()).is_empty()).await;
}

#[tokio::test]
async fn a_second_instance_on_a_fixed_port_is_refused_with_words() {
    let place = Place::new();
    place.script("server", crate::support::SERVER);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let provider = place.start().await;
    let fixed = json!({"mode": "http", "upstream_url": format!("http://127.0.0.1:{port}"),
        "PORT": port.to_string(), "VERSION": "1"});
    provider
        .deployed(with(image("fixed", "server"), fixed))
        .await;
    let answer = provider.called("fixed", "").await;
    assert!(answer.ends_with(" 1"), "{answer}");
    let body = json!({"serviceName": "fixed", "replicas": 2});
    let reply = provider
        .system(Method::POST, "scale-function/fixed", body)
        .await;
    let status = reply.status();
    let said = reply.text().await.unwrap();
    assert!(status.is_client_error(), "{status}: {said}");
    assert!(said.contains(&port.to_string()), "{said}");
    assert_eq!(provider.status("fixed").await["replicas"], json!(1));
    tokio::time::timeout(PATIENCE, provider.delete("fixed"))
        .await
        .unwrap();
}
