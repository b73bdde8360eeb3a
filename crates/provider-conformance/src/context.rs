//! What a case works with.

mod cleanup;
mod judge;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use provider_types::wire::{self, DeleteFunctionRequest, FunctionDeployment, FunctionStatus};
use thiserror::Error;

use crate::declared::Declared;
use crate::requirement::{Feature, Profile};
use crate::requirements::requirement;
use crate::target::{Credentials, Role, Target};
use crate::timeouts::Timeouts;
use crate::wire::{Address, Answer, Connection, Exchange, Recorder, Request, WireError};

pub use cleanup::Created;
pub(crate) use cleanup::remove;
pub use judge::Retry;
pub(crate) use judge::{CaseNotes, Judge, Look};

/// How names of everything that the kit creates begin.
pub(crate) const PREFIX: &str = "ofpc-";

/// What all cases of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) target: Target,
    pub(crate) timeouts: Timeouts,
    pub(crate) declared: Declared,
    /// The run's own part of names.
    pub(crate) run: String,
    pub(crate) counter: Arc<AtomicU64>,
    pub(crate) starts: Arc<Starts>,
}

/// After so many functions that never became available, and none that did, no other is waited for;
/// so too for those that were deleted and never went.
const HOPELESS: u64 = 3;

/// How functions of the run have started, and gone, so far.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    good: AtomicU64,
    bad: AtomicU64,
    gone: AtomicU64,
    stayed: AtomicU64,
}

impl Starts {
    /// Whether no function starts at this provider.
    pub(crate) fn hopeless(&self) -> bool {
        self.good.load(Ordering::Relaxed) == 0 && self.bad.load(Ordering::Relaxed) >= HOPELESS
    }

    /// Whether no function that was deleted goes at this provider.
    fn for_ever(&self) -> bool {
        self.gone.load(Ordering::Relaxed) == 0 && self.stayed.load(Ordering::Relaxed) >= HOPELESS
    }
}

/// What a case works with: it sends requests, creates functions, and judges requirements.
///
/// It takes `&self` everywhere, so that requests can be made at the same time.
#[derive(Debug)]
pub struct Context {
    shared: Arc<Shared>,
    recorder: Recorder,
    judge: Judge,
    created: cleanup::List,
}

/// Why a case ended before its end. `?` on what [`Context`] gives back makes one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Stop {
    /// A check failed that the rest of the case builds on.
    #[error("a check failed that the rest builds on")]
    Failed,
    /// What the case needs could not be set up; its requirements are said to be unreached.
    #[error("{0}")]
    Setup(String),
    /// The provider gave no answer, or none that is HTTP; what was not judged by then has failed.
    #[error("{call}: {source}")]
    Provider {
        /// What was asked.
        call: String,
        /// What came instead of an answer.
        source: WireError,
    },
    /// The kit itself failed.
    #[error("{0}")]
    Kit(String),
}

/// A function that was deployed, and that is removed at the end of its case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The namespace that its status says.
    pub namespace: String,
}

