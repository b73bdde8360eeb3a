//! What the function says of itself and of its surroundings.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::incoming::Head;
use super::journal::Record;

/// What was received.
#[derive(Debug, Serialize)]
pub(super) struct Echo<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) version: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) body: Body,
    pub(super) trailers: &'a [(String, String)],
    pub(super) peer: String,
    pub(super) replica: &'a str,
}

impl<'a> Echo<'a> {
    pub(super) fn new(
        head: &'a Head,
        body: Body,
        trailers: &'a [(String, String)],
        peer: String,
        replica: &'a str,
    ) -> Self {
        Self {
            method: &head.method,
            target: &head.target,
            version: &head.version,
            headers: &head.headers,
            body,
            trailers,
            peer,
            replica,
        }
    }
}

/// A body that was received.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    framing: &'static str,
    size: u64,
    sha256: String,
    pub(super) complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base64: Option<String>,
}

impl Body {
    pub(super) fn new(framing: &'static str, size: u64, digest: Sha256) -> Self {
        Self {
            framing,
            size,
            sha256: hex(&digest.finalize()),
            complete: false,
            base64: None,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Environment<'a> {
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) arguments: &'a [String],
    pub(super) directory: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(super) struct Secrets {
    directory: PathBuf,
    files: Vec<SecretFile>,
}

#[derive(Debug, Serialize)]
struct SecretFile {
    name: String,
    mode: String,
    size: usize,
    sha256: String,
    base64: String,
}

impl Secrets {
    /// The files of that directory, by name; none where there is no such directory.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            // Follows links: a Kubernetes volume is made of them.
            let about = std::fs::metadata(&path)?;
            if !about.is_file() {
                continue;
            }
            let value = std::fs::read(&path)?;
            files.push(SecretFile {
                name: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                mode: mode(&about),
                size: value.len(),
                sha256: hex(&Sha256::digest(&value)),
                base64: STANDARD.encode(&value),
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self {
            directory: directory.to_owned(),
            files,
        })
    }
}

fn mode(about: &std::fs::Metadata) -> String {
    use std::os::unix::fs::PermissionsExt;
    format!("{:04o}", about.permissions().mode() & 0o7777)
}

#[derive(Debug, Serialize)]
pub(super) struct Identity<'a> {
    pub(super) replica: &'a str,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) hostname: String,
    pub(super) calls: u64,
    pub(super) malformed: u64,
}

impl<'a> Identity<'a> {
    pub(super) fn new(replica: &'a str, calls: u64, malformed: u64) -> Self {
        Self {
            replica,
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            hostname: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            calls,
            malformed,
        }
    }
}

/// What bounds the function, as far as it can see.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    memory: Option<u64>,
    cpus: Option<f64>,
    processes: Option<u64>,
    open_files: Option<u64>,
}

impl Limits {
    /// Those of this process. What cannot be read bounds nothing.
    pub(super) fn read() -> Self {
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        let groups = control_groups(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup"));
        Self::of(&groups, &read("/proc/self/limits"))
    }

    /// The smallest bounds of these control groups and of the text of `/proc/self/limits`.
    fn of(groups: &[PathBuf], limits: &str) -> Self {
        let soft = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| number(rest.split_whitespace().next()?))
        };
        let least = |files: &[&str], own: Option<u64>| {
            let found = groups
                .iter()
                .flat_map(|group| files.iter().filter_map(|file| value(group, file)))
                .filter_map(|text| number(&text));
            found.chain(own).min()
        };
        let cpus = groups.iter().filter_map(|group| {
            let (quota, period) = match value(group, "cpu.max") {
                Some(both) => {
                    let (quota, period) = both.split_once(' ')?;
                    (quota.to_owned(), period.to_owned())
                }
                None => (
                    value(group, "cpu.cfs_quota_us")?,
                    value(group, "cpu.cfs_period_us")?,
                ),
            };
            // None is `max`, or below zero.
            let quota = quota.parse::<f64>().ok().filter(|quota| *quota > 0.0)?;
            Some(quota / period.parse::<f64>().ok()?)
        });
        Self {
            memory: least(
                &["memory.max", "memory.limit_in_bytes"],
                soft("Max address space"),
            ),
            cpus: cpus.min_by(f64::total_cmp),
            processes: least(&["pids.max"], soft("Max processes")),
            open_files: soft("Max open files"),
        }
    }
}

/// A bound; version 1 of the groups writes a large number for none.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|bound| *bound < 1 << 62)
}

fn value(group: &Path, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(group.join(file)).ok()?;
    Some(text.trim().to_owned())
}

/// The control groups in the text of `/proc/self/cgroup`, of either version, and those that they
/// are in.
fn control_groups(root: &Path, text: &str) -> Vec<PathBuf> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let hierarchy = root.join(controllers);
        let path = Path::new(path.trim_start_matches('/'));
        groups.extend(path.ancestors().map(|group| hierarchy.join(group)));
    }
    groups
}

/// The calls of one id.
#[derive(Debug, Serialize)]
pub(super) struct Calls<'a> {
    pub(super) replica: &'a str,
    pub(super) calls: Vec<Record>,
}

/// As small letters and digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bound_of_the_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        std::fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        std::fs::write(root.path().join("a/memory.max"), "67108864\n").unwrap();
        std::fs::write(root.path().join("a/cpu.max"), "50000 100000\n").unwrap();

        let limits = Limits::of(
            &control_groups(root.path(), "0::/a/b\n"),
            "Max processes             100                  200                  processes\n\
             Max address space         unlimited            unlimited            bytes\n",
        );
        assert_eq!(limits.memory, Some(67_108_864));
        assert_eq!(limits.cpus, Some(0.5));
        assert_eq!(limits.processes, Some(100));
        assert_eq!(limits.open_files, None);
    }

    #[test]
    fn the_first_version_of_control_groups_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/a/memory.limit_in_bytes", "1048576\n"),
            ("cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n"),
            ("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
            ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let groups = control_groups(root.path(), "4:memory:/a\n1:cpu,cpuacct:/a\n0::/\n");
        let limits = Limits::of(&groups, "");
        assert_eq!((limits.memory, limits.cpus), (Some(1_048_576), Some(1.5)));
        assert_eq!(limits.processes, None);
        let unbounded = control_groups(root.path(), "4:memory:/\n");
        assert_eq!(Limits::of(&unbounded, "").memory, None);
    }
}
