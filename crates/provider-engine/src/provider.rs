//! The engine as a back-end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use provider_types::wire::{FunctionNamespace, FunctionStatus, ProviderInfo};
use provider_types::{
    CreateNamespace, CreateSecret, DeleteFunction, DeleteNamespace, DeleteSecret, DeployFunction,
    FunctionSpec, FunctionUsageReading, GetFunction, GetNamespace, ListFunctions, ListNamespaces,
    ListSecrets, LogReading, LogRequest, LogSource, LogStream, Namespace, NamespaceStore, Outcome,
    Provider, ProviderError, ScaleFunction, SecretName, SecretStore, UpdateFunction,
    UpdateNamespace, UpdateSecret,
};

use crate::backoff;
use crate::engine::Engine;
use crate::function::Function;
use crate::inner::Inner;
use crate::{operations, status};

#[async_trait]
impl Provider for Engine {
    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        Ok(self.inner.config.info.clone())
    }

    async fn list_functions(
        &self,
        request: ListFunctions,
    ) -> Result<Vec<FunctionStatus>, ProviderError> {
        let namespace = &request.namespace;
        self.inner.store.check_namespace_exists(namespace)?;
        let functions = self.inner.all_functions();
        Ok(status::list(&functions, namespace.as_str()))
    }

    async fn each_function(
        &self,
        request: ListFunctions,
        pass: &mut (dyn for<'a> FnMut(&'a mut FunctionStatus) + Send),
    ) -> Result<(), ProviderError> {
        let namespace = &request.namespace;
        self.inner.store.check_namespace_exists(namespace)?;
        let mut status = FunctionStatus::default();
        for function in self.inner.all_functions() {
            if function.function.namespace == *namespace {
                status::fill(&mut status, &function);
                pass(&mut status);
            }
        }
        Ok(())
    }

    async fn deploy_function(&self, request: DeployFunction) -> Result<Outcome, ProviderError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .to_the_end(operations::deploy(inner, request.spec))
            .await
    }

    async fn update_function(&self, request: UpdateFunction) -> Result<Outcome, ProviderError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .to_the_end(operations::update(inner, request.spec))
            .await
    }

    async fn delete_function(&self, request: DeleteFunction) -> Result<Outcome, ProviderError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .to_the_end(operations::delete(inner, request.function))
            .await
    }

    async fn function_status(&self, request: GetFunction) -> Result<FunctionStatus, ProviderError> {
        let function = self.inner.existing(&request.function)?;
        let mut status = status::status(&function);
        if request.usage {
            status.usage = Some(status::usage(&self.inner, &function).await);
        }
        Ok(status)
    }

    async fn scale_function(&self, request: ScaleFunction) -> Result<Outcome, ProviderError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .to_the_end(operations::scale(inner, request.function, request.replicas))
            .await
    }

    async fn usage(&self) -> Result<Vec<FunctionUsageReading>, ProviderError> {
        Ok(status::usage_of_all(&self.inner).await)
    }
}

#[async_trait]
impl SecretStore for Engine {
    async fn list_secrets(&self, request: ListSecrets) -> Result<Vec<SecretName>, ProviderError> {
        self.inner.store.secret_names(&request.namespace)
    }

    async fn create_secret(&self, request: CreateSecret) -> Result<Outcome, ProviderError> {
        let _begun = self.inner.begin().await?;
        self.inner
            .stored(move |store| {
                store.put_secret(request.namespace, request.name, &request.value, true)
            })
            .await?;
        Ok(Outcome::done())
    }

    async fn update_secret(&self, request: UpdateSecret) -> Result<Outcome, ProviderError> {
        let _begun = self.inner.begin().await?;
        let inner = Arc::clone(&self.inner);
        self.inner
            .to_the_end(async move {
                let (namespace, name) = (request.namespace, request.name);
                let (within, changed) = (namespace.clone(), name.clone());
                inner
                    .stored(move |store| store.put_secret(within, changed, &request.value, false))
                    .await?;
                inner.secret_changes.fetch_add(1, Ordering::SeqCst);
                Ok(show_secret(&inner, &namespace, &name).await)
            })
            .await
    }

