//! The kit's own HTTP/1.1 client: any bytes out, and a strict reader of what comes back.
//!
//! It repairs nothing and forgives nothing, remembers when each piece came, and writes down every
//! byte in a [`Recorder`]. [`Request`] makes well-formed requests; [`Connection::write`] sends
//! whatever it is given.

mod address;
mod body;
mod connection;
mod error;
mod head;
mod record;
mod request;

pub use address::{Address, AddressError};
pub use connection::{Answer, Connection, Piece};
pub use error::WireError;
pub use head::{Head, Headers};
pub use record::{Direction, Exchange, Recorder, Said};
pub use request::Request;
