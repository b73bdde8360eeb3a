//! The main address, settled before functions start: they are told it, and a taken one must not
//! cost them a start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};

use crate::failure::{Failure, Kind};

/// Gives port 0 its number, and refuses a port that is taken. What is no TCP address is left to
/// the server to judge.
pub(crate) fn settle(listen: &str) -> Result<String, Failure> {
    let Some(address) = parse(listen) else {
        return Ok(listen.to_owned());
    };
    match TcpListener::bind(address).and_then(|bound| bound.local_addr()) {
        Ok(bound) => Ok(bound.to_string()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let free = TcpListener::bind((address.ip(), 0)).and_then(|bound| bound.local_addr());
            let offer = free.map_or(String::new(), |free| {
                format!("; {free} is free: --listen {free}")
            });
            Err(Failure {
                kind: Kind::Address,
                error: anyhow::anyhow!("{listen} is in use by another process{offer}"),
            })
        }
        // The server meets it too, and knows what to say.
        Err(_) => Ok(listen.to_owned()),
    }
}

/// Where functions reach the provider.
pub(crate) fn gateway_url(listen: &str) -> String {
    match parse(listen) {
        Some(address) => format!("http://{}", reachable(address)),
        None => listen.to_owned(),
    }
}

/// The address by which this machine reaches a listener.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // It takes IPv4 too.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

fn parse(listen: &str) -> Option<SocketAddr> {
    let (host, port) = listen.rsplit_once(':')?;
    if host.is_empty() {
        return Some((Ipv6Addr::UNSPECIFIED, port.parse().ok()?).into());
    }
    if listen.starts_with("unix:") || listen.starts_with('/') {
        return None;
    }
    listen.to_socket_addrs().ok()?.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_with_one_that_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let failure = settle(&address).unwrap_err();
        assert_eq!(failure.kind, Kind::Address);
        let said = failure.to_string();
        let offered = said.rsplit_once("--listen ").unwrap().1;
        assert!(said.contains(&address) && offered != address, "{said}");
        TcpListener::bind(offered).unwrap();
        drop(taken);
        assert_eq!(settle(&address).unwrap(), address);
    }

    #[test]
    fn port_zero_becomes_a_port() {
        let settled: SocketAddr = settle("127.0.0.1:0").unwrap().parse().unwrap();
        assert_ne!(settled.port(), 0);
    }

    #[test]
    fn functions_are_told_an_address_that_they_can_reach() {
        assert_eq!(gateway_url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(gateway_url(":8080"), "http://127.0.0.1:8080");
        assert_eq!(gateway_url("[::1]:8080"), "http://[::1]:8080");
        assert_eq!(gateway_url("unix:/run/p.sock"), "unix:/run/p.sock");
    }
}
