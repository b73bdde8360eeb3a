//! Addresses. All are bound before anything is kept or started: a wrong or taken one then costs
//! nothing, and functions are told a port that stays.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use provider_http::{Authenticator, HandedSocket, ListenAddress, Listeners, Purpose};

use crate::config::Settings;
use crate::failure::{Failure, Kind, OrFail as _};

/// Binds what was asked for, the main address first. What others have bound is not bound again, and
/// all sockets of the service manager are served.
pub(crate) fn bind(
    settings: &Settings,
    auth: Option<&dyn Authenticator>,
    offered: Vec<HandedSocket>,
) -> Result<Listeners, Failure> {
    let mut listeners = Listeners::new(&settings.http, auth);
    for socket in offered {
        listeners.offer(socket).or_fail(Kind::Address)?;
    }
    let main = if settings.system_listen.is_some() || listeners.is_offered(Purpose::System) {
        Purpose::Functions
    } else {
        Purpose::All
    };
    // Nobody asked for the default where the service manager has an address.
    let by_default = settings.listen_is_default && listeners.is_offered(Purpose::All);
    let wanted = [
        (
            main,
            Purpose::All,
            (!by_default).then_some(&settings.listen),
        ),
        (
            Purpose::System,
            Purpose::System,
            settings.system_listen.as_ref(),
        ),
        (
            Purpose::Metrics,
            Purpose::Metrics,
            settings.metrics_listen.as_ref(),
        ),
    ];
    for (purpose, offered, address) in wanted {
        if let Some(address) = address {
            listeners.bind(purpose, address).or_fail(Kind::Address)?;
        }
        listeners.adopt(offered, purpose).or_fail(Kind::Address)?;
    }
    Ok(listeners)
}

/// Where functions reach the provider.
pub(crate) fn gateway_url(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => format!("http://{}", reachable(*address)),
        ListenAddress::Unix(_) => address.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_an_address_that_they_can_reach() {
        let told = |text: &str| gateway_url(&ListenAddress::parse(text).unwrap());
        assert_eq!(told("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(told(":8080"), "http://127.0.0.1:8080");
        assert_eq!(told("[::1]:8080"), "http://[::1]:8080");
        assert_eq!(told("unix:/run/p.sock"), "unix:/run/p.sock");
    }
}
