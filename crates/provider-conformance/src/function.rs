//! The test function, at the far end of every call.
//!
//! Its reference is `FUNCTION.md`. It speaks HTTP/1.1 by hand, because no library of HTTP would
//! break the protocol on order.

mod answer;
mod connection;
mod incoming;
mod journal;
mod order;
mod outgoing;
mod report;
mod server;
mod settings;
mod tunnel;

pub(crate) use connection::{Connection, Gone};
pub(crate) use incoming::{Head, Incoming, Unread};
pub(crate) use outgoing::status_line;
pub(crate) use report::hex;
pub use server::TestFunction;
pub(crate) use server::malformed;
pub use settings::{FunctionSettings, SettingsError};
