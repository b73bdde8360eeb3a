//! A disk in memory. It can be full, and a power cut takes what was not synced.

use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use provider_engine::Medium;
use redb::StorageBackend;

/// The disk of one seed, kept over the lives of its provider. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    directory: Arc<Mutex<Directory>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    full: AtomicBool,
    /// The host is down: what a provider does while it falls apart reaches the disk no more.
    off: AtomicBool,
}

/// The store and the one that is to take its place.
#[derive(Debug, Default)]
struct Directory {
    store: Option<File>,
    beside: Option<File>,
    /// What a power cut leaves under the store's name.
    synced: Option<File>,
}

#[derive(Debug, Clone)]
struct File {
    state: Arc<State>,
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What undoes the changes since the last sync, the newest last.
    unsynced: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Write(usize, Vec<u8>),
    /// The length before, and what was cut off.
    Length(usize, Vec<u8>),
}

impl Disk {
    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap()
    }

    /// Lets every write fail from now on, or no longer.
    pub(crate) fn set_full(&self, full: bool) {
        self.state.full.store(full, Ordering::Relaxed);
    }

    /// Takes nothing more until it is on again.
    pub(crate) fn set_off(&self, off: bool) {
        self.state.off.store(off, Ordering::Relaxed);
    }

    /// Forgets what was not synced.
    pub(crate) fn cut_power(&self) {
        let mut directory = self.directory();
        directory.beside = None;
        directory.store = directory.synced.clone();
        if let Some(file) = &directory.store {
            file.content.lock().unwrap().undo();
        }
    }
}

impl State {
    /// Refuses to be written where it is full.
    fn room(&self) -> Result<()> {
        if self.full.load(Ordering::Relaxed) || self.off.load(Ordering::Relaxed) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl Content {
    fn undo(&mut self) {
        while let Some(undo) = self.unsynced.pop() {
            match undo {
                Undo::Write(at, old) => self.bytes[at..at + old.len()].copy_from_slice(&old),
                Undo::Length(len, tail) => {
                    self.bytes.resize(len - tail.len(), 0);
                    self.bytes.extend(tail);
                }
            }
        }
    }
}

impl Medium for Disk {
    fn read(&self) -> Result<Option<Vec<u8>>> {
        let directory = self.directory();
        let read = |file: &File| file.content.lock().unwrap().bytes.clone();
        Ok(directory.store.as_ref().map(read))
    }

    fn open(&self) -> Result<Box<dyn StorageBackend>> {
        match &self.directory().store {
            Some(file) => Ok(Box::new(file.clone())),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn create(&self) -> Result<Box<dyn StorageBackend>> {
        self.state.room()?;
        let file = File {
            state: Arc::clone(&self.state),
            content: Arc::default(),
        };
        self.directory().beside = Some(file.clone());
        Ok(Box::new(file))
    }

    fn replace(&self) -> Result<()> {
        self.state.room()?;
        let mut directory = self.directory();
        let beside = directory.beside.take();
        directory.store = Some(beside.ok_or(ErrorKind::NotFound)?);
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        self.state.room()?;
        let mut directory = self.directory();
        directory.synced = directory.store.clone();
        Ok(())
    }

    fn keep(&self, _bytes: &[u8], _suffix: &str) -> Result<PathBuf> {
        panic!("there is no older store, and none is damaged");
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

impl StorageBackend for File {
    fn len(&self) -> Result<u64> {
        Ok(self.content.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let from = size(offset);
        match self
            .content
            .lock()
            .unwrap()
            .bytes
            .get(from..from + out.len())
        {
            Some(bytes) => out.copy_from_slice(bytes),
            None => return Err(ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.state.room()?;
        let mut content = self.content.lock().unwrap();
        let (old, new) = (content.bytes.len(), size(len));
        let tail = content.bytes.get(new..).unwrap_or_default().to_vec();
        content.unsynced.push(Undo::Length(old, tail));
        content.bytes.resize(new, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.state.room()?;
        self.content.lock().unwrap().unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.state.room()?;
        let mut content = self.content.lock().unwrap();
        let from = size(offset);
        let place = &mut content.bytes[from..from + data.len()];
        let old = place.to_vec();
        place.copy_from_slice(data);
        content.unsynced.push(Undo::Write(from, old));
        Ok(())
    }
}
