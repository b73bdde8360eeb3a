//! What a server is told before it starts: time budgets, limits, names, and how they are read
//! from the Go SDK's variables.

mod vars;

use std::path::PathBuf;
use std::time::Duration;

use provider_proxy::TrustedProxy;
use provider_types::{NameRule, Namespace};

pub use vars::ConfigError;

/// Who talks to this server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// A gateway stands in front: the plain provider API.
    #[default]
    Provider,
    /// Clients and dashboards talk to it directly: the gateway's shape of `/system/info`,
    /// `X-Call-Id` and `X-Start-Time` on calls, the `gateway_*` series and `invocationCount`.
    Standalone,
}

/// Settings of a server. [`Config::default`] is right for most; [`Config::from_vars`] reads the
/// variables that the Go SDK reads (`faas-provider: types/read_config.go`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// TCP port that a binary listens on when nothing else is said. Default 8080.
    pub port: u16,
    /// Who talks to this server. Default [`Role::Provider`].
    pub role: Role,
    /// Time for the header of a request to arrive; also how long an idle connection is kept.
    /// Default 10 s. A client that is slower is cut.
    pub header_timeout: Duration,
    /// Time for the body of a system call to arrive. Default 60 s, then 408.
    pub body_timeout: Duration,
    /// Time for a function's first byte. Default 60 s, then 504.
    pub upstream_timeout: Duration,
    /// Silence that a stream survives. Default 5 min.
    pub idle_timeout: Duration,
    /// Time for a replica to be found, the wait for one that is starting included. Default 20 s,
    /// then 503.
    pub resolve_timeout: Duration,
    /// Time for a connection to a replica. Default 5 s, then 502.
    pub connect_timeout: Duration,
    /// Time for a whole invocation. Default `None`: a stream that makes progress is never cut.
    pub total_timeout: Option<Duration>,
    /// Time for calls in flight to end once the server is told to stop. Default 60 s.
    pub drain_timeout: Duration,
    /// Bytes that the body of a system call may have. Default 10 MiB, above it 413.
    pub max_body_bytes: usize,
    /// Bounds [`Config::max_idle_conns_per_host`], whose default it also is. Default 1024. Over all
    /// replicas together there is no other bound than time: an idle connection is closed after 5 s.
    pub max_idle_conns: usize,
    /// Idle connections kept to one replica, all workers together. Default 1024.
    pub max_idle_conns_per_host: usize,
    /// Threads that serve connections. Default `None`: one a core.
    pub workers: Option<usize>,
    /// Whether credentials are asked for; read by whoever builds the authenticator. Default false.
    pub basic_auth: bool,
    /// Where `basic-auth-user` and `basic-auth-password` are. Default `/run/secrets`.
    pub secret_mount_path: PathBuf,
    /// The namespace that an absent or empty one stands for. Default `openfaas-fn`, which
    /// `faas-cli invoke` takes for granted.
    pub default_namespace: Namespace,
    /// Which names functions may have.
    pub name_rule: NameRule,
    /// Values of `Host`, without port, that are answered where no credentials are asked for,
    /// beside loopback and the listeners' own addresses. Default none.
    pub allow_hosts: Vec<String>,
    /// Who is believed about `X-Forwarded-*`. Default none.
    pub trusted_proxies: Vec<TrustedProxy>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 8080,
            role: Role::Provider,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            upstream_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(5 * 60),
            resolve_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            total_timeout: None,
            drain_timeout: Duration::from_secs(60),
            max_body_bytes: 10 * 1024 * 1024,
            max_idle_conns: 1024,
            max_idle_conns_per_host: 1024,
            workers: None,
            basic_auth: false,
            secret_mount_path: PathBuf::from("/run/secrets"),
            default_namespace: Namespace::default(),
            name_rule: NameRule::default(),
            allow_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}
