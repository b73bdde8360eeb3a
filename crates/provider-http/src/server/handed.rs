//! Sockets that another process bound, and handing ours to another process.
//!
//! A socket that two processes have is one queue of connections: whoever accepts first serves. So
//! neither needs to close anything for the other to begin, and a connection that waits when one of
//! them ends is served by the other one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::{SockRef, Type};

use super::listen::{Group, Listener, SocketFile};
use super::{ListenAddress, ServeError};
use crate::service::Purpose;

/// The bound sockets of one address, to be handed to another process or taken from one.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandedSocket {
    /// What is answered on it.
    pub purpose: Purpose,
    /// The address as it was asked for, such as `127.0.0.1:0`. `None` for a socket of the service
    /// manager.
    pub requested: Option<String>,
    /// Whether the file of a Unix socket is removed by whoever serves it last. False for TCP, and
    /// for a socket whose file is the service manager's.
    pub owns_file: bool,
    /// The listening sockets: all of a `SO_REUSEPORT` group, otherwise one.
    pub descriptors: Vec<OwnedFd>,
}

impl HandedSocket {
    /// Sockets that were received from a provider which got them from [`HandOver::sockets`].
    #[must_use]
    pub fn new(
        purpose: Purpose,
        requested: Option<String>,
        owns_file: bool,
        descriptors: Vec<OwnedFd>,
    ) -> Self {
        Self {
            purpose,
            requested,
            owns_file,
            descriptors,
        }
    }

    /// A socket that the service manager listens on (`sd_listen_fds(3)`).
    #[must_use]
    pub fn inherited(purpose: Purpose, descriptor: impl Into<OwnedFd>) -> Self {
        Self::new(purpose, None, false, vec![descriptor.into()])
    }

    pub(super) fn into_group(self, workers: usize) -> Result<Group, ServeError> {
        let listeners = self.descriptors.into_iter().map(listener);
        let group = listeners
            .collect::<io::Result<Vec<_>>>()
            .and_then(|listeners| Group::adopt(listeners, workers));
        let mut group = group.map_err(ServeError::Inherited)?;
        if let (true, ListenAddress::Unix(path)) = (self.owns_file, &group.address) {
            group.file = Some(SocketFile::of(path).map_err(ServeError::Inherited)?);
        }
        // The process before this one ends; the service manager stays.
        let stays = self.requested.is_none();
        group.elsewhere.store(stays, Ordering::SeqCst);
        group.requested = self.requested;
        Ok(group)
    }
}

/// Checks that a descriptor is a stream socket that listens.
fn listener(descriptor: OwnedFd) -> io::Result<Listener> {
    let wrong = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let socket = SockRef::from(&descriptor);
    let kind = socket
        .r#type()
        .map_err(|_| wrong("a descriptor is no socket"))?;
    if kind != Type::STREAM {
        return Err(wrong("a socket is no stream socket (ListenStream=)"));
    }
    // Other systems cannot say, and the first accept finds it.
    #[cfg(target_os = "linux")]
    if !socket.is_listener()? {
        return Err(wrong(
            "a socket does not listen: it must be given before a connection is accepted (Accept=no)",
        ));
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    let address = socket.local_addr()?;
    if address.is_unix() {
        return Ok(Listener::Unix(descriptor.into()));
    }
    match address.as_socket() {
        Some(_) => Ok(Listener::Tcp(descriptor.into())),
        None => Err(wrong("a socket is neither TCP nor Unix")),
    }
}

/// The way to hand the sockets of a server to another process while it serves.
///
/// Made by [`Listeners::hand_over`](super::Listeners::hand_over); clones are the same one.
#[derive(Debug, Clone)]
pub struct HandOver(Arc<Mutex<Offers>>);

#[derive(Debug)]
struct Offers {
    offers: Vec<Offer>,
    given: bool,
}

/// One address that can be handed over.
#[derive(Debug)]
struct Offer {
    purpose: Purpose,
    requested: Option<String>,
    owns_file: bool,
    listeners: Vec<Listener>,
    elsewhere: Arc<AtomicBool>,
    /// The service manager has it in any case.
    inherited: bool,
}

impl HandOver {
    pub(super) fn of<'a>(
        groups: impl Iterator<Item = &'a (Group, Purpose)>,
    ) -> Result<Self, io::Error> {
        let offer = |(group, purpose): &(Group, Purpose)| {
            let distinct = group.listeners.iter().take(group.distinct);
            Ok(Offer {
                purpose: *purpose,
                requested: group.requested.clone(),
                owns_file: group.file.is_some(),
                listeners: distinct
                    .map(Listener::try_clone)
                    .collect::<io::Result<_>>()?,
                elsewhere: Arc::clone(&group.elsewhere),
                inherited: group.elsewhere.load(Ordering::SeqCst),
            })
        };
        let offers = Offers {
            offers: groups.map(offer).collect::<io::Result<_>>()?,
            given: false,
        };
        Ok(Self(Arc::new(Mutex::new(offers))))
    }

    /// Copies of the sockets, one entry an address, in the order they were bound. From now on, and
    /// until [`HandOver::take_back`], the server closes its own copies only when it stops, without
    /// an end to what waits in them. None once the server has been told to stop.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<HandedSocket>> {
        let copies = |offer: &Offer| {
            let copy = |listener: &Listener| match listener {
                Listener::Tcp(tcp) => tcp.as_fd().try_clone_to_owned(),
                Listener::Unix(unix) => unix.as_fd().try_clone_to_owned(),
            };
            let descriptors = offer.listeners.iter().map(copy);
            Ok(HandedSocket {
                purpose: offer.purpose,
                requested: offer.requested.clone(),
                owns_file: offer.owns_file,
                descriptors: descriptors.collect::<io::Result<_>>()?,
            })
        };
        let offers = &self.lock().offers;
        let sockets = offers.iter().map(copies).collect::<io::Result<_>>()?;
        for offer in offers {
            offer.elsewhere.store(true, Ordering::SeqCst);
        }
        Ok(sockets)
    }

    /// The other process serves these, by their place in [`HandOver::sockets`]; the rest are ours
    /// alone again. A server that is told to stop after this waits for its calls without a limit:
    /// the address is served, so nobody waits for it.
    pub fn give(&self, taken: &[usize]) {
        let mut all = self.lock();
        all.given = true;
        all.settle(taken);
    }

    /// All are ours alone again.
    pub fn take_back(&self) {
        let mut all = self.lock();
        all.given = false;
        all.settle(&[]);
    }

    /// Lets go of the copies, so that sockets are closed when the workers close theirs. Says
    /// whether they were given away.
    pub(super) fn close(&self) -> bool {
        let mut all = self.lock();
        all.offers.clear();
        all.given
    }

    fn lock(&self) -> MutexGuard<'_, Offers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offers {
    fn settle(&self, taken: &[usize]) {
        for (index, offer) in self.offers.iter().enumerate() {
            let elsewhere = offer.inherited || taken.contains(&index);
            offer.elsewhere.store(elsewhere, Ordering::SeqCst);
        }
    }
}
