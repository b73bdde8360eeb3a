//! The watchdog that waits for the next instance.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use provider_types::{Runtime as _, RuntimeInstance};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bench, call, function, process, runs, until};

/// A runtime whose watchdogs can be told from those of other tests.
fn marked() -> (Bench, String) {
    let dir = tempfile::tempdir().unwrap();
    let mark = format!("mark={}", dir.path().display());
    let arguments = vec![mark.clone().into()];
    let bench = Bench::in_dir(dir, |config| config.watchdog.arguments = arguments);
    (bench, mark)
}

/// The process ids of all its watchdogs.
fn watchdogs(mark: &str) -> BTreeSet<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    let is_one = |id: &String| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == mark.as_bytes()) && runs(id)
    };
    names.filter(is_one).collect()
}

/// Whether a watchdog is through with what it does before it waits: its executor comes last.
fn has_rules(watchdog: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{watchdog}/fd")).unwrap();
    let mut leads = open
        .flatten()
        .filter_map(|it| fs::read_link(it.path()).ok());
    leads.any(|to| to.as_os_str() == "anon_inode:[eventpoll]")
}

/// A function that tells who its watchdog is.
const PARENT: &str = "#!/bin/sh\necho $PPID\n";

/// Lets a function sleep, and waits for the watchdog that waits for it then.
async fn asleep(bench: &Bench, mark: &str, instance: &RuntimeInstance) -> String {
    let ended = watchdogs(mark);
    bench.runtime.remove(&instance.id).await.unwrap();
    until("a spare watchdog", || {
        watchdogs(mark).difference(&ended).next().is_some()
    })
    .await;
    let now = watchdogs(mark);
    let spare = now.difference(&ended).next().unwrap().clone();
    until("it waits", || has_rules(&spare)).await;
    spare
}

#[tokio::test]
async fn a_watchdog_waits_while_a_function_sleeps_and_is_the_one_that_runs_it_then() {
    let (mut bench, mark) = marked();
    assert!(watchdogs(&mark).is_empty());
    let parent = bench.script("parent", PARENT);
    let mut it = bench.up(function(&parent)).await;
    for _ in 0..2 {
        let spare = asleep(&bench, &mark, &it).await;
        it = bench.up(function(&parent)).await;
        assert_eq!(call(&it.endpoint, "").await.1.trim(), spare);
        // None waits while it runs.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(watchdogs(&mark), BTreeSet::from([spare]));
    }
    let spare = asleep(&bench, &mark, &it).await;
    drop(bench);
    until("the end of it", || !runs(&spare)).await;
}

#[tokio::test]
async fn a_function_that_was_prepared_and_not_started_is_waited_for() {
    let (mut bench, mark) = marked();
    bench.runtime.prepare(&process("cat")).await.unwrap();
    bench.up(process("cat")).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(watchdogs(&mark).len(), 1);
    bench.runtime.prepare(&process("cat")).await.unwrap();
    until("a spare watchdog", || watchdogs(&mark).len() == 2).await;
}

#[tokio::test]
async fn a_watchdog_that_waits_and_is_killed_holds_nobody_up() {
    let (mut bench, mark) = marked();
    let first = bench.up(process("cat")).await;
    let spare = asleep(&bench, &mark, &first).await;
    let pid = Pid::from_raw(spare.parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("its end", || !runs(&spare)).await;
    let it = bench.up(process("cat")).await;
    assert_eq!(call(&it.endpoint, "hello").await, (200, "hello".to_owned()));
}

#[tokio::test]
async fn what_came_after_a_watchdog_began_to_wait_is_seen_by_its_function() {
    let (mut bench, mark) = marked();
    let reads = bench.script("reads", "#!/bin/sh\ncat $(cat)\n");
    let replaced = bench.path("replaced");
    fs::write(&replaced, "old").unwrap();
    let it = bench.up(function(&reads)).await;
    asleep(&bench, &mark, &it).await;
    let late = bench.path("late");
    fs::write(&late, "late").unwrap();
    fs::write(bench.path("new"), "new").unwrap();
    fs::rename(bench.path("new"), &replaced).unwrap();
    let next = bench.up(function(&reads)).await;
    let asked = format!("{} {}", late.display(), replaced.display());
    assert_eq!(call(&next.endpoint, &asked).await.1, "latenew");
}
