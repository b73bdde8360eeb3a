//! What the machine gives: control groups, a sandbox, descriptors, processes, a clock.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runtime_process::{LimitsChoice, LimitsStatus, LimitsWay, SandboxStatus, SecretsStatus};
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::{self, Settings};

/// What a provider with some functions needs.
const OPEN_FILES: u64 = 4096;
const PROCESSES: u64 = 4096;

/// 2025: nothing of this was made before.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);

/// Between two looks at the clock, and what it may differ by.
const CLOCK_WATCH: Duration = Duration::from_millis(200);
const CLOCK_STEP: Duration = Duration::from_millis(50);

/// How limits would be held, and what a better way takes.
pub(super) fn limits(settings: &Settings) -> Vec<Finding> {
    const NAME: &str = "limits";
    let mut status = LimitsStatus::probe();
    status.max_processes = settings.max_processes;
    if let LimitsChoice::Only(wanted) = settings.limits {
        if wanted == LimitsWay::Watch {
            return vec![
                Finding::warn(
                    NAME,
                    "CPU is not held and memory only by watching (--limits watch)",
                )
                .mend("leave out --limits, and the best way that this host gives is used"),
            ];
        }
        if wanted != status.way {
            return vec![
                Finding::fail(
                    NAME,
                    format!(
                        "--limits {wanted} cannot be used: {}",
                        status.lacks.join("; ")
                    ),
                )
                .mend(format!("give --limits auto, which is {} here", status.way)),
            ];
        }
    }
    if status.way == LimitsWay::Watch {
        return vec![
            Finding::warn(NAME, format!("{status}. {}", status.lacks.join(". ")))
                .mend("as a systemd service, add to its [Service] section: Delegate=yes"),
        ];
    }
    if !status.cpu {
        return vec![
            Finding::warn(NAME, status.to_string())
                .mend("give the provider's control group the controller cpu (Delegate=yes)"),
        ];
    }
    let better: String = status.lacks.iter().map(|it| format!(". {it}")).collect();
    vec![Finding::ok(NAME, format!("{status}{better}"))]
}

pub(super) fn sandbox(settings: &Settings) -> Finding {
    const NAME: &str = "sandbox";
    match SandboxStatus::probe(settings.sandbox) {
        SandboxStatus::Enforced => Finding::ok(NAME, "the kernel has Landlock"),
        SandboxStatus::Off => {
            Finding::warn(NAME, "--no-sandbox: functions read the provider's state")
                .mend("leave out --no-sandbox")
        }
        _ => Finding::warn(
            NAME,
            "the kernel has no Landlock: functions read and write what their user may",
        )
        .mend(
            "use Linux 5.13 or later with landlock among the modules of /sys/kernel/security/lsm \
             (boot parameter lsm=landlock,…)",
        ),
    }
}

/// Where the files would lie that functions read their secrets from.
pub(super) fn secrets() -> Finding {
    const NAME: &str = "secrets";
    let status = SecretsStatus::probe(config::secrets_dir().as_deref());
    let found = format!("functions read theirs from files {status}");
    match status {
        SecretsStatus::Disk { lacks: Some(_) } => Finding::warn(NAME, found).mend(
            "mount a tmpfs at /run (in a container: --tmpfs /run); as a systemd service, add to \
             its [Service] section: RuntimeDirectory=faas-process",
        ),
        _ => Finding::ok(NAME, found),
    }
}

pub(super) fn open_files() -> Finding {
    const NAME: &str = "open files";
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < OPEN_FILES => Finding::warn(
            NAME,
            format!("{most} descriptors at most: each replica needs five, each call two"),
        )
        .mend("LimitNOFILE=65536 in the service, or `ulimit -Hn 65536` before the start"),
        Some(most) => Finding::ok(NAME, format!("{most} descriptors at most")),
        None => Finding::ok(NAME, "any number of descriptors"),
    }
}

pub(super) fn processes() -> Finding {
    const NAME: &str = "processes";
    match getrlimit(Resource::Nproc).maximum {
        Some(most) if most < PROCESSES => Finding::warn(
            NAME,
            format!(
                "{most} processes and threads of this user at most, those of functions included"
            ),
        )
        .mend("LimitNPROC=infinity in the service, or `ulimit -Hu 65536` before the start"),
        Some(most) => Finding::ok(NAME, format!("{most} of this user at most")),
        None => Finding::ok(NAME, "any number"),
    }
}

/// Whether the time is believable, and passes as it should.
pub(super) fn clock(state_dir: &Path) -> Finding {
    const NAME: &str = "clock";
    const MEND: &str = "set the clock, and keep it with an NTP service such as systemd-timesyncd";
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since < EARLIEST {
        return Finding::fail(
            NAME,
            format!(
                "it is {} s after 1970, which is in the past",
                since.as_secs()
            ),
        )
        .mend(MEND);
    }
    let newest = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let newest = newest.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    if let Some(ahead) = newest.max().and_then(|it| it.duration_since(now).ok())
        && ahead > Duration::from_secs(60)
    {
        return Finding::warn(
            NAME,
            format!(
                "the state was written {} s from now: the clock was set back, and log lines of \
                 before seem to come later",
                ahead.as_secs()
            ),
        )
        .mend(MEND);
    }
    let began = Instant::now();
    thread::sleep(CLOCK_WATCH);
    let (passed, shown) = (began.elapsed(), now.elapsed());
    let step = shown.map_or(CLOCK_STEP * 2, |shown| shown.abs_diff(passed));
    if step > CLOCK_STEP {
        return Finding::warn(NAME, "it was set while this looked").mend(MEND);
    }
    Finding::ok(NAME, "it is believable and runs evenly")
}
