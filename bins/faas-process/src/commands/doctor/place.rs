//! Where the state is: who uses it, the disk below it, and who may read it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use provider_engine::{Backup, control};
use provider_http::CredentialFiles;
use rustix::fs::{Access, StatVfsMountFlags, access, statfs, statvfs};

use super::Finding;
use crate::config::Settings;

const MIB: u64 = 1024 * 1024;
/// Below that much, writes of the state may fail soon; below that, they will.
const LITTLE_SPACE: u64 = 1024 * MIB;
const NO_SPACE: u64 = 16 * MIB;

/// File systems that do not keep what was written as a disk does (`statfs(2)`).
const TMPFS: u64 = 0x0102_1994;
const OVERLAY: u64 = 0x794c_7630;
const NETWORK: [u64; 5] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x6573_5546];

/// The process that uses the state directory, in words.
pub(super) fn running(settings: &Settings) -> Option<String> {
    // It does not know the request, and says so.
    let listens = match control(&settings.state_dir, "doctor") {
        Ok(answer) => answer.is_some(),
        Err(_) => true,
    };
    let pid = fs::read_to_string(settings.state_dir.join("lock")).unwrap_or_default();
    let pid = pid.trim();
    listens.then(|| match pid.parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "a process".to_owned(),
    })
}

pub(super) fn provider(running: Option<&str>) -> Finding {
    const NAME: &str = "provider";
    Finding::ok(
        NAME,
        match running {
            Some(who) => format!("{who} runs on this state directory"),
            None => "none runs on this state directory".to_owned(),
        },
    )
}

/// The directory itself, or the nearest above it that is there.
fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|path| path.exists());
    there.unwrap_or(Path::new("/")).to_owned()
}

pub(super) fn disk(state_dir: &Path) -> Vec<Finding> {
    const NAME: &str = "disk";
    let dir = existing(state_dir);
    let (space, kind) = match (statvfs(&dir), statfs(&dir)) {
        (Ok(space), Ok(kind)) => (space, kind),
        (Err(error), _) | (_, Err(error)) => {
            return vec![
                Finding::fail(
                    NAME,
                    format!("{} cannot be looked at: {error}", dir.display()),
                )
                .mend("give a --state-dir that can be read"),
            ];
        }
    };
    if space.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return vec![
            Finding::fail(NAME, format!("{} is mounted read-only", dir.display()))
                .mend("mount it writable, or give another --state-dir"),
        ];
    }
    let mut findings = Vec::new();
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let room = format!("{} MiB free at {}", free / MIB, dir.display());
    // Some file systems have no fixed number of files, and say 0.
    let files_gone = space.f_files > 0 && space.f_favail < 1000;
    findings.push(if free < NO_SPACE || (files_gone && space.f_favail == 0) {
        Finding::fail(NAME, format!("{room}, {} files", space.f_favail))
            .mend("free some space: nothing can be deployed on a full disk")
    } else if free < LITTLE_SPACE || files_gone {
        Finding::warn(NAME, format!("{room}, {} files", space.f_favail))
            .mend("free some space: on a full disk nothing can be deployed, though functions go on")
    } else {
        Finding::ok(NAME, room)
    });
    let magic = u64::try_from(kind.f_type).unwrap_or_default() & 0xffff_ffff;
    if magic == TMPFS {
        findings.push(
            Finding::warn(NAME, "it is a tmpfs: the state is gone after a reboot")
                .mend("give a --state-dir on a disk"),
        );
    } else if magic == OVERLAY {
        findings.push(
            Finding::warn(NAME, "it is a layer of a container: the state goes with it")
                .mend("mount a volume there"),
        );
    } else if NETWORK.contains(&magic) {
        findings.push(
            Finding::warn(
                NAME,
                "it is on a network or user-space file system: locks and syncs may not hold",
            )
            .mend("give a --state-dir on a local disk"),
        );
    }
    findings
}

pub(super) fn permissions(settings: &Settings, provider_runs: bool) -> Vec<Finding> {
    let mut findings = vec![state(&settings.state_dir, provider_runs)];
    if settings.http.basic_auth {
        findings.push(credentials(&settings.http.secret_mount_path));
    }
    if let Some(dir) = &settings.functions_dir
        && fs::read_dir(dir).is_err()
    {
        findings.push(
            Finding::fail("functions", format!("{} cannot be read", dir.display()))
                .mend("make the directory, or let this user read it"),
        );
    }
    if rustix::process::geteuid().is_root() && settings.run_as.is_none() {
        findings.push(
            Finding::warn("user", "functions run as root")
                .mend("give --run-as USER, or start as another user"),
        );
    }
    findings
}

