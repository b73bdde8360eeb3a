//! Credentials in files, read at start and followed while the program runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{BasicAuth, Credentials, CredentialsError};

/// The file that holds the user, below a directory of credentials
/// (`faas-provider`: `auth/credentials.go`).
pub const USER_FILE: &str = "basic-auth-user";

/// The file that holds the password, below a directory of credentials
/// (`faas-provider`: `auth/credentials.go`).
pub const PASSWORD_FILE: &str = "basic-auth-password";

/// How often the files are read. A change counts once two readings agree, so it takes two of these.
const EVERY: Duration = Duration::from_secs(1);

/// Longer than any password, shorter than what a wrong path may lead to.
const MAX_BYTES: u64 = 64 * 1024;

/// One or several pairs of files, each holding a user and a password.
///
/// White space around either is cut off, as in the Go SDK. Unlike there, an empty one is refused.
#[doc(alias = "ReadBasicAuthFromDisk")]
#[derive(Debug, Clone)]
pub struct CredentialFiles {
    pairs: Vec<Pair>,
}

/// One pair of files and what is known of it from one reading to the next.
#[derive(Debug, Clone)]
struct Pair {
    user: PathBuf,
    password: PathBuf,
    /// What counts.
    held: Option<Credentials>,
    /// What the last reading found, where it differs from what counts.
    pending: Option<Credentials>,
    /// Whether the present trouble was logged.
    warned: bool,
}

/// Credential files that cannot be used. The message names the file and never its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFilesError {
    /// The directory is the empty path. (The Go SDK calls it an invalid mount path.)
    #[error("no directory of credential files is named; the present one is `.`")]
    NoDirectory,
    /// A file could not be read.
    #[error("could not read the credential file {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too long to be a credential.
    #[error("the credential file {} is longer than {MAX_BYTES} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// A file holds bytes that are not UTF-8.
    #[error("the credential file {} does not hold UTF-8 text", path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
    },
    /// What a file holds cannot be used.
    #[error("the credential file {} cannot be used", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: CredentialsError,
    },
}

impl CredentialFiles {
    /// The files [`USER_FILE`] and [`PASSWORD_FILE`] in a directory.
    pub fn in_directory(directory: impl AsRef<Path>) -> Self {
        Self { pairs: Vec::new() }.and_directory(directory)
    }

    /// These and the two files in one more directory.
    #[must_use]
    pub fn and_directory(self, directory: impl AsRef<Path>) -> Self {
        let directory = directory.as_ref();
        self.and_files(directory.join(USER_FILE), directory.join(PASSWORD_FILE))
    }

    /// These and two more files, whatever they are called.
    #[must_use]
    pub fn and_files(mut self, user: impl Into<PathBuf>, password: impl Into<PathBuf>) -> Self {
        self.pairs.push(Pair {
            user: user.into(),
            password: password.into(),
            held: None,
            pending: None,
            warned: false,
        });
        self
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// When a directory is the empty path, or any file is missing, unreadable, not text, or holds
    /// what [`Credentials::new`] refuses.
    pub fn load(&mut self) -> Result<BasicAuth, CredentialFilesError> {
        for pair in &mut self.pairs {
            pair.held = Some(pair.read()?);
        }
        Ok(BasicAuth::new(self.held()))
    }

    /// Follows the files and gives `auth` what they hold, in place of what it held before, until
    /// the future is dropped.
    ///
    /// The files are read every second, by their paths and whole, so it does not matter how they
    /// are changed: written in place, renamed over, or behind a link that is swapped, as Kubernetes
    /// does. New credentials count after two readings in a row have found the same, that is within
    /// about two seconds: a file seen half written, or a user and a password from two sides of a
    /// swap, never count.
    ///
    /// A pair that cannot be used (a file is emptied, gone or unreadable) keeps the credentials
    /// that it had last, and one warning is logged. Nobody new gets in by it, and an operator is
    /// not locked out by a mistake. So credentials are withdrawn by writing others, not by removing
    /// the files. A pair that could never be read lets nobody in.
    ///
    /// Needs a tokio runtime with its timer: `tokio::spawn(files.watch(auth.clone()))`.
    pub async fn watch(mut self, auth: BasicAuth) {
        loop {
            // Files may lie on a slow disk; nobody's request should wait for it.
            let auth = auth.clone();
            let reading = tokio::task::spawn_blocking(move || {
                self.read_again(&auth);
                self
            });
            match reading.await {
                Ok(same) => self = same,
                // The runtime shuts down.
                Err(_) => return,
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn read_again(&mut self, auth: &BasicAuth) {
        let mut changed = false;
        for pair in &mut self.pairs {
            changed |= pair.read_again();
        }
        if changed {
            auth.replace(self.held());
        }
    }

    fn held(&self) -> Vec<Credentials> {
        self.pairs
            .iter()
            .filter_map(|pair| pair.held.clone())
            .collect()
    }
}

impl Pair {
    fn read(&self) -> Result<Credentials, CredentialFilesError> {
        if self.user == Path::new(USER_FILE) {
            return Err(CredentialFilesError::NoDirectory);
        }
        let (user, password) = (read_text(&self.user)?, read_text(&self.password)?);
        Credentials::new(user.trim(), password.trim()).map_err(|source| {
            let path = match source {
                CredentialsError::EmptyPassword => &self.password,
                CredentialsError::EmptyUser | CredentialsError::ColonInUser => &self.user,
            };
            CredentialFilesError::Unusable {
                path: path.clone(),
                source,
            }
        })
    }

    /// Reads both files and says whether other credentials count now.
    fn read_again(&mut self) -> bool {
        match self.read() {
            Ok(read) => {
                self.warned = false;
                if self.held.as_ref() == Some(&read) {
                    self.pending = None;
                    false
                } else if self.pending.as_ref() == Some(&read) {
                    tracing::info!(
                        user = read.user(),
                        file = %self.user.display(),
                        "credentials replaced"
                    );
                    self.held = self.pending.take();
                    true
                } else {
                    self.pending = Some(read);
                    false
                }
            }
            Err(error) => {
                self.pending = None;
                if !self.warned {
                    self.warned = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "credentials cannot be read again; the last ones still count"
                    );
                }
                false
            }
        }
    }
}

fn read_text(path: &Path) -> Result<String, CredentialFilesError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| CredentialFilesError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(CredentialFilesError::TooLong {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|_| CredentialFilesError::NotText {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests;
