//! The provider as a whole.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::defect::Defect;
use crate::server;
use crate::state::{Inner, Options};

/// A provider that serves until it is dropped.
#[derive(Debug)]
pub struct Provider {
    inner: Arc<Inner>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Provider {
    /// Starts one on an address; port 0 is any that is free.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(address: &str, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner::new(options));
        let serving = tokio::spawn(accept(Arc::clone(&inner), listener));
        Ok(Self {
            inner,
            address,
            serving,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Switches a defect on or off. What has begun goes on as it began.
    pub fn set(&self, defect: Defect, on: bool) {
        self.inner.switches.set(defect, on);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
        self.inner.stop();
    }
}

async fn accept(inner: Arc<Inner>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    while !inner.is_stopped() {
        if let Ok((stream, peer)) = listener.accept().await {
            connections.spawn(server::serve(Arc::clone(&inner), stream, peer));
        }
        while connections.try_join_next().is_some() {}
    }
}
