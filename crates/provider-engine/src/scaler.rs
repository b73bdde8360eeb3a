//! The engine as what wakes and scales functions.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use provider_types::{FunctionRef, ProviderError, Scaler};

use crate::function::Signal;
use crate::inner::Inner;
use crate::operations;

/// Weak, for a resolver may outlive the engine.
pub(crate) struct EngineScaler(pub(crate) Weak<Inner>);

impl EngineScaler {
    fn inner(&self) -> Result<Arc<Inner>, ProviderError> {
        let inner = self.0.upgrade();
        inner.ok_or_else(|| ProviderError::unavailable("the provider has stopped"))
    }
}

#[async_trait]
impl Scaler for EngineScaler {
    async fn wake(&self, function: &FunctionRef) -> Result<(), ProviderError> {
        let inner = self.inner()?;
        inner.check_open()?;
        inner.existing(function)?.signal(Signal::Wake);
        Ok(())
    }

    async fn scale(&self, function: &FunctionRef, replicas: u64) -> Result<(), ProviderError> {
        let inner = self.inner()?;
        let operation = operations::scale(Arc::clone(&inner), function.clone(), replicas);
        inner.to_the_end(operation).await.map(drop)
    }
}
