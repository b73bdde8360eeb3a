//! `image` and `registry`: the test function for providers that run containers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use provider_conformance::{FunctionImage, ImageRegistry};

use crate::output::say;
use crate::run::block_on;

/// Writes the image of the test function.
pub(crate) fn image(layout: &Path, program: Option<&Path>) -> Result<ExitCode> {
    let image = build(program)?;
    image
        .write_layout(layout)
        .with_context(|| format!("{} cannot be written", layout.display()))?;
    say(format_args!("{}\n", image.digest()))?;
    Ok(ExitCode::SUCCESS)
}

/// Serves it until it is interrupted.
pub(crate) fn registry(listen: SocketAddr, program: Option<&Path>) -> Result<ExitCode> {
    block_on(async {
        let registry = serve(listen, program).await?;
        say(format_args!("{}\n", registry.reference()))?;
        let stop = async {
            // Without signals it runs until it is killed.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        registry.serve(stop).await;
        Ok(ExitCode::SUCCESS)
    })?
}

/// A registry that listens.
pub(crate) async fn serve(listen: SocketAddr, program: Option<&Path>) -> Result<ImageRegistry> {
    ImageRegistry::bind(listen, build(program)?)
        .await
        .with_context(|| format!("no registry can listen on {listen}"))
}

/// The image around that program, or around this one.
fn build(program: Option<&Path>) -> Result<FunctionImage> {
    let path = match program {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe().context("the kit's own program cannot be found")?,
    };
    let bytes =
        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    FunctionImage::of(&bytes)
        .with_context(|| format!("{} cannot be put into an image", path.display()))
}
