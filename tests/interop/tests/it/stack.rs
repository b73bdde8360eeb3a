//! Stack files: what the real `faas-cli` makes of them, and what `--stack` does.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use provider_stack::to_yaml;
use provider_types::wire::FunctionDeployment;
use provider_types::{FunctionSpec, NameRule, Namespace};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::go;
use crate::provider::{Provider, program};

const HEAD: &str = "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n";

/// What the variables of a stack file stand for.
const VARIABLES: [(&str, &str); 4] = [
    ("WORDS", "Hello World"),
    ("FILE_", "a/b/c.tar.gz"),
    ("EMPTY_", ""),
    ("SIX", "6"),
];

/// Each is a value within single quotes.
const SUBSTITUTIONS: &[&str] = &[
    "<${WORDS}> $WORDS ${UNSET_}${EMPTY_}",
    "${UNSET_:-a b} ${EMPTY_:-x} ${WORDS:-x}",
    "${UNSET_:=x} ${UNSET_=y} ${UNSET_:?z} ${UNSET_:+w} ${WORDS:+w}",
    "${UNSET_:-${SIX}} ${UNSET_:-http://127.0.0.1:8080/}",
    "$${WORDS} $$ $$$${SIX} a$ {b}",
    r"C:\\dir \/ \a \\\\",
    "${#WORDS} ${WORDS:6} ${WORDS:0:5} ${WORDS:${SIX}} ${WORDS:6:100} ${WORDS:100}",
    "${WORDS:x} ${WORDS:1:x}",
    "${WORDS^^} ${WORDS,,} ${WORDS^} ${WORDS,} ${WORDS,^}",
    "${WORDS/o/0} ${WORDS//o/0} ${WORDS//o/} ${WORDS/Hello //}",
    "${WORDS/#Hello/Bye} ${WORDS/#World/x} ${WORDS/%World/x} ${WORDS/%Hello/x}",
    r"${FILE_//\//-} ${FILE_/b\/c/x}",
    "${FILE_#*/} ${FILE_##*/} ${FILE_%.*} ${FILE_%%.*} ${FILE_#?} ${FILE_#[a-c]} ${FILE_#[^a]}",
    "${WORDS#x} ${EMPTY_#*} ${WORDS#*} ${WORDS##*} ${WORDS%d} ${WORDS#Hello }",
    "ä${SIX}ö ${WORDS/o/ö}",
];

/// The same, for which the client of the module proxy is too old.
const NEWER_SUBSTITUTIONS: &[&str] = &[
    "${UNSET_:-a${SIX}b${OTHER_:-c}}",
    "${UNSET_:-}",
    "${WORDS:-}",
];

/// Each is a value of YAML.
const SCALARS: &[&str] = &[
    "1.50",
    "true",
    "0x10",
    "1e3",
    "~",
    "null",
    "'null'",
    "\"a\\tb\"",
    "2024-01-01",
    "yes",
    "NaN",
    "a b # comment",
    "|\n        two\n        lines",
    ">-\n        folded\n        lines",
    "",
    "-1",
    "[]x",
    "a: b",
];

