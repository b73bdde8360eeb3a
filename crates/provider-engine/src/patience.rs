//! A runtime that may take only so long to answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use provider_types::{
    BoxStream, Capabilities, ErrorKind, FunctionRef, FunctionSpec, Host, InstanceId, InstanceSpec,
    InstanceStats, LogChunk, Prepared, ProviderError, Runtime, RuntimeEvent, RuntimeInstance,
    SecretName,
};

use crate::config::EngineConfig;

/// A runtime that may take only so long to answer: one that hangs must not hold up others for
/// ever. What it was asked for may be done all the same, so ask again.
pub(crate) struct Patience {
    runtime: Arc<dyn Runtime>,
    any: Duration,
    prepare: Duration,
}

impl Patience {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, config: &EngineConfig) -> Self {
        Self {
            runtime,
            any: config.runtime_timeout,
            prepare: config.prepare_timeout,
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.runtime.capabilities()
    }

    pub(crate) fn host(&self) -> Host {
        self.runtime.host()
    }

    pub(crate) fn events(&self) -> BoxStream<RuntimeEvent> {
        self.runtime.events()
    }

    pub(crate) async fn prepare(&self, spec: &FunctionSpec) -> Result<Prepared, ProviderError> {
        within(
            self.prepare,
            "prepare the function",
            self.runtime.prepare(spec),
        )
        .await
    }

    pub(crate) async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        within(self.any, "start the instance", self.runtime.start(spec)).await
    }

    /// Beyond the time that the instance has.
    pub(crate) async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), ProviderError> {
        let limit = grace.saturating_add(self.any);
        within(limit, "stop the instance", self.runtime.stop(id, grace)).await
    }

    pub(crate) async fn remove(&self, id: &InstanceId) -> Result<(), ProviderError> {
        within(self.any, "remove the instance", self.runtime.remove(id)).await
    }

    pub(crate) async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError> {
        within(self.any, "list its instances", self.runtime.list()).await
    }

    pub(crate) async fn stats(&self, id: &InstanceId) -> Result<InstanceStats, ProviderError> {
        within(self.any, "measure the instance", self.runtime.stats(id)).await
    }

    pub(crate) async fn refresh_secrets(
        &self,
        function: &FunctionRef,
        secrets: &[(SecretName, Vec<u8>)],
    ) -> Result<(), ProviderError> {
        let refresh = self.runtime.refresh_secrets(function, secrets);
        within(self.any, "refresh the secrets", refresh).await
    }

    pub(crate) async fn logs(&self, id: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError> {
        within(self.any, "open the log", self.runtime.logs(id)).await
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    asked: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(ProviderError::new(
            ErrorKind::Timeout,
            format!(
                "the runtime did not {what} within {} s",
                limit.as_secs_f64()
            ),
        )),
    }
}
