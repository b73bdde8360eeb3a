//! Files that commands write, for their owner only. `-` is the standard input or output.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// Writes a file whole or, on any error, not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_standard(path) {
        return io::stdout()
            .write_all(bytes)
            .context("the standard output cannot be written");
    }
    put(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Box::new(file))
}

/// Says something to whoever typed the command, where it is not among the output.
pub(super) fn say(path: &Path, words: &str) {
    // Where nobody listens, nobody misses it.
    let _ = if is_standard(path) {
        writeln!(io::stderr(), "{words}")
    } else {
        writeln!(io::stdout(), "{words}")
    };
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}
