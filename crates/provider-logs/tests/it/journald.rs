//! A systemd-journald for as long as tests need it, and ways to write to it.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/systemd/journal/socket";
const PROGRAM: &str = "/lib/systemd/systemd-journald";

/// How many tests hold the daemon, and the daemon if it is ours.
static HELD: Mutex<(usize, Option<Child>)> = Mutex::new((0, None));

/// Holds the daemon. The last one to let go ends it, if it was started here.
pub(crate) struct Journald(());

impl Journald {
    /// Uses the daemon that runs, or starts one.
    pub(crate) fn hold() -> Self {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if !answers() {
            held.1 = Some(start());
        }
        held.0 += 1;
        Self(())
    }

    /// Writes an entry by the native protocol: any field, any bytes.
    pub(crate) fn write(&self, fields: &[(&str, &[u8])]) {
        let mut entry = Vec::new();
        for (name, value) in fields {
            entry.extend_from_slice(name.as_bytes());
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
            entry.extend_from_slice(value);
            entry.push(b'\n');
        }
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(SOCKET).unwrap();
        socket.send(&entry).unwrap();
    }

    /// Writes a line of a function the way a shell does; returns the writer's process id.
    pub(crate) fn line(&self, identifier: &str, text: &str) -> u32 {
        let mut writer = Command::new("systemd-cat")
            .args(["--identifier", identifier, "cat"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(writer.stdin.take().unwrap(), "{text}").unwrap();
        let id = writer.id();
        assert!(writer.wait().unwrap().success());
        // What comes through a pipe may be read after what is sent later by the socket.
        self.flush();
        id
    }

    /// Waits until journald has written all that it was given.
    pub(crate) fn flush(&self) {
        let synced = Command::new("journalctl").arg("--sync").status();
        assert!(synced.unwrap().success(), "journalctl --sync failed");
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 -= 1;
        let ours = if held.0 == 0 { held.1.take() } else { None };
        if let Some(mut daemon) = ours {
            let pid = rustix::process::Pid::from_child(&daemon);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = daemon.wait();
        }
    }
}

/// Whether somebody listens: the file of a socket outlives its daemon.
fn answers() -> bool {
    UnixDatagram::unbound().is_ok_and(|socket| socket.connect(SOCKET).is_ok())
}

fn start() -> Child {
    assert!(
        Path::new(PROGRAM).is_file(),
        "the tests of the journald source need a real journald: apt-get install systemd"
    );
    assert!(
        Path::new("/etc/machine-id").is_file(),
        "journald needs /etc/machine-id: run systemd-machine-id-setup"
    );
    let mut daemon = Command::new(PROGRAM)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !answers() {
        if let Some(status) = daemon.try_wait().unwrap() {
            panic!("{PROGRAM} ended at once, {status}: start it as root");
        }
        assert!(Instant::now() < deadline, "{PROGRAM} does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon
}
