//! How long each part of a call may take.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

/// Time limits of a call. Each part has its own; none bounds a stream that makes progress but
/// [`Budgets::total`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// Finding a replica, the wait for one that is starting included. 20 s.
    pub resolve: Duration,
    /// Making a connection to a replica. 5 s.
    pub connect: Duration,
    /// From the end of the request's body to the first byte of the reply. 60 s.
    ///
    /// While the body is sent, the clock starts anew with each part that the function takes, and
    /// stands still while the proxy waits for the caller; [`Budgets::idle`] bounds that.
    pub first_byte: Duration,
    /// Silence in both directions while a body or a tunnel is open. 5 minutes.
    pub idle: Duration,
    /// The whole call, from its arrival to its last byte. Not limited by default.
    pub total: Option<Duration>,
    /// What the operator knows the budgets as; error texts name them.
    pub knobs: Knobs,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(20),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(5 * 60),
            total: None,
            knobs: Knobs::default(),
        }
    }
}

/// The names of the settings that budgets come from, as the operator writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// Sets [`Budgets::resolve`]: `resolve_timeout`.
    pub resolve: Cow<'static, str>,
    /// Sets [`Budgets::connect`]: `connect_timeout`.
    pub connect: Cow<'static, str>,
    /// Sets [`Budgets::first_byte`]: `upstream_timeout`.
    pub first_byte: Cow<'static, str>,
    /// Sets [`Budgets::idle`]: `idle_timeout`.
    pub idle: Cow<'static, str>,
    /// Sets [`Budgets::total`]: `total_timeout`.
    pub total: Cow<'static, str>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            resolve: Cow::Borrowed("resolve_timeout"),
            connect: Cow::Borrowed("connect_timeout"),
            first_byte: Cow::Borrowed("upstream_timeout"),
            idle: Cow::Borrowed("idle_timeout"),
            total: Cow::Borrowed("total_timeout"),
        }
    }
}

/// `start` plus a budget; a budget beyond the clock's end is none.
pub(crate) fn after(start: Instant, budget: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    start
        .checked_add(budget.min(FAR))
        .unwrap_or_else(|| start + Duration::from_secs(1))
}