fn files(directory: &Path) {
    let mut stack = HEAD.replace("functions:\n", "") + "configuration:\n  copy: [x]\nfunctions:\n";
    stack.push_str(
        "  substitution: # ${WORDS}\n    image: i\n    fprocess: cat\n    environment:\n",
    );
    let is_newer = Client::NewerCli.is_here();
    let newer = if is_newer {
        NEWER_SUBSTITUTIONS
    } else {
        // Past the test's captured output.
        let _ = writeln!(
            std::io::stderr(),
            "not compared, for want of a newer faas-cli: {NEWER_SUBSTITUTIONS:?} and merges"
        );
        &[]
    };
    for (number, text) in SUBSTITUTIONS.iter().chain(newer).enumerate() {
        stack.push_str(&format!("      V{number}: '{text}'\n"));
    }
    stack.push_str(
        "  scalars:\n    image: reg.example:5000/i\n    fprocess: cat\n    environment:\n",
    );
    for (number, text) in SCALARS
        .iter()
        .enumerate()
        .filter(|(_, text)| **text != "a: b" && **text != "[]x")
    {
        stack.push_str(&format!("      V{number}: {text}\n"));
    }
    stack.push_str(
        "  full: &full
    lang: dockerfile
    handler: ./full
    image: ghcr.io/example/full:${UNSET_:-0.1}
    fprocess: cat -n
    environment:
      OWN: own
      BOTH: own
      fprocess: cat
    environment_file:
      - one.yml
      - two.yml
    labels:
      com.openfaas.scale.min: 1
      team: a
    annotations: {topic: cron, \"schedule\": '*/5 * * * *'}
    secrets: [api-key]
    limits:
      memory: 128Mi
      cpu: 100m
    requests:
      memory: 64Mi
    constraints:
      - node.platform.os == linux
    readonly_root_filesystem: true
    skip_build: true
    build_args: {X: y}
    build_options: [dev]
    unknown: is ignored
  templated:
    lang: some
    image: i:1
  plain:
    image: i:1
    fprocess: cat
    labels:
    limits: {}
",
    );
    if is_newer {
        // The older one puts the environment of one into that of the other.
        stack.push_str("  merged:\n    <<: *full\n    image: i@sha256:00\n    environment: {}\n");
    }
    for (name, text) in [
        ("stack.yml", &*stack),
        (
            "one.yml",
            "environment:\n  BOTH: one\n  FILE: ${SIX}\n  LAST: one\n",
        ),
        ("two.yml", "environment: {LAST: two, NUMBER: 1}\n"),
        (".secrets/api-key", "value\n"),
        (
            "template/some/template.yml",
            "language: some\nfprocess: cat -b\n",
        ),
    ] {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Deploys a stack file with the real client.
fn deploy(provider: &Provider, file: &str) -> Output {
    let mut command = Client::Cli.command(provider);
    command.args(["deploy", "-f", file]).envs(VARIABLES);
    go::output(&mut command, String::new())
}

/// Logs in, as each command of the client asks for it.
fn log_in(provider: &Provider) {
    let mut command = Client::Cli.command(provider);
    command.args(["login", "--username", "admin", "--password-stdin"]);
    go::run(&mut command, "correct horse\n".to_owned());
}

/// What is deployed, without what differs from run to run and what the provider says by itself.
fn deployed(provider: &Provider) -> BTreeMap<String, Value> {
    let list: Vec<Value> = serde_json::from_str(&provider.get("/system/functions")).unwrap();
    let mut functions = BTreeMap::new();
    for mut function in list {
        let fields = function.as_object_mut().unwrap();
        for field in ["createdAt", "availableReplicas", "invocationCount"] {
            fields.remove(field);
        }
        let annotations = fields.get_mut("annotations").unwrap();
        let annotations = annotations.as_object_mut().unwrap();
        annotations.retain(|key, _| !key.starts_with("dev.provider."));
        let name = fields.get("name").unwrap().as_str().unwrap().to_owned();
        functions.insert(name, function);
    }
    functions
}

#[test]
fn a_stack_is_deployed_as_the_client_deploys_it() {
    let theirs = Provider::start();
    files(theirs.directory());
    log_in(&theirs);
    let mut secret = Client::Cli.command(&theirs);
    secret.args([
        "secret",
        "create",
        "api-key",
        "--from-file",
        ".secrets/api-key",
    ]);
    go::run(&mut secret, String::new());
    let output = deploy(&theirs, "stack.yml");
    assert!(output.status.success(), "{output:?}");

    let directory = TempDir::new().unwrap();
    files(directory.path());
    let stack = directory.path().join("stack.yml");
    let ours = Provider::start_in(directory, |command| {
        command.arg("--stack").arg(stack).envs(VARIABLES);
    });
    let wanted = deployed(&theirs);
    assert!(wanted.len() >= 5);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while deployed(&ours).len() < wanted.len() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ours = deployed(&ours);
    for (name, wanted) in &wanted {
        assert_eq!(ours.get(name), Some(wanted), "{name}");
    }
    assert_eq!(ours.len(), wanted.len());
}

#[test]
fn what_the_client_cannot_read_is_refused() {
    let theirs = Provider::start();
    log_in(&theirs);
    let mut taken = Vec::new();
    for text in [
        "a: b: c\n",
        "functions: {}\n",
        "version: 2.0\nprovider: {name: openfaas}\nfunctions: {f: {image: i, fprocess: cat}}\n",
        "provider: {name: faas}\nfunctions: {f: {image: i, fprocess: cat}}\n",
        &*format!("{HEAD}  f: {{image: [i]}}\n"),
        &*format!("{HEAD}  f: {{image: i, secrets: key}}\n"),
        &*format!("{HEAD}  f: {{image: i, environment: [A=b]}}\n"),
        &*format!("{HEAD}  f: {{image: i, environment: {{A: [b]}}}}\n"),
        &*format!("{HEAD}  f: {{image: i, limits: 128Mi}}\n"),
        &*format!("{HEAD}  f: {{image: i, limits: {{memory: lots}}, fprocess: cat}}\n"),
        &*format!("{HEAD}  f: {{image: i, readonly_root_filesystem: maybe}}\n"),
        &*format!("{HEAD}  f: {{image: i, environment_file: [none.yml]}}\n"),
        &*format!("{HEAD}  f: {{image: i, image: j}}\n"),
        &*format!("{HEAD}  F_: {{image: i, fprocess: cat}}\n"),
        &*format!("{HEAD}  f: {{image: '${{'}}\n"),
        &*format!("{HEAD}  f: {{image: '${{WORDS-x}}'}}\n"),
        &*format!("{HEAD}  f: {{image: '${{WORDS:}}'}}\n"),
        &*format!("{HEAD}  f: {{image: '${{WORDS/o}}'}}\n"),
        &*format!("{HEAD}  f: &f\n    image: i\n    environment: *f\n"),
    ] {
        let path = theirs.directory().join("bad.yml");
        fs::write(&path, text).unwrap();
        let output = deploy(&theirs, "bad.yml");
        if output.status.success() {
            taken.push(format!("faas-cli takes {text:?}"));
        }
        let mut ours = Command::new(program());
        ours.args(["--listen", "127.0.0.1:0", "--ephemeral", "--stack"]);
        let output = go::output(ours.arg(path).envs(VARIABLES), String::new());
        if output.status.code() != Some(2) {
            taken.push(format!("--stack takes {text:?}: {output:?}"));
        }
    }
    assert!(taken.is_empty(), "{}", taken.join("\n"));
}

#[test]
fn what_is_written_is_read_by_the_client() {
    let mut deployment = FunctionDeployment::new("full", "ghcr.io/example/full:1");
    deployment.env_process = "cat -n".to_owned();
    let awkward = [
        "",
        " ",
        "a: b",
        "- a",
        "#",
        "'",
        "\"",
        "\\",
        "\\\\",
        "\\/",
        "$",
        "$$",
        "${SIX}",
        "$${",
        "~",
        "null",
        "true",
        "1.0",
        "a\nb\n",
        "\t",
        "é\u{85}\u{2028}\u{1f600}",
        "@",
        "`",
        "%",
        "*/5 * * *",
        "\u{7}",
        "<<",
        "=",
        "0x1F",
        "a #b",
        "{a}",
        "[a]",
        "yes",
        ".5",
        "1_000",
        "2024-01-01",
    ];
    let named = awkward.iter().enumerate();
    deployment.env_vars = named
        .map(|(number, text)| (format!("V{number}"), (*text).to_owned()))
        .collect();
    let keys = awkward
        .iter()
        .filter(|text| !text.is_empty() && **text != "<<");
    deployment.annotations = Some(
        keys.map(|key| ((*key).to_owned(), (*key).to_owned()))
            .collect(),
    );
    deployment.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let spec = |deployment: FunctionDeployment| -> FunctionSpec {
        deployment
            .into_spec(&Namespace::default(), NameRule::DnsLabel)
            .unwrap()
    };
    let wanted = spec(deployment);
    let text = to_yaml(std::slice::from_ref(&wanted), &Namespace::default()).unwrap();

    let provider = Provider::start();
    log_in(&provider);
    fs::write(provider.directory().join("written.yml"), &text).unwrap();
    let output = deploy(&provider, "written.yml");
    assert!(output.status.success(), "{output:?}\n{text}");
    let found = deployed(&provider).remove("full").unwrap();
    for (name, value) in &wanted.env_vars {
        assert_eq!(
            found.pointer(&format!("/envVars/{name}")),
            Some(&Value::from(&**value))
        );
    }
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(found.get("annotations").unwrap().clone()).unwrap();
    assert_eq!(annotations, wanted.annotations);
    assert_eq!(
        found.get("image"),
        Some(&Value::from("ghcr.io/example/full:1"))
    );
}
