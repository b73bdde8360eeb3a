//! How another process of the same operator talks to the one that holds a state directory.
//!
//! A Unix socket, `control.sock`, in the state directory. The caller sends one line, `KEY REQUEST`,
//! and reads one line: `ok`, or `error` and why. What follows `ok` belongs to the request: a backup
//! follows as bytes, descriptors may follow as ancillary data.
//!
//! Directory and socket are for their owner only. That does not keep functions of the same user
//! away, since Landlock restricts files and not sockets. So a caller also shows that it can read
//! the directory: `KEY` is the content of `control.key`, made at random once.

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

const SOCKET: &str = "control.sock";
const KEY: &str = "control.key";
const KEY_BYTES: usize = 32;
const LONGEST_LINE: usize = 1024;
/// How long a caller may take to say what it wants; the next one waits meanwhile.
const LISTENS: Duration = Duration::from_secs(2);
/// How long a caller waits for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The control socket of a state directory, which listens until it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    key: String,
}

/// A request that came over the control socket, and the connection that it came on.
#[derive(Debug)]
pub struct ControlRequest {
    /// What is asked for.
    pub request: String,
    stream: UnixStream,
}

impl ControlSocket {
    /// Listens in a state directory that the caller holds, in the place of a socket of before. Must
    /// be called on a tokio runtime.
    ///
    /// # Errors
    /// When the key cannot be read or made, or the socket cannot be bound.
    pub fn bind(state_dir: &Path) -> io::Result<Self> {
        let key = own_key(state_dir)?;
        let dir = File::open(state_dir)?;
        // It appears under its name when it has its mode.
        let unready = short(&dir, "control.sock.new");
        match std::fs::remove_file(&unready) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&unready)?;
        std::fs::set_permissions(&unready, Permissions::from_mode(0o600))?;
        std::fs::rename(&unready, short(&dir, SOCKET))?;
        Ok(Self { listener, key })
    }

    /// The next request of a caller that may ask. Others are turned away.
    ///
    /// # Errors
    /// When the process has no descriptors left, for one; a later call may work.
    pub async fn next(&self) -> io::Result<ControlRequest> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let mut call = ControlRequest {
                request: String::new(),
                stream,
            };
            match tokio::time::timeout(LISTENS, read_line(&mut call.stream)).await {
                Ok(Ok(line)) => {
                    let (key, request) = line.split_once(' ').unwrap_or_default();
                    if bool::from(key.as_bytes().ct_eq(self.key.as_bytes())) {
                        request.clone_into(&mut call.request);
                        return Ok(call);
                    }
                    tracing::warn!("a caller without the key was turned away");
                    drop(call.refuse("the key is wrong").await);
                }
                Ok(Err(error)) => tracing::debug!(%error, "a control request could not be read"),
                Err(_elapsed) => tracing::debug!("a control request did not come"),
            }
        }
    }
}

impl ControlRequest {
    /// Whether the caller is the user that this process runs as (`SO_PEERCRED`).
    pub(crate) fn is_same_user(&self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.stream
            .peer_cred()
            .is_ok_and(|caller| caller.uid() == own)
    }

    /// Says `ok`, and gives the connection for what the request goes on with.
    ///
    /// # Errors
    /// When the caller has left.
    pub async fn accept(mut self) -> io::Result<UnixStream> {
        self.stream.write_all(b"ok\n").await?;
        Ok(self.stream)
    }

    /// Says why it is not done.
    ///
    /// # Errors
    /// When the caller has left.
    pub async fn refuse(mut self, why: &str) -> io::Result<()> {
        let line = format!("error {}\n", why.replace('\n', " "));
        self.stream.write_all(line.as_bytes()).await
    }
}

/// Sends a request to the process that holds a state directory, and gives the connection after its
/// `ok`; `None` when no process listens there. Blocks, for at most 10 s; so do reads and writes of
/// the connection.
///
/// # Errors
/// When the process cannot be reached, or refuses: its words are the error then.
pub fn control(state_dir: &Path, request: &str) -> io::Result<Option<Connection>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let absent = |error: &io::Error| matches!(error.kind(), ConnectionRefused | NotFound);
    let dir = match File::open(state_dir) {
        Err(error) if absent(&error) => return Ok(None),
        dir => dir?,
    };
    let mut connection = match Connection::connect(short(&dir, SOCKET)) {
        Err(error) if absent(&error) => return Ok(None),
        connection => connection?,
    };
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let key = std::fs::read_to_string(state_dir.join(KEY))?;
    connection.write_all(format!("{key} {request}\n").as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    // One at a time: what comes after the line is not ours.
    while line.len() < LONGEST_LINE && connection.read(&mut byte)? == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    match String::from_utf8_lossy(&line).split_once(' ') {
        None if line == b"ok" => Ok(Some(connection)),
        Some(("error", why)) => Err(io::Error::other(why.to_owned())),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the process that uses the state directory gave no answer",
        )),
    }
}

/// A name for a file in `dir` that fits into the address of a socket however long the directory's
/// own is.
fn short(dir: &File, name: &str) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name)
}

/// The key of a directory, made where it is missing or was not written whole.
fn own_key(state_dir: &Path) -> io::Result<String> {
    let path = state_dir.join(KEY);
    if let Ok(key) = std::fs::read_to_string(&path)
        && key.len() == 2 * KEY_BYTES
    {
        return Ok(key);
    }
    let mut random = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let unready = state_dir.join("control.key.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unready)?;
    file.write_all(key.as_bytes())?;
    std::fs::rename(unready, path)?;
    Ok(key)
}

async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < LONGEST_LINE {
        match stream.read_u8().await? {
            b'\n' => {
                let bad = |_| io::Error::from(io::ErrorKind::InvalidData);
                return String::from_utf8(line).map_err(bad);
            }
            byte => line.push(byte),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
