//! Limits in every way that this machine has, and that it is said which one is used.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use provider_types::{
    ErrorKind, ExitReason, FunctionName, FunctionSpec, InstanceStats, Quantity, Resources,
    Runtime as _, RuntimeInstance,
};
use runtime_process::{
    LIMITS_ANNOTATION, LimitsChoice, LimitsWay, ProcessConfig, ProcessRuntime, SetupError,
};
use tokio::time::Instant;

use crate::support::{Bench, call, config, function, pids, process, runs, try_call, until, with};

/// Takes as many MiB as it is told, and holds them.
const HOG: &str = r#"#!/usr/bin/perl
my @held;
for (1 .. ($ENV{MIB} || <STDIN>)) { push @held, "x" . ("a" x 1048575); select undef, undef, undef, 0.002 }
print "held\n"; $| = 1; print ""; sleep($ENV{HOLD} // 0);
"#;

/// Starts as many processes as it is told, writes their ids down and says how many there are.
const FORKS: &str = r#"#!/usr/bin/perl
my $want = <STDIN>; my $made = 0;
for (1 .. $want) {
    my $pid = fork; last unless defined $pid;
    if (!$pid) { close STDIN; close STDOUT; close STDERR; exec '/bin/sleep', '60' }
    open my $list, '>>', $ENV{PIDS}; print $list "$pid\n"; close $list; $made++;
}
print "made $made\n"; $| = 1; print ""; sleep($ENV{HOLD} // 0);
"#;

/// Uses half a second of CPU time, says so, and waits.
const BURNS: &str = r#"#!/usr/bin/perl
my $held = "x" . ("a" x 20_000_000);
while ((times)[0] + (times)[1] < 0.5) { $x++ for 1 .. 10_000 }
open my $done, '>', $ENV{DONE}; close $done; sleep 60;
"#;

/// The ways that this machine has, found out apart from the runtime, but for the last check of
/// each: that a group can be made in the provider's own.
fn ways() -> Vec<LimitsWay> {
    let mut ways = vec![LimitsWay::Watch];
    ways.extend(
        group_of("memory")
            .zip(group_of("pids"))
            .and_then(|(memory, pids)| {
                (makes_groups(&memory) && makes_groups(&pids)).then_some(LimitsWay::CgroupV1)
            }),
    );
    let v2 = group_of("").filter(|dir| {
        let has = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        has.contains("memory") && has.contains("pids") && makes_groups(dir)
    });
    ways.extend(v2.map(|_| LimitsWay::CgroupV2));
    ways
}

/// This process's own group with a controller, in the usual places; without one that of cgroup v2.
fn group_of(controller: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let group = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let names = fields.next()?;
        let path = fields.next()?.trim_start_matches('/');
        names
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })?;
    let mount = match controller {
        "" if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => "/sys/fs/cgroup".into(),
        "" => PathBuf::from("/sys/fs/cgroup/unified"),
        name => Path::new("/sys/fs/cgroup").join(name),
    };
    Some(mount.join(group)).filter(|path| path.join("cgroup.procs").exists())
}

fn makes_groups(dir: &Path) -> bool {
    let probe = dir.join(format!("it-{}", std::process::id()));
    let made = fs::create_dir(&probe).is_ok();
    let _ = fs::remove_dir(&probe);
    made || probe.exists()
}

fn by(way: LimitsWay, change: impl FnOnce(&mut ProcessConfig)) -> Bench {
    Bench::with(|config| {
        config.limits = LimitsChoice::Only(way);
        change(config);
    })
}

fn limited(mut spec: FunctionSpec, memory: &str, cpu: &str) -> FunctionSpec {
    let quantity = |text: &str| (!text.is_empty()).then(|| Quantity::parse(text).unwrap());
    let mut limits = Resources::default();
    limits.memory = quantity(memory);
    limits.cpu = quantity(cpu);
    spec.limits = Some(limits);
    spec
}

