//! A socket to a replica, read and written through a shared reference: while a reply streams, the
//! rest of its request may be written by another task.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use provider_types::EndpointAddress;
use tokio::net::{TcpStream, UnixStream};

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($inner) => $call,
            Socket::Unix($inner) => $call,
        }
    };
}

impl Socket {
    pub(crate) async fn connect(address: &EndpointAddress) -> io::Result<Self> {
        let tcp = match address {
            EndpointAddress::Tcp(address) => TcpStream::connect(address).await?,
            EndpointAddress::Host(name, port) => TcpStream::connect((&**name, *port)).await?,
            EndpointAddress::Unix(path) => {
                return Ok(Self::Unix(UnixStream::connect(&**path).await?));
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "an address of a kind that this proxy does not know",
                ));
            }
        };
        tcp.set_nodelay(true)?;
        Ok(Self::Tcp(tcp))
    }

    /// Reads what has come, appending it. Unlike a poll it asks the kernel even if the runtime has
    /// not been told of anything since the last read.
    pub(crate) fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        either!(self, socket => socket.try_read_buf(buffer))
    }

    /// Reads what has come, appending it; 0 at the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, socket => socket.poll_read_ready(cx)))?;
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, socket => socket.poll_write_ready(cx)))?;
            let written = match bytes {
                // The kernel takes a single piece with less ado.
                [first, rest @ ..] if rest.iter().all(|piece| piece.is_empty()) => {
                    either!(self, socket => socket.try_write(first))
                }
                _ => either!(self, socket => socket.try_write_vectored(bytes)),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Sends no more.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        let how = rustix::net::Shutdown::Write;
        Ok(either!(self, socket => rustix::net::shutdown(socket, how))?)
    }
}
