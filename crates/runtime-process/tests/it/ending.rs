//! Stops, exits, kills and what is left after them.

use std::fs;
use std::time::Duration;

use provider_types::{ErrorKind, ExitReason, InstanceId, InstanceState, Runtime as _};
use runtime_process::{LimitsChoice, LimitsWay, ProcessRuntime};
use tokio::time::timeout;

use crate::serving::SERVER;
use crate::support::{
    Bench, PATIENCE, call, config, function, pids, process, runs, try_call, until, with,
};

/// Leaves processes in every way that a process can, and waits: a child, one in a session of its
/// own, one forked twice without its environment. Their ids are written down.
const FAMILY: &str = r#"#!/bin/sh
echo $$ >> "$PIDS"
sleep 300 & echo $! >> "$PIDS"
setsid sh -c 'echo $$ >> "$PIDS"; exec sleep 300' &
(setsid sh -c 'echo $$ >> "$PIDS"; exec env -i /bin/sleep 300' &) &
exec sleep 300
"#;

/// An instance whose program has started a family, in a call that does not end.
async fn family(bench: &mut Bench) -> (InstanceId, Vec<String>) {
    let image = bench.script("family", FAMILY);
    let list = bench.path("functions/pids");
    // Its own directory is where it may write.
    let mut spec = with(function("."), &[("PIDS", list.to_str().unwrap())]);
    spec.env_process = Some(image);
    let it = bench.up(spec).await;
    let endpoint = it.endpoint.clone();
    tokio::spawn(async move { try_call(&endpoint, "").await });
    until("the family", || pids(&list).len() == 4).await;
    let all = pids(&list);
    assert!(all.iter().all(|pid| runs(pid)), "{all:?}");
    (it.id, all)
}

