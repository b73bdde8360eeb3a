//! Processes and what they started, read from `/proc`: killing all of it, counting what it uses.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, pidfd_send_signal,
    waitpid,
};

/// How long killed processes are waited for; they end within milliseconds unless the kernel holds
/// them (a network file system that does not answer).
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(2);

/// So many looks in a row must find nothing: one whose parent ends during a look is below nobody
/// in that look.
const QUIET_LOOKS: u32 = 2;

/// One process, as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: i32,
    group: i32,
    pub(crate) session: i32,
    pub(crate) zombie: bool,
    /// User and system time in ticks, its own and that of children it has waited for.
    ticks: u64,
    pub(crate) threads: u64,
    /// When it was started: tells it from a later one of the same number.
    start: u64,
    pages: u64,
}

/// What a tree of processes uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) resident_bytes: u64,
    pub(crate) cpu: Duration,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        // The name may hold anything, closing brackets too.
        let (_name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let signed = |at: usize| fields.get(at)?.parse::<i32>().ok();
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            parent: signed(1)?,
            group: signed(2)?,
            session: signed(3)?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
            ticks: number(11)? + number(12)? + number(13)? + number(14)?,
            threads: number(17)?,
            start: number(19)?,
            pages: number(21)?,
        })
    }

    fn read(pid: &str) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&stat))
    }

    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Self::read(&pid.as_raw_nonzero().to_string())
    }

    pub(crate) fn is_our_child(&self) -> bool {
        self.parent == rustix::process::getpid().as_raw_nonzero().get()
    }

    fn raw(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(crate) fn leads_its_group(&self) -> bool {
        self.group == self.raw()
    }

    /// Whether its environment, as it was started, has this entry (`NAME=value`).
    pub(crate) fn has_variable(&self, entry: &str) -> bool {
        fs::read(format!("/proc/{}/environ", self.raw())).is_ok_and(|all| {
            all.split(|byte| *byte == 0)
                .any(|variable| variable == entry.as_bytes())
        })
    }

    /// Whether its environment has a variable whose value lies below a directory.
    pub(crate) fn has_variable_below(&self, prefix: &str) -> bool {
        fs::read(format!("/proc/{}/environ", self.raw())).is_ok_and(|all| {
            all.split(|byte| *byte == 0)
                .any(|variable| variable.starts_with(prefix.as_bytes()))
        })
    }

    fn proportional_bytes(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.raw()));
        let kib = rollup.ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        match kib {
            Some(kib) => kib.saturating_mul(1024),
            // Not ours to read, or an old kernel.
            None => resident_bytes(std::slice::from_ref(self)),
        }
    }

    /// Kills this process and no later one of its number.
    fn kill(&self) {
        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return;
        };
        let now = Self::read(&self.raw().to_string());
        if now.is_some_and(|now| now.start == self.start) {
            // It may have ended in between, which is what was wanted.
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name
                .to_str()
                .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))?;
            Process::read(name)
        })
        .collect()
}

