//! Deploys a function, waits until it is ready, and calls it.
//!
//! `cargo run --package provider-client --example deploy_and_invoke -- http://127.0.0.1:8080`

#![expect(clippy::print_stdout, reason = "an example shows what it got")]

use std::error::Error;
use std::time::Duration;

use provider_client::Client;
use provider_types::wire::FunctionDeployment;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the provider's URL")?;
    let client = Client::builder(url).build()?;

    let mut function = FunctionDeployment::new("shout", "ghcr.io/openfaas/alpine:latest");
    function.env_process = "tr a-z A-Z".to_owned();
    // Deploys it, or updates it where it is there already.
    for warning in client.apply(&function).await?.warnings {
        println!("warning: {warning}");
    }
    while client.function("shout", None).await?.available_replicas == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let reply = client.invoke("shout").body("hello\n").send().await?;
    println!("{}: {}", reply.status(), reply.text().await?);

    client.delete_function("shout", None).await?;
    Ok(())
}
