//! The way of a call: read the target, find a replica, connect, send, wait for the reply.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use provider_http1::ResponseHead;
use provider_types::{Call, Endpoint, FunctionRef, Lease, Report, Resolver, UpstreamProtocol};
use tokio::time::Instant;

use crate::address::Peer;
use crate::body::{Limits, ProxyBody};
use crate::budgets::after;
use crate::exchange::{Exchange, Hold};
use crate::headers::{self, Kept};
use crate::observer::Observer;
use crate::proxy::{Shared, Worker};
use crate::refusal::{Reason, Refusal};
use crate::target::{self, NoTarget};
use crate::trail::Trail;
use crate::tunnel::{self, Caller, Tunnels};
use crate::upload::{Activity, BoxError, Stage, Upload};
use crate::upstream::{self, Broken, Connection, Request, Unsent};

/// A resolver that keeps to its deadline says more than our timer does, so it goes first.
const RESOLVER_GOES_FIRST: Duration = Duration::from_millis(100);

/// A request made ready for its function.
struct Prepared {
    function: FunctionRef,
    trail: Trail,
    is_head: bool,
    request: Request,
    upgrade: Option<Caller>,
}

/// Passes a call on.
pub(crate) fn call<R, O, B>(
    worker: Arc<Worker<R, O>>,
    peer: Option<&Peer>,
    request: http::Request<B>,
) -> impl Future<Output = Response<ProxyBody>> + Send + use<R, O, B>
where
    R: Resolver,
    O: Observer,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let arrived = Instant::now();
    let (asked, kept, prepared) = prepare(&worker.shared, peer, request, arrived);
    async move {
        let answered = match prepared {
            Ok(prepared) => exchange(&worker, prepared, arrived).await,
            Err(refusal) => Err(refusal),
        };
        match answered {
            Ok(reply) => reply.into_response(&worker.shared.tunnels, kept),
            Err(refusal) => {
                let budgets = &worker.shared.budgets;
                let mut response = refusal.into_response(target::name(&asked), budgets);
                headers::to_caller_refused(response.headers_mut(), kept);
                response
            }
        }
    }
}

/// Takes a request apart: what was asked for, what the reply needs of it, and what is sent.
fn prepare<R, O, B>(
    shared: &Shared<R, O>,
    peer: Option<&Peer>,
    request: http::Request<B>,
    arrived: Instant,
) -> (Uri, Kept, Result<Prepared, Refusal>)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let upgrade = match head.version {
        Version::HTTP_11 => Caller::of(&mut head.extensions),
        _ => None,
    };
    let body = Upload::new(body, shared.budgets.idle, arrived);
    let length = body.length();
    let target = target::parse(&head.uri, &shared.default_namespace, shared.name_rule);
    let mut text = target.as_ref().map_or_else(
        |_| Vec::new(),
        |(_, rest)| upstream::line(&head.method, *rest),
    );
    let kept = headers::to_function(
        &mut text,
        &shared.policy,
        &head,
        length,
        peer,
        upgrade.is_some(),
    );
    let prepared = match target {
        Ok((function, _)) => Ok(Prepared {
            function,
            trail: Trail::of(&head.headers),
            is_head: head.method == Method::HEAD,
            request: Request::new(text, length, body),
            upgrade: upgrade.filter(|_| kept.upgrade.is_some()),
        }),
        Err(NoTarget::NoName | NoTarget::NotAName) => Err(Refusal::from(Reason::FunctionNotFound)),
        Err(NoTarget::Escapes) => Err(Refusal::from(Reason::BadPath)),
    };
    (head.uri, kept, prepared)
}

/// A function's reply, not yet made the caller's.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    has_body: bool,
    body: Body,
}

enum Body {
    Done(ProxyBody),
    Tunnel {
        call: Box<dyn Hold>,
        caller: Caller,
        connection: Connection,
        idle: Duration,
    },
}

