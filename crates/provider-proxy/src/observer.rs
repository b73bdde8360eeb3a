//! Who is told of calls: metrics and access logs.

use std::time::Duration;

use http::StatusCode;
use provider_types::{FunctionRef, Phases};

use crate::Reason;

/// Is told when a call starts and ends. Called on the way of each request, so it must be quick and
/// must not block.
///
/// Only functions that the resolver knows are reported, so a label made of a function's name is
/// bounded by what is deployed. A call that waits for a cold function starts when its replica is
/// found.
pub trait Observer: Send + Sync + 'static {
    /// What is kept of a call between its start and its end, for example a handle on its series.
    type Call: Send + 'static;

    /// A call of a function has found its replica, or is refused for lack of one.
    fn started(&self, function: &FunctionRef) -> Self::Call;

    /// The call has ended: its last byte is sent, or it failed, or the caller left.
    fn ended(&self, call: Self::Call, ended: &Ended);
}

/// Nobody is told.
impl Observer for () {
    type Call = ();

    fn started(&self, _function: &FunctionRef) {}

    fn ended(&self, _call: (), _ended: &Ended) {}
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// What the caller was answered: the function's status or our own. `None` if it left before.
    pub status: Option<StatusCode>,
    /// What went wrong outside of the function; with a status of the function it happened in the
    /// body. `None` if the function's reply was passed on whole.
    pub failure: Option<Reason>,
    /// From the request's arrival to the end.
    pub duration: Duration,
    /// What of it was waiting for a replica.
    pub phases: Phases,
}

impl Ended {
    pub(crate) fn new(
        status: Option<StatusCode>,
        failure: Option<Reason>,
        duration: Duration,
        phases: Phases,
    ) -> Self {
        Self {
            status,
            failure,
            duration,
            phases,
        }
    }
}