/// A function whose program may write beside itself.
fn own(image: &str, variables: &[(&str, &Path)]) -> FunctionSpec {
    let mut spec = function(".");
    spec.env_process = Some(image.to_owned());
    for (name, path) in variables {
        let path = path.to_str().unwrap().to_owned();
        spec.env_vars.insert((*name).to_owned(), path);
    }
    spec
}

#[tokio::test]
async fn the_best_way_that_the_machine_has_is_taken_and_said() {
    let ways = ways();
    let best = if ways.contains(&LimitsWay::CgroupV2) {
        LimitsWay::CgroupV2
    } else {
        *ways.last().unwrap()
    };
    let bench = Bench::new();
    let status = bench.runtime.limits();
    assert_eq!(status.way, best, "of {ways:?}: {:?}", status.lacks);
    assert_eq!(status.lacks.is_empty(), best == LimitsWay::CgroupV2);
    assert_eq!(status.max_processes, 1024);
    assert!(bench.runtime.capabilities().limits);

    for way in [LimitsWay::CgroupV2, LimitsWay::CgroupV1] {
        if !ways.contains(&way) {
            let dir = tempfile::tempdir().unwrap();
            let config = config(dir.path(), |it| it.limits = LimitsChoice::Only(way));
            let error = ProcessRuntime::new(config).unwrap_err();
            assert!(matches!(error, SetupError::Limits { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_program_that_takes_too_much_memory_is_ended_and_it_is_said_why() {
    for way in ways() {
        let mut bench = by(way, |_| {});
        let image = bench.script("hog", HOG);

        let spec = limited(function(&image), "32Mi", "");
        let it = bench.up(with(spec, &[("HOLD", "60")])).await;
        let endpoint = it.endpoint.clone();
        let call = tokio::spawn(async move { try_call(&endpoint, "60\n").await });
        assert_eq!(bench.exit(&it.id).await, ExitReason::OutOfMemory, "{way}");
        // One that is watched may have a moment above its limit.
        if let Ok((status, body)) = call.await.unwrap() {
            assert!(
                way == LimitsWay::Watch || !body.contains("held"),
                "{way}: {status}"
            );
        }

        // The program itself is what listens.
        let variables = [("mode", "http"), ("MIB", "60"), ("HOLD", "60")];
        let spec = limited(function(&image), "32Mi", "");
        let it = bench.start(with(spec, &variables)).await;
        assert_eq!(bench.exit(&it.id).await, ExitReason::OutOfMemory, "{way}");
    }
}

#[tokio::test]
async fn what_stays_below_its_limit_is_left_alone() {
    for way in ways() {
        let mut bench = by(way, |_| {});
        let image = bench.script("hog", HOG);
        let spec = limited(function(&image), "64Mi", "");
        let it = bench.up(with(spec, &[("HOLD", "1")])).await;
        let reply = call(&it.endpoint, "20\n").await;
        assert_eq!(reply, (200, "held\n".to_owned()), "{way}");
        bench.runtime.remove(&it.id).await.unwrap();
    }
}

#[tokio::test]
async fn there_is_a_bound_on_processes() {
    for way in ways() {
        let mut bench = by(way, |config| config.max_processes = 20);
        let image = bench.script("forks", FORKS);
        let list = bench.path("functions/pids");
        let spec = own(&image, &[("PIDS", &list)]);
        let it = bench.up(with(spec, &[("HOLD", "60")])).await;
        let endpoint = it.endpoint.clone();
        let call = tokio::spawn(async move { try_call(&endpoint, "60\n").await });
        if way == LimitsWay::Watch {
            match bench.exit(&it.id).await {
                ExitReason::LimitExceeded(why) => assert!(why.contains("may have 20"), "{why}"),
                other => panic!("{other:?}"),
            }
        } else {
            // A fork beyond it fails, and the program goes on.
            until("the bound", || pids(&list).len() >= 10).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let made = pids(&list).len();
            assert!((10..20).contains(&made), "{way}: {made}");
            // That it was refused is told, and stands in its log.
            let said = bench.limit(&it.id).await;
            assert!(said.contains("1 time: it may have 20"), "{way}: {said}");
            let mut lines = bench.runtime.logs(&it.id).await.unwrap();
            let wanted = format!("this replica {said}\n");
            while lines.next().await.expect("no such line").lines != wanted.as_bytes() {}
            bench.runtime.remove(&it.id).await.unwrap();
        }
        call.abort();
        for pid in pids(&list) {
            assert!(!runs(&pid), "{way}: {pid} lives");
        }
    }
}

#[tokio::test]
async fn a_share_of_cpu_is_held_by_groups_and_not_promised_otherwise() {
    for way in ways() {
        let mut bench = by(way, |_| {});
        let image = bench.script("burns", BURNS);
        let done = bench.path("functions/done");
        let spec = limited(own(&image, &[("DONE", &done)]), "", "200m");
        let prepared = bench.runtime.prepare(&spec).await.unwrap();
        let holds = bench.runtime.limits().cpu;
        assert_eq!(holds, way != LimitsWay::Watch);
        let warned = prepared.warnings.iter().any(|it| it.contains("limits.cpu"));
        assert_eq!(warned, !holds, "{way}: {:?}", prepared.warnings);
        if !holds {
            continue;
        }
        let it = bench.up(spec).await;
        let endpoint = it.endpoint.clone();
        let call = tokio::spawn(async move { try_call(&endpoint, "").await });
        let (before, began) = (stats(&bench, &it).await, Instant::now());
        until("half a second of CPU time", || done.exists()).await;
        let used = stats(&bench, &it).await.cpu.saturating_sub(before.cpu);
        let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
        assert!(share < 0.4, "{way}: {share:.2} of a core");
        call.abort();
    }
}

#[tokio::test]
async fn what_an_instance_was_promised_of_the_cpu_is_its_weight() {
    let Some(hierarchy) = group_of("cpu").filter(|_| ways().contains(&LimitsWay::CgroupV1)) else {
        return;
    };
    let mut bench = by(LimitsWay::CgroupV1, |_| {});
    let image = bench.script("hog", HOG);
    let mut spec = function(&image);
    // Other tests have groups in the same place, named after their functions.
    spec.function.name = FunctionName::new("promised").unwrap();
    let mut requests = Resources::default();
    requests.cpu = Some(Quantity::parse("500m").unwrap());
    spec.requests = Some(requests);
    let it = bench.up(with(spec, &[])).await;
    let of_this_process = format!("-{}", std::process::id());
    let shares: Vec<String> = fs::read_dir(hierarchy)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|base| base.to_string_lossy().ends_with(&of_this_process))
        .filter_map(|base| {
            let group = base.join(it.id.as_str());
            // Its watchdog is in it, and all that it starts.
            let tasks = fs::read_to_string(group.join("tasks")).ok()?;
            assert!(!tasks.is_empty());
            fs::read_to_string(group.join("cpu.shares")).ok()
        })
        .collect();
    assert_eq!(shares, ["512\n"]);
}

async fn stats(bench: &Bench, it: &RuntimeInstance) -> InstanceStats {
    bench.runtime.stats(&it.id).await.unwrap()
}

#[tokio::test]
async fn what_an_instance_uses_is_measured_and_kept_beyond_its_end() {
    for way in ways() {
        let mut bench = by(way, |_| {});
        let image = bench.script("burns", BURNS);
        let done = bench.path("functions/done");
        let it = bench.up(own(&image, &[("DONE", &done)])).await;
        let endpoint = it.endpoint.clone();
        let call = tokio::spawn(async move { try_call(&endpoint, "").await });
        until("half a second of CPU time", || done.exists()).await;
        // A look is used for a while.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let now = stats(&bench, &it).await;
        let mib = now.memory_bytes >> 20;
        assert!((20..100).contains(&mib), "{way}: {mib} MiB");
        let cpu = now.cpu.as_secs_f64();
        assert!((0.49..1.5).contains(&cpu), "{way}: {cpu} s");
        call.abort();
        bench.runtime.stop(&it.id, Duration::ZERO).await.unwrap();
        let after = stats(&bench, &it).await;
        assert_eq!(after.memory_bytes, 0);
        assert!(after.cpu >= Duration::from_millis(490), "{way}: {after:?}");
    }
}

#[tokio::test]
async fn a_limit_is_refused_that_no_program_runs_under_and_others_are_described() {
    for way in ways() {
        let bench = by(way, |config| config.max_processes = 99);
        let absurd = limited(process("cat"), "128m", "");
        let error = bench.runtime.prepare(&absurd).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("limits.memory"), "{error}");

        let spec = limited(process("cat"), "64Mi", "500m");
        let prepared = bench.runtime.prepare(&spec).await.unwrap();
        let shown = prepared.annotations.iter();
        let said = shown.clone().find(|(key, _)| key == LIMITS_ANNOTATION);
        let said = &said.unwrap().1;
        let starts = format!("{way}: memory 64Mi, ");
        assert!(said.starts_with(&starts) && said.contains("99"), "{said}");
        assert!(said.contains("cpu 500m"), "{said}");
        let prepared = bench.runtime.prepare(&process("cat")).await.unwrap();
        assert!(
            prepared
                .annotations
                .iter()
                .all(|(key, _)| key != LIMITS_ANNOTATION)
        );
    }
}

/// The groups that a program says that it is in, below those of its runtime.
async fn groups_of(it: &RuntimeInstance) -> Vec<PathBuf> {
    let (_, text) = call(&it.endpoint, "").await;
    text.lines()
        .filter(|line| line.contains("/faas-process-"))
        .map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let names = fields.next().unwrap();
            let path = fields.next().unwrap();
            let own = group_of(names.split(',').next().unwrap()).unwrap();
            let below = path.split("/faas-process-").nth(1).unwrap();
            let own = match own.ends_with("faas-process.provider") {
                true => own.parent().unwrap().to_owned(),
                false => own,
            };
            own.join(format!("faas-process-{below}"))
        })
        .collect()
}

#[tokio::test]
async fn groups_go_with_their_instances_and_what_a_killed_provider_left_is_ended() {
    for way in ways() {
        if way == LimitsWay::Watch {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let set = |config: &mut ProcessConfig| config.limits = LimitsChoice::Only(way);
        let mut bench = Bench::in_dir(dir, set);
        let it = bench.up(process("cat /proc/self/cgroup")).await;
        let groups = groups_of(&it).await;
        assert!(!groups.is_empty(), "{way}");
        assert!(groups.iter().all(|group| group.is_dir()), "{groups:?}");
        let base = groups[0].parent().unwrap().to_owned();
        bench.runtime.remove(&it.id).await.unwrap();
        assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
        let Bench { runtime, dir, .. } = bench;
        drop(runtime);
        until("the end of all groups", || !base.exists()).await;

        // As if a provider had been killed together with its watchdogs.
        fs::create_dir(&base).unwrap();
        let left = base.join("left-1");
        fs::create_dir(&left).unwrap();
        let mut orphan = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        fs::write(left.join("cgroup.procs"), orphan.id().to_string()).unwrap();
        let again = Bench::in_dir(dir, set);
        assert!(!left.exists(), "{way}");
        assert!(!runs(&orphan.id().to_string()), "{way}");
        orphan.wait().unwrap();
        drop(again);
    }
}

#[tokio::test]
async fn a_function_cannot_change_its_own_limits() {
    for way in ways() {
        if way == LimitsWay::Watch {
            continue;
        }
        let mut bench = by(way, |_| {});
        if bench.runtime.sandbox() != runtime_process::SandboxStatus::Enforced {
            continue;
        }
        let it = bench.up(process("cat /proc/self/cgroup")).await;
        for group in groups_of(&it).await {
            let file = group.join("cgroup.procs");
            assert!(fs::metadata(&file).unwrap().uid() == own_uid());
            let image = bench.script(
                "escape",
                &format!("#!/bin/sh\necho 0 > {} && echo out\n", file.display()),
            );
            let other = bench.up(function(&image)).await;
            let (_, said) = call(&other.endpoint, "").await;
            assert!(!said.contains("out"), "{way}: {}", file.display());
        }
    }
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}
