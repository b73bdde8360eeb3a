//! The calls of `/system/`, `/healthz` and `/metrics`.

#![expect(
    clippy::missing_errors_doc,
    reason = "the calls of a group fail alike, and each group says how"
)]

use http::Method;
use provider_types::wire::{
    DeleteFunctionRequest, FunctionDeployment, FunctionNamespace, FunctionStatus, GatewayInfo,
    ProviderInfo, ScaleServiceRequest, Secret, from_slice,
};

use crate::address::{query, segment};
use crate::client::read;
use crate::{Accepted, Client, Error};

const FUNCTIONS: &str = "/system/functions";
const SECRETS: &str = "/system/secrets";

/// What `/system/info` says: a provider's own words, or a gateway's about both.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Info {
    /// A provider answered.
    Provider(ProviderInfo),
    /// A gateway answered.
    Gateway(GatewayInfo),
}

impl Info {
    /// The provider, where it is said.
    #[must_use]
    pub fn provider(&self) -> Option<&ProviderInfo> {
        match self {
            Self::Provider(provider) => Some(provider),
            Self::Gateway(gateway) => gateway.provider.as_ref(),
        }
    }
}

fn of(namespace: Option<&str>) -> [(&'static str, Option<String>); 1] {
    [("namespace", namespace.map(str::to_owned))]
}

fn owned(namespace: Option<&str>) -> String {
    namespace.unwrap_or_default().to_owned()
}

/// Functions. Without a namespace the provider's default one is meant.
///
/// # Errors
/// Each call fails with [`Error::Status`] when the provider refuses, and as [`Error`] says when
/// there is no answer or one that cannot be read.
impl Client {
    /// All functions of a namespace.
    pub async fn functions(&self, namespace: Option<&str>) -> Result<Vec<FunctionStatus>, Error> {
        self.list(&format!("{FUNCTIONS}{}", query(of(namespace))))
            .await
    }

    /// One function. [`Error::is_not_found`] if there is none.
    pub async fn function(
        &self,
        name: &str,
        namespace: Option<&str>,
    ) -> Result<FunctionStatus, Error> {
        let target = format!("/system/function/{}{}", segment(name), query(of(namespace)));
        self.get(&target).await
    }

    /// One function with what it uses of CPU and memory, where the provider knows.
    pub async fn function_with_usage(
        &self,
        name: &str,
        namespace: Option<&str>,
    ) -> Result<FunctionStatus, Error> {
        let [namespace] = of(namespace);
        let usage = ("usage", Some("1".to_owned()));
        let query = query([usage, namespace]);
        self.get(&format!("/system/function/{}{query}", segment(name)))
            .await
    }

    /// Deploys a function that does not exist. [`Error::is_conflict`] if it does, with most
    /// providers.
    pub async fn deploy(&self, function: &FunctionDeployment) -> Result<Accepted, Error> {
        self.change(Method::POST, FUNCTIONS, function).await
    }

    /// Replaces a function by another version. [`Error::is_not_found`] if there is none.
    pub async fn update(&self, function: &FunctionDeployment) -> Result<Accepted, Error> {
        self.change(Method::PUT, FUNCTIONS, function).await
    }

    /// Updates a function, or deploys it if there is none, as `faas-cli deploy` does.
    pub async fn apply(&self, function: &FunctionDeployment) -> Result<Accepted, Error> {
        match self.update(function).await {
            Err(error) if error.is_not_found() => self.deploy(function).await,
            updated => updated,
        }
    }

    /// Deletes a function. [`Error::is_not_found`] if there is none.
    pub async fn delete_function(
        &self,
        name: &str,
        namespace: Option<&str>,
    ) -> Result<Accepted, Error> {
        let mut request = DeleteFunctionRequest::new(name);
        request.namespace = owned(namespace);
        self.change(Method::DELETE, FUNCTIONS, &request).await
    }

    /// Says how many replicas a function has. The namespace goes into the body and the query, since
    /// providers read one or the other.
    pub async fn scale(
        &self,
        name: &str,
        namespace: Option<&str>,
        replicas: u64,
    ) -> Result<Accepted, Error> {
        let mut request = ScaleServiceRequest::new(name, replicas);
        request.namespace = owned(namespace);
        let query = query(of(namespace));
        let target = format!("/system/scale-function/{}{query}", segment(name));
        self.change(Method::POST, &target, &request).await
    }

    async fn list<T>(&self, target: &str) -> Result<Vec<T>, Error>
    where
        Option<Vec<T>>: provider_types::wire::Wire,
    {
        // A provider in Go that has nothing may say `null`.
        let list: Option<Vec<T>> = self.get(target).await?;
        Ok(list.unwrap_or_default())
    }
}

/// Secrets. Their values can be written and never be read.
///
/// # Errors
/// As with functions.
impl Client {
    /// The secrets of a namespace, without their values.
    pub async fn secrets(&self, namespace: Option<&str>) -> Result<Vec<Secret>, Error> {
        self.list(&format!("{SECRETS}{}", query(of(namespace))))
            .await
    }

    /// Makes a secret. [`Error::is_conflict`] if there is one of that name, with most providers.
    pub async fn create_secret(&self, secret: &Secret) -> Result<Accepted, Error> {
        self.change(Method::POST, SECRETS, secret).await
    }

    /// Gives a secret another value. [`Error::is_not_found`] if there is none.
    pub async fn update_secret(&self, secret: &Secret) -> Result<Accepted, Error> {
        self.change(Method::PUT, SECRETS, secret).await
    }

    /// Deletes a secret. The namespace goes into the body and the query, since providers read one
    /// or the other.
    pub async fn delete_secret(
        &self,
        name: &str,
        namespace: Option<&str>,
    ) -> Result<Accepted, Error> {
        let secret = Secret::new(name, owned(namespace));
        let target = format!("{SECRETS}{}", query(of(namespace)));
        self.change(Method::DELETE, &target, &secret).await
    }
}

/// Namespaces. A provider that has only one answers most of these with 501.
///
/// # Errors
/// As with functions.
impl Client {
    /// The names of all namespaces.
    pub async fn namespaces(&self) -> Result<Vec<String>, Error> {
        self.list("/system/namespaces").await
    }

    /// One namespace.
    pub async fn namespace(&self, name: &str) -> Result<FunctionNamespace, Error> {
        self.get(&format!("/system/namespace/{}", segment(name)))
            .await
    }

    /// Makes a namespace. It is marked as one of functions, as clients of the Go SDK do.
    pub async fn create_namespace(&self, namespace: &FunctionNamespace) -> Result<Accepted, Error> {
        self.change(Method::POST, "/system/namespace/", &marked(namespace))
            .await
    }

    /// Gives a namespace other labels and annotations.
    pub async fn update_namespace(&self, namespace: &FunctionNamespace) -> Result<Accepted, Error> {
        let target = format!("/system/namespace/{}", segment(&namespace.name));
        self.change(Method::PUT, &target, &marked(namespace)).await
    }

    /// Deletes a namespace.
    pub async fn delete_namespace(&self, name: &str) -> Result<Accepted, Error> {
        let target = format!("/system/namespace/{}", segment(name));
        let namespace = marked(&FunctionNamespace::new(name));
        self.change(Method::DELETE, &target, &namespace).await
    }
}

/// Providers want the label, the annotation or both.
fn marked(namespace: &FunctionNamespace) -> FunctionNamespace {
    let mut namespace = namespace.clone();
    for map in [&mut namespace.labels, &mut namespace.annotations] {
        map.entry("openfaas".to_owned())
            .or_insert_with(|| "1".to_owned());
    }
    namespace
}

/// The provider itself.
///
/// # Errors
/// As with functions.
impl Client {
    /// Who the provider is, from itself or from the gateway in front of it.
    pub async fn info(&self) -> Result<Info, Error> {
        let body = self.get_text("/system/info").await?;
        if let Ok(provider) = from_slice(body.as_bytes()) {
            return Ok(Info::Provider(provider));
        }
        read("GET /system/info".to_owned(), body.into()).map(Info::Gateway)
    }

    /// Whether the provider is up. 503 while it stops, with ours.
    pub async fn health(&self) -> Result<(), Error> {
        self.get_text("/healthz").await.map(drop)
    }

    /// The provider's metrics, in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String, Error> {
        self.get_text("/metrics").await
    }
}
