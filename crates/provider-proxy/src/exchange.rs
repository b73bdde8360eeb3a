//! What a call holds until both of its bodies are finished or given up.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use provider_types::{Endpoint, FunctionRef, Lease, Phases, Report, Resolver};
use tokio::time::Instant;

use crate::observer::{Ended, Observer};
use crate::proxy::Worker;
use crate::refusal::Reason;
use crate::trail::Trail;
use crate::upload::{Activity, Stage};
use crate::upstream::{Broken, Connection};

/// A resolved call: its lease, and what the observer keeps of it. Dropping it ends the call.
pub(crate) struct Exchange<R: Resolver, O: Observer> {
    pub(crate) worker: Arc<Worker<R, O>>,
    pub(crate) function: FunctionRef,
    pub(crate) trail: Trail,
    call: Option<O::Call>,
    lease: Option<R::Lease>,
    arrived: Instant,
    ended: Option<Instant>,
    phases: Phases,
    status: Option<StatusCode>,
    failure: Option<Reason>,
    whole: bool,
}

impl<R: Resolver, O: Observer> Exchange<R, O> {
    /// Tells the observer of a call of a function that exists.
    pub(crate) fn start(
        worker: Arc<Worker<R, O>>,
        function: FunctionRef,
        trail: Trail,
        arrived: Instant,
    ) -> Self {
        let call = Some(worker.shared.observer.started(&function));
        Self {
            worker,
            function,
            trail,
            call,
            lease: None,
            arrived,
            ended: None,
            phases: Phases::default(),
            status: None,
            failure: None,
            whole: false,
        }
    }

    pub(crate) fn hold(&mut self, lease: R::Lease) {
        self.phases = lease.phases();
        self.lease = Some(lease);
    }

    /// Gives the lease back; says what it was for.
    pub(crate) fn release(&mut self) -> Option<Endpoint> {
        self.lease.take().map(|lease| lease.endpoint().clone())
    }

    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.lease.as_ref().map(Lease::endpoint)
    }

    pub(crate) fn report(&self, report: Report) {
        if let Some(lease) = &self.lease {
            lease.report(report);
        }
    }

    pub(crate) fn replied(&mut self, status: StatusCode) {
        self.report(Report::FirstByte);
        self.status = Some(status);
    }

    /// The reply has come whole, and its body with its head.
    pub(crate) fn done(&mut self, connection: Connection) {
        self.whole = true;
        if connection.is_ready() {
            self.keep(connection);
        }
    }

    /// Puts a connection that is ready for another call back into its pool.
    fn keep(&mut self, connection: Connection) {
        let now = Instant::now();
        self.ended = Some(now);
        if let Some(endpoint) = self.endpoint() {
            self.worker.pool.put(endpoint, connection, now);
        }
    }

    pub(crate) fn refused(&mut self, status: StatusCode, reason: Reason) {
        self.status = Some(status);
        self.failure = Some(reason);
    }
}

impl<R: Resolver, O: Observer> Drop for Exchange<R, O> {
    fn drop(&mut self) {
        if self.whole {
            self.report(Report::Done);
        }
        drop(self.lease.take());
        if let Some(call) = self.call.take() {
            let failure = match (self.failure, self.whole) {
                (None, false) => {
                    let call_id = self.trail.call_id();
                    tracing::debug!(function = %self.function, call_id, "the caller left");
                    Some(Reason::ClientLeft)
                }
                (failure, _) => failure,
            };
            let end = self.ended.unwrap_or_else(Instant::now);
            let duration = end.duration_since(self.arrived);
            let ended = Ended::new(self.status, failure, duration, self.phases);
            self.worker.shared.observer.ended(call, &ended);
        }
    }
}

/// An exchange as a body or a tunnel holds it, whatever its resolver and observer are.
pub(crate) trait Hold: Send {
    /// The reply has ended as it should: the connection goes back to its pool.
    fn finish(self: Box<Self>, connection: Option<Connection>, activity: Option<Arc<Activity>>);

    /// The reply broke off.
    fn fail(self: Box<Self>, reason: Reason, cause: Option<&Broken>);
}

impl<R: Resolver, O: Observer> Hold for Exchange<R, O> {
    fn finish(
        mut self: Box<Self>,
        connection: Option<Connection>,
        activity: Option<Arc<Activity>>,
    ) {
        self.whole = true;
        let Some(connection) = connection else { return };
        if connection.is_sending() {
            // The reply is complete and the request is not: the lease waits for it.
            tokio::spawn(finish_upload(self, connection, activity));
        } else {
            self.done(connection);
        }
    }

    fn fail(mut self: Box<Self>, reason: Reason, cause: Option<&Broken>) {
        if matches!(reason, Reason::UpstreamClosed | Reason::UpstreamInvalid) {
            self.report(Report::Reset);
        }
        if reason != Reason::ClientLeft {
            let cause = cause.map(|cause| cause as &(dyn Error + 'static));
            tracing::warn!(
                function = %self.function,
                call_id = self.trail.call_id(),
                traceparent = self.trail.traceparent(),
                %reason,
                cause,
                "a reply broke off"
            );
        }
        self.failure = Some(reason);
    }
}

/// Lets a request's body that outlasts its reply run to its end, as long as it moves.
async fn finish_upload<R: Resolver, O: Observer>(
    mut exchange: Box<Exchange<R, O>>,
    mut connection: Connection,
    activity: Option<Arc<Activity>>,
) {
    let idle = exchange.worker.shared.budgets.idle;
    loop {
        let before = activity.as_ref().map(|activity| activity.last());
        match tokio::time::timeout(patience(idle, activity.as_deref()), connection.sent()).await {
            Ok(true) => {
                exchange.keep(connection);
                return;
            }
            Ok(false) => return,
            Err(_) if activity.as_ref().map(|activity| activity.last()) != before => {}
            Err(_) => return,
        }
    }
}

/// A connection whose request is all sent becomes ready at once or not at all.
fn patience(idle: Duration, activity: Option<&Activity>) -> Duration {
    match activity.map(Activity::stage) {
        None | Some(Stage::Done) => idle.min(Duration::from_secs(1)),
        Some(_) => idle,
    }
}
