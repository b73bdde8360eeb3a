//! What the process needs before it serves: a log, descriptors, credentials, a runtime.

use std::env;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;
use provider_engine::EngineConfig;
use provider_http::{Authenticator, BasicAuth, Config, CredentialFiles};
use provider_types::wire::{ProviderInfo, VersionInfo};
use runtime_process::{ProcessRuntime, SetupError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use crate::config::Settings;
use crate::failure::{Failure, Kind, OrFail as _};

/// Enough for thousands of calls and hundreds of instances, each of which needs five.
const OPEN_FILES: u64 = 65_536;

/// Logs to standard error what `RUST_LOG` asks for.
pub(crate) fn logging() -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse(env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default())
        .context("RUST_LOG is wrong: give a level such as debug, or target=level")
        .or_fail(Kind::Usage)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // It would say on standard error that standard error is gone, and panic.
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// Takes more descriptors than the 1,024 that many systems give at first.
pub(crate) fn open_files() {
    let now = getrlimit(Resource::Nofile);
    let Some(current) = now.current else {
        return;
    };
    let wanted = now.maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if current < wanted {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: now.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the number of open files stays at {current}");
        }
    }
}

/// Reads the credentials and follows their files, where they are asked for.
pub(crate) fn credentials(config: &Config) -> Result<Option<Arc<dyn Authenticator>>, Failure> {
    if !config.basic_auth {
        return Ok(None);
    }
    let mut files = CredentialFiles::in_directory(&config.secret_mount_path);
    let auth: BasicAuth = files
        .load()
        .context("basic_auth is on, but the credentials below secret_mount_path cannot be used")
        .or_fail(Kind::Credentials)?;
    tokio::spawn(files.watch(auth.clone()));
    Ok(Some(Arc::new(auth)))
}

/// The commit, for `/system/info`: whoever builds a release sets the variable.
const COMMIT: Option<&str> = option_env!("FAAS_PROCESS_COMMIT");

/// What the engine is told.
pub(crate) fn engine(settings: &Settings) -> EngineConfig {
    let mut config = EngineConfig::new(&settings.state_dir);
    config.default_namespace = settings.http.default_namespace.clone();
    config.info = ProviderInfo::new(
        "faas-process",
        "processes",
        VersionInfo::new(
            env!("CARGO_PKG_VERSION"),
            COMMIT.filter(|it| !it.is_empty()).unwrap_or("unknown"),
        ),
    );
    settings.bounds.apply(&mut config);
    config.logs = settings.logs;
    config
}

/// Takes a place where functions run.
pub(crate) fn runtime(settings: &Settings, gateway_url: String) -> Result<ProcessRuntime, Failure> {
    ProcessRuntime::new(settings.runtime(gateway_url)).map_err(|error| {
        let kind = match error {
            SetupError::Limits { .. } => Kind::Usage,
            _ => Kind::Directory,
        };
        Failure {
            kind,
            error: error.into(),
        }
    })
}
