//! Connections to replicas.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use provider_types::EndpointAddress;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;

use crate::upload::Upload;

/// One HTTP/1.1 connection to a replica. Dropping it closes it at once, whatever is under way.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Upload>,
    /// Asks the connection's task to look whether the replica has closed before it writes.
    probe: Arc<AtomicBool>,
    /// The task that drives it; `None` once a tunnel owns it.
    task: Option<AbortHandle>,
    /// Whether it has carried a call before.
    pub(crate) reused: bool,
    /// Whether it must not carry another call.
    spent: bool,
}

impl Connection {
    /// Connects, on the present runtime.
    pub(crate) async fn open(address: &EndpointAddress) -> io::Result<Self> {
        let socket = match address {
            EndpointAddress::Tcp(address) => Socket::tcp(TcpStream::connect(address).await?)?,
            EndpointAddress::Host(name, port) => {
                Socket::tcp(TcpStream::connect((&**name, *port)).await?)?
            }
            EndpointAddress::Unix(path) => Socket::Unix(UnixStream::connect(&**path).await?),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "an address of a kind that this proxy does not know",
                ));
            }
        };
        let probe = Arc::new(AtomicBool::new(false));
        let io = Probed {
            socket,
            probe: Arc::clone(&probe),
        };
        let (sender, driver) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            // Who waits for a reply is told; an idle connection that ends concerns nobody.
            if let Err(error) = driver.with_upgrades().await {
                tracing::trace!(%error, "a connection to a replica ended");
            }
        });
        Ok(Self {
            sender,
            probe,
            task: Some(task.abort_handle()),
            reused: false,
            spent: false,
        })
    }

    /// Sends a request. An error holds the request if nothing of it was written.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        if self.reused {
            self.probe.store(true, Ordering::Release);
        }
        self.reused = true;
        self.sender.try_send_request(request)
    }

    /// Lets it carry no other call.
    pub(crate) fn spend(&mut self) {
        self.spent = true;
    }

    /// Whether it can take a call now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.spent && self.sender.is_ready()
    }

    /// Whether it can never take a call again.
    pub(crate) fn is_closed(&self) -> bool {
        self.spent || self.sender.is_closed()
    }

    /// Waits until it can take a call; false if it never will.
    pub(crate) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Leaves the connection to its upgrade.
    pub(crate) fn detach(mut self) {
        self.task = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }
}

/// A socket that, when asked, looks past the runtime's readiness: the runtime may not have been
/// told yet that the replica has closed.
struct Probed {
    socket: Socket,
    probe: Arc<AtomicBool>,
}

enum Alive {
    Yes,
    /// The replica has closed its side.
    Closed,
}

impl Probed {
    fn look(&self) -> io::Result<Alive> {
        let mut byte = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = match &self.socket {
            Socket::Tcp(stream) => rustix::net::recv(stream, &mut byte, flags),
            Socket::Unix(stream) => rustix::net::recv(stream, &mut byte, flags),
        };
        match seen.map(|(count, _)| count) {
            Err(error) if error == rustix::io::Errno::AGAIN => Ok(Alive::Yes),
            Err(error) if error == rustix::io::Errno::INTR => Ok(Alive::Yes),
            Err(error) => Err(error.into()),
            Ok(0) => Ok(Alive::Closed),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the replica sent something that nobody asked for",
            )),
        }
    }
}

impl AsyncRead for Probed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Hyper reads before it writes, so what is found here comes before the first byte of a
        // call, and hyper then hands the call back.
        if self.probe.load(Ordering::Acquire) {
            self.probe.store(false, Ordering::Relaxed);
            match self.look() {
                Ok(Alive::Yes) => {}
                Ok(Alive::Closed) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Probed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
