//! Every command of `faas-cli` that talks to a provider, against `faas-process`.
//!
//! The table is also the body of `docs/compatibility.md`. After a change of it:
//! `UPDATE_DOCS=1 cargo test -p interop compatibility`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::client::{Case, Client};
use crate::conformance;
use crate::go;
use crate::provider::Provider;
use crate::walks::WALKS;

/// What a function says of its call, to the client and to the log.
const SHOW: &str = r#"#!/bin/sh
body=$(cat)
echo "got $body" >&2
echo "$Http_Method $Http_Path type=$Http_Content_Type query=$Http_Query header=$Http_X_Test"
printf '%s' "$body"
"#;

const TELLER: &str = r#"#!/bin/sh
for name in api-key binary; do cat "$OPENFAAS_SECRETS_DIR/$name"; printf '|'; done
"#;

const STACK: &str = "\
version: 1.0
provider:
  name: openfaas
functions:
  show:
    image: {dir}/show
    skip_build: true
    environment:
      GREETING: hi
    labels:
      team: a
    limits:
      memory: 128Mi
  upper:
    image: {dir}/upper
    skip_build: true
";

const UPPER: &str = "#!/bin/sh\nexec tr a-z A-Z\n";

const BAD_LIMITS: &str = "\
version: 1.0
provider:
  name: openfaas
functions:
  show:
    image: {dir}/show
    skip_build: true
    limits:
      memory: lots
";

fn write_files(directory: &Path) {
    for (name, program) in [("show", SHOW), ("teller", TELLER), ("upper", UPPER)] {
        let path = directory.join(name);
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let here = directory.to_str().unwrap();
    for (name, text) in [("functions.yml", STACK), ("bad-limits.yml", BAD_LIMITS)] {
        std::fs::write(directory.join(name), text.replace("{dir}", here)).unwrap();
    }
    // Where there are templates, none are fetched.
    std::fs::create_dir_all(directory.join("template/none")).unwrap();
    std::fs::write(directory.join("secret.bin"), "\"raw\"").unwrap();
    std::fs::create_dir(directory.join(".secrets")).unwrap();
    std::fs::write(directory.join(".secrets/applied"), "value").unwrap();
}

/// Walks on a provider of its own, and goes on after a case that fails. A case whose client is not
/// here is named as not run, to whoever reads the output of a test that passes too.
fn walk(title: &str) {
    let walk = WALKS.iter().find(|walk| walk.title == title).unwrap();
    let provider = Provider::start();
    write_files(provider.directory());
    let wrong: Vec<String> = walk
        .cases
        .iter()
        .filter(|case| case.client.is_here() || not_run(case))
        .filter_map(|case| case.run(&provider).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says that a command was not run. Written past the test's captured output.
fn not_run(case: &Case) -> bool {
    let words = format!("not run, for want of a newer faas-cli: {}\n", case.typed());
    std::io::stderr().write_all(words.as_bytes()).unwrap();
    false
}

macro_rules! walks {
    ($($test:ident = $title:literal,)*) => {
        $(#[test]
        fn $test() {
            walk($title);
        })*

        #[test]
        fn every_walk_is_a_test() {
            let titles: Vec<&str> = WALKS.iter().map(|walk| walk.title).collect();
            assert_eq!(titles, [$($title),*]);
        }
    };
}

walks! {
    callers_are_known = "Who calls, and whom",
    functions_come_and_go = "Functions",
    stack_files_are_deployed = "Stack files",
    functions_are_invoked = "Invocations",
    logs_are_read = "Logs",
    secrets_come_and_go = "Secrets",
    namespaces_come_and_go = "Namespaces",
    the_sdk_is_served = "The Go SDK's client",
}

const INTRODUCTION: &str = "\
# Compatibility

What the real OpenFaaS clients do against `faas-process`. The tables are made from
`tests/interop/tests/it/walks.rs`, where each command's exit code and output are compared;
`cargo test --locked -p interop` runs them.

* `faas-cli` is v0.0.0-20211012083206 of October 2021, the newest that the Go module proxy gave us.
  It sends a namespace in the query where today's sends it in the body; both are taken.
* `sdk` is a small program on `github.com/openfaas/go-sdk` v0.2.22, the library with which today's
  `faas-cli` manages namespaces and invokes functions.
* Commands that only a newer `faas-cli` has are marked *not run in CI*. They run where the variable
  `FAAS_CLI` names one, last with 0.18.12 of July 2026; elsewhere the tests print each of them as
  not run.
* `faas-cli store deploy` is `faas-cli deploy` with an image that the store's list names. The list is
  fetched from the Internet and its images are none of a machine's programs, so it is not run.

Commands of `faas-cli` that are not listed do not talk to a provider.
";

fn documentation() -> String {
    let mut text = INTRODUCTION.to_owned();
    for walk in WALKS {
        write!(
            text,
            "\n## {}\n\n| Command | What it shows | Exit |\n| --- | --- | --- |\n",
            walk.title
        )
        .unwrap();
        for case in walk.cases.iter().filter(|case| !case.does.is_empty()) {
            let newer = if case.client == Client::NewerCli {
                " (*not run in CI*)"
            } else {
                ""
            };
            let typed = case.typed().replace("{dir}", ".");
            writeln!(text, "| `{typed}`{newer} | {} | {} |", case.does, case.exit).unwrap();
        }
    }
    text.push('\n');
    text.push_str(&conformance::documentation());
    text
}

#[test]
fn the_compatibility_page_is_what_the_table_says() {
    let path = go::root().join("docs/compatibility.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, documentation()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == documentation(),
        "docs/compatibility.md is old: UPDATE_DOCS=1 cargo test -p interop compatibility"
    );
}
