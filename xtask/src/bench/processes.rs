//! Programs that are measured: started, looked at in `/proc`, ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A program that runs until it is dropped.
pub(super) struct Running(Child);

impl Running {
    /// Starts a program and waits until it takes connections.
    pub(super) fn listening(mut command: Command, address: SocketAddr) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut running = Self(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.0.try_wait()? {
                bail!("{command:?} ended: {status}");
            }
            if Instant::now() >= deadline {
                bail!("{command:?} does not listen on {address}");
            }
            sleep(Duration::from_millis(1));
        }
        Ok(running)
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked first, so that its children end too.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The CPU that a process and its children have used, in user and in kernel mode.
pub(super) fn cpu(id: u32) -> Result<Duration> {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that has just ended is none that is measured.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The second field is the program's name in brackets and may hold anything.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        // From the third field on: state, parent, …; times in user and kernel mode are 14 and 15.
        if pid == id || number(1) == Some(u64::from(id)) {
            ticks += number(11).unwrap_or(0) + number(12).unwrap_or(0);
        }
    }
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1000 / per_second.max(1)))
}

/// How often each thread of a process went to sleep by itself, and so woke again.
pub(super) fn voluntary_switches(id: u32) -> Result<BTreeMap<OsString, u64>> {
    let mut switches = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{id}/task"))? {
        let entry = entry?;
        // A thread that has just ended switches no more.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let own = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse().ok())
            .context("no voluntary_ctxt_switches")?;
        switches.insert(entry.file_name(), own);
    }
    Ok(switches)
}

/// A process's resident memory, in MiB.
pub(super) fn resident(id: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .and_then(|value| value.trim().parse().ok())
        .context("no VmRSS")?;
    Ok(kib / 1024.0)
}
