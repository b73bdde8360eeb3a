//! One version of a provider takes over from another one on the same state directory.
//!
//! The new one asks over the control socket (`take-over 1`: the number is the version of what
//! follows). Each message is a length of four bytes and JSON; see [`Message`].
//!
//! | who says it | message | what it means |
//! |---|---|---|
//! | old | `Offer` | these are my sockets; their descriptors follow |
//! | new | `Release` | I have all that I need: let go of the state |
//! | old | `Released` | no write runs, the lock is free; these functions answer |
//! | new | `Ready` | they answer here too, and I serve these of the sockets |
//! | old | `Yours` | I take no connection any more |
//! | old | `Left` | nothing is left of this function, which can run only once at a time |
//! | old | `Lines` | its functions wrote this, which follows as it is: the log is the new one's |
//!
//! Until `Yours` the old one can go back: when the connection ends before `Ready`, it takes the
//! lock again and writes down what it knows, whatever the new one has made of it. Once it ends, the
//! new one knows that all of the old one is gone.

mod link;
mod new;
mod old;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::new::{TakeOver, TakeOverError};
pub use self::old::{Given, PassSockets};

/// The request by which it begins; the number grows when messages change.
const REQUEST: &str = "take-over";
const PROTOCOL: u32 = 1;

/// The sockets of one address, on their way to another process.
#[derive(Debug)]
#[non_exhaustive]
pub struct PassedSocket {
    /// What they are for, in words of whoever serves them.
    pub purpose: String,
    /// The address as it was asked for; `None` for a socket of the service manager.
    pub requested: Option<String>,
    /// Whether the file of a Unix socket goes with them.
    pub owns_file: bool,
    /// The sockets, all of which belong to that address.
    pub descriptors: Vec<OwnedFd>,
}

impl PassedSocket {
    /// The sockets of one address.
    #[must_use]
    pub fn new(
        purpose: String,
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
}

/// What the two say to each other.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Message {
    Offer {
        sockets: Vec<SocketNote>,
    },
    Release,
    Released {
        functions: Vec<Serving>,
    },
    /// Instead of `Released`: nothing has changed.
    Refused {
        why: String,
    },
    Ready {
        taken: Vec<usize>,
    },
    Yours,
    Left {
        function: String,
    },
    Lines(LinesNote),
}

/// A [`PassedSocket`] without its descriptors.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SocketNote {
    purpose: String,
    requested: Option<String>,
    owns_file: bool,
    descriptors: usize,
}

/// Log lines, without the lines.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LinesNote {
    function: String,
    instance: String,
    /// When they were read, since 1970.
    at: Duration,
    stderr: bool,
    dropped: u64,
    bytes: usize,
}

/// A function as the old version runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Serving {
    /// With its namespace.
    pub(crate) function: String,
    /// How many of its replicas take calls.
    pub(crate) ready: u64,
    /// It cannot run in two places: the new version starts it when it has left the old one.
    pub(crate) only_once: bool,
}

/// A message that does not belong where it came.
fn unexpected(message: Option<&Message>) -> io::Error {
    match message {
        None => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the other version ended the hand-over",
        ),
        Some(Message::Refused { why }) => io::Error::other(why.clone()),
        Some(_) => io::Error::new(
            io::ErrorKind::InvalidData,
            "the other version said something that was not expected",
        ),
    }
}
