//! Who may make system calls where no credentials are asked for: programs on this machine, but no
//! web page that a browser on it has open.
//!
//! A page can make a browser send requests to loopback. Its `Host` gives away a name that was
//! rebound to loopback, `Origin` and `Sec-Fetch-Site` a page from elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{HOST, HeaderName, ORIGIN};
use http::{StatusCode, Uri};

use crate::app::App;
use crate::respond::Failure;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which of our own addresses a request came in on; in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    Tcp(SocketAddr),
    Unix,
}

/// The layer that stands where the authenticator would.
pub(crate) async fn only_local(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    match check(&request, &app.config.allow_hosts) {
        Ok(()) => next.run(request).await,
        Err(problem) => Failure::new(
            StatusCode::FORBIDDEN,
            format!(
                "{problem}: no credentials are set up, so only this machine is answered; \
                 set basic_auth=true, or name the host in allow_host (--allow-host)"
            ),
        )
        .into_response(),
    }
}

fn check<B>(request: &http::Request<B>, allowed: &[String]) -> Result<(), String> {
    let headers = request.headers();
    let local = request.extensions().get::<Local>().copied();
    let text = |name: HeaderName| match headers.get(&name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(format!("{name} is not readable")),
    };
    let host = match (request.uri().authority(), text(HOST)?) {
        // A proxy form names the host in the target, and Host is then beside the point.
        (Some(authority), _) => Some(authority.as_str()),
        (None, host) => host,
    };
    if local != Some(Local::Unix) {
        let host = host.ok_or("the Host header is missing")?;
        if !is_ours(host_name(host), local, allowed) {
            return Err(format!("the Host {host:?} is not this machine"));
        }
    }
    if let Some(origin) = text(ORIGIN)? {
        if !same_origin(origin, host, local, allowed) {
            return Err(format!("the request comes from the web page {origin:?}"));
        }
    }
    match text(SEC_FETCH_SITE)? {
        Some(site @ ("cross-site" | "same-site")) => {
            Err(format!("the request comes from another web page ({site})"))
        }
        _ => Ok(()),
    }
}

/// Whether a page's origin is this server: a host that is ours, on the port that was called.
fn same_origin(origin: &str, host: Option<&str>, local: Option<Local>, allowed: &[String]) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Some(host) = host else {
        return false;
    };
    let port = |authority: &str| port_of(authority).unwrap_or(usual);
    authority.as_str().eq_ignore_ascii_case(host)
        || (is_ours(host_name(authority.as_str()), local, allowed)
            && port(authority.as_str()) == port(host))
}

/// The host without its port and without the brackets of an IPv6 address.
fn host_name(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(address, _)| address);
    }
    authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
}

fn port_of(authority: &str) -> Option<u16> {
    let after_host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, rest)| rest);
    after_host.rsplit_once(':')?.1.parse().ok()
}

fn is_ours(host: &str, local: Option<Local>, allowed: &[String]) -> bool {
    let by_address = |address: IpAddr| {
        let ours = match local {
            Some(Local::Tcp(local)) => Some(local.ip().to_canonical()),
            Some(Local::Unix) | None => None,
        };
        address.to_canonical().is_loopback() || ours == Some(address.to_canonical())
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(by_address)
        || allowed.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(local: Local, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = http::Request::get("/system/info");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(local);
        check(&request, &["faas.local".to_owned()])
    }

    const LOOPBACK: Local = Local::Tcp(SocketAddr::new(
        IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        8080,
    ));

    #[test]
    fn loopback_our_own_address_and_allowed_names_are_answered() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "faas.local:99",
        ] {
            assert_eq!(ask(LOOPBACK, &[("host", host)]), Ok(()), "{host}");
        }
        let lan = Local::Tcp("192.0.2.7:8080".parse().unwrap());
        assert_eq!(ask(lan, &[("host", "192.0.2.7:8080")]), Ok(()));
        assert!(ask(LOOPBACK, &[("host", "192.0.2.7:8080")]).is_err());
    }

    #[test]
    fn other_hosts_are_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "[",
            "0x7f.1",
            "faas.local.evil.example",
            "10.0.0.1",
        ] {
            assert!(ask(LOOPBACK, &[("host", host)]).is_err(), "{host:?}");
        }
        assert!(ask(LOOPBACK, &[]).is_err());
    }

    #[test]
    fn a_unix_socket_takes_any_host() {
        assert_eq!(ask(Local::Unix, &[("host", "evil.example")]), Ok(()));
        assert_eq!(ask(Local::Unix, &[]), Ok(()));
    }

    #[test]
    fn pages_from_elsewhere_are_refused_and_our_own_are_not() {
        let from = |origin| ask(LOOPBACK, &[("host", "127.0.0.1:8080"), ("origin", origin)]);
        for own in ["http://127.0.0.1:8080", "http://localhost:8080"] {
            assert_eq!(from(own), Ok(()), "{own}");
        }
        for foreign in [
            "http://evil.example",
            "http://localhost:3000",
            "https://localhost",
            "null",
            "file://",
            "chrome-extension://abc",
            "",
        ] {
            assert!(from(foreign).is_err(), "{foreign:?}");
        }
        for site in ["cross-site", "same-site"] {
            let headers = [("host", "localhost"), ("sec-fetch-site", site)];
            assert!(ask(LOOPBACK, &headers).is_err(), "{site}");
        }
        for site in ["same-origin", "none"] {
            let headers = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(ask(LOOPBACK, &headers), Ok(()), "{site}");
        }
    }
}
