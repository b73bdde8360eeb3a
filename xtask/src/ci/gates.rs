//! What each stage of `cargo xtask ci` does.
//!
//! All build into one target directory, with one lock file and the same flags and features, so that
//! a stage finds what an earlier one built. `RUSTFLAGS` is never set; lints are made errors by
//! arguments that reach only our own crates.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::Gate;
use crate::runner::{Runner, cargo, find_program, output, program, root, target_directory};
use crate::test::{NEEDS_GO, SELECTION};
use crate::{conformance, test, tidy};

/// The crates of the SDK: they build with the oldest Rust that is promised, and for macOS.
const SDK: [&str; 7] = [
    "provider-types",
    "provider-auth",
    "provider-logs",
    "provider-proxy",
    "provider-http",
    "provider-route",
    "provider-stack",
];

/// Either will do; the first is installed where neither is.
const MACOS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-apple-darwin"];

pub(super) fn fmt(runner: &Runner) -> Result<Gate> {
    runner.run(&mut cargo(&["fmt", "--all", "--check"]))?;
    Ok(Gate::Passed)
}

pub(super) fn tidy(_: &Runner) -> Result<Gate> {
    tidy::run()?;
    Ok(Gate::Passed)
}

pub(super) fn clippy(runner: &Runner) -> Result<Gate> {
    let mut clippy = cargo(&["clippy"]);
    clippy
        .args(SELECTION)
        .args(["--all-targets", "--", "-D", "warnings"]);
    runner.run(&mut clippy)?;
    Ok(Gate::Passed)
}

pub(super) fn docs(runner: &Runner) -> Result<Gate> {
    let mut doc = cargo(&["doc"]);
    doc.args(SELECTION)
        .arg("--no-deps")
        .env("RUSTDOCFLAGS", "-D warnings");
    runner.run(&mut doc)?;
    Ok(Gate::Passed)
}

pub(super) fn test(runner: &Runner) -> Result<Gate> {
    test::run(runner, &[])?;
    Ok(Gate::Passed)
}

/// Our own providers by the kit. A MUST that no case judges fails it too: the verdict is then
/// `partial`.
pub(super) fn conformance(runner: &Runner) -> Result<Gate> {
    let ended = conformance::run(runner, &conformance::Arguments::default())?;
    if ended != ExitCode::SUCCESS {
        bail!("a provider of ours is not conformant, or not all was judged");
    }
    Ok(Gate::Passed)
}

/// The client over TLS: a package outside the workspace, for features of reqwest would reach all of
/// it.
pub(super) fn tls(runner: &Runner) -> Result<Gate> {
    let mut tests = cargo(&["test", "--locked", "--manifest-path"]);
    tests
        .arg(root().join("tests/tls/Cargo.toml"))
        .arg("--target-dir")
        .arg(target_directory());
    runner.run(&mut tests)?;
    Ok(Gate::Passed)
}

/// Every order of threads for the word, the slot and the queue of `provider-route`, by loom. Picked
/// by the test's name, so that the features stay those of the whole workspace.
pub(super) fn model(runner: &Runner) -> Result<Gate> {
    let mut tests = cargo(&["test"]);
    tests.args(SELECTION).args(["--test", "model"]);
    runner.run(&mut tests)?;
    Ok(Gate::Passed)
}

/// The real clients and peers. Where Go is missing nothing was compared; in CI that is a failure.
pub(super) fn interop(runner: &Runner) -> Result<Gate> {
    if find_program("go").is_none() {
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            bail!("Go is not installed, and CI must not pass without it");
        }
        return Ok(Gate::NotRun(
            "Go is not installed; the real clients were not compared with ours".to_owned(),
        ));
    }
    // Picked by the test's name and not by its package, so that the features stay those of the
    // whole workspace and nothing is built anew.
    let mut tests = cargo(&["test"]);
    tests
        .args(SELECTION)
        .args(["--no-fail-fast", "--test", NEEDS_GO]);
    test::build(runner)?;
    runner.run(&mut tests)?;
    Ok(Gate::Passed)
}

/// The SDK crates, and then everything that a newcomer builds, each with the oldest Rust that is
/// promised for it.
pub(super) fn msrv(runner: &Runner) -> Result<Gate> {
    let mut sdk = vec!["--all-features"];
    for name in SDK {
        sdk.extend(["--package", name]);
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let oldest = tidy::rust_version(&manifest).context("no rust-version in Cargo.toml")?;
    for (version, selection) in [(oldest, sdk), (tidy::RUST_BESIDE_THE_SDK, Vec::new())] {
        let toolchain = format!("+{version}");
        if output(&mut program("cargo", &[&toolchain, "--version"])).is_err() {
            println!("Rust {version} is not installed; trying to");
            let mut install = program(
                "rustup",
                &["toolchain", "install", version, "--profile", "minimal"],
            );
            if let Err(error) = runner.run(&mut install) {
                return Ok(Gate::NotRun(format!("no Rust {version}: {error:#}")));
            }
        }
        // By rustup's own cargo: the one that runs this task is of another version.
        let mut check = program("cargo", &[&toolchain, "check", "--locked"]);
        runner.run(check.args(selection))?;
    }
    Ok(Gate::Passed)
}

/// The SDK crates for macOS: type checked, not run.
pub(super) fn macos(runner: &Runner) -> Result<Gate> {
    let installed = output(&mut program("rustup", &["target", "list", "--installed"]));
    let installed = installed.unwrap_or_default();
    let found = MACOS
        .into_iter()
        .find(|target| installed.lines().any(|line| line == *target));
    let target = match (found, MACOS) {
        (Some(target), _) => target,
        (None, [target, _]) => {
            println!("the target {target} is not installed; trying to");
            let mut add = program("rustup", &["target", "add", target]);
            if let Err(error) = runner.run(&mut add) {
                return Ok(Gate::NotRun(format!("target not installed: {error:#}")));
            }
            target
        }
    };
    let mut check = cargo(&["check", "--locked", "--target", target]);
    for name in SDK {
        check.args(["--package", name]);
    }
    runner.run(&mut check)?;
    Ok(Gate::Passed)
}

/// cargo-deny where it is installed. It takes minutes to build, so `tidy` holds the rules about
/// licences, banned crates, duplicates and sources everywhere.
pub(super) fn deny(runner: &Runner) -> Result<Gate> {
    if find_program("cargo-deny").is_none() {
        return Ok(Gate::NotRun(
            "cargo-deny is not installed (tidy checked licences, bans, duplicates and sources)"
                .to_owned(),
        ));
    }
    let mut deny = cargo(&["deny", "--locked", "--all-features", "check"]);
    runner.run(deny.args(["bans", "licenses", "sources"]))?;
    Ok(Gate::Passed)
}

/// What the first command of the README builds.
pub(super) fn release(runner: &Runner) -> Result<Gate> {
    runner.run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--bin",
        "faas-process",
    ]))?;
    Ok(Gate::Passed)
}

/// The README's walk-through once more, on the binary that a reader builds.
pub(super) fn readme(runner: &Runner) -> Result<Gate> {
    let binary = target_directory().join("release").join("faas-process");
    if !binary.is_file() {
        bail!("{} is missing: run the stage `release`", binary.display());
    }
    let mut tests = cargo(&["test"]);
    tests
        .args(SELECTION)
        .args(["--test", "readme"])
        .env("FAAS_PROCESS", binary);
    runner.run(&mut tests)?;
    Ok(Gate::Passed)
}
