//! Bringing a provider to what a stack says.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use provider_types::wire::FunctionStatus;
use provider_types::{
    CallContext, CreateNamespace, CreateSecret, DeleteFunction, DeployFunction, ErrorKind,
    FunctionName, FunctionRef, FunctionSpec, GetFunction, ListFunctions, ListNamespaces,
    ListSecrets, NameRule, Namespace, NamespaceStore, Outcome, Progress, Provider, ProviderError,
    SecretName, SecretStore, UpdateFunction, UpdateSecret,
};

use crate::problem::Problem;
use crate::stack::{STACK_FILE_ANNOTATION, Stack, StackFunction};

/// How many functions are worked on at a time: each waits for its program to start.
const AT_A_TIME: usize = 8;

/// What providers add to a function's annotations by themselves begins so.
const PROVIDERS_OWN: &str = "dev.provider.";

/// Keeps a back-end to a stack. It remembers what it applied, so that the next time only what
/// differs is touched.
pub struct Applier {
    provider: Arc<dyn Provider>,
    secrets: Option<Arc<dyn SecretStore>>,
    namespaces: Option<Arc<dyn NamespaceStore>>,
    applied: BTreeMap<FunctionRef, Applied>,
    /// Those that could not be brought to what they are to be, and what was said of them.
    failed: BTreeMap<FunctionRef, String>,
    /// Something failed that may be otherwise later although no file changes.
    unfinished: bool,
    known_secrets: BTreeMap<SecretKey, u64>,
    hasher: RandomState,
}

type SecretKey = (Namespace, SecretName);

/// What a function was when it was applied.
#[derive(Debug, PartialEq, Eq)]
struct Applied {
    spec: FunctionSpec,
    revision: u64,
    /// Hashes of its secrets' values.
    secrets: Vec<Option<u64>>,
}

/// What was done to one function.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step {
    /// Which function.
    pub function: FunctionRef,
    /// What was done, or why it could not be; the problem's source is what the back-end said.
    pub outcome: Result<Change, Problem>,
    /// Whether the back-end was finished with it.
    pub progress: Progress,
    /// What the back-end remarked.
    pub warnings: Vec<String>,
}

impl Step {
    fn new(function: FunctionRef, outcome: Result<Change, Problem>) -> Self {
        Self {
            function,
            outcome,
            progress: Progress::Done,
            warnings: Vec::new(),
        }
    }
}

/// What a function went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is new.
    Deployed,
    /// It was there and differed, or its program or a secret did.
    Updated,
    /// It was there as it is to be.
    Unchanged,
    /// It came from one of the files and is no longer in it.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployed => "deployed",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
        })
    }
}

impl Applier {
    /// For a back-end that has secrets and namespaces elsewhere, or none.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            secrets: None,
            namespaces: None,
            applied: BTreeMap::new(),
            failed: BTreeMap::new(),
            unfinished: false,
            known_secrets: BTreeMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Also brings the values of secrets there.
    #[must_use]
    pub fn secrets(mut self, secrets: Arc<dyn SecretStore>) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// Also makes the namespaces that functions name.
    #[must_use]
    pub fn namespaces(mut self, namespaces: Arc<dyn NamespaceStore>) -> Self {
        self.namespaces = Some(namespaces);
        self
    }

