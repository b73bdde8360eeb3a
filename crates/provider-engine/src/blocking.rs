//! Where work runs that blocks its thread.

use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Where work runs that blocks its thread, such as asking the disk.
pub(crate) enum Blocking {
    /// On the threads that a runtime keeps for that.
    Threads(Handle),
    /// Here and now, with pauses of simulated time before and after it.
    #[cfg(feature = "simulation")]
    Simulated(crate::simulation::Pause),
}

impl Blocking {
    /// Runs it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Threads(handle) => handle.spawn_blocking(work).await,
            #[cfg(feature = "simulation")]
            Self::Simulated(pause) => {
                tokio::time::sleep(pause()).await;
                let done = work();
                tokio::time::sleep(pause()).await;
                Ok(done)
            }
        }
    }
}
