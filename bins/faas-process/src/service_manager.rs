//! The service manager: sockets from it (`sd_listen_fds(3)`) and news to it (`sd_notify(3)`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::Context as _;
use listenfd::ListenFd;
use provider_http::{HandedSocket, Purpose};

use crate::failure::{Failure, Kind, OrFail as _};

/// The name of a socket for system calls, as `FileDescriptorName=` gives it.
const SYSTEM: &str = "system";
/// The name of a socket for metrics.
const METRICS: &str = "metrics";

/// Takes the sockets that were passed to this very process, and the variables that tell of them.
/// Must come before there is a second thread.
pub(crate) fn sockets(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<HandedSocket>, Failure> {
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    // Without it the variable came from a process that is not the service manager.
    if variable("LISTEN_PID").is_none() {
        return Ok(Vec::new());
    }
    let mut passed = ListenFd::from_env();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        let purpose = match name {
            SYSTEM => Purpose::System,
            METRICS => Purpose::Metrics,
            // By default it is the name of the unit.
            _ => Purpose::All,
        };
        let socket = take(&mut passed, index)
            .with_context(|| {
                format!(
                    "descriptor {} from the service manager ({name:?}) is no TCP or Unix stream \
                     socket: give ListenStream= in its unit",
                    index + 3
                )
            })
            .or_fail(Kind::Address)?;
        sockets.extend(socket.map(|socket| HandedSocket::inherited(purpose, socket)));
    }
    Ok(sockets)
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<Option<OwnedFd>> {
    if let Ok(tcp) = passed.take_tcp_listener(index) {
        return Ok(tcp.map(OwnedFd::from));
    }
    passed
        .take_unix_listener(index)
        .map(|unix| unix.map(OwnedFd::from))
}

/// Tells the service manager how the provider is; nobody where there is none.
#[derive(Debug, Default)]
pub(crate) struct Notify(Option<UnixDatagram>);

impl Notify {
    /// `address` is `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    pub(crate) fn new(address: Option<&str>) -> Self {
        let Some(address) = address else {
            return Self(None);
        };
        let connect = || {
            let address = match address.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(address)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            io::Result::Ok(socket)
        };
        match connect() {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!(%error, address, "the service manager cannot be told anything");
                Self(None)
            }
        }
    }

    /// Calls are answered from now on, by this process.
    pub(crate) fn ready(&self) {
        self.say(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// No calls are taken any more.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, news: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(news.as_bytes())
        {
            tracing::warn!(%error, news, "the service manager could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_for_nobody_in_particular_are_not_ours() {
        let sockets = sockets(|name| (name == "LISTEN_FDS").then(|| "3".to_owned()));
        assert_eq!(sockets.unwrap().len(), 0);
    }

    #[test]
    fn news_come_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n").display().to_string();
        let name = format!("@{path}");
        for (address, socket) in [
            (&path, UnixDatagram::bind(&path).unwrap()),
            (
                &name,
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&path).unwrap()).unwrap(),
            ),
        ] {
            let notify = Notify::new(Some(address));
            let said = |socket: &UnixDatagram| {
                let mut news = [0; 128];
                let length = socket.recv(&mut news).unwrap();
                String::from_utf8(news[..length].to_vec()).unwrap()
            };
            notify.ready();
            let ready = format!("READY=1\nMAINPID={}", std::process::id());
            assert_eq!(said(&socket), ready);
            notify.stopping();
            assert_eq!(said(&socket), "STOPPING=1");
        }
        Notify::new(None).ready();
        Notify::new(Some("/no/such/socket")).ready();
    }
}
