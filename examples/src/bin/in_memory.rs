//! A complete provider. It keeps functions in memory and starts nothing: the image of a function is
//! the address of an HTTP server that runs already, such as `127.0.0.1:9000`.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use provider_http::wire::{FunctionStatus, ProviderInfo, VersionInfo};
use provider_http::*;
use tokio::sync::Mutex;

type Result<T, E = ProviderError> = std::result::Result<T, E>;

#[derive(Default)]
struct InMemory(Mutex<BTreeMap<FunctionRef, FunctionStatus>>);

#[async_trait]
impl Provider for InMemory {
    async fn info(&self) -> Result<ProviderInfo> {
        let version = VersionInfo::new("0.1.0", "dev");
        Ok(ProviderInfo::new("in-memory", "none", version))
    }

    async fn list_functions(&self, list: ListFunctions) -> Result<Vec<FunctionStatus>> {
        let all = self.0.lock().await;
        let here = all.iter().filter(|(f, _)| f.namespace == list.namespace);
        Ok(here.map(|(_, status)| status.clone()).collect())
    }

    async fn deploy_function(&self, deploy: DeployFunction) -> Result<Outcome> {
        let mut all = self.0.lock().await;
        if all.contains_key(&deploy.spec.function) {
            return Err(ProviderError::already_exists("the function exists"));
        }
        let status = status(&deploy.spec, 1)?;
        all.insert(deploy.spec.function, status);
        Ok(Outcome::done())
    }

    async fn update_function(&self, update: UpdateFunction) -> Result<Outcome> {
        let mut all = self.0.lock().await;
        let old = all.get_mut(&update.spec.function).ok_or_else(absent)?;
        *old = status(&update.spec, old.replicas)?;
        Ok(Outcome::done())
    }

    async fn delete_function(&self, delete: DeleteFunction) -> Result<Outcome> {
        let gone = self.0.lock().await.remove(&delete.function);
        gone.map(|_| Outcome::done()).ok_or_else(absent)
    }

    async fn function_status(&self, get: GetFunction) -> Result<FunctionStatus> {
        let found = self.0.lock().await.get(&get.function).cloned();
        found.ok_or_else(absent)
    }

    async fn scale_function(&self, scale: ScaleFunction) -> Result<Outcome> {
        let mut all = self.0.lock().await;
        let found = all.get_mut(&scale.function).ok_or_else(absent)?;
        (found.replicas, found.available_replicas) = (scale.replicas, scale.replicas);
        Ok(Outcome::done())
    }
}

impl Resolver for InMemory {
    type Lease = Endpoint;

    async fn resolve(&self, call: Call<'_>) -> Result<Endpoint, ResolveError> {
        let all = self.0.lock().await;
        let found = all.get(call.function).ok_or(ResolveError::NotFound)?;
        let address = found.image.parse().ok().filter(|_| found.replicas > 0);
        address.map(Endpoint::tcp).ok_or(ResolveError::not_ready())
    }
}

fn status(spec: &FunctionSpec, replicas: u64) -> Result<FunctionStatus> {
    if spec.image.parse::<SocketAddr>().is_err() {
        return Err(ProviderError::invalid("image: use ADDRESS:PORT"));
    }
    let mut status = FunctionStatus::from_spec(spec);
    (status.replicas, status.available_replicas) = (replicas, replicas);
    Ok(status)
}

fn absent() -> ProviderError {
    ProviderError::not_found("no such function")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let backend = Arc::new(InMemory::default());
    let builder = Server::builder(backend.clone()).resolver(backend);
    let server = builder.bind(address).listen()?;
    server
        .addresses()
        .for_each(|at| println!("listening on {at}"));
    server.serve_until(tokio::signal::ctrl_c()).await?;
    Ok(())
}
