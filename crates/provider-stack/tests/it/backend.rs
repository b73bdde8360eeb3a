//! A back-end in memory that remembers what was asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use provider_stack::Applier;
use provider_types::wire::{FunctionStatus, ProviderInfo};
use provider_types::{
    CreateNamespace, CreateSecret, DeleteFunction, DeleteSecret, DeployFunction, FunctionRef,
    FunctionSpec, GetFunction, ListFunctions, ListNamespaces, ListSecrets, Namespace,
    NamespaceStore, Outcome, Provider, ProviderError, ScaleFunction, SecretName, SecretStore,
    UpdateFunction, UpdateSecret,
};

#[derive(Default)]
pub(crate) struct Backend(Mutex<State>);

#[derive(Default)]
struct State {
    functions: BTreeMap<FunctionRef, FunctionSpec>,
    secrets: BTreeMap<(Namespace, SecretName), Vec<u8>>,
    namespaces: Vec<Namespace>,
    asked: Vec<String>,
    /// The function that is refused.
    refuse: Option<String>,
    /// How many changes are refused for now.
    busy: usize,
}

impl Backend {
    pub(crate) fn applier(self: &Arc<Self>) -> Applier {
        Applier::new(self.clone())
            .secrets(self.clone())
            .namespaces(self.clone())
    }

    /// What was changed since the last question.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut self.state().asked);
        asked.sort();
        asked
    }

    pub(crate) fn refuse(&self, function: Option<&str>) {
        self.state().refuse = function.map(str::to_owned);
    }

    /// Refuses so many changes, each for now only.
    #[cfg(feature = "watch")]
    pub(crate) fn be_busy(&self, times: usize) {
        self.state().busy = times;
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let key = (Namespace::default(), SecretName::new(name).unwrap());
        self.state().secrets.get(&key).cloned()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut BTreeMap<FunctionRef, FunctionSpec>)) {
        change(&mut self.state().functions);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn put(&self, spec: FunctionSpec, new: bool) -> Result<Outcome, ProviderError> {
        let mut state = self.state();
        let verb = if new { "deploy" } else { "update" };
        state.asked.push(format!("{verb} {}", spec.function));
        if state.refuse.as_deref() == Some(spec.function.name.as_str()) {
            return Err(ProviderError::invalid("no such program"));
        }
        if state.busy > 0 {
            state.busy -= 1;
            return Err(ProviderError::unavailable("another version takes over"));
        }
        if state.functions.contains_key(&spec.function) == new {
            return Err(if new {
                ProviderError::already_exists("it exists")
            } else {
                ProviderError::not_found("it does not exist")
            });
        }
        state.functions.insert(spec.function.clone(), spec);
        Ok(Outcome::done().warn("as you like"))
    }
}

fn shown(spec: &FunctionSpec) -> FunctionStatus {
    let mut status = FunctionStatus::from_spec(spec);
    status.replicas = 1;
    let said = ("dev.provider.status".to_owned(), "starting".to_owned());
    status.annotations.extend([said]);
    status
}

#[async_trait]
impl Provider for Backend {
    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        Err(ProviderError::unsupported("not here"))
    }

    async fn list_functions(
        &self,
        request: ListFunctions,
    ) -> Result<Vec<FunctionStatus>, ProviderError> {
        let state = self.state();
        let here = |spec: &&FunctionSpec| spec.function.namespace == request.namespace;
        Ok(state.functions.values().filter(here).map(shown).collect())
    }

    async fn deploy_function(&self, request: DeployFunction) -> Result<Outcome, ProviderError> {
        self.put(request.spec, true)
    }

    async fn update_function(&self, request: UpdateFunction) -> Result<Outcome, ProviderError> {
        self.put(request.spec, false)
    }

    async fn delete_function(&self, request: DeleteFunction) -> Result<Outcome, ProviderError> {
        let mut state = self.state();
        state.asked.push(format!("delete {}", request.function));
        state.functions.remove(&request.function);
        Ok(Outcome::done())
    }

    async fn function_status(&self, request: GetFunction) -> Result<FunctionStatus, ProviderError> {
        let state = self.state();
        let found = state.functions.get(&request.function).map(shown);
        found.ok_or_else(|| ProviderError::not_found("it does not exist"))
    }

    async fn scale_function(&self, _request: ScaleFunction) -> Result<Outcome, ProviderError> {
        Err(ProviderError::unsupported("not here"))
    }
}

#[async_trait]
impl SecretStore for Backend {
    async fn list_secrets(&self, request: ListSecrets) -> Result<Vec<SecretName>, ProviderError> {
        let state = self.state();
        let here = state
            .secrets
            .keys()
            .filter(|key| key.0 == request.namespace);
        Ok(here.map(|key| key.1.clone()).collect())
    }

    async fn create_secret(&self, request: CreateSecret) -> Result<Outcome, ProviderError> {
        let mut state = self.state();
        let key = (request.namespace, request.name);
        if state.secrets.contains_key(&key) {
            return Err(ProviderError::already_exists("it exists"));
        }
        state.asked.push(format!("create secret {}", key.1));
        state.secrets.insert(key, request.value);
        Ok(Outcome::done())
    }

    async fn update_secret(&self, request: UpdateSecret) -> Result<Outcome, ProviderError> {
        let mut state = self.state();
        state.asked.push(format!("update secret {}", request.name));
        let key = (request.namespace, request.name);
        state.secrets.insert(key, request.value);
        Ok(Outcome::done())
    }

    async fn delete_secret(&self, _request: DeleteSecret) -> Result<Outcome, ProviderError> {
        Err(ProviderError::unsupported("not here"))
    }
}

#[async_trait]
impl NamespaceStore for Backend {
    async fn list_namespaces(
        &self,
        _request: ListNamespaces,
    ) -> Result<Vec<Namespace>, ProviderError> {
        let mut all = self.state().namespaces.clone();
        all.push(Namespace::default());
        Ok(all)
    }

    async fn create_namespace(&self, request: CreateNamespace) -> Result<Outcome, ProviderError> {
        let mut state = self.state();
        let asked = format!("create namespace {}", request.namespace);
        state.asked.push(asked);
        state.namespaces.push(request.namespace);
        Ok(Outcome::done())
    }
}