/// The process above another.
fn parent(pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap();
    fields.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_running_call_is_finished_before_the_instance_ends() {
    let mut bench = Bench::new();
    let image = bench.script("slow", "#!/bin/sh\necho started\nsleep 0.5\necho done\n");
    let it = bench.up(function(&image)).await;
    let list = bench.runtime.list().await.unwrap();
    assert_eq!(
        (list[0].state, &list[0].exit),
        (InstanceState::Ready, &None)
    );
    let endpoint = it.endpoint.clone();
    let running = tokio::spawn(async move { call(&endpoint, "").await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    let stopped = timeout(PATIENCE, bench.runtime.stop(&it.id, 2 * PATIENCE)).await;
    stopped.expect("it was not told to end").unwrap();
    let (status, body) = running.await.unwrap();
    assert_eq!((status, body.as_str()), (200, "started\ndone\n"));
    assert_eq!(bench.exit(&it.id).await, ExitReason::Stopped);
    let list = bench.runtime.list().await.unwrap();
    assert_eq!(list[0].state, InstanceState::Exited);
    assert_eq!(list[0].exit, Some(ExitReason::Stopped));
    try_call(&it.endpoint, "").await.unwrap_err();
}

#[tokio::test]
async fn after_the_grace_everything_below_is_killed() {
    let mut bench = Bench::new();
    let (id, family) = family(&mut bench).await;
    bench
        .runtime
        .stop(&id, Duration::from_millis(50))
        .await
        .unwrap();
    for pid in family {
        assert!(!runs(&pid), "{pid} lives");
    }
    assert_eq!(bench.exit(&id).await, ExitReason::Stopped);
}

#[tokio::test]
async fn dropping_the_runtime_ends_everything() {
    let mut bench = Bench::new();
    let (_, family) = family(&mut bench).await;
    let Bench { runtime, dir, .. } = bench;
    drop(runtime);
    for pid in family {
        until("the end", || !runs(&pid)).await;
    }
    drop(dir);
}

#[tokio::test]
async fn a_stopped_watchdog_is_killed_all_the_same() {
    let mut bench = Bench::new();
    let (id, family) = family(&mut bench).await;
    signal("-STOP", &parent(&family[0]));
    bench
        .runtime
        .stop(&id, Duration::from_millis(50))
        .await
        .unwrap();
    for pid in family {
        assert!(!runs(&pid), "{pid} lives");
    }
}

fn signal(which: &str, pid: &str) {
    let status = std::process::Command::new("kill")
        .args([which, pid])
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_program_that_exits_is_an_exit_with_its_code() {
    let mut bench = Bench::new();
    let image = bench.script("dies", "#!/bin/sh\nexit 7\n");
    let it = bench
        .start(with(function(&image), &[("mode", "http")]))
        .await;
    assert_eq!(bench.exit(&it.id).await, ExitReason::Code(7));

    let image = bench.script("server", SERVER);
    let it = bench.up(with(function(&image), &[("mode", "http")])).await;
    let killer = bench.script("killed", "#!/bin/sh\nkill -9 $$\n");
    bench.runtime.remove(&it.id).await.unwrap();
    assert_eq!(bench.exit(&it.id).await, ExitReason::Stopped);
    let it = bench
        .start(with(function(&killer), &[("mode", "http")]))
        .await;
    assert_eq!(bench.exit(&it.id).await, ExitReason::Signal(9));
}

#[tokio::test]
async fn a_program_that_went_away_is_refused_with_words() {
    let bench = Bench::new();
    let image = bench.script("gone", "#!/bin/sh\n");
    let spec = function(&image);
    bench.runtime.prepare(&spec).await.unwrap();
    fs::remove_file(&image).unwrap();
    let instance = bench.instance(spec, &[]);
    let error = bench.runtime.start(instance).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("does not exist"), "{error}");
    let left: Vec<_> = fs::read_dir(bench.path("state/run/0"))
        .unwrap()
        .flatten()
        .collect();
    assert!(left.iter().all(|it| it.file_name() == ".lock"), "{left:?}");
}

#[tokio::test]
async fn what_was_removed_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let it = bench.up(process("cat")).await;
    let dir = bench.path("state/run/0").join(it.id.as_str());
    assert!(dir.exists());
    bench.runtime.remove(&it.id).await.unwrap();
    assert!(!dir.exists());
    assert!(bench.runtime.list().await.unwrap().is_empty());
    // Every call may come twice.
    bench.runtime.remove(&it.id).await.unwrap();
    bench.runtime.stop(&it.id, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn each_runtime_has_a_place_of_its_own_and_clears_those_that_nobody_has() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().canonicalize().unwrap().join("state/run");
    let start = || ProcessRuntime::new(config(dir.path(), |_| {})).unwrap();
    let (first, second) = (start(), start());
    assert_eq!(first.place(), run.join("0"));
    assert_eq!(second.place(), run.join("1"));
    let kept = run.join("1/kept-1");
    fs::create_dir(&kept).unwrap();
    drop(first);

    // As a provider leaves it that was killed together with its watchdogs.
    let left = run.join("0/old-1");
    fs::create_dir_all(left.join("secrets")).unwrap();
    let mut orphan = std::process::Command::new("/bin/sleep")
        .arg("300")
        .env("OPENFAAS_SECRETS_DIR", left.join("secrets"))
        .spawn()
        .unwrap();
    // Its environment is there a moment after it was started.
    let environment = format!("/proc/{}/environ", orphan.id());
    until("the mark", || {
        fs::read(&environment).is_ok_and(|it| !it.is_empty())
    })
    .await;
    let third = start();
    assert_eq!(third.place(), run.join("0"));
    assert!(!left.exists() && kept.exists());
    assert!(!runs(&orphan.id().to_string()));
    orphan.wait().unwrap();
    drop((second, third));
    drop(start());
    assert!(
        !kept.exists(),
        "what is left in another place stays for ever"
    );
}

#[tokio::test]
async fn what_a_killed_watchdog_leaves_is_found_by_its_mark() {
    // A control group would know its processes without that.
    let mut bench = Bench::with(|config| config.limits = LimitsChoice::Only(LimitsWay::Watch));
    let (id, family) = family(&mut bench).await;
    signal("-KILL", &parent(&family[0]));
    assert_eq!(bench.exit(&id).await, ExitReason::Signal(9));
    // The one that was forked twice and has no environment left is for `adopt_orphans`, which
    // concerns a whole process and is tested on the binary.
    for pid in &family[..2] {
        assert!(!runs(pid), "{pid} lives");
    }
    for pid in &family {
        let _ = std::process::Command::new("kill")
            .args(["-9", pid])
            .output();
    }
}
