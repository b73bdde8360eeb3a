//! Addresses and the sockets bound to them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use socket2::{Domain, Protocol, Socket, Type};

use super::ServeError;

/// Connections that may wait to be accepted, for each listener.
const BACKLOG: i32 = 1024;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Reads `HOST:PORT`, `:PORT` (all interfaces), `unix:PATH` or an absolute path.
    ///
    /// # Errors
    /// [`ServeError::Address`] when it is none of them, or the host is not found.
    pub fn parse(text: &str) -> Result<Self, ServeError> {
        let wrong = |problem: &'static str| ServeError::Address {
            address: text.to_owned(),
            problem,
        };
        if let Some(path) = text
            .strip_prefix("unix:")
            .or_else(|| text.starts_with('/').then_some(text))
        {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(wrong("a Unix socket needs a path: unix:/run/provider.sock"))
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("use HOST:PORT, such as 127.0.0.1:8080, or unix:PATH"))?;
        let Ok(number) = port.parse::<u16>() else {
            return Err(wrong("the port must be a number from 0 to 65535"));
        };
        if host.is_empty() {
            return Ok(Self::Tcp(SocketAddr::new(every_interface(), number)));
        }
        text.to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .map(Self::Tcp)
            .ok_or_else(|| wrong("the host is neither an address nor a name that can be found"))
    }
}

/// IPv6's takes IPv4 too; a machine without IPv6 has IPv4's alone.
fn every_interface() -> IpAddr {
    let six = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    match TcpListener::bind((six, 0)) {
        Ok(_) => six,
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

impl fmt::Display for ListenAddress {
    /// As a URL for TCP, `unix:PATH` for a socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound socket for one worker.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(tcp) => Self::Tcp(tcp.try_clone()?),
            Self::Unix(unix) => Self::Unix(unix.try_clone()?),
        })
    }
}

/// The sockets of one address, at least one a worker.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) address: ListenAddress,
    /// As it was asked for; `None` for a socket of the service manager.
    pub(super) requested: Option<String>,
    pub(super) listeners: Vec<Listener>,
    /// How many of them, from the first on, are sockets of their own. The rest are copies.
    pub(super) distinct: usize,
    /// Removes the file of a Unix socket in the end.
    pub(super) file: Option<SocketFile>,
    /// Somebody else has these sockets too: they go on when we close ours.
    pub(super) elsewhere: Arc<AtomicBool>,
}

impl Group {
    pub(super) fn bind(address: &ListenAddress, workers: usize) -> Result<Self, ServeError> {
        match address {
            ListenAddress::Tcp(address) => Self::tcp(*address, workers),
            ListenAddress::Unix(path) => Self::unix(path, workers),
        }
    }

