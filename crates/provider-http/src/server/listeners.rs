//! Addresses that are bound before there is a server to answer on them.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread;

use provider_auth::Authenticator;

use super::ServeError;
use super::handed::{HandOver, HandedSocket};
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
    pub(super) hand_over: Option<HandOver>,
    /// What others bound and nobody has adopted yet, by its place among all that was offered.
    offered: Vec<(usize, Group, Purpose)>,
    taken: Vec<usize>,
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
            hand_over: None,
            offered: Vec::new(),
            taken: Vec::new(),
            protected: auth.is_some(),
        }
    }

    /// Has sockets ready that another process bound. Those of a provider are served once
    /// [`Listeners::bind`] asks for their address, those of the service manager once
    /// [`Listeners::adopt`] asks for their purpose; what nobody asks for is closed.
    ///
    /// # Errors
    /// When a descriptor is no stream socket that listens, on TCP or a Unix path.
    pub fn offer(&mut self, socket: HandedSocket) -> Result<(), ServeError> {
        let purpose = socket.purpose;
        let group = socket.into_group(self.workers)?;
        let index = self.offered.len() + self.taken.len();
        self.offered.push((index, group, purpose));
        Ok(())
    }

    /// Whether the service manager's sockets that were offered have one for that purpose.
    #[must_use]
    pub fn is_offered(&self, purpose: Purpose) -> bool {
        let offers = |(_, group, offered): &(usize, Group, Purpose)| {
            *offered == purpose && group.requested.is_none()
        };
        self.offered.iter().any(offers)
    }

    /// Serves the service manager's sockets that were offered for one purpose, for the same or
    /// another one. Returns whether there was any.
    ///
    /// # Errors
    /// When one of them would be open to other machines without credentials.
    pub fn adopt(&mut self, offered_for: Purpose, purpose: Purpose) -> Result<bool, ServeError> {
        let mut any = false;
        for (index, group, offered) in std::mem::take(&mut self.offered) {
            if offered == offered_for && group.requested.is_none() {
                any = true;
                self.take(index, group, purpose)?;
            } else {
                self.offered.push((index, group, offered));
            }
        }
        Ok(any)
    }

    /// Which of the offered sockets are served, by the order of the offers.
    #[must_use]
    pub fn taken(&self) -> &[usize] {
        &self.taken
    }

    /// Prepares for handing what is bound by now to another process.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn hand_over(&mut self) -> io::Result<HandOver> {
        let hand_over = HandOver::of(self.groups.iter())?;
        self.hand_over = Some(hand_over.clone());
        Ok(hand_over)
    }

    fn take(&mut self, index: usize, group: Group, purpose: Purpose) -> Result<(), ServeError> {
        protect(&group.address, purpose, self.protected)?;
        self.taken.push(index);
        self.groups.push((group, purpose));
        Ok(())
    }

    /// Binds one more address: `127.0.0.1:8080`, `:8080`, `unix:/run/provider.sock`. Port 0 takes
    /// any that is free. A socket that was offered for this address is taken instead.
    ///
    /// # Errors
    /// When the address is wrong, taken or refused by the system, or would be open to other
    /// machines without credentials.
    pub fn bind(&mut self, purpose: Purpose, address: &str) -> Result<(), ServeError> {
        let requested = address;
        let address = ListenAddress::parse(address)?;
        protect(&address, purpose, self.protected)?;
        let offered = self.offered.iter().position(|(_, group, _)| {
            group.address == address || group.requested.as_deref() == Some(requested)
        });
        if let Some(place) = offered {
            let (index, group, _) = self.offered.remove(place);
            return self.take(index, group, purpose);
        }
        let mut group = Group::bind(&address, self.workers)?;
        group.requested = Some(requested.to_owned());
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
