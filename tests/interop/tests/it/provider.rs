//! A `faas-process` to be called.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The credentials that it asks for.
pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse";

/// A running provider; stopped when dropped.
pub(crate) struct Provider {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
    directory: tempfile::TempDir,
}

impl Provider {
    /// Starts a provider that asks for credentials and keeps everything in a directory of its own.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let credentials = directory.path().join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        std::fs::write(credentials.join("basic-auth-user"), USER).unwrap();
        std::fs::write(credentials.join("basic-auth-password"), PASSWORD).unwrap();

        let mut child = Command::new(program())
            .args(["--listen", "127.0.0.1:0", "--basic-auth"])
            .arg("--secret-mount-path")
            .arg(&credentials)
            .arg("--state-dir")
            .arg(directory.path().join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let url = loop {
            let start = said.len();
            let read = output.read_line(&mut said).unwrap();
            assert_ne!(read, 0, "faas-process did not start: {said}");
            if let Some((_, url)) = said.split_at(start).1.split_once(" listens on ") {
                break url.trim().to_owned();
            }
        };
        // It may print more, and must not wait for somebody to read it.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Self {
            child,
            url,
            directory,
        }
    }

    /// A directory for the files of a test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Its functions end with it, whichever way it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary of the same build; another package's, so cargo does not say where it is.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("faas-process");
    assert!(
        program.is_file(),
        "{} is not built: run cargo build --bin faas-process",
        program.display()
    );
    program
}
