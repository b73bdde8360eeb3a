//! `cargo xtask test`: what the tests need, then the tests.

use anyhow::Result;

use crate::journald::Journald;
use crate::packages;
use crate::runner::{Runner, cargo};

/// The packages and features of every build for tests. All stages name the same, so that nothing
/// is built twice.
pub(crate) const SELECTION: [&str; 3] = ["--locked", "--workspace", "--all-features"];

/// The package that needs a Go toolchain, and its only test; `cargo xtask ci` runs it.
pub(crate) const NEEDS_GO: &str = "interop";

/// Sets up what the tests need and runs all but those that need Go.
///
/// # Errors
/// When something is missing that may not be installed here, or a test fails.
pub(crate) fn run(runner: &Runner, arguments: &[String]) -> Result<()> {
    packages::ensure(runner)?;
    let _journald = Journald::ensure(runner)?;
    build(runner)?;
    let mut tests = cargo(&["test"]);
    tests
        .args(SELECTION)
        .args(["--exclude", NEEDS_GO, "--no-fail-fast", "--"])
        .args(arguments);
    runner.run(&mut tests)
}

/// Builds the binaries that the integration tests start, together with the tests: alone they would
/// be built with fewer features, and then once more.
///
/// # Errors
/// When something does not build.
pub(crate) fn build(runner: &Runner) -> Result<()> {
    runner.run(
        cargo(&["build"])
            .args(SELECTION)
            .args(["--bins", "--examples", "--tests"]),
    )
}
