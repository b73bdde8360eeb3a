//! Requests of other processes of the operator, over the control socket in the state directory.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provider_engine::{ControlRequest, ControlSocket, Engine, Given};
use provider_http::HandOver;
use tokio::sync::mpsc;

use crate::hand_over::Sockets;

/// Listens for requests. Without the socket everything else works: a disk that is full must not
/// keep functions from starting.
pub(crate) fn listen(state_dir: &Path) -> Option<ControlSocket> {
    let socket = ControlSocket::bind(state_dir).inspect_err(|error| {
        tracing::warn!(%error, "there is no control socket: no backup and no take-over");
    });
    socket.ok()
}

/// Answers requests until another version has taken over.
pub(crate) async fn until_given(
    engine: Arc<Engine>,
    hand_over: HandOver,
    socket: Option<ControlSocket>,
) -> Given {
    let (over, mut given) = mpsc::channel(1);
    let answering = async {
        let Some(socket) = socket else {
            return std::future::pending().await;
        };
        loop {
            match socket.next().await {
                Ok(request) => {
                    let (engine, sockets) = (engine.clone(), Sockets(hand_over.clone()));
                    tokio::spawn(answer(engine, sockets, request, over.clone()));
                }
                Err(error) => {
                    // Descriptors may have run out; they come back.
                    tracing::warn!(%error, "the control socket failed");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    };
    tokio::select! {
        Some(given) = given.recv() => given,
        never = answering => never,
    }
}

async fn answer(
    engine: Arc<Engine>,
    sockets: Sockets,
    request: ControlRequest,
    over: mpsc::Sender<Given>,
) {
    if request.request.split(' ').next() == Some("take-over") {
        tracing::info!("another version takes over");
        match engine.hand_over(request, &sockets).await {
            // Nobody waits for it any more when the provider is told to stop meanwhile.
            Ok(given) => drop(over.send(given).await),
            Err(error) => tracing::warn!(%error, "another version did not take over"),
        }
        return;
    }
    if let Err(error) = answer_engine(&engine, request).await {
        tracing::debug!(%error, "whoever asked over the control socket has left");
    }
}

async fn answer_engine(engine: &Engine, request: ControlRequest) -> io::Result<()> {
    match engine.answer(request).await? {
        Some(other) => {
            let why = format!("there is no request {:?}", other.request);
            other.refuse(&why).await
        }
        None => Ok(()),
    }
}
