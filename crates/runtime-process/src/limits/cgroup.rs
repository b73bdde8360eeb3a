//! What both versions of control groups have in common: files that hold a value or a table.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::processes::Process;

/// How long the kernel may take to end killed processes, and to let go of their group.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at a group that ends.
const PAUSE: Duration = Duration::from_millis(2);

/// Writes a value; says which file where it fails. It is there already: the kernel made it.
pub(crate) fn write(path: &Path, value: impl ToString) -> io::Result<()> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.to_string().as_bytes()));
    written.map_err(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        io::Error::new(error.kind(), format!("{name}: {error}"))
    })
}

/// Reads a file that is one number; `max` is none.
pub(crate) fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Reads one value of a table of `KEY VALUE` lines.
pub(crate) fn read_key(path: &Path, key: &str) -> Option<u64> {
    self::key(&fs::read_to_string(path).ok()?, key)
}

/// One value of a table of `KEY VALUE` lines.
pub(crate) fn key(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}

/// Makes a group, unless it is there.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The processes in a group; not those that have ended and wait for their parent.
fn members(dir: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let numbers = text.lines().filter_map(|line| line.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}

/// Waits until nothing runs in a group, doing something about it each time. Blocks.
pub(crate) fn empty(dir: &Path, mut each_time: impl FnMut(&[Pid])) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let members = members(dir);
        if members.is_empty() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        each_time(&members);
        std::thread::sleep(PAUSE);
    }
}

/// Kills one after the other. No member can be mistaken for another process of its number for as
/// long as it is in the group, which is the case until it was waited for; between the look and the
/// signal there is a moment in which it may.
///
/// Children of ours come last. They are watchdogs: if we end on the way, they end what is left.
pub(crate) fn kill_members(members: &[Pid]) {
    let is_ours = |pid: &&Pid| Process::of(**pid).is_some_and(|it| it.is_our_child());
    let (watchdogs, others): (Vec<&Pid>, Vec<&Pid>) = members.iter().partition(is_ours);
    for pid in others.into_iter().chain(watchdogs) {
        // It may have ended in between, which is what was wanted.
        let _ = kill_process(*pid, Signal::KILL);
    }
}

/// Removes a group in which nothing runs. The kernel may still hold on to it for a moment.
pub(crate) fn remove(dir: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(dir) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, dir = %dir.display(), "a control group is left behind");
                return;
            }
            _ => return,
        }
    }
}

/// The groups in a group.
pub(crate) fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_dir).map(|entry| entry.path()).collect()
}

/// What the names of all our common parents begin with.
const OURS: &str = "faas-process-";

/// The common parent of the groups of one runtime, of this process. The place makes it known to
/// the next runtime there, the process to all others.
pub(crate) fn base(own: &Path, place: &str) -> PathBuf {
    own.join(format!("{OURS}{place}-{}", std::process::id()))
}

/// Removes what killed providers left: of the same place, which belongs to us now, with what still
/// runs in it; of others that do not run any more, only what is empty.
pub(crate) fn sweep(own: &Path, place: &str) {
    for base in children(own) {
        let name = base.file_name().unwrap_or_default().to_string_lossy();
        let Some((of, process)) = name.strip_prefix(OURS).and_then(|it| it.rsplit_once('-')) else {
            continue;
        };
        let same_place = of == place;
        let runs = process
            .parse::<u32>()
            .is_ok_and(|id| Path::new(&format!("/proc/{id}")).exists());
        if runs && !same_place {
            continue;
        }
        for group in children(&base) {
            if same_place {
                empty(&group, kill_members);
                remove(&group);
            } else {
                let _ = fs::remove_dir(&group);
            }
        }
        let _ = fs::remove_dir(&base);
    }
}

/// The share of a core as a quota of microseconds in a period of so many: a tenth of a second, or
/// longer where the share is so small that the kernel would not take its quota.
pub(crate) fn quota(millicores: u64) -> (u64, u64) {
    const LEAST_QUOTA: u64 = 1000;
    let period = if millicores < 10 { 1_000_000 } else { 100_000 };
    let quota = millicores.saturating_mul(period) / 1000;
    // What is more than any machine has is no limit, and the kernel refuses to read it.
    (quota.clamp(LEAST_QUOTA, u64::from(u32::MAX)), period)
}

/// What a group counts for where CPU is short, as shares of cgroup v1 (1024 a core); the least
/// where nothing was asked for. The same arithmetic as in Kubernetes.
pub(crate) fn shares(millicores: Option<u64>) -> u64 {
    const LEAST: u64 = 2;
    const MOST: u64 = 262_144;
    let asked = millicores.unwrap_or(0);
    (asked.saturating_mul(1024) / 1000).clamp(LEAST, MOST)
}

/// The same as a weight of cgroup v2, which goes from 1 to 10,000.
pub(crate) fn weight(millicores: Option<u64>) -> u64 {
    1 + (shares(millicores) - 2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_cpu_is_a_quota_that_the_kernel_takes() {
        assert_eq!(quota(500), (50_000, 100_000));
        assert_eq!(quota(2000), (200_000, 100_000));
        assert_eq!(quota(10), (1000, 100_000));
        assert_eq!(quota(9), (9000, 1_000_000));
        assert_eq!(quota(1), (1000, 1_000_000));
        assert_eq!(quota(u64::MAX).1, 100_000);
    }

    #[test]
    fn a_promised_share_of_cpu_is_a_weight_that_the_kernel_takes() {
        let both = |millicores| (shares(millicores), weight(millicores));
        assert_eq!(both(None), (2, 1));
        assert_eq!(both(Some(1)), (2, 1));
        assert_eq!(both(Some(500)), (512, 20));
        assert_eq!(both(Some(2000)), (2048, 79));
        assert_eq!(both(Some(u64::MAX)), (262_144, 10_000));
    }

    #[test]
    fn only_what_nobody_uses_is_swept() {
        let own = tempfile::tempdir().unwrap();
        let make = |name: String| {
            let group = own.path().join(name).join("it-1");
            fs::create_dir_all(&group).unwrap();
            group
        };
        let living = make(format!("{OURS}other-{}", std::process::id()));
        // No process has a number as high as that.
        let dead = make(format!("{OURS}other-4294967295"));
        let before = make(format!("{OURS}mine-4294967295"));
        let foreign = make("session-4294967295".to_owned());
        sweep(own.path(), "mine");
        assert!(living.exists() && foreign.exists());
        assert!(!dead.parent().unwrap().exists());
        assert!(!before.parent().unwrap().exists());
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        fs::write(&file, "oom 3\noom_kill 2\noom_group_kill 1\n").unwrap();
        assert_eq!(read_key(&file, "oom_kill"), Some(2));
        assert_eq!(read_key(&file, "oom_k"), None);
        fs::write(&file, "max\n").unwrap();
        assert_eq!(read_number(&file), None);
        fs::write(&file, "4096\n").unwrap();
        assert_eq!(read_number(&file), Some(4096));
    }

    #[test]
    fn a_write_that_fails_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("pids.max"), 1).unwrap_err();
        assert!(error.to_string().contains("pids.max"), "{error}");
    }
}
