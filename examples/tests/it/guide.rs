//! `docs/write-a-provider.md` shows what its commands print. Its Rust blocks are doctests.

use std::process::Command;

use crate::document::{matches, steps};
use crate::program::Program;

const GUIDE: &str = include_str!("../../../docs/write-a-provider.md");
const START: &str = "cargo run --package examples --bin in_memory";
const ADDRESS: &str = "127.0.0.1:8080";

#[test]
fn the_commands_of_the_guide_print_what_it_says() {
    let program = Program::start(env!("CARGO_BIN_EXE_in_memory"), &[]);
    let address = program.url.strip_prefix("http://").unwrap();
    let mut ran = 0;
    for step in steps(GUIDE) {
        let printed = if step.command == START {
            format!("listening on {}\n", program.url)
        } else {
            let command = step.command.replace(ADDRESS, address);
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", step.command);
            String::from_utf8(output.stdout).unwrap()
        };
        let mut printed = printed.replace(address, ADDRESS);
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        assert!(
            matches(&step.expected, &printed),
            "line {}: {}\nshould print\n{}but printed\n{printed}",
            step.line,
            step.command,
            step.expected
        );
        ran += 1;
    }
    assert_eq!(ran, 4);
}
