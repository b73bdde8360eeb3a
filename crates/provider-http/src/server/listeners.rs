//! Addresses that are bound before there is a server to answer on them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread;

use provider_auth::Authenticator;

use super::ServeError;
use super::listen::{Group, ListenAddress};
use crate::config::Config;
use crate::service::Purpose;

/// Bound addresses for a server that is put together later; see
/// [`ServerBuilder::listeners`](crate::ServerBuilder::listeners).
///
/// A program that has work to do before it can serve, such as opening its state, binds first: a
/// taken address then costs nothing, and the port that was found for port 0 is known and stays.
/// Connections wait in the backlog until the server is served. Dropping this closes the sockets.
///
/// ```
/// use provider_http::{Config, Listeners, Purpose};
///
/// # fn main() -> Result<(), provider_http::ServeError> {
/// let mut listeners = Listeners::new(&Config::default(), None);
/// listeners.bind(Purpose::All, "127.0.0.1:0")?;
/// assert_ne!(listeners.local_addr().map(|address| address.port()), Some(0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listeners {
    pub(super) groups: Vec<(Group, Purpose)>,
    pub(super) workers: usize,
    protected: bool,
}

impl Listeners {
    /// Binds nothing yet. The server must be given this configuration, which says how many threads
    /// accept connections, and this authenticator: without one, no address that other machines
    /// reach is bound for system calls.
    #[must_use]
    pub fn new(config: &Config, auth: Option<&dyn Authenticator>) -> Self {
        Self {
            groups: Vec::new(),
            workers: workers(config),
            protected: auth.is_some(),
        }
    }

    /// Binds one more address: `127.0.0.1:8080`, `:8080`, `unix:/run/provider.sock`. Port 0 takes
    /// any that is free.
    ///
    /// # Errors
    /// When the address is wrong, taken or refused by the system, or would be open to other
    /// machines without credentials.
    pub fn bind(&mut self, purpose: Purpose, address: &str) -> Result<(), ServeError> {
        let address = ListenAddress::parse(address)?;
        protect(&address, purpose, self.protected)?;
        let group = Group::bind(&address, self.workers)?;
        self.groups.push((group, purpose));
        Ok(())
    }

    /// What is bound, with the ports that were found for port 0, in the order they were given.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.groups.iter().map(|(group, _)| &group.address)
    }

    /// The first TCP address, if there is one.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        })
    }

    /// Refuses what would be open to other machines.
    pub(super) fn protect(&self, protected: bool) -> Result<(), ServeError> {
        self.groups
            .iter()
            .try_for_each(|(group, purpose)| protect(&group.address, *purpose, protected))
    }
}

fn protect(address: &ListenAddress, purpose: Purpose, protected: bool) -> Result<(), ServeError> {
    if protected || !purpose.has_system_calls() || address.is_local() {
        return Ok(());
    }
    Err(ServeError::Unprotected {
        address: address.clone(),
    })
}

/// How many threads serve connections.
pub(super) fn workers(config: &Config) -> usize {
    let one_a_core = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    config.workers.unwrap_or_else(one_a_core).max(1)
}
