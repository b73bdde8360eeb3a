//! Standard output that is closed or full.

use std::fs::File;
use std::process::{Command, Stdio};

fn specification() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provider-conformance"));
    command.arg("spec").stderr(Stdio::piped());
    command
}

#[test]
fn a_reader_may_have_read_enough() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = specification().stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_full_output_is_said() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = specification().stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("standard output cannot be written"), "{said}");
}