    /// Takes sockets that somebody else has bound. Where there are fewer than workers, these share
    /// them; where there are more, a worker has several, for all of a group have to be served.
    pub(super) fn adopt(mut listeners: Vec<Listener>, workers: usize) -> io::Result<Self> {
        let address = match listeners.first() {
            Some(Listener::Tcp(tcp)) => ListenAddress::Tcp(tcp.local_addr()?),
            Some(Listener::Unix(unix)) => {
                let name = unix.local_addr()?;
                ListenAddress::Unix(name.as_pathname().unwrap_or(Path::new("?")).to_owned())
            }
            None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let distinct = listeners.len();
        for index in distinct..workers {
            if let Some(listener) = listeners.get(index % distinct) {
                listeners.push(listener.try_clone()?);
            }
        }
        Ok(Self {
            address,
            requested: None,
            listeners,
            distinct,
            file: None,
            elsewhere: Arc::new(AtomicBool::new(true)),
        })
    }

    /// The first socket is bound without `SO_REUSEPORT`, so that a port that another process
    /// listens on is an error whatever options that process has set; it takes the option once it
    /// is bound, and the others join its group.
    fn tcp(address: SocketAddr, workers: usize) -> Result<Self, ServeError> {
        let failed = |source| bind_error(ListenAddress::Tcp(address), source);
        let first = tcp_socket(address).map_err(failed)?;
        first.bind(&address.into()).map_err(failed)?;
        let bound = first
            .local_addr()
            .map_err(failed)?
            .as_socket()
            .unwrap_or(address);
        let mut listeners = Vec::with_capacity(workers);
        let distinct;
        if cfg!(target_os = "linux") && workers > 1 {
            distinct = workers;
            first.set_reuse_port(true).map_err(failed)?;
            first.listen(BACKLOG).map_err(failed)?;
            listeners.push(Listener::Tcp(first.into()));
            for _ in 1..workers {
                let next = tcp_socket(bound).map_err(failed)?;
                next.set_reuse_port(true).map_err(failed)?;
                next.bind(&bound.into()).map_err(failed)?;
                next.listen(BACKLOG).map_err(failed)?;
                listeners.push(Listener::Tcp(next.into()));
            }
        } else {
            // Elsewhere a group does not spread connections: the workers share one socket.
            distinct = 1;
            first.listen(BACKLOG).map_err(failed)?;
            let first: TcpListener = first.into();
            for _ in 1..workers {
                listeners.push(Listener::Tcp(first.try_clone().map_err(failed)?));
            }
            listeners.push(Listener::Tcp(first));
        }
        Ok(Self {
            address: ListenAddress::Tcp(bound),
            requested: None,
            listeners,
            distinct,
            file: None,
            elsewhere: Arc::default(),
        })
    }

    fn unix(path: &Path, workers: usize) -> Result<Self, ServeError> {
        let address = ListenAddress::Unix(path.to_owned());
        let failed = |source| bind_error(address.clone(), source);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let name = socket2::SockAddr::unix(path).map_err(failed)?;
        match socket.bind(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                std::fs::remove_file(path).map_err(failed)?;
                socket.bind(&name).map_err(failed)?;
            }
            bound => bound.map_err(failed)?,
        }
        let file = SocketFile::of(path).map_err(failed)?;
        // Nobody can connect before the socket listens, so nobody can with the wrong mode.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        let first: UnixListener = socket.into();
        let mut listeners = Vec::with_capacity(workers);
        for _ in 1..workers {
            listeners.push(Listener::Unix(first.try_clone().map_err(failed)?));
        }
        listeners.push(Listener::Unix(first));
        Ok(Self {
            address,
            requested: None,
            listeners,
            distinct: 1,
            file: Some(file),
            elsewhere: Arc::default(),
        })
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Connections of a server that has just ended do not keep its port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// Whether the file is a socket that nobody listens on any more.
fn is_stale(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn bind_error(address: ListenAddress, source: io::Error) -> ServeError {
    if source.kind() != io::ErrorKind::AddrInUse {
        return ServeError::Bind { address, source };
    }
    let hint = match &address {
        ListenAddress::Tcp(taken) => match free_port_near(*taken) {
            Some(free) => format!("{free} is free"),
            None => "port 0 takes any that is free".to_owned(),
        },
        ListenAddress::Unix(_) => "another process listens there, or it is no socket".to_owned(),
    };
    ServeError::InUse {
        address,
        hint,
        source,
    }
}

fn free_port_near(taken: SocketAddr) -> Option<SocketAddr> {
    (1..=20)
        .filter_map(|step| taken.port().checked_add(step))
        .map(|port| SocketAddr::new(taken.ip(), port))
        .find(|address| TcpListener::bind(address).is_ok())
}

/// The file of a Unix socket, removed when dropped unless another took its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
    kept: bool,
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            inode: std::fs::symlink_metadata(path)?.ino(),
            kept: false,
        })
    }

    /// Leaves the file where it is: another process answers there.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.file_type().is_socket() && found.ino() == self.inode);
        if ours && !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        for (text, expected) in [
            ("127.0.0.1:8080", tcp("127.0.0.1:8080")),
            ("[::1]:0", tcp("[::1]:0")),
            (
                ":8080",
                ListenAddress::Tcp(SocketAddr::new(every_interface(), 8080)),
            ),
            (
                "unix:/run/x.sock",
                ListenAddress::Unix("/run/x.sock".into()),
            ),
            (
                "unix:///run/x.sock",
                ListenAddress::Unix("/run/x.sock".into()),
            ),
            ("/run/x.sock", ListenAddress::Unix("/run/x.sock".into())),
        ] {
            assert_eq!(ListenAddress::parse(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "8080",
            "127.0.0.1",
            "127.0.0.1:http",
            "127.0.0.1:99999",
            "unix:",
            "no such host:1",
        ] {
            let error = ListenAddress::parse(text).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_an_error_that_offers_another_one() {
        let group = Group::bind(&ListenAddress::parse("127.0.0.1:0").unwrap(), 3).unwrap();
        assert_eq!(group.listeners.len(), 3);
        let error = Group::bind(&group.address, 2).unwrap_err();
        let ListenAddress::Tcp(address) = group.address else {
            panic!()
        };
        let words = error.to_string();
        assert!(
            words.contains(&address.to_string()) && words.contains("is free"),
            "{words}"
        );
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_or_another_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        drop(UnixListener::bind(&path).unwrap());
        let address = ListenAddress::Unix(path.clone());

        let group = Group::bind(&address, 2).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(
            Group::bind(&address, 1).is_err(),
            "two listen on one socket"
        );
        UnixStream::connect(&path).unwrap();
        drop(group);
        assert!(!path.exists(), "the file was left behind");

        std::fs::write(&path, "precious").unwrap();
        assert!(Group::bind(&address, 1).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
