//! The server as a provider runs it, with one function `f` on a fixed address: the overhead of a
//! call and nothing else. `bench LISTEN UPSTREAM`.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::error::Error;

use async_trait::async_trait;
use provider_http::{Config, Role, Server};
use provider_types::wire::{FunctionStatus, ProviderInfo, VersionInfo};
use provider_types::{
    Call, DeleteFunction, DeployFunction, Endpoint, GetFunction, ListFunctions, Outcome, Provider,
    ProviderError, ResolveError, Resolver, ScaleFunction, UpdateFunction,
};

struct Fixed(Endpoint);

impl Resolver for Fixed {
    type Lease = Endpoint;

    async fn resolve(&self, call: Call<'_>) -> Result<Endpoint, ResolveError> {
        match call.function.name.as_str() {
            "f" => Ok(self.0.clone()),
            _ => Err(ResolveError::NotFound),
        }
    }
}

/// Nobody asks for more than invocations here.
struct Nothing;

fn nothing<T>() -> Result<T, ProviderError> {
    Err(ProviderError::unsupported("only invocations are measured"))
}

#[async_trait]
impl Provider for Nothing {
    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        Ok(ProviderInfo::new(
            "bench",
            "none",
            VersionInfo::new(env!("CARGO_PKG_VERSION"), "none"),
        ))
    }
    async fn list_functions(&self, _: ListFunctions) -> Result<Vec<FunctionStatus>, ProviderError> {
        Ok(Vec::new())
    }
    async fn deploy_function(&self, _: DeployFunction) -> Result<Outcome, ProviderError> {
        nothing()
    }
    async fn update_function(&self, _: UpdateFunction) -> Result<Outcome, ProviderError> {
        nothing()
    }
    async fn delete_function(&self, _: DeleteFunction) -> Result<Outcome, ProviderError> {
        nothing()
    }
    async fn function_status(&self, _: GetFunction) -> Result<FunctionStatus, ProviderError> {
        nothing()
    }
    async fn scale_function(&self, _: ScaleFunction) -> Result<Outcome, ProviderError> {
        nothing()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench LISTEN UPSTREAM".into());
    };
    let server = Server::builder(Nothing)
        .resolver(Fixed(Endpoint::tcp(upstream.parse()?)))
        .config(Config::default())
        // Behind a gateway, as the Go SDK's proxy is: nobody is stamped.
        .role(Role::Provider)
        .bind(listen)
        .listen()?;
    if let Some(address) = server.local_addr() {
        println!("listening on http://{address}");
    }
    server
        .serve_until(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}