    async fn delete_secret(&self, request: DeleteSecret) -> Result<Outcome, ProviderError> {
        let _begun = self.inner.begin().await?;
        self.inner
            .stored(move |store| store.remove_secret(request.namespace, request.name))
            .await?;
        Ok(Outcome::done())
    }
}

/// Gives running functions the present value of a secret.
async fn show_secret(inner: &Arc<Inner>, namespace: &Namespace, name: &SecretName) -> Outcome {
    let mut outcome = Outcome::done();
    for function in inner.all_functions() {
        let spec = {
            let state = function.state();
            let previous = state
                .previous
                .as_ref()
                .map(|previous| &previous.version.spec);
            let uses = |spec: &&Arc<_>| -> bool {
                let spec: &provider_types::FunctionSpec = spec;
                spec.function.namespace == *namespace && spec.secrets.contains(name)
            };
            let serving = previous.into_iter().chain([&state.target.spec]);
            serving.rev().find(uses).cloned()
        };
        let Some(spec) = spec else { continue };
        if let Err(error) = inner.refresh_secrets(&spec).await {
            tracing::warn!(
                function = %function.function,
                error = &error as &dyn std::error::Error,
                "a running function does not see the new value of a secret yet, trying again"
            );
            outcome = outcome.warn(format!(
                "function {} does not see the new value yet: {error}",
                function.function
            ));
            let (engine, function) = (Arc::clone(inner), Arc::clone(&function));
            inner.spawn(async move { show_secrets(&engine, &function, &spec).await });
        }
    }
    outcome
}

/// Gives running instances the present values of their secrets, until they have them.
async fn show_secrets(inner: &Inner, function: &Function, spec: &FunctionSpec) {
    for attempt in 1.. {
        let pause = backoff::pause(attempt, &mut inner.rng());
        tokio::time::sleep(pause).await;
        if function.state().leaving || inner.refresh_secrets(spec).await.is_ok() {
            return;
        }
    }
}

#[async_trait]
impl NamespaceStore for Engine {
    async fn list_namespaces(
        &self,
        _request: ListNamespaces,
    ) -> Result<Vec<Namespace>, ProviderError> {
        Ok(self.inner.store.namespaces())
    }

    async fn get_namespace(
        &self,
        request: GetNamespace,
    ) -> Result<FunctionNamespace, ProviderError> {
        self.inner.store.namespace(&request.namespace)
    }

    async fn create_namespace(&self, request: CreateNamespace) -> Result<Outcome, ProviderError> {
        let _begun = self.inner.begin().await?;
        let mut namespace = FunctionNamespace::new(request.namespace.as_str());
        namespace.labels = request.labels;
        namespace.annotations = request.annotations;
        self.inner
            .stored(move |store| store.put_namespace(request.namespace, namespace, true))
            .await?;
        Ok(Outcome::done())
    }

    async fn update_namespace(&self, request: UpdateNamespace) -> Result<Outcome, ProviderError> {
        let _begun = self.inner.begin().await?;
        let mut namespace = FunctionNamespace::new(request.namespace.as_str());
        namespace.labels = request.labels;
        namespace.annotations = request.annotations;
        self.inner
            .stored(move |store| store.put_namespace(request.namespace, namespace, false))
            .await?;
        Ok(Outcome::done())
    }

    async fn delete_namespace(&self, request: DeleteNamespace) -> Result<Outcome, ProviderError> {
        let _begun = self.inner.begin().await?;
        self.inner
            .stored(move |store| store.remove_namespace(request.namespace))
            .await?;
        Ok(Outcome::done())
    }
}

#[async_trait]
impl LogSource for Engine {
    async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError> {
        let function = self.inner.existing(&request.function)?;
        Ok(function.log.query(&request))
    }

    fn reading(&self) -> Option<LogReading> {
        Some(self.inner.logs.reading())
    }
}
