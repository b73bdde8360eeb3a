//! Who can be reached: our addresses, and what the environment says of a gateway.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use provider_http::{ListenAddress, Role};

use super::Finding;
use crate::config::Settings;

/// How long somebody named in the environment has to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where gateways listen as a rule.
const GATEWAY_PORT: u16 = 8080;

/// Whether each address can be listened on, and who has it where it cannot.
pub(super) fn ports(settings: &Settings, provider: Option<&str>) -> Vec<Finding> {
    let wanted = [
        Some(&settings.listen),
        settings.system_listen.as_ref(),
        settings.metrics_listen.as_ref(),
    ];
    let wanted = wanted.into_iter().flatten();
    wanted.map(|text| port(text, settings, provider)).collect()
}

fn port(text: &str, settings: &Settings, provider: Option<&str>) -> Finding {
    const NAME: &str = "address";
    let address = match ListenAddress::parse(text) {
        Ok(address) => address,
        Err(error) => {
            return Finding::fail(NAME, format!("{:#}", anyhow::Error::from(error)))
                .mend("give HOST:PORT, :PORT or unix:/PATH");
        }
    };
    if !address.is_local() && !settings.http.basic_auth {
        return Finding::fail(
            NAME,
            format!("{text} can be reached from elsewhere and no credentials are asked for"),
        )
        .mend("give --basic-auth, or listen on 127.0.0.1");
    }
    let address = match address {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(path) => return unix(&path),
    };
    let Err(error) = TcpListener::bind(address) else {
        return Finding::ok(NAME, format!("{text} is free"));
    };
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let who = listener(address.port());
            // It may be of another user, and is not seen then.
            let is_provider =
                |it: &str| provider.is_some_and(|pid| it.contains(&format!("({pid})")));
            if provider.is_some() && who.as_deref().is_none_or(is_provider) {
                return Finding::ok(NAME, format!("{text} is taken by the provider that runs"));
            }
            let who = who.unwrap_or_else(|| "a process of somebody else".to_owned());
            Finding::fail(NAME, format!("{text} is taken by {who}"))
                .mend("end that one, or give --listen another port")
        }
        std::io::ErrorKind::PermissionDenied => {
            Finding::fail(NAME, format!("{text} is not ours to listen on ({error})")).mend(
                "take a port from 1024 on, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the \
                 service",
            )
        }
        _ => Finding::fail(NAME, format!("{text} cannot be listened on: {error}"))
            .mend("give --listen an address that this machine has"),
    }
}

fn unix(path: &Path) -> Finding {
    const NAME: &str = "address";
    let dir = path.parent().filter(|dir| dir.is_dir());
    match dir {
        Some(dir) if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok() => {
            Finding::ok(NAME, format!("a socket can be made in {}", dir.display()))
        }
        _ => Finding::fail(NAME, format!("no socket can be made at {}", path.display()))
            .mend("make its directory, for this user to write to"),
    }
}

/// Who listens on a port: `NAME (process PID)`, where it can be seen.
fn listener(port: u16) -> Option<String> {
    const LISTENS: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tables = tables.into_iter().flatten().collect::<String>();
    let inodes: Vec<String> = tables
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, local) = fields.get(1)?.rsplit_once(':')?;
            let matches = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == LISTENS;
            matches.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
        })
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, entry.path()))
    });
    numbered.find_map(|(pid, dir)| {
        let mut held = fs::read_dir(dir.join("fd")).ok()?.flatten();
        let holds = held.any(|fd| {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            inodes
                .iter()
                .any(|inode| target.as_os_str() == inode.as_str())
        });
        let name = fs::read_to_string(dir.join("comm")).unwrap_or_default();
        holds.then(|| format!("{} (process {pid})", name.trim()))
    })
}

/// Whether role, address and credentials go with a gateway, and whether it is there.
pub(super) fn role(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    const NAME: &str = "role";
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut findings = Vec::new();
    let functions_provider = given("functions_provider_url");
    if settings.http.role == Role::Provider {
        let port = match ListenAddress::parse(&settings.listen) {
            Ok(ListenAddress::Tcp(address)) => Some(address.port()),
            _ => None,
        };
        if port == Some(GATEWAY_PORT) {
            findings.push(
                Finding::warn(
                    NAME,
                    "behind a gateway, on the port that gateways listen on",
                )
                .mend("give --listen 127.0.0.1:8081, and the gateway functions_provider_url"),
            );
        }
        if !settings.http.basic_auth {
            findings.push(
                Finding::warn(
                    NAME,
                    "behind a gateway without credentials: who reaches this port \
                                     needs no gateway",
                )
                .mend("give --basic-auth with the gateway's own files"),
            );
        }
        if findings.is_empty() {
            findings.push(Finding::ok(NAME, "provider: a gateway stands in front"));
        }
    } else if functions_provider.is_some() {
        findings.push(
            Finding::warn(
                NAME,
                "functions_provider_url is set, as for a gateway, and the role is standalone: \
                 calls are counted by both",
            )
            .mend("give --role provider, or unset the variable"),
        );
    } else {
        findings.push(Finding::ok(NAME, "standalone: clients talk to it directly"));
    }
    if let Some(url) = &functions_provider
        && !url.ends_with('/')
    {
        findings.push(
            Finding::warn(
                NAME,
                format!("functions_provider_url={url} does not end in /"),
            )
            .mend("gateways take it as it is and ask for wrong paths: add the /"),
        );
    }
    for name in ["gateway_url", "OPENFAAS_URL"] {
        if let Some(url) = given(name) {
            findings.push(gateway(name, &url));
        }
    }
    findings
}

fn gateway(name: &str, url: &str) -> Finding {
    const NAME: &str = "gateway";
    let Some(address) = resolve(url) else {
        return Finding::warn(NAME, format!("{name}={url} names no host that is known"))
            .mend("give http://HOST:PORT");
    };
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Finding::ok(NAME, format!("{name}={url} answers")),
        Err(error) => Finding::warn(NAME, format!("{name}={url} cannot be reached: {error}"))
            .mend("start it, open the way to it, or correct the variable"),
    }
}

fn resolve(url: &str) -> Option<SocketAddr> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let with_port = if host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        host.to_owned()
    } else {
        format!("{host}:{}", if scheme == "https" { 443 } else { 80 })
    };
    with_port.to_socket_addrs().ok()?.next()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_who_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let who = listener(port).unwrap();
        assert!(
            who.contains(&format!("process {}", std::process::id())),
            "{who}"
        );
        drop(taken);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn a_gateway_is_found_by_its_url() {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = there.local_addr().unwrap().port();
        let url = format!("http://user:pw@127.0.0.1:{port}/");
        assert_eq!(gateway("gateway_url", &url).level, Level::Ok);
        drop(there);
        let finding = gateway("gateway_url", &url);
        assert_eq!(finding.level, Level::Warn, "{finding}");
        assert_eq!(gateway("gateway_url", "nonsense").level, Level::Warn);
        assert_eq!(resolve("https://127.0.0.1/x").unwrap().port(), 443);
    }
}
