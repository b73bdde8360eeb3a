//! A `faas-process` to be called.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The credentials that it asks for.
pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse";

/// A running provider; stopped when dropped.
pub(crate) struct Provider {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
    directory: TempDir,
}

impl Provider {
    /// Starts a provider that asks for credentials and keeps everything in a directory of its own.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), |_| {})
    }

    /// The same in a directory that is there already, with something more to be told.
    pub(crate) fn start_in(directory: TempDir, tell: impl FnOnce(&mut Command)) -> Self {
        let credentials = directory.path().join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        std::fs::write(credentials.join("basic-auth-user"), USER).unwrap();
        std::fs::write(credentials.join("basic-auth-password"), PASSWORD).unwrap();

        let mut command = Command::new(program());
        tell(&mut command);
        let mut child = command
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

    /// What it answers to a GET with its credentials.
    pub(crate) fn get(&self, path: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        // admin:correct horse
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Authorization: Basic YWRtaW46Y29ycmVjdCBob3JzZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{reply}");
        body.to_owned()
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

pub(crate) fn program() -> PathBuf {
    beside_us("faas-process")
}

/// A binary of the same build; another package's, so cargo does not say where it is.
pub(crate) fn beside_us(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(
        program.is_file(),
        "{} is not built: run cargo build --bin {name}",
        program.display()
    );
    program
}
