//! Functions of a stack file, followed while they change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::support::{PATIENCE, Place, Provider, SERVER, children, failing, process, until};

const HEAD: &str = "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n";

impl Place {
    /// Writes a file beside the stack file.
    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Saves a program as most editors do: a new file takes the place of the old one.
    fn program(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::create_dir_all(new.parent().unwrap()).unwrap();
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn functions(&self, text: &str) {
        self.file("stack.yaml", &format!("{HEAD}{text}"));
    }

    fn with_stack(&self, flags: &[&str]) -> Command {
        let mut command = self.command();
        command
            .arg("--stack")
            .arg(self.path("stack.yaml"))
            .args(flags);
        command
    }

    async fn follow(&self) -> Provider {
        Provider::start(self.with_stack(&["--watch"])).await
    }
}

impl Provider {
    /// Calls until that is the reply.
    async fn replies(&self, name: &str, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, said) = self.call(name, "").await;
            if status == StatusCode::OK && said.trim_end() == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{status}: {said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A program that listens and says that, as its process.
fn server(says: &str) -> String {
    SERVER.replace("$ENV{VERSION}", says)
}

#[tokio::test]
async fn a_stack_is_deployed_as_its_file_says() {
    let place = Place::new();
    place.program(
        "hello/run.sh",
        "#!/bin/sh\necho \"$GREETING $FILE $(cat \"$OPENFAAS_SECRETS_DIR\"/token) $(pwd)\"\n",
    );
    place.file("env.yml", "environment:\n  FILE: from-a-file\n");
    place.file(".secrets/token", "s3cret");
    place.functions(
        "  hello:
    lang: dockerfile
    handler: ./hello
    image: ghcr.io/example/hello:${TAG:-0.1}
    fprocess: ./run.sh
    environment:
      GREETING: ${GREETING}
    environment_file: [env.yml]
    labels: {com.openfaas.scale.max: 2}
    annotations: {topic: cron}
    secrets: [token]
    limits: {memory: 64Mi}
    build_args: {X: y}
  other:
    image: other
    fprocess: echo other
    namespace: dev
",
    );
    let mut command = place.with_stack(&[]);
    command.env("GREETING", "Salve");
    let provider = Provider::start(command).await;
    let banner = &provider.banner;
    assert!(banner.contains("2 functions of "), "{banner}");
    let hello = place.path("hello").canonicalize().unwrap();
    let wanted = format!("Salve from-a-file s3cret {}", hello.display());
    provider.replies("hello", &wanted).await;
    provider.replies("other.dev", "other").await;
    provider.logged("hello.openfaas-fn deployed").await;

    let status = provider.status("hello").await;
    assert_eq!(status["image"], "ghcr.io/example/hello:0.1");
    assert_eq!(status["labels"]["com.openfaas.scale.max"], "2");
    assert_eq!(status["annotations"]["topic"], "cron");
    assert_eq!(status["limits"], json!({"memory": "64Mi"}));
    assert_eq!(status["secrets"], json!(["token"]));
    assert_eq!(
        status["annotations"]["dev.provider.image-not-run"],
        Value::Null
    );
}

#[tokio::test]
async fn a_restart_changes_what_differs_and_leaves_the_rest_alone() {
    let place = Place::new();
    let two =
        "  a:\n    image: a\n    fprocess: echo a\n  b:\n    image: b\n    fprocess: echo b\n";
    place.functions(two);
    let mut provider = Provider::start(place.with_stack(&[])).await;
    provider.replies("a", "a").await;
    provider.replies("b", "b").await;
    provider.deployed(process("mine", "echo mine")).await;
    provider.end("-TERM").await;

    let without_b =
        "  a:\n    image: a\n    fprocess: echo a2\n  c:\n    image: c\n    fprocess: echo c\n";
    place.functions(without_b);
    let mut provider = Provider::start(place.with_stack(&[])).await;
    for line in [
        "a.openfaas-fn updated",
        "b.openfaas-fn removed",
        "c.openfaas-fn deployed",
    ] {
        provider.logged(line).await;
    }
    provider.replies("a", "a2").await;
    provider.replies("mine", "mine").await;
    let list = provider.list().await;
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["a", "c", "mine"]);
    provider.end("-TERM").await;

    let provider = Provider::start(place.with_stack(&[])).await;
    provider.logged("a.openfaas-fn unchanged").await;
    provider.logged("c.openfaas-fn unchanged").await;
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_others_and_says_why() {
    let place = Place::new();
    place.functions(
        "  bad:\n    image: x\n    fprocess: no-such-program\n  secretive:\n    image: x\n    \
         fprocess: cat\n    secrets:\n      - missing\n  good:\n    image: x\n    fprocess: echo \
         good\n",
    );
    let provider = Provider::start(place.with_stack(&[])).await;
    provider.replies("good", "good").await;
    provider
        .logged("stack.yaml:5:3: function bad.openfaas-fn could not be deployed")
        .await;
    provider
        .logged("\"no-such-program\" of envProcess does not exist")
        .await;
    provider
        .logged("stack.yaml:12:9: secret \"missing\" does not exist")
        .await;
    assert_eq!(provider.list().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_broken_file_is_refused_before_anything_is_opened() {
    let place = Place::new();
    for (text, said) in [
        ("a: b: c\n", "stack.yaml:1:5: this is no YAML"),
        ("functions: {}\n", "stack.yaml:1:1: provider is missing"),
        (
            &*format!("{HEAD}  f:\n    image: i\n    limits: {{memory: 12Q}}\n"),
            "stack.yaml:7:22: memory of limits of function f: \"12Q\" is not a quantity",
        ),
        (
            &*format!("{HEAD}  f:\n    image: i\n    environment_file: [none.yml]\n"),
            "stack.yaml:7:24: environment_file \"none.yml\" does not exist",
        ),
    ] {
        place.file("stack.yaml", text);
        let (code, stderr) = failing(place.with_stack(&[])).await;
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
        assert!(!place.path("state").exists());
    }
    fs::remove_file(place.path("stack.yaml")).unwrap();
    let (code, stderr) = failing(place.with_stack(&[])).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot be read: No such file"), "{stderr}");

    let mut command = place.command();
    command.arg("--watch");
    let (code, stderr) = failing(command).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("name one with --stack FILE"), "{stderr}");
}

#[tokio::test]
async fn a_function_in_two_files_is_refused() {
    let place = Place::new();
    place.functions("  f:\n    image: i\n");
    place.file("other.yaml", &format!("{HEAD}  f:\n    image: i\n"));
    let mut command = place.with_stack(&[]);
    command.arg("--stack").arg(place.path("other.yaml"));
    let (code, stderr) = failing(command).await;
    assert_eq!(code, 2);
    assert!(
        stderr.contains("other.yaml:5:3: function f.openfaas-fn is also in"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_edit_is_deployed_and_a_broken_one_keeps_what_runs() {
    let place = Place::new();
    let function = |says: &str| format!("  f:\n    image: i\n    fprocess: echo {says}\n");
    place.functions(&function("one"));
    let provider = place.follow().await;
    provider.replies("f", "one").await;

    place.functions(&function("two"));
    provider.replies("f", "two").await;
    place.functions(&format!("{}    limits: {{cpu: many}}\n", function("three")));
    provider
        .logged("stack.yaml:8:19: cpu of limits of function f")
        .await;
    provider.replies("f", "two").await;
    // A program that is not there: the version before it goes on as well.
    place.functions(&function("four").replace("echo", "no-such-program"));
    provider
        .logged("could not be deployed: the program \"no-such-program\"")
        .await;
    provider.replies("f", "two").await;
    place.functions(&format!(
        "{}  g:\n    image: i\n    fprocess: echo g\n",
        function("five")
    ));
    provider.replies("f", "five").await;
    provider.replies("g", "g").await;
    place.functions(&function("five"));
    provider.logged("g.openfaas-fn removed").await;
    assert_eq!(provider.call("g", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn secrets_and_environment_files_are_followed() {
    let place = Place::new();
    place.program(
        "read/run.sh",
        "#!/bin/sh\necho \"$X $(cat \"$OPENFAAS_SECRETS_DIR\"/key)\"\n",
    );
    place.file(".secrets/key", "one");
    place.file("env.yml", "environment: {X: a}\n");
    place.functions(
        "  f:\n    image: i\n    handler: ./read\n    fprocess: ./run.sh\n    secrets: [key]\n    \
         environment_file: [env.yml]\n",
    );
    let provider = place.follow().await;
    provider.replies("f", "a one").await;
    place.file(".secrets/key", "two");
    provider.replies("f", "a two").await;
    provider.logged("f.openfaas-fn updated").await;
    place.file("env.yml", "environment: {X: b}\n");
    provider.replies("f", "b two").await;
}

#[tokio::test]
async fn a_new_program_takes_over_and_no_call_fails() {
    let place = Place::new();
    place.program("server/run", &server("v0"));
    place.program("other/run", &server("other"));
    let function = |name: &str| {
        format!(
            "  {name}:\n    image: {name}:1\n    handler: ./{name}\n    fprocess: ./run\n    \
             environment: {{mode: http}}\n"
        )
    };
    place.functions(&(function("server") + &function("other")));
    let provider = Arc::new(place.follow().await);
    provider.logged("other.openfaas-fn deployed").await;
    provider.logged("server.openfaas-fn deployed").await;
    let said = provider.called("server", "").await;
    assert!(said.ends_with(" v0"), "{said}");
    let other = provider.called("other", "").await;

    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (provider, over) = (Arc::clone(&provider), Arc::clone(&over));
            tokio::spawn(async move {
                let mut calls = 0;
                while !over.load(Ordering::Relaxed) {
                    provider.called("server", "").await;
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for version in ["v1", "v2", "v3"] {
        place.program("server/run", &server(version));
        let deadline = Instant::now() + PATIENCE;
        while !provider.called("server", "").await.ends_with(version) {
            assert!(Instant::now() < deadline, "{version} does not come");
        }
    }
    // A program that does not start: the one before it serves.
    place.program("server/run", "#!/bin/sh\nexit 1\n");
    provider
        .logged("function server.openfaas-fn could not be deployed")
        .await;
    let said = provider.called("server", "").await;
    assert!(said.ends_with("v3"), "{said}");
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    // The other one is the process that it was.
    assert_eq!(provider.called("other", "").await, other);
    until("two are left", || children(&provider.pid()).len() == 2).await;
}

#[tokio::test]
async fn a_program_that_does_not_get_ready_is_told_of_when_that_is_known() {
    let place = Place::new();
    place.program("server/run", &server("v0"));
    place.functions(
        "  f:\n    image: i\n    handler: ./server\n    fprocess: ./run\n    environment: {mode: \
         http}\n",
    );
    let mut command = place.with_stack(&["--watch"]);
    command.env("ready_timeout", "2");
    let provider = Provider::start(command).await;
    provider.logged("f.openfaas-fn deployed").await;
    place.program("server/run", "#!/bin/sh\nexec sleep 60\n");
    provider
        .logged("f.openfaas-fn updated, not yet ready")
        .await;
    provider
        .logged("the update was undone: the new version did not become ready")
        .await;
    let said = provider.called("f", "").await;
    assert!(said.ends_with("v0"), "{said}");
}

#[tokio::test]
async fn a_signal_ends_a_provider_that_follows() {
    let place = Place::new();
    place.functions("  f:\n    image: i\n    fprocess: echo x\n");
    let mut provider = place.follow().await;
    provider.replies("f", "x").await;
    assert!(provider.end("-TERM").await.success());
}
