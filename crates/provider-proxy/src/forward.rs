//! The way of a call: read the target, find a replica, connect, send, wait for the reply.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;
use provider_types::{Call, Endpoint, FunctionRef, Lease, Report, Resolver, UpstreamProtocol};
use tokio::time::Instant;

use crate::address::Peer;
use crate::body::{Limits, ProxyBody};
use crate::budgets::after;
use crate::exchange::{Exchange, Hold};
use crate::headers::{self, Kept, Length};
use crate::observer::Observer;
use crate::proxy::{Shared, Worker};
use crate::refusal::{Reason, Refusal};
use crate::target::{self, NoTarget};
use crate::trail::Trail;
use crate::tunnel::{self, Tunnels};
use crate::upload::{Activity, BoxError, Stage, Upload};
use crate::upstream::Connection;

/// A resolver that keeps to its deadline says more than our timer does, so it goes first.
const RESOLVER_GOES_FIRST: Duration = Duration::from_millis(100);

/// A request made ready for its function.
struct Prepared {
    function: FunctionRef,
    trail: Trail,
    request: Request<Upload>,
    activity: Option<Arc<Activity>>,
    upgrade: Option<OnUpgrade>,
}

/// Passes a call on.
pub(crate) fn call<R, O, B>(
    worker: Arc<Worker<R, O>>,
    peer: Option<&Peer>,
    request: Request<B>,
) -> impl Future<Output = Response<ProxyBody>> + Send + use<R, O, B>
where
    R: Resolver,
    O: Observer,
    B: Body<Data = Bytes> + Send + 'static,
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
    request: Request<B>,
    arrived: Instant,
) -> (Uri, Kept, Result<Prepared, Refusal>)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let upgrade = match head.version {
        Version::HTTP_11 => head.extensions.remove::<OnUpgrade>(),
        _ => None,
    };
    let (body, activity) = Upload::new(body, shared.budgets.idle, arrived);
    let length = match body.size_hint().exact() {
        _ if body.is_end_stream() => Length::None,
        Some(length) => Length::Known(length),
        None => Length::Unknown,
    };
    let kept = headers::to_function(
        &shared.policy,
        &mut head.headers,
        &head.method,
        length,
        peer,
        upgrade.is_some(),
        || host(&head.uri),
    );
    let prepared = match target::parse(&head.uri, &shared.default_namespace, shared.name_rule) {
        Ok((function, uri)) => {
            let trail = Trail::of(&head.headers);
            let mut request = Request::new(body);
            *request.method_mut() = head.method;
            *request.uri_mut() = uri;
            *request.headers_mut() = head.headers;
            Ok(Prepared {
                function,
                trail,
                request,
                activity,
                upgrade: upgrade.filter(|_| kept.upgrade.is_some()),
            })
        }
        Err(NoTarget::NoName | NoTarget::NotAName) => Err(Refusal::from(Reason::FunctionNotFound)),
        Err(NoTarget::Escapes) => Err(Refusal::from(Reason::BadPath)),
    };
    (head.uri, kept, prepared)
}

/// What to say in `Host` for a request that does not: the function wants some.
fn host(uri: &Uri) -> Option<HeaderValue> {
    let host = uri
        .authority()
        .map_or("localhost", |authority| authority.as_str());
    HeaderValue::from_str(host).ok()
}

/// A function's reply, not yet made the caller's.
struct Reply {
    response: Response<Incoming>,
    call: Box<dyn Hold>,
    connection: Connection,
    activity: Option<Arc<Activity>>,
    limits: Limits,
    upgrade: Option<OnUpgrade>,
    has_body: bool,
}

