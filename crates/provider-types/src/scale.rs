//! Who sets how many replicas a function has, asked by what sees its calls.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{FunctionRef, ProviderError};

/// Brings functions from no replica to some, and to another number.
///
/// What sees the calls (an activator, an idler, an autoscaler) decides when; this does it. An
/// engine changes its desired state, a back-end on Kubernetes writes the scale of a deployment.
/// Both calls may come twice, and from several providers at a time, and then ask for the same.
///
/// ```
/// use std::sync::Mutex;
///
/// use async_trait::async_trait;
/// use provider_types::{FunctionRef, Namespace, ProviderError, Scaler};
///
/// /// Remembers what it was asked for.
/// #[derive(Default)]
/// struct Noted(Mutex<Vec<(String, u64)>>);
///
/// #[async_trait]
/// impl Scaler for Noted {
///     async fn wake(&self, function: &FunctionRef) -> Result<(), ProviderError> {
///         self.scale(function, 1).await
///     }
///
///     async fn scale(&self, function: &FunctionRef, replicas: u64) -> Result<(), ProviderError> {
///         self.0.lock().unwrap().push((function.to_string(), replicas));
///         Ok(())
///     }
/// }
///
/// let scaler: &dyn Scaler = &Noted::default();
/// let figlet = FunctionRef::parse_dotted("figlet", &Namespace::default())?;
/// drop(scaler.wake(&figlet)); // a future, for whoever holds the calls to drive
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot scale functions",
    note = "implement `provider_types::Scaler` with `#[async_trait]`"
)]
pub trait Scaler: Send + Sync + 'static {
    /// Brings a function that has no replica to as many as it starts with, the `com.openfaas.scale.min`
    /// of its labels and one at least. A function that has replicas keeps them.
    ///
    /// Answers when that is under way; callers do not wait here for a replica to be ready. An error
    /// goes to those who wait for the function: [`crate::ErrorKind::NotFound`] as "no such function",
    /// any other as "not ready" with its message.
    async fn wake(&self, function: &FunctionRef) -> Result<(), ProviderError>;

    /// Sets how many replicas a function is to have; 0 puts it to sleep until it is woken.
    async fn scale(&self, function: &FunctionRef, replicas: u64) -> Result<(), ProviderError>;
}

#[async_trait]
impl<T: Scaler + ?Sized> Scaler for Arc<T> {
    async fn wake(&self, function: &FunctionRef) -> Result<(), ProviderError> {
        (**self).wake(function).await
    }

    async fn scale(&self, function: &FunctionRef, replicas: u64) -> Result<(), ProviderError> {
        (**self).scale(function, replicas).await
    }
}

const _: fn(&dyn Scaler) = |_| {};
