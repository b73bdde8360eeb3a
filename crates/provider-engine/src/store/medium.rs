//! Where the store's file lies: the state directory, or in tests a disk that loses power.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::state_dir::{private_file, sync_directory};

/// A place for one store, and for another that is to replace it.
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "public for simulations only")
)]
pub trait Medium: Send + Sync {
    /// All of the store; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;
    /// Opens the store that is there.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;
    /// Opens an empty place beside it.
    ///
    /// # Errors
    /// Where it cannot be made.
    fn create(&self) -> io::Result<Box<dyn StorageBackend>>;
    /// Puts what was created, written and synced in the place of the store.
    ///
    /// # Errors
    /// Where it cannot be; then the store is as it was.
    fn replace(&self) -> io::Result<()>;
    /// Makes what was replaced last.
    ///
    /// # Errors
    /// Where it is not known to last.
    fn sync_names(&self) -> io::Result<()>;
    /// Keeps bytes beside the store, where they are not kept already.
    ///
    /// # Errors
    /// Where they cannot be kept.
    fn keep(&self, bytes: &[u8], suffix: &str) -> io::Result<PathBuf>;
}

/// The store as a file in a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The store in the file of that path.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

impl Medium for Directory {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = File::options().read(true).write(true).open(&self.path)?;
        Ok(Box::new(StoreFile(file)))
    }

    fn create(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = private_file(&self.beside(".new"))?;
        file.set_len(0)?;
        Ok(Box::new(StoreFile(file)))
    }

    fn replace(&self) -> io::Result<()> {
        std::fs::rename(self.beside(".new"), &self.path)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), sync_directory)
    }

    fn keep(&self, bytes: &[u8], suffix: &str) -> io::Result<PathBuf> {
        let path = self.beside(suffix);
        let kept = File::open(&path).and_then(|mut file| {
            let mut kept = Vec::new();
            file.read_to_end(&mut kept)?;
            Ok(kept == bytes)
        });
        if !kept.unwrap_or(false) {
            let mut file = private_file(&path)?;
            file.set_len(0)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.sync_names()?;
        }
        Ok(path)
    }
}

/// A file as redb wants it. Its space is taken before it is used: a disk that others fill then
/// fails a write that needs more, and none that does not.
#[derive(Debug)]
struct StoreFile(File);

impl StorageBackend for StoreFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let present = self.0.metadata()?.len();
        if len <= present {
            return self.0.set_len(len);
        }
        match fallocate(&self.0, FallocateFlags::empty(), present, len - present) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => self.0.set_len(len),
            Err(error) => {
                // What was taken before there was no more is given back.
                self.0.set_len(present)?;
                Err(error.into())
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// A back-end that remembers whether a sync failed. What such a sync was to write may be lost
/// although later ones succeed, and reading does not show it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) inner: Box<dyn StorageBackend>,
    pub(crate) sync_failed: Arc<AtomicBool>,
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data().inspect_err(|_| {
            self.sync_failed.store(true, Ordering::Relaxed);
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}

/// The whole of a store in memory: looked through, and tried upon, without touching the disk.
pub(crate) fn image(bytes: &[u8]) -> io::Result<InMemoryBackend> {
    let image = InMemoryBackend::new();
    image.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    image.write(0, bytes)?;
    Ok(image)
}
