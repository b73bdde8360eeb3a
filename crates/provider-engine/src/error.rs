//! Why an engine does not open.

use std::path::PathBuf;

use provider_types::ProviderError;

/// Why an engine does not open. The messages are for whoever started the provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The state directory cannot be used.
    #[error("cannot use the state directory {}: {doing} failed", path.display())]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process uses the state directory.
    #[error(
        "the state directory {} is in use by {holder}; stop that one, or give this one a \
         directory of its own",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who uses it, as far as is known.
        holder: String,
    },
    /// The state was written by a newer version.
    #[error(
        "the state in {} has schema {found}, this version knows schemas up to {known}; start the \
         newer version, or use another state directory",
        path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// The schema found.
        found: u64,
        /// The newest schema that is understood.
        known: u64,
    },
    /// The store is not what was written.
    #[error(
        "the state in {} is damaged; it is left as it is{}; restore a backup, or move the file \
         away to start with no functions",
        path.display(),
        copy.as_ref().map(|copy| format!(", with a copy in {}", copy.display())).unwrap_or_default()
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// A copy of it; `None` when none could be written.
        copy: Option<PathBuf>,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no store.
    #[error("there is no state in {}", path.display())]
    NoState {
        /// Where it would be.
        path: PathBuf,
    },
    /// The provider that runs on a state directory gives no backup.
    #[error("the provider that uses {} gave no backup", path.display())]
    NoBackup {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be opened or read.
    #[error("cannot use the state in {}", path.display())]
    Store {
        /// The store.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The runtime cannot be asked what it runs.
    #[error("the runtime does not answer")]
    Runtime(#[source] ProviderError),
}