impl Reply {
    fn into_response(mut self, tunnels: &Arc<Tunnels>, kept: Kept) -> Response<ProxyBody> {
        headers::to_caller(&mut self.headers, self.status, self.has_body, kept);
        let mut response = Response::new(match self.body {
            Body::Done(body) => body,
            Body::Tunnel {
                call,
                caller,
                connection,
                idle,
            } => {
                tunnel::spawn(call, caller, connection, idle, Arc::clone(tunnels));
                ProxyBody::empty()
            }
        });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

async fn exchange<R: Resolver, O: Observer>(
    worker: &Arc<Worker<R, O>>,
    prepared: Prepared,
    arrived: Instant,
) -> Result<Reply, Refusal> {
    let Prepared {
        function,
        trail,
        is_head,
        request,
        upgrade,
    } = prepared;
    let budgets = &worker.shared.budgets;
    let limits = Limits {
        idle: budgets.idle,
        end: budgets.total.map(|total| after(arrived, total)),
    };
    let resolve_by = after(arrived, budgets.resolve);
    let route = Route {
        resolve_by: limits.end.map_or(resolve_by, |end| end.min(resolve_by)),
        limits,
        is_head,
        is_upgrade: upgrade.is_some(),
    };
    let found = route.resolve(&worker.shared, &function, &trail, None).await;
    if matches!(&found, Err(refusal) if refusal.reason == Reason::FunctionNotFound) {
        return Err(Refusal::from(Reason::FunctionNotFound));
    }
    let mut call = Exchange::start(Arc::clone(worker), function, trail, arrived);
    let activity = request.activity().cloned();
    let sent = match found {
        Ok(lease) => {
            call.hold(lease);
            route.send(&mut call, request, activity.as_deref()).await
        }
        Err(refusal) => Err(refusal),
    };
    let (head, mut connection) = match sent {
        Ok(sent) => sent,
        Err(refusal) => {
            call.refused(refusal.status(), refusal.reason);
            return Err(refusal);
        }
    };
    let ResponseHead {
        status,
        headers,
        mut coding,
        reusable: _,
    } = head;
    call.replied(status);
    let has_body = !is_head && !coding.is_done();
    let body = match upgrade {
        Some(caller) if status == StatusCode::SWITCHING_PROTOCOLS => Body::Tunnel {
            call: Box::new(call),
            caller,
            connection,
            idle: limits.idle,
        },
        _ => Body::Done(match connection.whole_body(&mut coding) {
            Some(body) => {
                if connection.is_sending() {
                    Box::new(call).finish(Some(connection), activity);
                } else {
                    call.done(connection);
                }
                ProxyBody::whole(body)
            }
            None => ProxyBody::stream(Box::new(call), connection, coding, activity, limits),
        }),
    };
    Ok(Reply {
        status,
        headers,
        has_body,
        body,
    })
}

/// What stays the same however often a call looks for its replica.
struct Route {
    resolve_by: Instant,
    limits: Limits,
    is_head: bool,
    is_upgrade: bool,
}

impl Route {
    async fn resolve<R: Resolver, O>(
        &self,
        shared: &Shared<R, O>,
        function: &FunctionRef,
        trail: &Trail,
        avoid: Option<&Endpoint>,
    ) -> Result<R::Lease, Refusal> {
        let call = Call::new(function)
            .with_deadline(Some(self.resolve_by.into_std()))
            .avoiding(avoid);
        let patience = after(self.resolve_by, RESOLVER_GOES_FIRST);
        let mut resolving = pin!(shared.resolver.resolve(call));
        // Most calls find their replica at once and need no timer.
        let found = match poll_fn(|cx| Poll::Ready(resolving.as_mut().poll(cx))).await {
            Poll::Ready(found) => Ok(found),
            Poll::Pending => tokio::time::timeout_at(patience, resolving).await,
        };
        match found {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => {
                if let Some(cause) = std::error::Error::source(&error) {
                    tracing::error!(
                        %function,
                        call_id = trail.call_id(),
                        traceparent = trail.traceparent(),
                        error = %error,
                        cause,
                        "cannot resolve a function"
                    );
                }
                let mut refusal = Refusal::of_resolver(&error);
                if refusal.reason == Reason::ResolveTimeout {
                    refusal.reason = self.ran_out(Reason::ResolveTimeout);
                }
                Err(refusal)
            }
            Err(_) => Err(Refusal::from(self.ran_out(Reason::ResolveTimeout))),
        }
    }

    /// A budget is spent; the total one if that is what ended it.
    fn ran_out(&self, reason: Reason) -> Reason {
        match self.limits.end {
            Some(end) if Instant::now() >= end => Reason::TotalTimeout,
            _ => reason,
        }
    }

    /// A connection to the call's replica, or to another one if that takes none: nothing was sent
    /// yet, so nothing can run twice.
    async fn connect<R: Resolver, O: Observer>(
        &self,
        call: &mut Exchange<R, O>,
        pooled: bool,
        now: Instant,
    ) -> Result<Connection, Refusal> {
        let refusal = match self.open(call, pooled, now).await {
            Ok(connection) => return Ok(connection),
            Err(refusal) => refusal,
        };
        if !matches!(
            refusal.reason,
            Reason::ConnectFailed | Reason::ConnectTimeout
        ) {
            return Err(refusal);
        }
        call.report(Report::Refused);
        // Given back before another is asked for: it may be the last one that the function has.
        let Some(dead) = call.release() else {
            return Err(refusal);
        };
        let other = self
            .resolve(
                &call.worker.shared,
                &call.function,
                &call.trail,
                Some(&dead),
            )
            .await?;
        if *other.endpoint() == dead {
            return Err(refusal);
        }
        call.hold(other);
        let opened = self.open(call, pooled, Instant::now()).await;
        if opened.is_err() {
            call.report(Report::Refused);
        }
        opened
    }

    async fn open<R: Resolver, O: Observer>(
        &self,
        call: &mut Exchange<R, O>,
        pooled: bool,
        now: Instant,
    ) -> Result<Connection, Refusal> {
        let Some(endpoint) = call.endpoint() else {
            return Err(Refusal::from(Reason::Internal));
        };
        if endpoint.protocol != UpstreamProtocol::Http1 {
            return Err(Refusal::with_detail(
                Reason::Unsupported,
                "Its replica speaks HTTP/2, which this proxy does not yet",
            ));
        }
        if pooled {
            if let Some(connection) = call.worker.pool.take(endpoint, now) {
                return Ok(connection);
            }
        }
        let due = after(now, call.worker.shared.budgets.connect);
        let due = self.limits.end.map_or(due, |end| end.min(due));
        match tokio::time::timeout_at(due, Connection::open(&endpoint.address)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::warn!(
                    function = %call.function,
                    call_id = call.trail.call_id(),
                    traceparent = call.trail.traceparent(),
                    ?endpoint, %error, "cannot connect"
                );
                Err(Refusal::from(Reason::ConnectFailed))
            }
            Err(_) => {
                tracing::warn!(
                    function = %call.function,
                    call_id = call.trail.call_id(),
                    traceparent = call.trail.traceparent(),
                    ?endpoint, "connecting takes too long"
                );
                Err(Refusal::from(self.ran_out(Reason::ConnectTimeout)))
            }
        }
    }

    /// Sends the request and waits for the head of the reply.
    async fn send<R: Resolver, O: Observer>(
        &self,
        call: &mut Exchange<R, O>,
        mut request: Request,
        activity: Option<&Activity>,
    ) -> Result<(ResponseHead, Connection), Refusal> {
        let mut pooled = true;
        loop {
            let taken = Instant::now();
            let mut connection = self.connect(call, pooled, taken).await?;
            if connection.reused && !connection.is_alive() {
                pooled = false;
                continue;
            }
            let first_byte = call.worker.shared.budgets.first_byte;
            let sent = if connection.reused {
                taken
            } else {
                Instant::now()
            };
            let mut exchange = Heads {
                connection: &mut connection,
                request: &mut request,
                sent,
                first_byte,
                sending: true,
            };
            match poll_fn(|cx| exchange.poll(cx, self, activity)).await {
                Ok(head) => {
                    if !request.is_sent() {
                        connection.send_rest(request);
                    }
                    return self.check(call, head, connection);
                }
                // Closed before a byte was written, so it can go on a new connection.
                Err(NoReply::Closed(_)) if connection.reused && request.is_untouched() => {
                    pooled = false;
                }
                Err(no_reply) => return Err(refuse(call, &no_reply)),
            }
        }
    }

    /// Refuses a switch of protocols that nobody asked for.
    fn check<R: Resolver, O: Observer>(
        &self,
        call: &Exchange<R, O>,
        head: ResponseHead,
        connection: Connection,
    ) -> Result<(ResponseHead, Connection), Refusal> {
        if head.status != StatusCode::SWITCHING_PROTOCOLS || self.is_upgrade {
            return Ok((head, connection));
        }
        let wrong = "It switched protocols unasked";
        call.report(Report::Reset);
        tracing::warn!(
            function = %call.function,
            call_id = call.trail.call_id(),
            traceparent = call.trail.traceparent(),
            wrong, "invalid reply"
        );
        Err(Refusal::with_detail(Reason::UpstreamInvalid, wrong))
    }
}

/// Why there is no reply.
enum NoReply {
    /// A budget is spent.
    Late(Reason),
    /// The caller's body broke off or fell silent.
    Request(Unsent),
    /// The function's side.
    Closed(Broken),
}

/// A request that is written and a reply that is waited for, at the same time.
struct Heads<'a> {
    connection: &'a mut Connection,
    request: &'a mut Request,
    sent: Instant,
    first_byte: Duration,
    /// The function still takes the request.
    sending: bool,
}

