//! From one version to the next: what the server's sockets are called on the way, and who answers
//! on the control socket until then.

use std::io;
use std::path::Path;
use std::sync::Arc;

use provider_engine::{
    ControlRequest, ControlSocket, Engine, Given, PassSockets, PassedSocket, TakeOver,
};
use provider_http::{HandOver, HandedSocket, Purpose};
use tokio::sync::mpsc;

use crate::failure::{Failure, Kind, OrFail as _};

/// Begins to take over, where that is wanted and a provider runs.
pub(crate) async fn ask(wanted: bool, state_dir: &Path) -> Result<Option<TakeOver>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let asked = TakeOver::ask(state_dir).await.or_fail(Kind::Directory)?;
    if asked.is_none() {
        tracing::info!("no provider runs on this state directory: there is none to take over from");
    }
    Ok(asked)
}

/// The sockets that the running provider offers.
pub(crate) fn sockets(take_over: Option<&mut TakeOver>) -> Vec<HandedSocket> {
    let passed = take_over.map(TakeOver::sockets).unwrap_or_default();
    let handed = |socket: PassedSocket| {
        let purpose = match socket.purpose.as_str() {
            "system" => Purpose::System,
            "metrics" => Purpose::Metrics,
            // What else it answers depends on whether there is one for system calls.
            _ => Purpose::All,
        };
        HandedSocket::new(
            purpose,
            socket.requested,
            socket.owns_file,
            socket.descriptors,
        )
    };
    passed.into_iter().map(handed).collect()
}

/// The server's sockets, as the engine passes them on.
struct Sockets(HandOver);

impl PassSockets for Sockets {
    fn copies(&self) -> io::Result<Vec<PassedSocket>> {
        let passed = |socket: HandedSocket| {
            let purpose = match socket.purpose {
                Purpose::System => "system",
                Purpose::Metrics => "metrics",
                _ => "functions",
            };
            PassedSocket::new(
                purpose.to_owned(),
                socket.requested,
                socket.owns_file,
                socket.descriptors,
            )
        };
        Ok(self.0.sockets()?.into_iter().map(passed).collect())
    }

    fn give(&self, taken: &[usize]) {
        self.0.give(taken);
    }

    fn take_back(&self) {
        self.0.take_back();
    }
}

/// Listens for other processes of the same operator. Without it the provider works, too.
pub(crate) fn listen(state_dir: &Path) -> Option<ControlSocket> {
    ControlSocket::bind(state_dir)
        .inspect_err(|error| {
            tracing::error!(%error, "there is no control socket: it cannot be taken over");
        })
        .ok()
}

/// Answers on the control socket until another version has taken over.
pub(crate) async fn until_given(
    engine: Arc<Engine>,
    hand_over: HandOver,
    socket: Option<ControlSocket>,
) -> Given {
    let (over, mut given) = mpsc::channel(1);
    let answer = async {
        while let Some(socket) = &socket {
            match socket.next().await {
                Ok(request) => {
                    tokio::spawn(heed(
                        engine.clone(),
                        hand_over.clone(),
                        request,
                        over.clone(),
                    ));
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket failed");
                    break;
                }
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        Some(given) = given.recv() => given,
        never = answer => never,
    }
}

async fn heed(
    engine: Arc<Engine>,
    hand_over: HandOver,
    request: ControlRequest,
    over: mpsc::Sender<Given>,
) {
    if request.request.split(' ').next() != Some("take-over") {
        let _ = request.refuse("this is not known here").await;
        return;
    }
    tracing::info!("another version takes over");
    match engine.hand_over(request, &Sockets(hand_over)).await {
        Ok(given) => {
            let _ = over.send(given).await;
        }
        Err(error) => tracing::warn!(%error, "another version did not take over"),
    }
}
