//! The watchdog that waits for the next instance.

use std::collections::BTreeSet;
use std::fs;

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

/// Waits for the watchdog that is none of these.
async fn another(mark: &str, known: &BTreeSet<String>) -> String {
    until("a spare watchdog", || watchdogs(mark).len() > known.len()).await;
    let mut new = watchdogs(mark)
        .difference(known)
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(new.len(), 1);
    new.remove(0)
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

#[tokio::test]
async fn the_next_instance_has_the_watchdog_that_waits_and_another_one_waits_then() {
    let (mut bench, mark) = marked();
    assert!(watchdogs(&mark).is_empty());
    let parent = bench.script("parent", PARENT);
    let first = bench.up(function(&parent)).await;
    let mut known = BTreeSet::from([call(&first.endpoint, "").await.1.trim().to_owned()]);
    for _ in 0..2 {
        let spare = another(&mark, &known).await;
        let next = bench.up(function(&parent)).await;
        assert_eq!(call(&next.endpoint, "").await.1.trim(), spare);
        known.insert(spare);
    }
    let spare = another(&mark, &known).await;
    drop(bench);
    until("the end of it", || !runs(&spare)).await;
}

#[tokio::test]
async fn a_watchdog_that_waits_and_is_killed_holds_nobody_up() {
    let (mut bench, mark) = marked();
    let first = bench.up(process("cat")).await;
    let own = watchdogs(&mark);
    let spare = another(&mark, &own).await;
    let pid = Pid::from_raw(spare.parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("its end", || !runs(&spare)).await;
    let second = bench.up(process("cat")).await;
    for it in [first, second] {
        assert_eq!(call(&it.endpoint, "hello").await, (200, "hello".to_owned()));
    }
}

#[tokio::test]
async fn what_came_after_a_watchdog_began_to_wait_is_seen_by_its_function() {
    let (mut bench, mark) = marked();
    let reads = bench.script("reads", "#!/bin/sh\ncat $(cat)\n");
    let replaced = bench.path("replaced");
    fs::write(&replaced, "old").unwrap();
    bench.up(function(&reads)).await;
    let own = watchdogs(&mark);
    let spare = another(&mark, &own).await;
    until("it waits", || has_rules(&spare)).await;
    let late = bench.path("late");
    fs::write(&late, "late").unwrap();
    fs::write(bench.path("new"), "new").unwrap();
    fs::rename(bench.path("new"), &replaced).unwrap();
    let next = bench.up(function(&reads)).await;
    let asked = format!("{} {}", late.display(), replaced.display());
    assert_eq!(call(&next.endpoint, &asked).await.1, "latenew");
}