    /// Creates and updates what differs, and removes the functions that came from the stack's
    /// files and are no longer in them. All others are left alone.
    ///
    /// One function that fails does not stop the others. The report has the functions by name;
    /// those that are as they were the last time, or fail as they did then, are not in it.
    pub async fn apply(&mut self, stack: &Stack) -> Vec<Step> {
        let named = stack.functions.iter().map(|it| &it.spec.function);
        let wanted: BTreeSet<&FunctionRef> = named.collect();
        self.applied.retain(|name, _| wanted.contains(name));
        self.failed.retain(|name, _| wanted.contains(name));
        self.unfinished = false;
        let mut steps = Vec::new();
        let namespaces = self.make_namespaces(stack).await;
        for namespace in &namespaces {
            self.remove_leftovers(namespace, &stack.files, &wanted, &mut steps)
                .await;
        }
        let mut ready = Vec::new();
        for function in &stack.functions {
            match self.give_secrets(function).await {
                Ok(secrets) => {
                    let wanted = Applied {
                        spec: function.spec.clone(),
                        revision: function.revision,
                        secrets,
                    };
                    if self.applied.get(&function.spec.function) != Some(&wanted) {
                        ready.push((function, wanted));
                    }
                }
                Err(problem) => {
                    self.unfinished = true;
                    steps.extend(self.failed(&function.spec.function, problem));
                }
            }
        }
        let mut work = Vec::new();
        for (function, wanted) in ready {
            let name = &function.spec.function;
            let before = self.applied.get(name);
            let changed = before.is_some_and(|before| {
                before.revision != wanted.revision || before.secrets != wanted.secrets
            });
            let forced = changed || self.failed.contains_key(name);
            let done = bring(self.provider.as_ref(), &function.spec, forced);
            work.push(async move { (function, wanted, done.await) });
        }
        let done: Vec<_> = stream::iter(work)
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        for (function, wanted, done) in done {
            let name = &function.spec.function;
            match done {
                Ok((change, outcome)) => {
                    self.failed.remove(name);
                    self.applied.insert(name.clone(), wanted);
                    let mut step = Step::new(name.clone(), Ok(change));
                    step.progress = outcome.progress;
                    step.warnings = outcome.warnings;
                    steps.push(step);
                }
                Err(error) => {
                    self.unfinished |= may_pass(&error);
                    steps.extend(self.failed(name, refused(function, error)));
                }
            }
        }
        steps.sort_by(|a, b| a.function.cmp(&b.function));
        steps
    }

    /// Whether it is worth to apply the same once more a while later.
    #[cfg(feature = "watch")]
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// The next time it is tried again, even if nothing in its specification has changed. Gives
    /// what is to be said of it, once.
    fn failed(&mut self, function: &FunctionRef, problem: Problem) -> Option<Step> {
        self.applied.remove(function);
        let mut said = problem.to_string();
        let mut cause = problem.source();
        while let Some(error) = cause {
            said = format!("{said}: {error}");
            cause = error.source();
        }
        let before = self.failed.insert(function.clone(), said.clone());
        (before != Some(said)).then(|| Step::new(function.clone(), Err(problem)))
    }

    /// Makes the namespaces that are missing, and gives all that there are. What fails here, the
    /// functions of that namespace will say.
    async fn make_namespaces(&self, stack: &Stack) -> BTreeSet<Namespace> {
        let named = stack
            .functions
            .iter()
            .map(|function| function.spec.function.namespace.clone());
        let mut all: BTreeSet<Namespace> = named.collect();
        let Some(store) = &self.namespaces else {
            return all;
        };
        let Ok(present) = store.list_namespaces(ListNamespaces::new(context())).await else {
            return all;
        };
        for namespace in &all {
            if !present.contains(namespace) {
                let (labels, annotations) = (BTreeMap::new(), BTreeMap::new());
                let request =
                    CreateNamespace::new(context(), namespace.clone(), labels, annotations);
                drop(store.create_namespace(request).await);
            }
        }
        all.extend(present);
        all
    }

    /// Removes what came from one of the files and is no longer wanted.
    async fn remove_leftovers(
        &mut self,
        namespace: &Namespace,
        files: &[PathBuf],
        wanted: &BTreeSet<&FunctionRef>,
        steps: &mut Vec<Step>,
    ) {
        let request = ListFunctions::new(context(), namespace.clone());
        // What cannot be listed now is looked at again the next time.
        let functions = self.provider.list_functions(request).await;
        for status in functions.unwrap_or_default() {
            let from = status.annotations.get(STACK_FILE_ANNOTATION);
            let file =
                from.and_then(|from| files.iter().find(|it| it.as_os_str() == from.as_str()));
            let (Some(file), Some(name)) = (file, name_of(&status, namespace)) else {
                continue;
            };
            if wanted.contains(&name) {
                continue;
            }
            let request = DeleteFunction::new(context(), name.clone());
            let outcome = match self.provider.delete_function(request).await {
                Err(error) if !error.is_not_found() => {
                    self.unfinished |= may_pass(&error);
                    let message = format!("function {name} could not be removed");
                    Err(Problem::new(file, None, message).because(error))
                }
                _ => Ok(Change::Removed),
            };
            steps.push(Step::new(name, outcome));
        }
    }

