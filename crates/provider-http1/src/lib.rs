//! HTTP/1.1 as servers and proxies of functions need it: strict, small and fast.
//!
//! * [`serve`] drives one connection of a client: requests in, replies out. A request that two
//!   readers could understand differently (`Content-Length` with `Transfer-Encoding`, bare line
//!   feeds, several hosts) is refused and ends its connection.
//! * [`RequestHead`], [`ResponseHead`] and [`Coding`] read messages off a buffer, for those who own
//!   their sockets.
//!
//! The grammar is httparse's; RFC 9112 is named where a rule comes from it.
//!
//! ```
//! use std::convert::Infallible;
//! use std::future::{Future, pending};
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::Response;
//! use provider_http1::{Patience, Socket, Stop, serve};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! struct Never;
//!
//! impl Stop for Never {
//!     fn has_begun(&self) -> bool {
//!         false
//!     }
//!     fn begun(&self) -> impl Future<Output = ()> + Send {
//!         pending()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async move {
//!     let (socket, _) = listener.accept().await?;
//!     let patience = Patience {
//!         header: Duration::from_secs(10),
//!         idle: Duration::from_secs(300),
//!     };
//!     serve(Socket::Tcp(socket), Box::new(()), patience, &Never, async |request| {
//!         Response::new(http_body_util::Full::new(Bytes::from(request.uri().to_string())))
//!     })
//!     .await;
//!     Ok::<_, std::io::Error>(())
//! });
//!
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"GET /hello HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n").await?;
//! let mut reply = String::new();
//! client.read_to_string(&mut reply).await?;
//! assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\n/hello"));
//! # Ok(())
//! # }
//! ```

mod alarm;
mod body;
mod framing;
mod outgoing;
mod reply;
mod request;
mod response;
mod server;
mod socket;
mod upgrade;

pub use alarm::Alarm;
pub use body::{BodyError, RequestBody};
pub use framing::{Chunked, Coding, InvalidBody, Part, write_line};
pub use outgoing::Outgoing;
pub use request::{BadRequest, RequestHead};
pub use response::{InvalidHead, ResponseHead};
pub use server::{Patience, Stop, serve};
pub use socket::Socket;
pub use upgrade::{NotUpgraded, OnUpgrade, Upgraded};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
