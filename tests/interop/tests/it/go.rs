//! The Go toolchain, and what is built with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const MISSING: &str = "Go is needed to test against the real OpenFaaS programs: install Go 1.24 or \
                       newer (apt-get install golang-go, or https://go.dev/dl)";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where these tests may write.
pub(crate) fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Builds the package in a directory of `tests/interop`; its module fixes every version.
pub(crate) fn build(directory: &str, package: &str, name: &str) -> PathBuf {
    let program = target().join(name);
    let status = Command::new("go")
        .args(["build", "-mod=readonly", "-trimpath", "-o"])
        .arg(&program)
        .arg(package)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
        .status();
    match status {
        Ok(status) if status.success() => program,
        Ok(status) => panic!("go build {package} in tests/interop/{directory}: {status}"),
        Err(error) => panic!("{MISSING}: {error}"),
    }
}

/// The Go side of the wire tests.
pub(crate) fn wire() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("go", ".", "interop-wire"))
}

/// Runs a program and gives it `input`.
pub(crate) fn output(command: &mut Command, input: String) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program may end without having read all of it.
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join().unwrap();
    output
}

/// The same, for a program that must succeed; what it wrote to its standard output.
pub(crate) fn run(command: &mut Command, input: String) -> String {
    let output = output(command, input);
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
