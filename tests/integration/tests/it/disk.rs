//! A disk that is full or read-only, for real: the state directory on a small file system of the
//! provider's own. Making one needs root, or user namespaces that others may make; where there is
//! neither, these tests fail and say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::process::Command;

use crate::support::{Place, Provider, SERVER, binary, failing, image, process, signal, with};

/// A provider whose state is on a file system of `size`. `before` is a shell command that runs
/// there first.
fn command(place: &Place, size: &str, before: &str) -> Command {
    let state = place.path("state");
    fs::create_dir_all(&state).unwrap();
    let mount = format!(
        "mount -t tmpfs -o mode=700,size={size} state '{state}' && cd '{state}' && {before} \
         && cd / && exec \"$@\"",
        state = state.display()
    );
    let mut command = Command::new("unshare");
    if rustix::process::geteuid().is_root() {
        command.arg("--mount");
    } else {
        command.args(["--mount", "--map-root-user"]);
    }
    command
        .args(["--propagation", "private", "sh", "-c", &mount, "sh"])
        .arg(binary())
        .args(["--listen", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .arg("--functions-dir")
        .arg(place.path("functions"))
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", place.path("."))
        .env("TMPDIR", place.path("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn start(place: &Place, size: &str, before: &str) -> Provider {
    Provider::start(command(place, size, before)).await
}

/// The state directory as the provider sees it.
fn inside(provider: &Provider, place: &Place) -> PathBuf {
    let path = place.path("state");
    let below_root = path.strip_prefix("/").unwrap();
    Path::new("/proc")
        .join(provider.pid())
        .join("root")
        .join(below_root)
}

/// Takes all space there is.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path.join("filler")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// A deployment whose description takes some space.
fn large(name: &str) -> serde_json::Value {
    with(process(name, "cat"), json!({"NOTE": "x".repeat(30_000)}))
}

/// Deploys until there is no more space; gives the reply that says so.
async fn deploy_until_full(provider: &Provider) -> (usize, StatusCode, String) {
    for n in 0..100 {
        let (status, said) = provider.deploy(&large(&format!("f{n}"))).await;
        if status != StatusCode::ACCEPTED {
            return (n, status, said);
        }
    }
    panic!("the disk never gets full");
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_nothing_else_until_there_is_space() {
    let place = Place::new();
    place.script("server", SERVER);
    let provider = start(&place, "4m", "true").await;
    let mut server = with(image("server", "server"), json!({"mode": "http"}));
    server["secrets"] = json!(["key"]);
    let secret = json!({"name": "key", "value": "one"});
    let made = provider.system(Method::POST, "secrets", secret).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    provider.deployed(server).await;
    provider.deployed(process("asleep", "cat")).await;
    assert_eq!(provider.scale("asleep", 0).await, StatusCode::ACCEPTED);
    let first = provider.called("server", "").await;

    let state = inside(&provider, &place);
    fill(&state);
    let (n, status, said) = deploy_until_full(&provider).await;
    assert!(status.is_server_error(), "{status}: {said}");
    assert!(said.contains("no space is left on its disk"), "{said}");
    assert!(!said.contains(&place.text("state")), "no paths: {said}");

    // Reading, invoking and starting go on.
    assert_eq!(provider.list().await.as_array().unwrap().len(), n + 2);
    assert_eq!(provider.status("server").await["availableReplicas"], 1);
    assert_eq!(provider.called("server", "").await, first);
    assert_eq!(provider.called("asleep", "awake").await, "awake");
    assert_eq!(
        provider.get("/system/secrets").await.status(),
        StatusCode::OK
    );
    let secret = json!({"name": "another", "value": "x".repeat(200_000)});
    let refused = provider.system(Method::POST, "secrets", secret).await;
    assert!(refused.status().is_server_error());

    // With space again writes work, without a restart.
    fs::remove_file(state.join("filler")).unwrap();
    provider.deployed(large(&format!("f{n}"))).await;
    assert_eq!(provider.called(&format!("f{n}"), "hello").await, "hello");
    assert_eq!(
        provider.called("server", "").await,
        first,
        "it ran all along"
    );
}

/// Takes all files that there may be, so that no directory can be made.
fn fill_with_files(path: &Path) {
    fs::create_dir(path.join("many")).unwrap();
    let mut number = 0_u32;
    while fs::File::create(path.join("many").join(number.to_string())).is_ok() {
        number += 1;
    }
}

#[tokio::test]
async fn replicas_start_where_the_disk_takes_not_even_a_directory() {
    let place = Place::new();
    place.script(
        "secret",
        "#!/bin/sh\ncat \"$OPENFAAS_SECRETS_DIR/key\"; echo \" $PWD\"\n",
    );
    let runtime_dir = place.path("runtime");
    fs::create_dir(&runtime_dir).unwrap();
    let mut command = command(&place, "8m,nr_inodes=200", "true");
    command.env("XDG_RUNTIME_DIR", &runtime_dir);
    let provider = Provider::start(command).await;
    let secret = json!({"name": "key", "value": "one"});
    let made = provider.system(Method::POST, "secrets", secret).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let mut asleep = image("asleep", "secret");
    asleep["secrets"] = json!(["key"]);
    provider.deployed(asleep).await;
    assert_eq!(provider.scale("asleep", 0).await, StatusCode::ACCEPTED);

    let state = inside(&provider, &place);
    fill_with_files(&state);
    let said = provider.called("asleep", "").await;
    assert!(said.starts_with("one "), "{said}");
    assert!(!said.contains(&place.text("state")), "elsewhere: {said}");
    provider.deployed(process("new", "cat")).await;
    assert_eq!(provider.called("new", "hello").await, "hello");

    fs::remove_dir_all(state.join("many")).unwrap();
    assert_eq!(provider.scale("asleep", 0).await, StatusCode::ACCEPTED);
    let said = provider.called("asleep", "").await;
    assert!(said.contains(&place.text("state")), "{said}");
}

#[tokio::test]
async fn a_deployment_that_the_disk_takes_no_directory_of_is_the_providers_failure() {
    let place = Place::new();
    // Nothing in memory either: /run cannot be written to.
    let read_only = "mount --bind /run /run && mount -o remount,ro,bind /run";
    let provider = start(&place, "8m,nr_inodes=200", read_only).await;
    fill_with_files(&inside(&provider, &place));
    let (status, said) = provider.deploy(&process("new", "cat")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{said}");
    assert!(said.contains("no space is left on its disk"), "{said}");
    let missing = provider.get("/system/function/new").await.status();
    assert_eq!(missing, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_provider_that_was_killed_starts_again_on_a_full_disk() {
    let place = Place::new();
    let mut provider = place.start().await;
    provider.deployed(process("f", "cat")).await;
    signal("-KILL", &provider.pid());
    provider.child.wait().await.unwrap();
    fs::rename(place.path("state"), place.path("killed")).unwrap();

    let copy = format!(
        "cp -r '{}'/. . && ! dd if=/dev/zero of=filler 2>/dev/null",
        place.text("killed")
    );
    let provider = start(&place, "2m", &copy).await;
    assert_eq!(provider.called("f", "hello").await, "hello");
    let (_, status, said) = deploy_until_full(&provider).await;
    assert!(status.is_server_error(), "{status}: {said}");
    fs::remove_file(inside(&provider, &place).join("filler")).unwrap();
    provider.deployed(large("g")).await;
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_refused_with_a_reason() {
    let place = Place::new();
    let read_only = "mount -o remount,ro \"$PWD\"";
    let (code, said) = failing(command(&place, "2m", read_only)).await;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}

#[tokio::test]
async fn hundreds_of_functions_fit_into_a_few_mebibytes() {
    let place = Place::new();
    let provider = start(&place, "3m", "true").await;
    for n in 0..300 {
        let mut asleep = with(
            process(&format!("function-{n}"), "cat"),
            json!({"SOME": "variable", "ANOTHER": "one"}),
        );
        asleep["labels"] = json!({"com.openfaas.scale.zero": "true"});
        provider.deployed(asleep).await;
    }
    assert_eq!(provider.list().await.as_array().unwrap().len(), 300);
}
