//! Where this process's own control groups are, and what the host has, as the kernel tells it.

use std::fs;
use std::path::{Path, PathBuf};

use provider_types::Host;

/// The mounted hierarchies of control groups, each with the group that this process is in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    /// The group in cgroup v2.
    pub(crate) unified: Option<PathBuf>,
    /// The groups in cgroup v1, with the controllers of their hierarchies.
    pub(crate) hierarchies: Vec<(Vec<String>, PathBuf)>,
}

impl Mounts {
    pub(crate) fn read() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text("/proc/self/mountinfo"), &text("/proc/self/cgroup"))
    }

    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup` (proc(5), cgroups(7)).
    fn parse(mountinfo: &str, groups: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let left: Vec<&str> = left.split(' ').collect();
            let right: Vec<&str> = right.split(' ').collect();
            let (Some(root), Some(point), Some(kind)) = (left.get(3), left.get(4), right.first())
            else {
                continue;
            };
            let (root, point) = (unescape(root), unescape(point));
            match *kind {
                "cgroup2" => {
                    if let Some(group) = own_group(groups, |names| names.is_empty())
                        && let Some(path) = below_mount(&root, &point, group)
                    {
                        found.unified.get_or_insert(path);
                    }
                }
                "cgroup" => {
                    // The controllers are among the options of the file system.
                    let options: Vec<&str> = right.last().unwrap_or(&"").split(',').collect();
                    let of_mount = |names: &str| {
                        !names.is_empty() && names.split(',').all(|name| options.contains(&name))
                    };
                    let Some((names, group)) = groups.lines().find_map(|line| {
                        let (_, names, group) = fields(line)?;
                        of_mount(names).then_some((names, group))
                    }) else {
                        continue;
                    };
                    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
                    let known = |(seen, _): &(Vec<String>, _)| *seen == names;
                    if let Some(path) = below_mount(&root, &point, group)
                        && !found.hierarchies.iter().any(known)
                    {
                        found.hierarchies.push((names, path));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// `ID:CONTROLLERS:PATH`.
fn fields(line: &str) -> Option<(&str, &str, &str)> {
    let mut parts = line.splitn(3, ':');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

fn own_group(groups: &str, controllers: impl Fn(&str) -> bool) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (_, names, group) = fields(line)?;
        controllers(names).then_some(group)
    })
}

/// A group's directory, where the mount shows it: in a container it shows a part of the tree.
fn below_mount(root: &str, point: &str, group: &str) -> Option<PathBuf> {
    let below = Path::new(group).strip_prefix(root).ok()?;
    let outside = below.components().any(|part| part.as_os_str() == "..");
    let path = Path::new(point).join(below);
    (!outside).then(|| path.components().collect())
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|it| u8::from_str_radix(it, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                plain.push(char::from(code));
                plain.push_str(rest);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// What this process, and so its functions, can have of the machine: all of it, or what the control
/// groups around it leave.
pub(crate) fn host() -> Host {
    let mounts = Mounts::read();
    let mut memory = machine_memory();
    let mut at_most = |bytes: u64| memory = Some(memory.map_or(bytes, |known| known.min(bytes)));
    for dir in mounts.unified.iter().flat_map(|dir| dir.ancestors()) {
        super::cgroup::read_number(&dir.join("memory.max"))
            .into_iter()
            .for_each(&mut at_most);
    }
    for (names, dir) in &mounts.hierarchies {
        if names.iter().any(|name| name == "memory") {
            for dir in dir.ancestors() {
                super::cgroup::read_number(&dir.join("memory.limit_in_bytes"))
                    .into_iter()
                    .for_each(&mut at_most);
            }
        }
    }
    let mut host = Host::default();
    host.memory_bytes = memory;
    // It knows of affinity and of the quotas of control groups.
    host.millicores = std::thread::available_parallelism()
        .ok()
        .and_then(|cores| u64::try_from(cores.get()).ok())
        .map(|cores| cores.saturating_mul(1000));
    host
}

fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
25 1 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/memory rw shared:9 master:1 - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/pids rw - cgroup none rw,pids
34 25 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
35 25 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

    #[test]
    fn each_hierarchy_is_found_with_our_own_group_in_it() {
        let groups = "12:pids:/\n4:memory:/a/b c\n3:cpu,cpuacct:/s\n1:name=systemd:/x\n0::/u";
        let mounts = Mounts::parse(V1, groups);
        let path = |name: &str| {
            let of_name = |(names, _): &&(Vec<String>, PathBuf)| names.iter().any(|it| it == name);
            let found = mounts.hierarchies.iter().find(of_name);
            found.map(|(_, path)| path.to_str().unwrap())
        };
        assert_eq!(path("memory"), Some("/sys/fs/cgroup/memory/a/b c"));
        assert_eq!(path("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct/s"));
        assert_eq!(path("cpuacct"), path("cpu"));
        assert_eq!(path("pids"), Some("/sys/fs/cgroup/pids"));
        let unified = mounts.unified.unwrap();
        assert_eq!(unified, Path::new("/sys/fs/cgroup/unified/u"));
    }

    #[test]
    fn a_mount_shows_a_part_of_the_tree_in_a_container() {
        let mount = r"40 1 0:31 /docker/1 /sys/fs/c\040g rw - cgroup2 cgroup rw,nsdelegate";
        let unified = |group: &str| Mounts::parse(mount, &format!("0::{group}\n")).unified;
        assert_eq!(unified("/docker/1/x"), Some(PathBuf::from("/sys/fs/c g/x")));
        assert_eq!(unified("/docker/2"), None);
        assert_eq!(unified("/docker/1/../2"), None);
        assert_eq!(Mounts::parse("", ""), Mounts::default());
    }

    #[test]
    fn this_host_has_memory_and_cores() {
        let host = host();
        assert!(host.memory_bytes.unwrap() > 64 << 20, "{host:?}");
        assert!(host.millicores.unwrap() >= 1000, "{host:?}");
    }
}
