//! A real `systemd-journald` for the tests of the journald log source.
//!
//! The daemon runs without systemd as init. It needs root, and `/etc/machine-id`.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::packages::Root;
use crate::runner::{Runner, output};

const SOCKET: &str = "/run/systemd/journal/socket";
const PROGRAMS: [&str; 2] = [
    "/lib/systemd/systemd-journald",
    "/usr/lib/systemd/systemd-journald",
];
/// How long the daemon may take until its socket answers, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon while the tests need it: ended when dropped, if we started it.
#[derive(Debug)]
pub(crate) struct Journald {
    started: Option<Child>,
}

impl Journald {
    /// Uses the daemon that runs, or starts one.
    ///
    /// # Errors
    /// Where none runs and none can be started: says which command would.
    pub(crate) fn ensure(runner: &Runner) -> Result<Self> {
        if answers() {
            println!("systemd-journald: already running");
            return Ok(Self { started: None });
        }
        let Some(program) = PROGRAMS
            .into_iter()
            .find(|candidate| Path::new(candidate).is_file())
        else {
            bail!(
                "no systemd-journald at {}: `apt-get install systemd` brings it",
                PROGRAMS.join(" or ")
            );
        };
        let root = Root::find();
        let Some(mut daemon) = root.command(&[program]) else {
            bail!(
                "no systemd-journald answers on {SOCKET}, and starting one needs root; run\n  \
                 sudo {program} &\nand start again"
            );
        };
        if !Path::new("/etc/machine-id").exists()
            && let Some(mut setup) = root.command(&["systemd-machine-id-setup"])
        {
            runner.run(&mut setup)?;
        }
        println!("systemd-journald: starting {program}");
        let child = daemon
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        // From here on dropping ends it.
        let mut journald = Self {
            started: Some(child),
        };
        journald.wait_until_it_answers()?;
        Ok(journald)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !answers() {
            if let Some(child) = &mut self.started
                && let Some(status) = child.try_wait()?
            {
                bail!("systemd-journald ended at once: {status}");
            }
            if Instant::now() >= deadline {
                bail!("systemd-journald does not answer on {SOCKET}");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let Some(child) = &mut self.started else {
            return;
        };
        println!("systemd-journald: ending the one that was started");
        // Started by sudo it is not ours to signal; sudo passes the signal on.
        if kill_process(Pid::from_child(child), Signal::TERM).is_err()
            && let Some(mut kill) = Root::find().command(&["kill", &child.id().to_string()])
        {
            let _ = output(&mut kill);
        }
        let _ = child.wait();
    }
}

/// Whether somebody listens: the file of a socket outlives its daemon.
fn answers() -> bool {
    UnixDatagram::unbound().is_ok_and(|socket| socket.connect(SOCKET).is_ok())
}
