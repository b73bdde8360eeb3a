//! A reader at a terminal: a directory, at most one provider that runs, and a shell.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::document::{matches, steps, updated};

const DIRECTORY: &str = "/tmp/walk";
const STATE_DIRECTORY: &str = "~/.local/state/faas-process";
const CARGO_RUN: &str = "cargo run --release --locked --bin faas-process";

/// How long the provider may take to print what it prints at start.
const START: Duration = Duration::from_secs(20);

pub(crate) struct Session {
    directory: TempDir,
    /// The address in the document.
    written: &'static str,
    /// What stands for it here.
    address: String,
    provider: Option<Child>,
}

impl Session {
    /// A reader of a document that names its provider's address so.
    pub(crate) fn new(written: &'static str) -> Self {
        // Free a moment ago; nobody else here asks for a given port.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            written,
            address: listener.local_addr().unwrap().to_string(),
            provider: None,
        }
    }

    /// Runs every command of a document of this repository, up to the first that prints something
    /// else. With `UPDATE_DOCS` in the environment it runs them all and writes down what they print.
    pub(crate) fn walk(mut self, document: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        let update = std::env::var_os("UPDATE_DOCS").is_some();
        let steps = steps(&text);
        assert!(!steps.is_empty(), "{document} has no commands");
        let mut all = Vec::new();
        for step in &steps {
            let printed = self.run(&step.command, &step.expected);
            assert!(
                update || matches(&step.expected, &printed),
                "{document}:{}\n$ {}\n--- the document says\n{}--- it printed\n{printed}",
                step.line,
                step.command,
                step.expected,
            );
            all.push(printed);
        }
        if update {
            std::fs::write(path, updated(&text, &steps, &all)).unwrap();
        }
    }

    /// What a command prints, in the document's terms.
    fn run(&mut self, command: &str, expected: &str) -> String {
        let command = command.replace(CARGO_RUN, "faas-process");
        let mut words = command
            .split_whitespace()
            .skip_while(|word| word.contains('='));
        let ours = words.next().is_some_and(|word| word == "faas-process");
        // With a command it does something else.
        let serves = words.next().is_none_or(|word| word.starts_with('-'));
        let output = if ours && serves && !command.contains("--help") {
            self.start(&command, expected)
        } else {
            self.shell(&command)
        };
        output
            .replace(&self.address, self.written)
            .replace(&self.walk_directory(), DIRECTORY)
            .replace(&self.state_directory(), STATE_DIRECTORY)
    }

    fn shell(&self, command: &str) -> String {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("exec 2>&1\n{}", self.here(command)))
            .current_dir(self.directory.path())
            .env("PATH", self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the provider, in place of one that runs; gives what it has printed as soon as that
    /// is what the document says, or when time is up. One that takes over ends the other by itself.
    fn start(&mut self, command: &str, expected: &str) -> String {
        let mut before = None;
        if command.contains("--take-over") {
            before = self.provider.take();
        } else {
            self.stop();
        }
        let log = self.directory.path().join("provider.log");
        // The one before may still write to its own.
        let _ = std::fs::remove_file(&log);
        let file = File::create(&log).unwrap();
        let state = self.state_directory();
        let mut provider = Command::new(binary());
        let command = self.here(command);
        for word in command.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) if !word.starts_with('-') => provider.env(name, value),
                _ if word == "faas-process" || word == "--" => &mut provider,
                _ => provider.arg(word),
            };
        }
        if !command.contains("--listen") {
            provider.args(["--listen", &self.address]);
        }
        let child = provider
            .arg("--state-dir")
            .arg(&state)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.provider = Some(child);

        let deadline = Instant::now() + START;
        loop {
            let printed = std::fs::read_to_string(&log)
                .unwrap()
                .replace(&self.address, self.written)
                .replace(&state, STATE_DIRECTORY)
                .replace(&self.walk_directory(), DIRECTORY);
            if matches(expected, &printed) || Instant::now() >= deadline {
                if let Some(mut before) = before {
                    assert!(before.wait().unwrap().success());
                }
                return printed;
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        if let Some(mut provider) = self.provider.take() {
            let _ = provider.kill();
            let _ = provider.wait();
        }
    }

    /// A text of the document with the names that are used here.
    fn here(&self, text: &str) -> String {
        text.replace(self.written, &self.address)
            .replace(DIRECTORY, &self.walk_directory())
            .replace(STATE_DIRECTORY, &self.state_directory())
    }

    fn state_directory(&self) -> String {
        self.directory.path().join("state").display().to_string()
    }

    fn walk_directory(&self) -> String {
        self.directory.path().join("walk").display().to_string()
    }

    /// The `PATH`, with the binary first.
    fn path(&self) -> std::ffi::OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directory = binary().parent().unwrap().to_path_buf();
        std::env::join_paths(std::iter::once(directory).chain(std::env::split_paths(&path)))
            .unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The provider's binary.
fn binary() -> PathBuf {
    let binary = std::env::var_os("FAAS_PROCESS").map_or_else(
        || {
            // target/debug/deps/readme-… → target/debug/faas-process
            let test = std::env::current_exe().unwrap();
            test.ancestors().nth(2).unwrap().join("faas-process")
        },
        PathBuf::from,
    );
    assert!(
        binary.is_file(),
        "{} is missing: `cargo xtask test` builds it, or `cargo build --bin faas-process`",
        binary.display()
    );
    binary
}