impl Function {
    /// Where it is called, with what follows its name: `/function/NAME.NAMESPACE` and the rest.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/function/{}.{}{rest}", self.name, self.namespace)
    }

    /// Where its status is.
    #[must_use]
    pub fn status_path(&self) -> String {
        format!(
            "/system/function/{}?namespace={}",
            self.name, self.namespace
        )
    }
}

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, declared: &'static [&'static str]) -> Self {
        let recorder = Recorder::new();
        if let Some(credentials) = &shared.target.credentials {
            for secret in credentials.secrets() {
                recorder.hide(secret.as_bytes());
            }
        }
        Self {
            shared,
            recorder,
            judge: Judge::new(declared),
            created: cleanup::List::default(),
        }
    }

    // === What the run is like ===

    /// The limits of this run.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.shared.timeouts
    }

    /// Whether the target is a gateway.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.shared.target.role == Role::Gateway
    }

    /// Where the target is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.target.address
    }

    /// Whether a profile is declared.
    #[must_use]
    pub fn declares(&self, profile: Profile) -> bool {
        self.shared.declared.profiles.contains(&profile)
    }

    /// Whether a feature is declared.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.shared.declared.features.contains(&feature)
    }

    /// Whether all that a requirement needs is declared.
    #[must_use]
    pub fn applies(&self, id: &str) -> bool {
        requirement(id).is_some_and(|one| self.shared.declared.lacks(one).is_none())
    }

    /// The user and the password of the run, where it has them.
    #[must_use]
    pub fn basic_credentials(&self) -> Option<(&str, &str)> {
        match self.shared.target.credentials.as_ref()? {
            Credentials::Basic { user, password } => Some((user, password)),
            Credentials::Bearer(_) => None,
        }
    }

    /// A name that nobody has, valid for functions, namespaces and secrets, at most 40 long.
    #[must_use]
    pub fn name(&self) -> String {
        let number = self.shared.counter.fetch_add(1, Ordering::Relaxed);
        format!("{PREFIX}{}-{number}", self.shared.run)
    }

    /// These bytes, at least four, are hidden in reports: the value of a secret.
    pub fn hide(&self, bytes: impl AsRef<[u8]>) {
        self.recorder.hide(bytes.as_ref());
    }

    // === Judging ===

    /// Judges a requirement by what was seen. Several checks of one requirement must all hold.
    pub fn check(&self, id: &'static str, holds: bool, saw: impl FnOnce() -> String) {
        self.judge.check(id, self.applies(id), holds, saw);
    }

    /// Judges a requirement and ends the case where it does not hold.
    ///
    /// # Errors
    /// [`Stop::Failed`] where it does not hold.
    pub fn require(
        &self,
        id: &'static str,
        holds: bool,
        saw: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        self.check(id, holds, saw);
        if holds { Ok(()) } else { Err(Stop::Failed) }
    }

    /// Says why a requirement cannot be judged here: the provider may do without what it is about.
    pub fn not_applicable(&self, id: &'static str, why: impl Into<String>) {
        self.judge.not_applicable(id, why.into());
    }

    /// Something that the reader of the report should know.
    pub fn note(&self, text: impl Into<String>) {
        self.judge.note(text.into());
    }

    // === Requests ===

    /// `GET`, whatever the answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, target: &str) -> Result<Answer, Stop> {
        self.send(Request::get(target)).await
    }

    /// Sends a request over a connection of its own, and reads the answer, whatever it is.
    ///
    /// Requests to `/system/` get the credentials of the run, unless they have an `Authorization`
    /// or are [anonymous](Request::anonymous).
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, request: Request) -> Result<Answer, Stop> {
        let call = request.line();
        let sent = self.try_send(request).await;
        sent.map_err(|source| Stop::Provider { call, source })
    }

    /// The same for a request that need not be answered.
    ///
    /// # Errors
    /// What came instead of an answer. One that is no HTTP counts against `OFP-GEN-016`.
    pub async fn try_send(&self, request: Request) -> Result<Answer, WireError> {
        let request = self.prepare(request);
        let timeouts = self.timeouts();
        let mut connection =
            Connection::open(self.address(), &self.recorder, timeouts.connect).await?;
        connection.set_limit(timeouts.answer);
        // Each piece has its limit; many small ones must not last for ever.
        let limit = timeouts.answer * 3;
        let call = tokio::time::timeout(limit, connection.call(&request));
        let answer = call.await.unwrap_or(Err(WireError::Late {
            what: "end of the answer",
            limit,
        }));
        if let Err(WireError::Malformed(what)) = &answer {
            let call = request.line();
            self.judge
                .check("OFP-GEN-016", true, false, || format!("{call}: {what}"));
        }
        answer
    }

    /// A connection, for what [`Context::send`] cannot do. Its waits are limited as those of
    /// answers are.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(&self) -> Result<Connection, Stop> {
        let timeouts = self.timeouts();
        let opened = Connection::open(self.address(), &self.recorder, timeouts.connect).await;
        let mut connection = opened.map_err(|source| Stop::Provider {
            call: "connecting".to_owned(),
            source,
        })?;
        connection.set_limit(timeouts.answer);
        Ok(connection)
    }

    /// The request as [`Context::send`] sends it: with credentials, below the target's path.
    #[must_use]
    pub fn prepare(&self, mut request: Request) -> Request {
        if request.target.starts_with("/system/") && !request.is_anonymous() {
            if !request.has("user-agent") {
                let agent = concat!("provider-conformance/", env!("CARGO_PKG_VERSION"));
                request = request.header("User-Agent", agent);
            }
            if let Some(credentials) = &self.shared.target.credentials
                && !request.has("authorization")
            {
                request = request.header("Authorization", credentials.header());
            }
        }
        if request.target.starts_with('/') {
            request.target.insert_str(0, &self.address().prefix);
        }
        request
    }

    /// Sends a request again and again until its answer is as it should be.
    ///
    /// # Errors
    /// When no answer comes at all. When it is never as it should be, the last answer is given.
    pub async fn poll(
        &self,
        what: &'static str,
        limit: Duration,
        request: Request,
        mut done: impl FnMut(&Answer) -> bool,
    ) -> Result<Result<Answer, Answer>, Stop> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(5);
        let mut tries = 1;
        loop {
            let answer = self.send(request.clone()).await?;
            let good = done(&answer);
            let elapsed = start.elapsed();
            if good || elapsed >= limit {
                if tries > 1 {
                    self.judge.retried(what, tries, elapsed, good);
                }
                return Ok(if good { Ok(answer) } else { Err(answer) });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(100));
            tries += 1;
        }
    }

    /// Says that something was looked at a second time, for all of this time together.
    pub(crate) fn looked_again(&self, what: &str, took: Duration, came: bool) {
        self.judge.retried(what, 2, took, came);
    }

    // === Functions ===

    /// The deployment of the test function under a name.
    #[must_use]
    pub fn deployment(&self, name: &str) -> FunctionDeployment {
        self.shared.target.workload.deployment(name)
    }

    /// Deploys the test function under a new name and waits until it is available.
    ///
    /// # Errors
    /// [`Stop::Setup`] where that does not come about.
    pub async fn function(&self) -> Result<Function, Stop> {
        let deployment = self.deployment(&self.name());
        self.deployed(&deployment).await
    }

    /// Deploys this and waits until it is available.
    ///
    /// # Errors
    /// [`Stop::Setup`] where that does not come about.
    pub async fn deployed(&self, deployment: &FunctionDeployment) -> Result<Function, Stop> {
        let answer = self.deploy(deployment).await?;
        if !answer.is_success() {
            let text = format!("the deployment was answered with {}", answer.shown());
            return Err(Stop::Setup(text));
        }
        self.available(&deployment.service, &deployment.namespace)
            .await
    }

    /// Sends a deployment, whatever the answer, and sees to the removal of what comes of it.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn deploy(&self, deployment: &FunctionDeployment) -> Result<Answer, Stop> {
        self.will_create(Created::function(
            &deployment.service,
            &deployment.namespace,
        ));
        let body = wire::to_vec(deployment);
        self.send(Request::post("/system/functions").json(body))
            .await
    }

    /// Sends an update, whatever the answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn update(&self, deployment: &FunctionDeployment) -> Result<Answer, Stop> {
        let body = wire::to_vec(deployment);
        self.send(Request::put("/system/functions").json(body))
            .await
    }

    /// Sends a deletion, whatever the answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn delete(&self, function: &Function) -> Result<Answer, Stop> {
        let mut body = DeleteFunctionRequest::new(&function.name);
        body.namespace.clone_from(&function.namespace);
        self.send(Request::delete("/system/functions").json(wire::to_vec(&body)))
            .await
    }

    /// Waits until a function is available. An empty namespace is the default one.
    ///
    /// # Errors
    /// [`Stop::Setup`] where that does not come about.
    pub async fn available(&self, name: &str, namespace: &str) -> Result<Function, Stop> {
        let starts = &self.shared.starts;
        if starts.hopeless() {
            let text = "no function becomes available here, so none was waited for";
            return Err(Stop::Setup(text.to_owned()));
        }
        let target = status_target(name, namespace);
        let limit = self.timeouts().ready;
        let ready =
            |answer: &Answer| status(answer).is_some_and(|status| status.available_replicas > 0);
        let polled = self
            .poll(
                "the function to become available",
                limit,
                Request::get(target),
                ready,
            )
            .await?;
        let count = if polled.is_ok() {
            &starts.good
        } else {
            &starts.bad
        };
        count.fetch_add(1, Ordering::Relaxed);
        let unavailable = |answer: &Answer| {
            let says = match status(answer) {
                Some(status) => format!("its status says 0 of {} replicas are", status.replicas),
                None => format!("its status was answered with {}", answer.shown()),
            };
            Stop::Setup(format!(
                "a function is not available after {limit:?}: {says}"
            ))
        };
        let answer = polled.map_err(|answer| unavailable(&answer))?;
        let status = status(&answer).ok_or_else(|| unavailable(&answer))?;
        Ok(Function {
            name: name.to_owned(),
            namespace: if status.namespace.is_empty() {
                provider_types::DEFAULT_NAMESPACE.to_owned()
            } else {
                status.namespace
            },
        })
    }

    /// Sees to the removal of what the case is about to create by a request of its own.
    pub fn will_create(&self, created: Created) {
        self.created.push(created);
    }

    // === For the runner ===

    pub(crate) fn notes(&self) -> CaseNotes {
        self.judge.notes()
    }

    /// The text without the credentials of the run and the values of secrets.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.recorder.redacted(text)
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.recorder.exchanges()
    }

    /// Removes what was created, in reverse order; what could not be is named.
    pub(crate) async fn clean(&self) -> Vec<String> {
        let mut left = Vec::new();
        for created in self.created.take_reversed() {
            if let Err(problem) = remove(self, &created).await {
                left.push(self.redacted(&problem));
            }
        }
        left
    }
}

/// Where a status is; the query is left out for the default namespace.
pub(crate) fn status_target(name: &str, namespace: &str) -> String {
    match namespace {
        "" => format!("/system/function/{name}"),
        _ => format!("/system/function/{name}?namespace={namespace}"),
    }
}

/// The answer as a status, where it is a success and one.
#[must_use]
pub fn status(answer: &Answer) -> Option<FunctionStatus> {
    (answer.status() == 200).then(|| wire::from_slice(&answer.body).ok())?
}