fn state(dir: &Path, provider_runs: bool) -> Finding {
    const NAME: &str = "state";
    let shown = dir.display();
    let Ok(found) = fs::symlink_metadata(dir) else {
        let above = existing(dir);
        return if access(&above, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
            Finding::ok(NAME, format!("{shown} is not there yet and can be made"))
        } else {
            Finding::fail(
                NAME,
                format!("{shown} cannot be made: {} is closed", above.display()),
            )
            .mend("give a --state-dir that this user may make, or make it for this user")
        };
    };
    let us = rustix::process::geteuid().as_raw();
    if !fs::metadata(dir).is_ok_and(|it| it.is_dir()) {
        return Finding::fail(NAME, format!("{shown} is no directory"))
            .mend("give another --state-dir");
    }
    if found.uid() != us && !found.is_symlink() {
        return Finding::fail(
            NAME,
            format!(
                "{shown} belongs to user {}, and this is user {us}",
                found.uid()
            ),
        )
        .mend(format!("run as that user, or `chown -R {us} {shown}`"));
    }
    if access(dir, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Finding::fail(NAME, format!("{shown} cannot be written to"))
            .mend(format!("`chmod u+rwx {shown}`"));
    }
    // One that is in use was read at its start, and changes meanwhile.
    if !provider_runs && let Err(error) = Backup::examine(dir) {
        return Finding::fail(NAME, format!("{:#}", anyhow::Error::from(error))).mend(
            "`faas-process restore FILE` puts a backup in its place; or give another --state-dir",
        );
    }
    if found.mode() & 0o077 != 0 && !found.is_symlink() {
        return Finding::warn(
            NAME,
            format!(
                "{shown} is open to others (mode {:o}): it holds secrets",
                found.mode() & 0o777
            ),
        )
        .mend(format!("`chmod 700 {shown}`"));
    }
    Finding::ok(NAME, format!("{shown} is this user's own"))
}

fn credentials(dir: &Path) -> Finding {
    const NAME: &str = "credentials";
    if let Err(error) = CredentialFiles::in_directory(dir).load() {
        let error = anyhow::Error::from(error);
        return Finding::fail(NAME, format!("{error:#}")).mend(format!(
            "put user and password into basic-auth-user and basic-auth-password in {}",
            dir.display()
        ));
    }
    let password = dir.join("basic-auth-password");
    let open = fs::metadata(&password).is_ok_and(|it| it.mode() & 0o077 != 0);
    let closed = fs::metadata(dir).is_ok_and(|it| it.mode() & 0o077 == 0);
    if open && !closed {
        return Finding::warn(NAME, format!("{} is open to others", password.display()))
            .mend(format!("`chmod 600 {}`", password.display()));
    }
    Finding::ok(NAME, "they can be read, and by this user only")
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_state_directory_that_is_open_or_no_directory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mode =
            |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o755);
        let finding = state(dir.path(), false);
        assert_eq!(finding.level, Level::Warn, "{finding}");
        assert!(finding.mend.unwrap().contains("chmod 700"));
        mode(0o700);
        assert_eq!(state(dir.path(), false).level, Level::Ok);
        assert_eq!(state(&dir.path().join("a/b"), false).level, Level::Ok);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(state(&file, false).level, Level::Fail);
    }

    #[test]
    fn credentials_are_read_as_the_provider_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(credentials(dir.path()).level, Level::Fail);
        fs::write(dir.path().join("basic-auth-user"), "u").unwrap();
        let password = dir.path().join("basic-auth-password");
        fs::write(&password, "").unwrap();
        assert_eq!(credentials(dir.path()).level, Level::Fail, "an empty one");
        fs::write(&password, "p").unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(credentials(dir.path()).level, Level::Warn);
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(credentials(dir.path()).level, Level::Ok);
    }

    #[test]
    fn a_file_system_that_forgets_is_told() {
        let memory = Path::new("/dev/shm");
        if statfs(memory).is_ok_and(|it| u64::try_from(it.f_type) == Ok(TMPFS)) {
            let findings = disk(&memory.join("not/there"));
            assert!(
                findings.iter().any(|it| it.found.contains("reboot")),
                "{findings:?}"
            );
        }
        let findings = disk(Path::new("/proc/sys"));
        assert_eq!(findings[0].level, Level::Fail, "{findings:?}");
    }
}
