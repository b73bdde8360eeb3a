//! What a function may touch, on a kernel with Landlock; on one without, that it is said.

use std::fs;

use landlock::{AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};
use runtime_process::SandboxStatus;

use crate::support::{Bench, call, function, process, with};

/// Tries what its arguments say, one by one, and tells how it went.
const TRIES: &str = r#"#!/bin/sh
while read what path; do
  case $what in
    write) (echo x > "$path") 2>/dev/null ;;
    read) (cat "$path" > /dev/null) 2>/dev/null ;;
    list) (ls "$path" > /dev/null) 2>/dev/null ;;
  esac && echo "$what yes" || echo "$what no"
done
"#;

async fn tried(bench: &mut Bench, tries: &str) -> Vec<String> {
    let image = bench.script("tries", TRIES);
    let it = bench.up(function(&image)).await;
    let script = tries.replace("$ID", it.id.as_str());
    let (_, text) = call(&it.endpoint, &script).await;
    text.lines().map(str::to_owned).collect()
}

/// Whether this machine's kernel can hold functions back, asked of it apart from the runtime; the
/// runtime must say the same.
fn held(bench: &Bench) -> bool {
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Execute)
        .and_then(Ruleset::create);
    let says = if asked.is_ok() {
        SandboxStatus::Enforced
    } else {
        SandboxStatus::Missing
    };
    assert_eq!(bench.runtime.sandbox(), says);
    asked.is_ok()
}

/// What comes of trying something forbidden: where the kernel cannot forbid it, it works.
fn forbidden(held: bool) -> &'static str {
    if held { "no" } else { "yes" }
}

#[tokio::test]
async fn a_function_writes_to_its_own_and_the_temporary_directory_only() {
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut bench = Bench::new();
    let held = held(&bench);
    assert_eq!(
        bench.runtime.has_private_temp(),
        held,
        "the state lies in the common one"
    );
    let root = bench.dir.path().display().to_string();
    let tries = format!(
        "write {root}/outside\nwrite {root}/functions/outside\nwrite {}/outside\n\
         write ./inside\nwrite {root}/state/run/0/$ID/tmp/inside\nwrite /dev/null\n",
        elsewhere.path().display()
    );
    let done = tried(&mut bench, &tries).await;
    let no = forbidden(held);
    let expected = [no, no, no, "yes", "yes", "yes"].map(|it| format!("write {it}"));
    assert_eq!(done, expected);
    assert_eq!(bench.path("outside").exists(), !held);
}

#[tokio::test]
async fn a_function_reads_neither_the_state_nor_the_secrets_of_others() {
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("basic-auth-password"), "secret").unwrap();
    let mut bench = Bench::with(|config| config.hidden.push(credentials.path().to_owned()));
    let held = held(&bench);
    fs::write(bench.path("state/state.redb"), "desired").unwrap();
    let other = bench.start_with(process("cat"), &[("key", "theirs")]).await;
    let root = bench.dir.path().display().to_string();
    let tries = format!(
        "read {root}/state/state.redb\nlist {root}/state\nwrite {root}/state/state.redb\n\
         read {root}/state/run/0/{}/secrets/key\nread {}/basic-auth-password\n\
         list {root}/state/run/0/$ID/secrets\nread /etc/passwd\nread {root}/functions/tries\n",
        other.id,
        credentials.path().display(),
    );
    let done = tried(&mut bench, &tries).await;
    let no = forbidden(held);
    let expected = [
        ("read", no),
        ("list", no),
        ("write", no),
        ("read", no),
        ("read", no),
        ("list", "yes"),
        ("read", "yes"),
        ("read", "yes"),
    ];
    assert_eq!(done, expected.map(|(what, how)| format!("{what} {how}")));
    let state = fs::read(bench.path("state/state.redb")).unwrap();
    assert_eq!(state == b"desired", held);
}

#[tokio::test]
async fn a_function_signals_nobody_outside() {
    let mut bench = Bench::new();
    let held = held(&bench);
    let image = bench.script(
        "kills",
        "#!/bin/sh\nkill -0 $VICTIM 2>/dev/null && echo yes || echo no\n",
    );
    let victim = std::process::id().to_string();
    let it = bench
        .up(with(function(&image), &[("VICTIM", &victim)]))
        .await;
    let said = call(&it.endpoint, "").await.1;
    // Kernels before 6.12 cannot hold signals back.
    let scoped = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::Signal)
        .and_then(Ruleset::create)
        .is_ok();
    assert_eq!(said.trim(), forbidden(held && scoped));
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let mut bench = Bench::with(|config| config.sandbox = false);
    assert_eq!(bench.runtime.sandbox(), SandboxStatus::Off);
    let outside = bench.path("outside").display().to_string();
    assert_eq!(
        tried(&mut bench, &format!("write {outside}\n")).await,
        ["write yes"]
    );
}
