//! The state directory: backup, restore, export; kills; stores that are not what they were.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Place, Provider, binary, failing, process, signal, with};

/// A command of the binary on a place's state.
fn command(place: &Place, name: &str) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().env("state_dir", place.path("state"));
    command.arg(name);
    command
}

/// Runs one that is to work.
async fn run(command: &mut Command) -> Output {
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    output
}

/// Deploys something of everything.
async fn fill(provider: &Provider) {
    let secret = json!({"name": "key", "value": "s3cret"});
    let made = provider.system(Method::POST, "secrets", secret).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let namespace = json!({"name": "staging", "labels": {"openfaas": "1"}});
    let made = provider.system(Method::POST, "namespace/", namespace).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let mut deployment = with(process("hello", "env"), json!({"A": "$1"}));
    deployment["secrets"] = json!(["key"]);
    deployment["labels"] = json!({"team": "a"});
    provider.deployed(deployment).await;
    let mut staged = process("staged", "cat");
    staged["namespace"] = json!("staging");
    provider.deployed(staged).await;
    assert_eq!(provider.scale("hello", 2).await, StatusCode::ACCEPTED);
}

/// What clients see, but for what changes by itself.
async fn seen(provider: &Provider) -> Value {
    let mut seen = Vec::new();
    for path in [
        "/system/functions",
        "/system/functions?namespace=staging",
        "/system/secrets",
        "/system/namespaces",
    ] {
        let mut value: Value = provider.get(path).await.json().await.unwrap();
        for function in value.as_array_mut().unwrap() {
            if let Some(function) = function.as_object_mut() {
                function.remove("availableReplicas");
                function.remove("annotations");
            }
        }
        seen.push(value);
    }
    seen.into()
}

#[tokio::test]
async fn a_backup_of_a_provider_that_runs_is_restored_elsewhere() {
    let place = Place::new();
    let mut provider = place.start().await;
    fill(&provider).await;
    let file = place.path("tmp/backup");
    let output = run(command(&place, "backup").arg(&file)).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("2 functions, 1 secret, 1 namespace"),
        "{said}"
    );
    assert!(said.contains("plain text"), "{said}");
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Over the standard output it is the same one.
    let output = run(command(&place, "backup").arg("-")).await;
    assert_eq!(output.stdout, fs::read(&file).unwrap());

    let before = seen(&provider).await;
    let mut restore = command(&place, "restore");
    restore.arg(&file);
    let (code, said) = failing(restore).await;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("in use by process"), "{said}");
    assert_eq!(seen(&provider).await, before);
    assert!(provider.end("-TERM").await.success());

    // The same when none runs.
    let stopped = place.path("tmp/stopped");
    run(command(&place, "backup").arg(&stopped)).await;
    assert_eq!(fs::read(&stopped).unwrap(), fs::read(&file).unwrap());

    let other = Place::new();
    run(command(&other, "restore").arg(&file)).await;
    let provider = other.start().await;
    assert_eq!(seen(&provider).await, before);
    assert!(provider.called("hello", "").await.contains("A=$1"));
    provider.available("hello", 2).await;
}

