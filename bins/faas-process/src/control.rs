//! Requests of other processes of the operator, over the control socket in the state directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provider_engine::{ControlRequest, ControlSocket, Engine};

/// Answers requests from now on. Without the socket everything else works: a disk that is full must
/// not keep functions from starting.
pub(crate) fn serve(state_dir: &Path, engine: Arc<Engine>) {
    let socket = match ControlSocket::bind(state_dir) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "there is no control socket: no backup while this runs");
            return;
        }
    };
    tokio::spawn(async move {
        loop {
            match socket.next().await {
                Ok(request) => drop(tokio::spawn(answer(Arc::clone(&engine), request))),
                Err(error) => {
                    // Descriptors may have run out; they come back.
                    tracing::warn!(%error, "the control socket failed");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
}

async fn answer(engine: Arc<Engine>, request: ControlRequest) {
    let done = match engine.answer(request).await {
        Ok(Some(other)) => {
            let why = format!("there is no request {:?}", other.request);
            other.refuse(&why).await
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "whoever asked over the control socket has left");
    }
}
