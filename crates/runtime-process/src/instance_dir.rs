//! The private directory of one instance: its socket, its secrets, a place to work in.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use provider_types::SecretName;

use crate::user::User;

/// The socket's name: short, as a socket's address is.
pub(crate) const SOCKET: &str = "s";

/// The longest path that a Unix socket's address holds (`sun_path` less its final zero).
const LONGEST_ADDRESS: usize = 107;

/// One instance's directory, 0700.
#[derive(Debug, Clone)]
pub(crate) struct InstanceDir {
    path: PathBuf,
    secrets: PathBuf,
    owner: Option<User>,
    /// Held while secrets are written, for all clones.
    writing: Arc<Mutex<()>>,
}

impl InstanceDir {
    /// Makes the directory with all that belongs in it, and that of the secrets, wherever it is.
    pub(crate) fn create(
        path: PathBuf,
        secrets_dir: PathBuf,
        owner: Option<User>,
        secrets: &[(SecretName, Vec<u8>)],
    ) -> io::Result<Self> {
        let dir = Self {
            path,
            secrets: secrets_dir,
            owner,
            writing: Arc::default(),
        };
        dir.make(secrets).inspect_err(|_| {
            // The next one with this name removes what stays.
            let _ = dir.remove();
        })?;
        Ok(dir)
    }

    fn make(&self, secrets: &[(SecretName, Vec<u8>)]) -> io::Result<()> {
        self.remove()?;
        for made in [&self.path, &self.secrets, &self.work(), &self.temp()] {
            private_dir(made, 0o700)?;
            self.give(made)?;
        }
        self.write_secrets(secrets)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the program runs that has no directory of its own.
    pub(crate) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// A temporary directory for where the common one cannot be given.
    pub(crate) fn temp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub(crate) fn secrets(&self) -> &Path {
        &self.secrets
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// Whether the socket's path fits a socket's address.
    pub(crate) fn socket_fits(&self) -> bool {
        self.socket().as_os_str().len() <= LONGEST_ADDRESS
    }

    /// Gives the secrets their present values. A reader sees an old value or a new one, whole.
    pub(crate) fn write_secrets(&self, secrets: &[(SecretName, Vec<u8>)]) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = self.secrets();
        for (name, value) in secrets {
            // No secret's name begins with a dot.
            let new = dir.join(".new");
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o400)
                .open(&new)?;
            file.write_all(value)?;
            self.give(&new)?;
            fs::rename(&new, dir.join(name.as_str()))?;
        }
        Ok(())
    }

    /// Removes it; one that is gone is fine.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_all(&self.secrets)?;
        remove_all(&self.path)
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        match &self.owner {
            Some(user) => std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        }
    }
}

/// Makes one directory with exactly this mode, whatever the umask.
pub(crate) fn private_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Removes a directory with all below it, also where a function took itself the right to.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes every directory below writable to us again.
fn open_up(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        // Where it fails, the removal that follows says so.
        let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, value: &[u8]) -> (SecretName, Vec<u8>) {
        (SecretName::new(name).unwrap(), value.to_vec())
    }

    #[test]
    fn secrets_are_private_files_and_replaced_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("one");
        let elsewhere = parent.path().join("elsewhere");
        let secrets = [secret("key", b"old"), secret("other", b"")];
        let dir = InstanceDir::create(path.clone(), elsewhere, None, &secrets).unwrap();
        let file = dir.secrets().join("key");
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o400
        );
        for private in [path.as_path(), dir.secrets()] {
            let mode = fs::metadata(private).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }

        let held = fs::File::open(&file).unwrap();
        dir.write_secrets(&[secret("key", b"new value")]).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new value");
        assert_eq!(
            held.metadata().unwrap().len(),
            3,
            "rewritten under a reader"
        );
        let names: Vec<_> = fs::read_dir(dir.secrets()).unwrap().collect();
        assert_eq!(names.len(), 2, "{names:?}");

        dir.remove().unwrap();
        assert!(!path.exists() && !dir.secrets().exists());
        dir.remove().unwrap();
    }

    #[test]
    fn secrets_written_at_once_do_not_mix() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("one");
        let dir = InstanceDir::create(path.clone(), path.join("secrets"), None, &[]).unwrap();
        std::thread::scope(|scope| {
            for name in ["aa", "bb"] {
                let dir = dir.clone();
                scope.spawn(move || {
                    for _ in 0..200 {
                        dir.write_secrets(&[secret(name, name.as_bytes())]).unwrap();
                        let seen = fs::read_to_string(dir.secrets().join(name)).unwrap();
                        assert_eq!(seen, name);
                    }
                });
            }
        });
    }

    #[test]
    fn the_length_of_a_socket_address_is_minded() {
        let fits = |length: usize| {
            let path = format!("/{}", "d".repeat(length - "//s".len()));
            let dir = InstanceDir {
                path: PathBuf::from(path),
                secrets: PathBuf::new(),
                owner: None,
                writing: Arc::default(),
            };
            assert_eq!(dir.socket().as_os_str().len(), length);
            dir.socket_fits()
        };
        assert!(fits(107));
        assert!(!fits(108));
    }
}
