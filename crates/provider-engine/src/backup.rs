//! All that a provider keeps, taken out and put back.
//!
//! # The file
//!
//! Lines of JSON, in this order:
//!
//! | line | |
//! |---|---|
//! | `{"backup":"provider-state","version":1,"generation":7,"namespaces":1,"secrets":2,"functions":3}` | what this is, and how much follows |
//! | `{"namespace":{"name":"staging","labels":{},"annotations":{}}}` | each namespace but the default one |
//! | `{"secret":{"namespace":"openfaas-fn","name":"key","value":"czNjcmV0"}}` | each secret, its bytes in base64 |
//! | `{"function":{"generation":5,"createdAtNanos":1,"replicas":2,"function":{...}}}` | each function: `function` is its deployment, as on the wire; `previous` beside it is what an update that is not through replaces |
//! | `{"sha256":"..."}` | the SHA-256 of all bytes before this line |
//!
//! `version` grows when a reader of the version before would misread the file. Logs are not in it.

mod archive;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use provider_types::FunctionSpec;
use tokio::io::AsyncWriteExt as _;

use crate::control::{ControlRequest, control};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::state_dir::{STORE, StateDir};
use crate::store::{self, Desired};

/// What [`Backup::of`] asks of a provider that runs.
const REQUEST: &str = "backup";

/// Functions, secrets and namespaces of a provider at one moment.
#[derive(Clone, PartialEq)]
pub struct Backup(Desired);

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be read.
    #[error("the backup cannot be read")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("this is no backup of a provider's state")]
    Foreign,
    /// A newer version made it.
    #[error(
        "the backup has version {found}, this program knows versions up to {known}: use the \
         program that made it, or a newer one"
    )]
    Newer {
        /// The version found.
        found: u64,
        /// The newest version that is understood.
        known: u64,
    },
    /// Its end is missing.
    #[error("the backup ends early: its last line, with the checksum, is missing")]
    EndsEarly,
    /// It is not what was written.
    #[error("the backup is damaged: its checksum does not fit")]
    Checksum,
    /// A line is not what it should be.
    #[error("line {line} of the backup is wrong")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is more or less than its first line says.
    #[error("the backup holds {found}, and its first line says {said}")]
    Counts {
        /// What follows the first line.
        found: String,
        /// What it says.
        said: String,
    },
}

impl Backup {
    /// Takes one of a state directory: from the provider that runs on it, else from the directory
    /// itself, which is not changed. Blocks.
    ///
    /// # Errors
    /// When there is no state, or it cannot be read; when a provider runs and gives none.
    pub fn of(state_dir: &Path) -> Result<Self, EngineError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| EngineError::NoBackup {
            path: state_dir.to_owned(),
            source,
        };
        match control(state_dir, REQUEST).map_err(|error| failed(error.into()))? {
            Some(connection) => Self::read(connection).map_err(|error| failed(error.into())),
            None => Self::of_stopped(state_dir),
        }
    }

    /// Whether the state of a directory that no provider uses can be read; where there is none, yes.
    /// Changes nothing: of a damaged one no copy is made either. Blocks.
    ///
    /// # Errors
    /// When it is damaged, of a newer version, or may not be read.
    pub fn examine(state_dir: &Path) -> Result<(), EngineError> {
        store::examine(&state_dir.join(STORE))
    }

    fn of_stopped(state_dir: &Path) -> Result<Self, EngineError> {
        let path = state_dir.join(STORE);
        // Before anything is made there.
        if !path.exists() {
            return Err(EngineError::NoState { path });
        }
        let _held = StateDir::open(state_dir)?;
        store::read(&path).map(Self)
    }

    /// Reads one from a file, and verifies all of it.
    ///
    /// # Errors
    /// When it is not whole, not a backup, or of a newer version.
    pub fn read(input: impl Read) -> Result<Self, BackupError> {
        archive::read(input).map(Self)
    }

    /// Writes it as a file. **The secrets are in it in plain text**: keep it as safe as the state.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn write(&self, output: impl Write) -> io::Result<()> {
        archive::write(&self.0, output)
    }

    /// Puts it in the place of what a state directory holds; says where that is kept, if anything
    /// was there. The directory is made if it is missing. Blocks.
    ///
    /// # Errors
    /// When a provider uses the directory, or it cannot be written; it is as it was then.
    pub fn restore(&self, state_dir: &Path) -> Result<Option<PathBuf>, EngineError> {
        let _held = StateDir::open(state_dir)?;
        store::replace(&state_dir.join(STORE), &self.0)
    }

    /// The functions, sorted by namespace and name.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionSpec> {
        self.0.functions.values().map(|function| &*function.spec)
    }
}

impl Engine {
    /// All that is kept now, at one moment.
    #[must_use]
    pub fn backup(&self) -> Backup {
        Backup(self.inner.store.snapshot())
    }

    /// Answers a request over the control socket, where it is one for a backup; gives back any
    /// other.
    ///
    /// # Errors
    /// When whoever asked has left.
    pub async fn answer(&self, request: ControlRequest) -> io::Result<Option<ControlRequest>> {
        if request.request != REQUEST {
            return Ok(Some(request));
        }
        let mut bytes = Vec::new();
        self.backup().write(&mut bytes)?;
        let mut stream = request.accept().await?;
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        Ok(None)
    }
}

impl fmt::Display for Backup {
    /// How much is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let Desired {
            functions,
            secrets,
            namespaces,
            ..
        } = &self.0;
        write!(
            f,
            "{}, {}, {} beside the default one",
            count(functions.len(), "function"),
            count(secrets.len(), "secret"),
            count(namespaces.len(), "namespace")
        )
    }
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backup({self})")
    }
}
