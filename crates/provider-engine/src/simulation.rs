//! An engine for a simulation: its disk is in the test's hands, and it has no thread of its own.
//!
//! Clock, randomness and runtime are parameters anyway. What remains is the store, and the threads
//! that it would block.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provider_types::Runtime;

use crate::blocking::Blocking;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::store::{Medium, Store};

/// How long the disk takes: asked before and after each use of it.
pub(crate) type Pause = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The disk of a simulated engine.
#[derive(Clone)]
pub struct Simulated<M> {
    /// Holds the store.
    pub disk: M,
    /// How long the disk takes: asked before and after each use of it.
    pub pause: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl<M> std::fmt::Debug for Simulated<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

impl Engine {
    /// Like [`Engine::open`], without a state directory and without threads: on a current-thread
    /// tokio runtime with paused time the same inputs lead to the same steps.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub async fn open_simulated<M: Medium + 'static>(
        config: EngineConfig,
        runtime: Arc<dyn Runtime>,
        simulated: Simulated<M>,
    ) -> Result<Arc<Self>, EngineError> {
        let Simulated { disk, pause } = simulated;
        let namespace = config.default_namespace.clone();
        let store = Store::open_on(disk, Path::new("simulated"), namespace)?;
        Self::start(config, runtime, store, Blocking::Simulated(pause), None).await
    }
}
