//! Streams the standard input to a function, and its reply to the standard output as it comes.
//! Neither is ever held whole.
//!
//! `cargo run --package provider-client --example stream_a_body -- http://127.0.0.1:8080 NAME`

use std::error::Error;

use futures_util::stream;
use provider_client::{Body, Client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(function)) = (arguments.next(), arguments.next()) else {
        return Err("give the provider's URL and the name of a function".into());
    };
    let client = Client::builder(url).build()?;

    let pieces = stream::try_unfold(tokio::io::stdin(), |mut input| async move {
        let mut piece = Vec::with_capacity(64 * 1024);
        let read = input.read_buf(&mut piece).await?;
        Ok::<_, std::io::Error>((read > 0).then_some((piece, input)))
    });
    let mut reply = client
        .invoke(function)
        .body(Body::stream(pieces))
        .send()
        .await?;
    if !reply.status().is_success() {
        return Err(format!("{}: {}", reply.status(), reply.text().await?.trim_end()).into());
    }
    let mut output = tokio::io::stdout();
    while let Some(piece) = reply.chunk().await? {
        output.write_all(&piece).await?;
        output.flush().await?;
    }
    Ok(())
}
