//! Forks that the kernel refused in a group: `pids.events` counts them in both versions of control
//! groups.
//!
//! The file is looked at from time to time. To be woken by it would take a descriptor that tokio
//! only takes with `unsafe`.

use std::future;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cgroup;

/// Between two looks. All instances are looked at in the same moment, so that many cause no more
/// wakes than one.
const PAUSE: Duration = Duration::from_secs(10);

/// The forks that were refused in one group.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// `None` where nothing is refused.
    group: Option<PathBuf>,
    told: u64,
}

impl Refusals {
    /// Those in this group; `None` for an instance that is ended instead.
    pub(crate) fn of(group: Option<PathBuf>) -> Self {
        Self { group, told: 0 }
    }

    /// Waits until there are more, and says how many there were in all: the end of a sentence that
    /// begins with the instance.
    pub(crate) async fn more(&mut self) -> String {
        if self.group.is_none() {
            return future::pending().await;
        }
        loop {
            tokio::time::sleep(until_next_look(SystemTime::now())).await;
            if let Some(more) = self.look() {
                return more;
            }
        }
    }

    /// The same of what there is now.
    pub(crate) fn look(&mut self) -> Option<String> {
        let group = self.group.as_deref()?;
        let count = cgroup::read_key(&group.join("pids.events"), "max")?;
        if count <= self.told {
            return None;
        }
        self.told = count;
        let limit = cgroup::read_number(&group.join("pids.max")).unwrap_or(0);
        let times = if count == 1 { "time" } else { "times" };
        Some(format!(
            "was refused a new process or thread {count} {times}: it may have {limit}"
        ))
    }
}

fn until_next_look(now: SystemTime) -> Duration {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let into = since.as_millis() % PAUSE.as_millis();
    PAUSE.saturating_sub(Duration::from_millis(u64::try_from(into).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_refused_is_told_once_and_again_when_there_is_more() {
        let dir = tempfile::tempdir().unwrap();
        let events = dir.path().join("pids.events");
        fs::write(dir.path().join("pids.max"), "32\n").unwrap();
        let mut refusals = Refusals::of(Some(dir.path().to_owned()));
        assert_eq!(refusals.look(), None);
        fs::write(&events, "max 0\n").unwrap();
        assert_eq!(refusals.look(), None);
        fs::write(&events, "max 1\n").unwrap();
        let once = "was refused a new process or thread 1 time: it may have 32";
        assert_eq!(refusals.look().as_deref(), Some(once));
        assert_eq!(refusals.look(), None);
        fs::write(&events, "max 7\n").unwrap();
        assert!(refusals.look().unwrap().contains(" 7 times:"));
        assert_eq!(Refusals::of(None).look(), None);
    }

    #[test]
    fn all_instances_are_looked_at_in_the_same_moment() {
        for millis in [0_u64, 1, 9_999, 10_000, 123_456_789] {
            let now = UNIX_EPOCH + Duration::from_millis(millis);
            let next = now + until_next_look(now);
            let since = next.duration_since(UNIX_EPOCH).unwrap();
            assert_eq!(since.as_millis() % PAUSE.as_millis(), 0);
            assert!(next > now && next <= now + PAUSE);
        }
    }
}
