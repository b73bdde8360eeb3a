//! The connection between the two: messages, and descriptors as ancillary data.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use super::Message;

/// More than the list of the functions of any host.
const LONGEST_MESSAGE: usize = 64 * 1024 * 1024;

/// A connection on which both sides are the same user.
#[derive(Debug)]
pub(super) struct Link(UnixStream);

impl Link {
    /// # Errors
    /// When the other side is another user, who must not get our sockets or give us theirs.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let theirs = socket_peercred(stream.as_fd())?.uid;
        if theirs != rustix::process::geteuid() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the other side is another user",
            ));
        }
        Ok(Self(stream))
    }

    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        self.0.write_all(&length.to_be_bytes()).await?;
        self.0.write_all(&body).await
    }

    /// The next message; `None` when the other side has ended the connection. Reads no byte that
    /// comes after it, for descriptors come with bytes.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Message>> {
        let mut length = [0; 4];
        match self.0.read_exact(&mut length).await {
            Err(error) if is_end(&error) => return Ok(None),
            read => read?,
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LONGEST_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        match self.0.read_exact(&mut body).await {
            Err(error) if is_end(&error) => return Ok(None),
            read => read?,
        };
        Ok(Some(serde_json::from_slice(&body)?))
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    pub(super) async fn receive_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if count > LONGEST_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// Sends a copy of a descriptor, with one byte to carry it.
    pub(super) async fn send_descriptor(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [descriptor];
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let byte = [IoSlice::new(b".")];
            Ok(sendmsg(&self.0, &byte, &mut control, SendFlags::NOSIGNAL)?)
        };
        self.0.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    pub(super) async fn receive_descriptor(&mut self) -> io::Result<OwnedFd> {
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut bytes = [IoSliceMut::new(&mut byte)];
            recvmsg(&self.0, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let descriptors = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            });
            Ok(descriptors.flatten().next())
        };
        let received = self.0.async_io(Interest::READABLE, receive).await?;
        received
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing"))
    }
}

/// Whether the other side is gone.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
