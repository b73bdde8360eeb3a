//! Who is at the other end of the caller's connection, and whether its word is taken.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderValue;

/// The other end of the caller's connection.
///
/// Make one per connection and give it to [`Proxy::call_from`](crate::Proxy::call_from), or put it
/// into the request's extensions when the proxy is called as a tower service. Without a peer
/// nothing is appended to `X-Forwarded-For` and no forwarding header is believed.
#[derive(Debug, Clone)]
pub struct Peer {
    ip: Option<IpAddr>,
    /// The address as text, made once per connection.
    pub(crate) forwarded_for: Option<HeaderValue>,
}

impl Peer {
    /// A caller on a Unix socket: it has no address.
    #[must_use]
    pub fn unix() -> Self {
        Self {
            ip: None,
            forwarded_for: None,
        }
    }

    /// The caller's address, IPv4 where it is IPv4 mapped into IPv6; `None` on a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self {
            ip: Some(ip),
            forwarded_for: HeaderValue::try_from(ip.to_string()).ok(),
        }
    }
}

/// A proxy in front of this one whose `X-Forwarded-*` and `Forwarded` headers are believed:
/// an address, a network (`10.0.0.0/8`), or `unix` for callers on a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(Trusted);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trusted {
    Network(IpAddr, u8),
    Unix,
}

impl TrustedProxy {
    /// Callers on a Unix socket.
    pub const UNIX: Self = Self(Trusted::Unix);

    /// Whether that peer is meant.
    #[must_use]
    pub fn contains(&self, peer: &Peer) -> bool {
        match (self.0, peer.ip) {
            (Trusted::Unix, None) => true,
            (Trusted::Network(IpAddr::V4(network), bits), Some(IpAddr::V4(ip))) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                u32::from(network) & mask == u32::from(ip) & mask
            }
            (Trusted::Network(IpAddr::V6(network), bits), Some(IpAddr::V6(ip))) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                u128::from(network) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Trusted::Network(ip, bits) => write!(f, "{ip}/{bits}"),
            Trusted::Unix => f.write_str("unix"),
        }
    }
}

impl From<IpAddr> for TrustedProxy {
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self(Trusted::Network(ip, if ip.is_ipv4() { 32 } else { 128 }))
    }
}

/// Text that names no trusted proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a trusted proxy: use an address (10.0.0.1), a network (10.0.0.0/8) or unix"
)]
pub struct TrustedProxyError {
    given: String,
}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || TrustedProxyError {
            given: text.chars().take(80).collect(),
        };
        if text == "unix" {
            return Ok(Self::UNIX);
        }
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let Some(bits) = bits else {
            return Ok(Self::from(ip));
        };
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if bits > if ip.is_ipv4() { 32 } else { 128 } {
            return Err(wrong());
        }
        Ok(Self(Trusted::Network(ip, bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Peer {
        Peer::from(SocketAddr::new(ip.parse().unwrap(), 1234))
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "128.0.0.1"),
        ] {
            let network: TrustedProxy = network.parse().unwrap();
            assert!(network.contains(&peer(inside)), "{network} lacks {inside}");
            assert!(!network.contains(&peer(outside)), "{network} has {outside}");
            assert!(!network.contains(&Peer::unix()));
        }
        assert!(TrustedProxy::UNIX.contains(&Peer::unix()));
        assert!(!TrustedProxy::UNIX.contains(&peer("127.0.0.1")));
    }

    #[test]
    fn what_is_no_network_is_refused_with_words() {
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "/8",
            "example.com",
            "10.0.0.0/x",
        ] {
            let error = bad.parse::<TrustedProxy>().unwrap_err().to_string();
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
    }
}
