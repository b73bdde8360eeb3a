//! Runs the commands of the README and of `docs/operate`, and compares what they print.
//!
//! A fenced block marked `console` is run. A line that begins with `$ ` is a command, lines that
//! begin with `> ` continue it, and the rest is what it prints; `...` stands for any lines.
//! Commands run one by one, each by `sh -c`, except one that starts `faas-process`: that keeps
//! running, and what it prints at start is compared. Four things are not as in the document:
//!
//! * the document's address, `127.0.0.1:8080` or `:8081`, becomes one with a free port, and back in
//!   the output;
//! * `/tmp/walk` and `~/.local/state/faas-process` become temporary directories, and back in the
//!   output;
//! * times and the names of instances in log lines are masked on both sides;
//! * `cargo run --release --locked --bin faas-process --` becomes the binary itself: the one that
//!   the variable `FAAS_PROCESS` names, else the one that cargo built beside this test.
//!
//! With the variable `UPDATE_DOCS` set, what is printed is written into the documents instead.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; a panic in them is a failed test"
)]

#[path = "readme/document.rs"]
mod document;
#[path = "readme/session.rs"]
mod session;

use session::Session;

#[test]
fn the_readme_tells_what_happens() {
    Session::new("127.0.0.1:8080").walk("README.md");
}

#[test]
fn the_operators_manual_of_faas_process_tells_what_happens() {
    Session::new("127.0.0.1:8080").walk("docs/operate/faas-process.md");
}

#[test]
fn the_manual_for_restarts_tells_what_happens() {
    Session::new("127.0.0.1:8080").walk("docs/operate/restart.md");
}

#[test]
fn the_manual_for_a_provider_behind_a_gateway_tells_what_happens() {
    Session::new("127.0.0.1:8081").walk("docs/operate/behind-a-gateway.md");
}

#[test]
fn the_guide_to_scaling_tells_what_happens() {
    Session::new("127.0.0.1:8080").walk("docs/operate/scaling.md");
}

#[test]
fn the_guide_to_the_state_tells_what_happens() {
    Session::new("127.0.0.1:8080").walk("docs/operate/state.md");
}

#[test]
fn the_guide_to_stack_files_tells_what_happens() {
    Session::new("127.0.0.1:8080").walk("docs/operate/stack.md");
}
