//! The `process_*` series that Prometheus client libraries give, read from `/proc`. Elsewhere than
//! on Linux there are none.

use std::fmt::Write as _;
use std::fs;

/// Adds what can be found out to a text of series.
pub(super) fn write(out: &mut String) {
    let mut series = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = write!(
                out,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
    let field = |index| field(&stat, index);
    series(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        field(14)
            .zip(field(15))
            .map(|(user, system)| (user + system) / ticks),
    );
    series(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        field(24).map(|pages| {
            pages * f64::from(u32::try_from(rustix::param::page_size()).unwrap_or(4096))
        }),
    );
    series(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        field(23),
    );
    series(
        "process_threads",
        "gauge",
        "Number of OS threads in the process.",
        field(20),
    );
    series(
        "process_open_fds",
        "gauge",
        "Number of open file descriptors.",
        fs::read_dir("/proc/self/fd")
            .ok()
            // Listing them opens one more.
            .map(|fds| fds.count().saturating_sub(1))
            .and_then(|fds| u32::try_from(fds).ok())
            .map(f64::from),
    );
    series(
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
        open_files_limit(),
    );
    series(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        boot_time()
            .zip(field(22))
            .map(|(boot, since)| boot + since / ticks),
    );
}

/// A field of `/proc/self/stat`, counted from 1 as proc(5) does. The second one, the program's
/// name, may hold blanks and brackets.
fn field(stat: &str, index: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name
        .split(' ')
        .nth(index.checked_sub(3)?)?
        .parse()
        .ok()
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn open_files_limit() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_with_blanks() {
        let stat = "1 (a) b (c)) S 2 3 4";
        assert_eq!(field(stat, 4), Some(2.0));
        assert_eq!(field(stat, 6), Some(4.0));
        assert_eq!(field(stat, 7), None);
        assert_eq!(field("", 4), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_been_running_and_holds_memory() {
        let mut text = String::new();
        write(&mut text);
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_open_fds") >= 1.0);
        let started = value("process_start_time_seconds");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        assert!(
            (0.0..86_400.0).contains(&(now - started)),
            "{started} {now}"
        );
    }
}
