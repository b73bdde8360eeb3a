//! Starts an example on a free port and ends it with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// An example that listens.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// For example `http://127.0.0.1:40123`, without a slash at the end.
    pub(crate) url: String,
}

impl Program {
    /// Starts `env!("CARGO_BIN_EXE_…")` and waits until it says where it listens.
    pub(crate) fn start(binary: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(binary)
            .arg("127.0.0.1:0")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let url = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let mut program = Self {
            child,
            url: String::new(),
        };
        let Some(url) = url else {
            panic!(
                "{binary} ended without listening: {:?}",
                program.child.wait()
            );
        };
        program.url = url;
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
