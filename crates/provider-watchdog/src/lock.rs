//! The lock file: it exists while the watchdog takes calls.
//!
//! of-watchdog: `pkg/watchdog.go`, where it is empty. Here it holds the address that the watchdog
//! listens on, so that one left behind by a killed watchdog can be told from a live one.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{WatchdogConfig, WatchdogError};

/// How long a health check waits for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A lock file that was written. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct LockFile(PathBuf);

// === impl LockFile ===

impl LockFile {
    pub(crate) fn write(path: &Path, address: Option<SocketAddr>) -> Result<Self, WatchdogError> {
        let failed = |source| WatchdogError::LockFile {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o660)
            .open(path)
            .map_err(failed)?;
        if let Some(address) = address {
            writeln!(file, "{address}").map_err(failed)?;
        }
        Ok(Self(path.to_owned()))
    }

    /// Whether it is still there: an operator may remove it to take the function out of service.
    pub(crate) fn present(&self) -> bool {
        self.0.exists()
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// Whether a watchdog with this configuration runs on this machine and takes calls, for a
/// health check in a process of its own. It blocks.
///
/// With a lock file the file must exist, and if it names an address, `/_/health` there must
/// answer 200; without one that is asked at the configured port.
#[must_use]
pub fn is_healthy(config: &WatchdogConfig) -> bool {
    let Some(lock) = &config.lock_file else {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), config.port);
        return answers(address);
    };
    let Ok(content) = fs::read_to_string(lock) else {
        return false;
    };
    // An empty file is of-watchdog's, or somebody's own.
    content.trim().parse().map_or(true, answers)
}

fn answers(mut address: SocketAddr) -> bool {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    ask(address).is_ok_and(|reply| reply.starts_with(b"HTTP/1.1 200 "))
}

fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /_/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.take(1024).read_to_end(&mut reply)?;
    Ok(reply)
}