#[tokio::test]
async fn what_is_no_backup_changes_nothing() {
    let place = Place::new();
    let mut provider = place.start().await;
    fill(&provider).await;
    let before = seen(&provider).await;
    let file = place.path("tmp/backup");
    run(command(&place, "backup").arg(&file)).await;
    provider.end("-TERM").await;
    let store = fs::read(place.path("state/state.redb")).unwrap();
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (content, words) in [
        (&whole[..whole.len() / 2], "ends early"),
        (&flipped, "checksum does not fit"),
        (b"hello", "no backup"),
    ] {
        fs::write(&file, content).unwrap();
        let mut restore = command(&place, "restore");
        restore.arg(&file);
        let (code, said) = failing(restore).await;
        assert_eq!(code, 4, "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(fs::read(place.path("state/state.redb")).unwrap(), store);
    }
    let mut provider = place.start().await;
    assert_eq!(seen(&provider).await, before);
    provider.end("-TERM").await;
}

#[tokio::test]
async fn an_export_names_secrets_and_holds_no_value_of_them() {
    let place = Place::new();
    let provider = place.start().await;
    fill(&provider).await;
    let output = run(command(&place, "export").arg("--stack")).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for wanted in [
        "hello:",
        "namespace: staging",
        "A: \"$1\"",
        "- key",
        "team: a",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(
        !text.contains("s3cret") && !text.contains("czNjcmV0"),
        "{text}"
    );

    let file = place.path("tmp/stack.yaml");
    let mut one = command(&place, "export");
    run(one.args(["--namespace", "staging", "--stack"]).arg(&file)).await;
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("staged:") && !text.contains("hello:"),
        "{text}"
    );

    // A stack file has a name once.
    let mut same = process("hello", "cat");
    same["namespace"] = json!("staging");
    provider.deployed(same).await;
    let mut all = command(&place, "export");
    all.arg("--stack");
    let (code, said) = failing(all).await;
    assert_eq!(code, 2);
    assert!(said.contains("--namespace"), "{said}");
}

#[tokio::test]
async fn functions_cannot_ask_for_a_backup() {
    let place = Place::new();
    let provider = place.start().await;
    if !provider.banner.contains("cannot read our") {
        // Without a sandbox the banner says that they read the state anyway.
        assert!(provider.banner.contains("NO SANDBOX"));
        return;
    }
    place.script("key", "#!/bin/sh\ncat \"$1\" 2>&1; exit 0\n");
    let key = place.text("state/control.key");
    assert!(Path::new(&key).exists());
    let image = place.text("functions/key");
    provider
        .deployed(process("key", &format!("{image} {key}")))
        .await;
    let said = provider.called("key", "").await;
    assert!(said.contains("Permission denied"), "{said}");
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_a_kill() {
    let place = Place::new();
    for round in 0..4 {
        let mut provider = place.start().await;
        let names = |n: usize| format!("f{round}-{n}");
        let mut deploying = tokio::task::JoinSet::new();
        for n in 0..12 {
            let (client, url) = (provider.client.clone(), provider.url.clone());
            let deployment = process(&names(n), "cat");
            deploying.spawn(async move {
                let request = client.post(format!("{url}/system/functions"));
                let reply = request.json(&deployment).send().await;
                (n, reply.map(|reply| reply.status()))
            });
        }
        // Some are through, others are under way.
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 3 {
            let (n, status) = deploying.join_next().await.unwrap().unwrap();
            assert_eq!(status.unwrap(), StatusCode::ACCEPTED);
            acknowledged.push(names(n));
        }
        signal("-KILL", &provider.pid());
        provider.child.wait().await.unwrap();
        while let Some(done) = deploying.join_next().await {
            if let (n, Ok(StatusCode::ACCEPTED)) = done.unwrap() {
                acknowledged.push(names(n));
            }
        }
        let mut provider = place.start().await;
        for name in acknowledged {
            assert_eq!(provider.called(&name, "hello").await, "hello", "{name}");
        }
        signal("-KILL", &provider.pid());
        provider.child.wait().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_store_is_refused_left_as_it_is_and_copied() {
    let place = Place::new();
    let mut provider = place.start().await;
    fill(&provider).await;
    let backup = place.path("tmp/backup");
    run(command(&place, "backup").arg(&backup)).await;
    provider.end("-TERM").await;
    let store = place.path("state/state.redb");
    let whole = fs::read(&store).unwrap();
    let mut flipped = whole.clone();
    // Every page has a flipped bit: some of them are in use.
    for at in (4096..flipped.len()).step_by(256) {
        flipped[at] ^= 4;
    }
    for content in [
        flipped,
        whole[..5_000].to_vec(),
        vec![],
        vec![0; 9_000],
        b"{}".to_vec(),
    ] {
        fs::write(&store, &content).unwrap();
        let (code, said) = failing(place.command()).await;
        assert_eq!(code, 4, "{said}");
        for wanted in ["is damaged", "with a copy in", "restore a backup"] {
            assert!(said.contains(wanted), "{said}");
        }
        assert_eq!(fs::read(&store).unwrap(), content);
        let files = fs::read_dir(place.path("state")).unwrap().count();
        let doctor = command(&place, "doctor")
            .args(["--listen", "127.0.0.1:0"])
            .output();
        let doctor = doctor.await.unwrap();
        let found = String::from_utf8_lossy(&doctor.stdout);
        assert!(found.contains("fail state"), "{found}");
        assert!(found.contains("restore a backup"), "{found}");
        let after = fs::read_dir(place.path("state")).unwrap().count();
        assert_eq!(files, after, "the doctor changes nothing");
        let copy = said.split("with a copy in ").nth(1).unwrap();
        let copy = copy.split(';').next().unwrap();
        assert_eq!(fs::read(copy).unwrap(), content);
    }
    // And what it says to do is what helps.
    run(command(&place, "restore").arg(&backup)).await;
    let provider = place.start().await;
    assert!(provider.called("hello", "").await.contains("A=$1"));
}
