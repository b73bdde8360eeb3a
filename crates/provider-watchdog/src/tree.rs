//! The processes below this one: adopting, finding, ending and reaping them. Linux only.
//!
//! A process that forks twice, or makes a session of its own, leaves its process group, and no
//! signal to the group reaches it. When its parents end it is given to the nearest ancestor that
//! [adopts orphans](adopt_orphans), so such an ancestor can find everything that was ever started
//! below it, and end it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait, waitpid,
};

/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(2);

/// A process.
#[derive(Debug, Clone, Copy)]
struct Process {
    pid: Pid,
    parent: Option<Pid>,
    zombie: bool,
}

/// Makes this process the one that orphans below it are given to. It stays so until it ends;
/// children do not inherit it.
///
/// # Errors
///
/// The system's, which has none for this call on Linux 3.4 and later.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// The ids of all processes below this one, sorted.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn descendants() -> io::Result<Vec<u32>> {
    let below = below(getpid(), &processes()?);
    let mut ids: Vec<u32> = below
        .iter()
        .map(|process| process.pid.as_raw_nonzero().get().unsigned_abs())
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Ends every process below this one and reaps it, whether or not it left its process group.
///
/// They are asked with SIGTERM first when `grace` is not zero, and killed after it. What they start
/// meanwhile is found again, as orphans come to this process, which must [adopt](adopt_orphans)
/// them. Blocks the thread. It waits for children that others may be waiting for too, so it belongs
/// to the end of a process.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] when some are left after `grace` and `limit`; any other when
/// `/proc` cannot be read.
pub fn end_tree(grace: Duration, limit: Duration) -> io::Result<()> {
    let started = Instant::now();
    let mut asked = HashSet::new();
    while reap_all() {
        // Not found here is not gone: one whose parent ends during the look is below nobody.
        let below = below(getpid(), &processes()?);
        let waited = started.elapsed();
        if waited > grace.saturating_add(limit) {
            let left = below.len();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{left} processes could not be ended"),
            ));
        }
        for process in below {
            if process.zombie {
                // Ours is reaped in the next turn, another's by its parent, which ends as well.
            } else if waited >= grace {
                let _gone = kill_process(process.pid, Signal::KILL);
            } else if asked.insert(process.pid) {
                let _gone = kill_process(process.pid, Signal::TERM);
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Reaps all children that have ended; false when none is left, living or ended. Then there is
/// nothing below them either, as this process would have adopted it.
fn reap_all() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Reaps the children of this process that have ended, but for those in `owned`.
pub(crate) fn reap_orphans(owned: &HashSet<Pid>) -> io::Result<()> {
    let own = getpid();
    for process in processes()? {
        if process.zombie && process.parent == Some(own) && !owned.contains(&process.pid) {
            let _gone = waitpid(Some(process.pid), WaitOptions::NOHANG);
        }
    }
    Ok(())
}

/// All processes below one, parents before their children.
fn below(root: Pid, all: &[Process]) -> Vec<Process> {
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    for process in all {
        if let Some(parent) = process.parent {
            children.entry(parent).or_default().push(*process);
        }
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        found.extend(children.remove(&process.pid).unwrap_or_default());
        next += 1;
    }
    found
}

fn processes() -> io::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile is not there any more.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        all.extend(Pid::from_raw(pid).and_then(|pid| parse(pid, &stat)));
    }
    Ok(all)
}

/// Reads `/proc/PID/stat`: the id, the name in parentheses (which may hold anything), the state,
/// the parent's id.
fn parse(pid: Pid, stat: &[u8]) -> Option<Process> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent: i32 = fields.next()?.parse().ok()?;
    Some(Process {
        pid,
        parent: Pid::from_raw(parent),
        zombie: matches!(state, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let pid = Pid::from_raw(7).unwrap();
        let read = parse(pid, b"7 (a) Z 9 (b) S 42 7 7 0 -1").unwrap();
        assert_eq!(read.parent, Pid::from_raw(42));
        assert!(!read.zombie);
        assert!(parse(pid, b"7 (a) Z 1 2").unwrap().zombie);
        assert!(parse(pid, b"7 (a").is_none());
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let process = |pid, parent| Process {
            pid: Pid::from_raw(pid).unwrap(),
            parent: Pid::from_raw(parent),
            zombie: false,
        };
        let all = [process(5, 4), process(4, 2), process(3, 1), process(2, 1)];
        let ids: Vec<i32> = below(Pid::from_raw(2).unwrap(), &all)
            .iter()
            .map(|process| process.pid.as_raw_nonzero().get())
            .collect();
        assert_eq!(ids, [4, 5]);
    }
}