    /// Brings a function's secrets to the back-end; gives the hashes of their values.
    async fn give_secrets(
        &mut self,
        function: &StackFunction,
    ) -> Result<Vec<Option<u64>>, Problem> {
        let mut hashes = Vec::new();
        for secret in &function.secrets {
            let problem =
                |message: String| Problem::new(&function.file, Some(secret.place), message);
            let Some(store) = &self.secrets else {
                hashes.push(None);
                continue;
            };
            let namespace = &function.spec.function.namespace;
            let Some(value) = &secret.value else {
                let request = ListSecrets::new(context(), namespace.clone());
                let present = store.list_secrets(request).await.unwrap_or_default();
                if !present.contains(&secret.name) {
                    return Err(problem(format!(
                        "secret {:?} does not exist in {namespace}: write its value to {}",
                        secret.name.as_str(),
                        secret.file.display()
                    )));
                }
                hashes.push(None);
                continue;
            };
            let hash = self.hasher.hash_one(value);
            hashes.push(Some(hash));
            let key = (namespace.clone(), secret.name.clone());
            if self.known_secrets.get(&key) == Some(&hash) {
                continue;
            }
            put_secret(store.as_ref(), &key, value)
                .await
                .map_err(|error| {
                    let name = secret.name.as_str();
                    problem(format!("secret {name:?} could not be stored")).because(error)
                })?;
            self.known_secrets.insert(key, hash);
        }
        Ok(hashes)
    }
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier")
            .field("applied", &self.applied.keys())
            .finish_non_exhaustive()
    }
}

/// The name of a listed function. It was given by a stack, so it is one that some rule takes.
fn name_of(status: &FunctionStatus, namespace: &Namespace) -> Option<FunctionRef> {
    let name = FunctionName::with_rule(&status.name, NameRule::Dotted).ok()?;
    Some(FunctionRef::new(name, namespace.clone()))
}

fn context() -> CallContext {
    CallContext::new("stack")
}

/// Whether what failed may be done later: a disk is full, another version of the provider takes
/// over.
fn may_pass(error: &ProviderError) -> bool {
    error.kind() != ErrorKind::InvalidArgument
}

fn refused(function: &StackFunction, error: ProviderError) -> Problem {
    let message = format!("function {} could not be deployed", function.spec.function);
    Problem::new(&function.file, Some(function.place), message).because(error)
}

async fn put_secret(
    store: &dyn SecretStore,
    (namespace, name): &SecretKey,
    value: &[u8],
) -> Result<Outcome, ProviderError> {
    let (namespace, name) = (namespace.clone(), name.clone());
    let create = CreateSecret::new(context(), namespace.clone(), name.clone(), value.to_owned());
    match store.create_secret(create).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let update = UpdateSecret::new(context(), namespace, name, value.to_owned());
            store.update_secret(update).await
        }
        other => other,
    }
}

/// Makes a function what it is to be. `forced` where it is to be deployed anew in any case.
async fn bring(
    provider: &dyn Provider,
    spec: &FunctionSpec,
    forced: bool,
) -> Result<(Change, Outcome), ProviderError> {
    let request = GetFunction::new(context(), spec.function.clone(), false);
    match provider.function_status(request).await {
        Ok(status) => {
            if !forced && is_as_wanted(status, spec) {
                return Ok((Change::Unchanged, Outcome::done()));
            }
            let request = UpdateFunction::new(context(), spec.clone());
            match provider.update_function(request).await {
                // Somebody removed it meanwhile.
                Err(error) if error.is_not_found() => {}
                done => return Ok((Change::Updated, done?)),
            }
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let request = DeployFunction::new(context(), spec.clone());
    let done = provider.deploy_function(request).await?;
    Ok((Change::Deployed, done))
}

/// Whether a function was deployed like this, whatever the provider says of it besides.
fn is_as_wanted(mut status: FunctionStatus, spec: &FunctionSpec) -> bool {
    let wanted = FunctionStatus::from_spec(spec);
    status
        .annotations
        .retain(|key, _| wanted.annotations.contains_key(key) || !key.starts_with(PROVIDERS_OWN));
    status.invocation_count = wanted.invocation_count;
    status.replicas = wanted.replicas;
    status.available_replicas = wanted.available_replicas;
    status.created_at = wanted.created_at;
    status.usage = None;
    status == wanted
}