/// The processes below these roots, without them.
pub(crate) fn below(roots: &[i32], all: &[Process]) -> Vec<Process> {
    let mut family: BTreeSet<i32> = roots.iter().copied().collect();
    let mut found: Vec<Process> = Vec::new();
    loop {
        let before = found.len();
        for process in all {
            if family.contains(&process.parent) && family.insert(process.raw()) {
                found.push(process.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Kills what `pick` picks and everything below it, again and again until nothing living is left,
/// and waits for those that are children of ours; zombies of somebody else's are not ours to wait
/// for. Blocks. True when nothing is left.
pub(crate) fn end(mut pick: impl FnMut(&[Process]) -> Vec<Process>) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut killed: BTreeSet<(i32, u64)> = BTreeSet::new();
    let mut quiet = 0;
    loop {
        let seen = all();
        let mut victims = pick(&seen);
        let roots: Vec<i32> = victims.iter().map(Process::raw).collect();
        victims.extend(below(&roots, &seen));
        // One whose parent ended first is below nobody that was picked, and may take a moment.
        let dying = |it: &&Process| !it.zombie && killed.contains(&(it.raw(), it.start));
        victims.extend(seen.iter().filter(dying).cloned());
        quiet += 1;
        for victim in &victims {
            if !victim.zombie {
                victim.kill();
                killed.insert((victim.raw(), victim.start));
                quiet = 0;
            }
        }
        for child in victims.iter().filter(|it| it.zombie && it.is_our_child()) {
            reap(child);
        }
        if quiet == QUIET_LOOKS {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes an ended child's status off the kernel.
pub(crate) fn reap(child: &Process) {
    // Not ended yet, or taken by somebody else: both fine.
    let _ = waitpid(Some(child.pid), WaitOptions::NOHANG);
}

/// Kills everything below a watchdog, and then the watchdog. What forks all the time is outrun: a
/// whole group is killed at once, and a process that was killed starts no other. Blocks. True when
/// nothing is left.
pub(crate) fn end_family(watchdog: i32) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = all();
        let mut living = below(&[watchdog], &seen);
        living.retain(|process| !process.zombie);
        if living.is_empty() || Instant::now() > deadline {
            break;
        }
        let members: BTreeSet<i32> = living.iter().map(Process::raw).collect();
        let mut groups = BTreeSet::new();
        for process in &living {
            // A group lies within a session. That of the watchdog is ours, and so is one that was
            // made below it; its own group has nobody else in it.
            let ours = process.session == watchdog || members.contains(&process.session);
            if ours
                && process.group != watchdog
                && groups.insert(process.group)
                && let Some(group) = Pid::from_raw(process.group)
            {
                // It may be gone by now, which is what was wanted.
                let _ = kill_process_group(group, Signal::KILL);
            }
            process.kill();
        }
        std::thread::sleep(PAUSE);
    }
    end(|seen| {
        let root = seen.iter().filter(|it| it.raw() == watchdog && !it.zombie);
        root.cloned().collect()
    })
}

/// The resident bytes of some processes, where pages that they share count for each.
pub(crate) fn resident_bytes(members: &[Process]) -> u64 {
    let pages: u64 = members.iter().map(|process| process.pages).sum();
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.saturating_mul(page)
}

/// The resident bytes of some processes, where pages that they share count once. The kernel goes
/// over all their pages for it.
pub(crate) fn proportional_bytes(members: &[Process]) -> u64 {
    members.iter().map(Process::proportional_bytes).sum()
}

/// The CPU time, in ticks, that a process and all below it have used.
pub(crate) fn ticks(root: i32, members: &[Process], seen: &[Process]) -> u64 {
    let root = seen.iter().filter(|process| process.raw() == root);
    members
        .iter()
        .chain(root)
        .map(|process| process.ticks)
        .sum()
}

/// What a process and all below it use.
pub(crate) fn usage(root: i32, seen: &[Process]) -> Option<Usage> {
    let mut members = below(&[root], seen);
    members.push(seen.iter().find(|process| process.raw() == root)?.clone());
    let ticks: u64 = members.iter().map(|process| process.ticks).sum();
    Some(Usage {
        resident_bytes: resident_bytes(&members),
        cpu: time(ticks),
    })
}

/// The CPU time of this process and of all that it has waited for.
pub(crate) fn own_cpu() -> Option<Duration> {
    Some(time(Process::read("self")?.ticks))
}

fn time(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.saturating_mul(1000) / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_brackets_and_blanks_is_read_over() {
        let stat = "42 (a) b) (c) S 7 8 9 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 555 1000 66 0";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.raw(), process.parent), (42, 7));
        assert_eq!((process.group, process.session), (8, 9));
        assert_eq!((process.ticks, process.start, process.pages), (10, 555, 66));
        assert_eq!(process.threads, 1);
        assert_eq!(Process::parse("42 (cut"), None);
    }

    #[test]
    fn a_tree_is_killed_with_those_that_left_their_group() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "setsid sleep 300 & sh -c 'sleep 300 & wait' & wait"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while below(&[root], &all()).len() < 3 {
            assert!(Instant::now() < deadline, "the tree did not grow");
            std::thread::sleep(Duration::from_millis(5));
        }
        let members = below(&[root], &all());
        assert!(usage(root, &all()).unwrap().resident_bytes > 0);

        assert!(end(|seen| seen
            .iter()
            .filter(|p| p.raw() == root)
            .cloned()
            .collect()));
        let _ = child.wait();
        let left: Vec<Process> = all()
            .into_iter()
            .filter(|p| !p.zombie && members.iter().any(|m| m.pid == p.pid && m.start == p.start))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_process_is_known_by_what_stands_in_its_environment() {
        let mut child = Command::new("/bin/sleep")
            .arg("300")
            .env("MARK", "/here/one")
            .spawn()
            .unwrap();
        let process = Process::read(&child.id().to_string()).unwrap();
        // It goes on as soon as its memory is its own, which is before its environment is there.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !process.has_variable("MARK=/here/one") {
            assert!(Instant::now() < deadline, "the mark was not seen");
        }
        assert!(!process.has_variable("MARK=/here"));
        assert!(process.has_variable_below("MARK=/here/"));
        process.kill();
        child.wait().unwrap();
    }
}
