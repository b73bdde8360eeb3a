//! Where a program listens that serves HTTP itself (mode `http`).

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use provider_types::ProviderError;

/// Ports given out lately are not given out again for this many turns, so that a program that
/// ends slowly does not meet its successor's port.
const REMEMBERED: usize = 256;

/// How often a port is looked for.
const TRIES: usize = 200;

/// Where the program listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpMode {
    /// On a port that it is told.
    Told,
    /// On a port of its own.
    Fixed {
        /// Where.
        address: SocketAddr,
        /// The variable that said so.
        knob: &'static str,
    },
}

impl HttpMode {
    /// Reads `http_upstream_url`, `upstream_url`, `PORT` and `port`, in this order.
    pub(crate) fn of(variables: &BTreeMap<String, String>) -> Result<Self, ProviderError> {
        let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        for knob in ["http_upstream_url", "upstream_url"] {
            if let Some(url) = set(knob) {
                let address = parse_upstream(url).ok_or_else(|| {
                    ProviderError::invalid(format!(
                        "{knob} {url:?} in envVars is not an address on this machine: give \
                         http://127.0.0.1:PORT without a path, or leave it out and the program is \
                         told a free port in PORT"
                    ))
                })?;
                return Ok(Self::Fixed { address, knob });
            }
        }
        for knob in ["PORT", "port"] {
            if let Some(port) = set(knob) {
                let number = port.parse().ok().filter(|number| *number != 0);
                let number: u16 = number.ok_or_else(|| {
                    ProviderError::invalid(format!(
                        "{knob} {port:?} in envVars is not a port: give 1 to 65535, or leave it \
                         out and the program is told a free one"
                    ))
                })?;
                return Ok(Self::Fixed {
                    address: (Ipv4Addr::LOCALHOST, number).into(),
                    knob,
                });
            }
        }
        Ok(Self::Told)
    }
}

/// `http://127.0.0.1:PORT`, with other spellings of this machine and an empty path.
fn parse_upstream(url: &str) -> Option<SocketAddr> {
    let authority = url.strip_prefix("http://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    let ip: IpAddr = match host {
        "localhost" | "0.0.0.0" => Ipv4Addr::LOCALHOST.into(),
        "[::]" => Ipv6Addr::LOCALHOST.into(),
        bracketed if bracketed.starts_with('[') => bracketed
            .strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()?
            .into(),
        plain => plain.parse::<Ipv4Addr>().ok()?.into(),
    };
    (ip.is_loopback() && port != 0).then(|| SocketAddr::new(ip, port))
}

/// Ports for programs that are told theirs.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Below what the kernel gives to outgoing connections, so that none of them takes the port
    /// between our look and the program's bind. `None` where there is no such room.
    range: Option<(u16, u16)>,
    /// Where it begins to look: providers that looked at the same ports in the same order would
    /// meet at each of them.
    start: u64,
    state: Mutex<PortState>,
}

#[derive(Debug, Default)]
struct PortState {
    held: BTreeSet<u16>,
    recent: VecDeque<u16>,
    turn: u64,
}

/// A port that nobody else is told while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    ports: std::sync::Arc<Ports>,
}

impl Ports {
    pub(crate) fn new() -> Self {
        let lowest: Option<u16> = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok());
        Self {
            range: lowest
                .filter(|lowest| *lowest >= 16_384)
                .map(|lowest| (10_240, lowest - 1)),
            start: RandomState::new().hash_one(()),
            state: Mutex::default(),
        }
    }

    /// A port on 127.0.0.1 on which nobody listens.
    pub(crate) fn take(self: &std::sync::Arc<Self>) -> io::Result<Port> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES {
            let wanted = match self.range {
                Some((low, high)) => {
                    let width = u64::from(high - low) + 1;
                    let offset = scatter(self.start, state.turn) % width;
                    low.saturating_add(u16::try_from(offset).unwrap_or(0))
                }
                None => 0,
            };
            state.turn += 1;
            let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)) else {
                continue;
            };
            let number = listener.local_addr()?.port();
            if state.held.contains(&number) || state.recent.contains(&number) {
                continue;
            }
            state.held.insert(number);
            return Ok(Port {
                number,
                ports: self.clone(),
            });
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "no free port was found for the program",
        ))
    }
}

impl Port {
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let state = self.ports.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.held.remove(&self.number);
        state.recent.push_back(self.number);
        if state.recent.len() > REMEMBERED {
            state.recent.pop_front();
        }
    }
}

/// Spreads the turns over the range (SplitMix64).
fn scatter(start: u64, turn: u64) -> u64 {
    let mut mixed = start.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether somebody listens there already.
pub(crate) fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn of(pairs: &[(&str, &str)]) -> Result<HttpMode, String> {
        let variables = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        HttpMode::of(&variables).map_err(|error| error.to_string())
    }

    #[test]
    fn the_variables_say_where_the_program_listens() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let fixed = |text, knob| {
            Ok(HttpMode::Fixed {
                address: at(text),
                knob,
            })
        };
        assert_eq!(of(&[]), Ok(HttpMode::Told));
        assert_eq!(of(&[("upstream_url", "")]), Ok(HttpMode::Told));
        assert_eq!(
            of(&[("upstream_url", "http://127.0.0.1:3000")]),
            fixed("127.0.0.1:3000", "upstream_url")
        );
        assert_eq!(
            of(&[("upstream_url", "http://localhost:3000/")]),
            fixed("127.0.0.1:3000", "upstream_url")
        );
        assert_eq!(
            of(&[("http_upstream_url", "http://[::1]:3000")]),
            fixed("[::1]:3000", "http_upstream_url")
        );
        assert_eq!(of(&[("PORT", "81")]), fixed("127.0.0.1:81", "PORT"));
        for bad in [
            "127.0.0.1:3000",
            "https://127.0.0.1:1",
            "http://10.0.0.1:80",
            "http://example.com",
            "http://127.0.0.1:3000/base",
            "http://127.0.0.1:0",
            "http://127.0.0.1:99999",
            "http://[::1",
        ] {
            let said = of(&[("upstream_url", bad)]).unwrap_err();
            assert!(said.contains(bad) && said.contains("PORT"), "{said}");
        }
        assert!(of(&[("PORT", "http")]).unwrap_err().contains("65535"));
    }

    #[test]
    fn a_held_or_recent_port_is_not_given_out() {
        let ports = Arc::new(Ports::new());
        let mut seen = BTreeSet::new();
        let held: Vec<Port> = (0..50).map(|_| ports.take().unwrap()).collect();
        for port in &held {
            assert!(seen.insert(port.number), "{} came twice", port.number);
        }
        drop(held);
        for _ in 0..50 {
            let port = ports.take().unwrap();
            assert!(seen.insert(port.number), "{} came again", port.number);
        }
    }

    #[test]
    fn two_providers_of_one_process_look_at_different_ports() {
        let ports = [Arc::new(Ports::new()), Arc::new(Ports::new())];
        // Nothing listens on what one was given, so the other could be given it too.
        let given = ports.map(|ports| {
            let held: Vec<Port> = (0..20).map(|_| ports.take().unwrap()).collect();
            held.iter().map(Port::address).collect::<Vec<_>>()
        });
        assert!(
            given[0].iter().filter(|it| given[1].contains(it)).count() < 5,
            "{given:?}"
        );
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_taken(address));
        drop(listener);
        assert!(!is_taken(address));
    }
}