impl Heads<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        route: &Route,
        activity: Option<&Activity>,
    ) -> Poll<Result<ResponseHead, NoReply>> {
        if self.sending {
            match self.connection.poll_send(cx, self.request) {
                // A function may reply and close without having read everything: what it said is
                // still there to be read.
                Poll::Ready(Ok(()) | Err(Unsent::Write(_))) => self.sending = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(NoReply::Request(error))),
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(head) = self.connection.poll_head(cx, route.is_head) {
            return Poll::Ready(head.map_err(NoReply::Closed));
        }
        let due = match activity.map(|activity| (activity.stage(), activity.last())) {
            None => after(self.sent, self.first_byte),
            Some((Stage::Function | Stage::Done, last)) => {
                after(self.sent.max(last), self.first_byte)
            }
            // The upload itself watches for a caller that has fallen silent.
            Some((Stage::Caller | Stage::Broken | Stage::Silent, _)) => {
                after(Instant::now(), self.first_byte)
            }
        };
        let due = route.limits.end.map_or(due, |end| end.min(due));
        self.connection.poll_due(cx, due).map(|now| {
            Err(NoReply::Late(match route.limits.end {
                Some(end) if now >= end => Reason::TotalTimeout,
                _ => Reason::FirstByteTimeout,
            }))
        })
    }
}