impl Reply {
    fn into_response(self, tunnels: &Arc<Tunnels>, kept: Kept) -> Response<ProxyBody> {
        let Self {
            mut response,
            call,
            connection,
            activity,
            limits,
            upgrade,
            has_body,
        } = self;
        let status = response.status();
        // The server speaks the version of its caller, whatever the function's is.
        *response.version_mut() = Version::HTTP_11;
        headers::to_caller(response.headers_mut(), status, has_body, kept);
        match upgrade {
            Some(caller) if status == StatusCode::SWITCHING_PROTOCOLS => {
                let function = hyper::upgrade::on(&mut response);
                connection.detach();
                tunnel::spawn(call, caller, function, limits.idle, Arc::clone(tunnels));
                response.map(|_| ProxyBody::empty())
            }
            _ => response.map(|body| ProxyBody::stream(body, call, connection, activity, limits)),
        }
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
        request,
        activity,
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
        is_head: request.method() == Method::HEAD,
        is_upgrade: upgrade.is_some(),
    };
    let found = route.resolve(&worker.shared, &function, &trail, None).await;
    if matches!(&found, Err(refusal) if refusal.reason == Reason::FunctionNotFound) {
        return Err(Refusal::from(Reason::FunctionNotFound));
    }
    let mut call = Box::new(Exchange::start(
        Arc::clone(worker),
        function,
        trail,
        arrived,
    ));
    let sent = match found {
        Ok(lease) => {
            call.hold(lease);
            route.send(&mut call, request, activity.as_deref()).await
        }
        Err(refusal) => Err(refusal),
    };
    match sent {
        Ok((response, connection)) => {
            call.replied(response.status());
            Ok(Reply {
                has_body: !route.is_head && !response.body().is_end_stream(),
                response,
                call,
                connection,
                activity,
                limits,
                upgrade,
            })
        }
        Err(refusal) => {
            call.refused(refusal.status(), refusal.reason);
            Err(refusal)
        }
    }
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
        match tokio::time::timeout_at(patience, shared.resolver.resolve(call)).await {
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
    ) -> Result<Connection, Refusal> {
        let refusal = match self.open(call, pooled).await {
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
        let opened = self.open(call, pooled).await;
        if opened.is_err() {
            call.report(Report::Refused);
        }
        opened
    }

    async fn open<R: Resolver, O: Observer>(
        &self,
        call: &mut Exchange<R, O>,
        pooled: bool,
    ) -> Result<Connection, Refusal> {
        let now = Instant::now();
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
        mut request: Request<Upload>,
        activity: Option<&Activity>,
    ) -> Result<(Response<Incoming>, Connection), Refusal> {
        let mut pooled = true;
        loop {
            let mut connection = self.connect(call, pooled).await?;
            let pooled_before = connection.reused;
            let reply = connection.send(request);
            let first_byte = call.worker.shared.budgets.first_byte;
            match self.wait(reply, activity, first_byte).await {
                Ok(Ok(response)) => return self.check(call, response, connection),
                Ok(Err(mut error)) => match error.take_message() {
                    // Found closed before a byte was written, so it can go on a new connection.
                    Some(unsent) if pooled_before => {
                        request = unsent;
                        pooled = false;
                    }
                    _ => return Err(broken(call, &error.into_error(), activity)),
                },
                Err(reason) => {
                    tracing::warn!(
                        function = %call.function,
                        call_id = call.trail.call_id(),
                        traceparent = call.trail.traceparent(),
                        %reason, "no reply"
                    );
                    return Err(Refusal::from(reason));
                }
            }
        }
    }

    /// Waits for the head of the reply, within the budgets. A result within a result: a budget, or
    /// what the connection says.
    async fn wait(
        &self,
        reply: impl Future<Output = Sent>,
        activity: Option<&Activity>,
        first_byte: Duration,
    ) -> Result<Sent, Reason> {
        let sent = Instant::now();
        let end = |due: Instant| self.limits.end.map_or(due, |end| end.min(due));
        let mut reply = pin!(reply);
        let mut timer = pin!(tokio::time::sleep_until(end(after(sent, first_byte))));
        poll_fn(|cx| {
            if let Poll::Ready(sent) = reply.as_mut().poll(cx) {
                return Poll::Ready(Ok(sent));
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                let now = Instant::now();
                if self.limits.end.is_some_and(|end| now >= end) {
                    return Poll::Ready(Err(Reason::TotalTimeout));
                }
                let due = match activity.map(|activity| (activity.stage(), activity.last())) {
                    None => after(sent, first_byte),
                    Some((Stage::Function | Stage::Done, last)) => {
                        after(sent.max(last), first_byte)
                    }
                    // The upload itself watches for a caller that has fallen silent.
                    Some((Stage::Caller | Stage::Broken | Stage::Silent, _)) => {
                        after(now, first_byte)
                    }
                };
                if now >= due {
                    return Poll::Ready(Err(Reason::FirstByteTimeout));
                }
                timer.as_mut().reset(end(due));
            }
        })
        .await
    }

    /// Refuses a reply that contradicts itself.
    fn check<R: Resolver, O: Observer>(
        &self,
        call: &Exchange<R, O>,
        response: Response<Incoming>,
        mut connection: Connection,
    ) -> Result<(Response<Incoming>, Connection), Refusal> {
        let wrong = if !headers::framing_is_sound(response.headers()) {
            "Its reply contradicts itself about its length"
        } else if response.status() == StatusCode::SWITCHING_PROTOCOLS && !self.is_upgrade {
            "It switched protocols unasked"
        } else {
            if response.version() != Version::HTTP_11 {
                // On this connection hyper would speak HTTP/1.0 from now on, which cannot send a
                // body of unknown length.
                connection.spend();
            }
            return Ok((response, connection));
        };
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

type Sent = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// Why a connection gave no reply.
fn broken<R: Resolver, O: Observer>(
    call: &Exchange<R, O>,
    error: &hyper::Error,
    activity: Option<&Activity>,
) -> Refusal {
    let reason = match activity.map(Activity::stage) {
        Some(Stage::Broken) => Reason::RequestAborted,
        Some(Stage::Silent) => Reason::IdleTimeout,
        _ if error.is_parse() => Reason::UpstreamInvalid,
        _ => Reason::UpstreamClosed,
    };
    let cause = std::error::Error::source(error);
    if matches!(reason, Reason::UpstreamClosed | Reason::UpstreamInvalid) {
        call.report(Report::Reset);
        tracing::warn!(
            function = %call.function,
            call_id = call.trail.call_id(),
            traceparent = call.trail.traceparent(),
            %error, cause, "no reply"
        );
    } else {
        tracing::debug!(
            function = %call.function,
            call_id = call.trail.call_id(),
            traceparent = call.trail.traceparent(),
            %error, cause, "no request"
        );
    }
    Refusal::from(reason)
}
