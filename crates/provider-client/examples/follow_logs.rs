//! Prints the last lines of a function, and each new one as it is written.
//!
//! `cargo run --package provider-client --example follow_logs -- http://127.0.0.1:8080 NAME`

#![expect(clippy::print_stdout, reason = "an example shows what it got")]

use std::error::Error;

use provider_client::{Client, LogQuery};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(function)) = (arguments.next(), arguments.next()) else {
        return Err("give the provider's URL and the name of a function".into());
    };
    let client = Client::builder(url).build()?;

    let mut query = LogQuery::new(function);
    query.tail = Some(10);
    query.follow = true;
    let mut lines = client.logs(&query).await?;
    while let Some(line) = lines.next().await? {
        println!("{} {}", line.instance, line.text);
    }
    Ok(())
}