/// What the caller is told where there is no reply.
fn refuse<R: Resolver, O: Observer>(call: &Exchange<R, O>, no_reply: &NoReply) -> Refusal {
    let (reason, error): (_, &dyn std::error::Error) = match no_reply {
        NoReply::Late(reason) => {
            tracing::warn!(
                function = %call.function,
                call_id = call.trail.call_id(),
                traceparent = call.trail.traceparent(),
                %reason, "no reply"
            );
            return Refusal::from(*reason);
        }
        NoReply::Request(error @ Unsent::Silent) => (Reason::IdleTimeout, error),
        NoReply::Request(error) => (Reason::RequestAborted, error),
        NoReply::Closed(error @ (Broken::Head(_) | Broken::Body(_))) => {
            (Reason::UpstreamInvalid, error)
        }
        NoReply::Closed(error) => (Reason::UpstreamClosed, error),
    };
    let cause = error.source();
    if matches!(no_reply, NoReply::Closed(_)) {
        call.report(Report::Reset);
        tracing::warn!(
            function = %call.function,
            call_id = call.trail.call_id(),
            traceparent = call.trail.traceparent(),
            error, cause, "no reply"
        );
    } else {
        tracing::debug!(
            function = %call.function,
            call_id = call.trail.call_id(),
            traceparent = call.trail.traceparent(),
            error, cause, "no request"
        );
    }
    Refusal::from(reason)
}
