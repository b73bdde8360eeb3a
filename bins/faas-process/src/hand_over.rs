//! From one version to the next: how the server's sockets go through the engine.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provider_engine::{Engine, EngineConfig, PassSockets, PassedSocket, TakeOver};
use provider_http::{HandOver, HandedSocket, Purpose};
use runtime_process::ProcessRuntime;

use crate::failure::{Failure, Kind, OrFail as _};
use crate::signals::Signals;

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

/// Opens the engine, in the place of a running provider where one is taken over. `None` when this
/// one is told to stop meanwhile: then the other one goes on.
pub(crate) async fn open(
    config: EngineConfig,
    runtime: Arc<ProcessRuntime>,
    take_over: Option<&mut TakeOver>,
    signals: &Signals,
) -> Result<Option<Arc<Engine>>, Failure> {
    let Some(before) = take_over else {
        return Engine::open(config, runtime)
            .await
            .map(Some)
            .or_fail(Kind::Directory);
    };
    let opened = async {
        let engine = Engine::open_after(config, runtime, before);
        let engine = engine.await.or_fail(Kind::Directory)?;
        match before.ready(&engine).await.or_fail(Kind::Running) {
            Ok(()) => Ok(engine),
            Err(failure) => {
                engine.shutdown(Duration::ZERO).await;
                Err(failure)
            }
        }
    };
    tokio::select! {
        biased;
        () = signals.clone().reach(1) => {
            tracing::info!("told to stop: the version before goes on");
            Ok(None)
        }
        opened = opened => opened.map(Some),
    }
}

/// The server's sockets, as the engine passes them on.
pub(crate) struct Sockets(pub(crate) HandOver);

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
