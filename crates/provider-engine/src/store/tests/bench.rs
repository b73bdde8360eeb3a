//! A disk of its own for a test: it fills up, fails, loses power, and can be looked at as it would
//! be found after that.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use redb::StorageBackend;
use rustix::io::Errno;

use super::super::lock;
use super::super::medium::Medium;
use super::*;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Up to this many writes, all their subsets are tried when a sync begins.
const EXHAUSTIVE: usize = 6;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Files do not grow, and nothing new is written.
    Full,
    /// Nothing is written.
    ReadOnly,
    /// Syncs fail, and what they were to write is lost although it can be read.
    SyncFails,
    /// Nothing works.
    Broken,
}

/// Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    closed: Mutex<bool>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<Content>,
    /// What the names `store` and `new` stand for now.
    store: Option<usize>,
    new: Option<usize>,
    /// What `store` stood for before the directory was last synced.
    store_durable: Option<usize>,
    renamed: bool,
    trouble: Option<(Trouble, Range<u64>)>,
    /// What happened to the disk since then.
    operations: u64,
    syncs: u64,
    watch: Option<Watch>,
}

/// Looks at the disk before each thing that happens to it.
#[derive(Debug)]
struct Watch {
    rng: fastrand::Rng,
    samples: usize,
    /// All that could be found after a loss of power, since they were last taken.
    images: BTreeSet<Option<Vec<u8>>>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    durable: Vec<u8>,
    present: Vec<u8>,
    pending: Vec<Op>,
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Op {
    /// Does it to some content, or to those of its sectors that `takes` agrees to.
    fn apply(&self, to: &mut Vec<u8>, mut takes: impl FnMut() -> bool) {
        match self {
            Self::SetLen(len) => {
                if takes() {
                    to.resize(*len, 0);
                }
            }
            Self::Write(offset, data) => {
                let end = offset + data.len();
                let mut at = *offset;
                while at < end {
                    let next = (at - at % SECTOR + SECTOR).min(end);
                    if takes() {
                        if to.len() < next {
                            to.resize(next, 0);
                        }
                        to[at..next].copy_from_slice(&data[at - offset..next - offset]);
                    }
                    at = next;
                }
            }
        }
    }
}

impl Content {
    fn record(&mut self, op: Op) {
        op.apply(&mut self.present, || true);
        self.pending.push(op);
    }

    fn sync(&mut self) {
        for op in std::mem::take(&mut self.pending) {
            op.apply(&mut self.durable, || true);
        }
    }

    /// What is found when power is lost and the chosen writes have come through.
    fn with(&self, mut takes: impl FnMut(usize) -> bool) -> Vec<u8> {
        let mut found = self.durable.clone();
        for (n, op) in self.pending.iter().enumerate() {
            if takes(n) {
                op.apply(&mut found, || true);
            }
        }
        found
    }

    /// The same with writes out of order and torn.
    fn torn(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut found = self.durable.clone();
        let mut pending: Vec<&Op> = self.pending.iter().collect();
        rng.shuffle(&mut pending);
        let whole = rng.f32();
        let sectors = rng.f32();
        for op in pending {
            if rng.f32() < whole {
                op.apply(&mut found, || true);
            } else {
                op.apply(&mut found, || rng.f32() < sectors);
            }
        }
        found
    }
}

impl Inner {
    /// Something happens to the disk: whether it works.
    fn happens(&mut self, sync: bool, troubles: &[Trouble], error: Errno) -> io::Result<()> {
        self.look(sync);
        let works = self.check(troubles, error);
        self.operations += 1;
        works
    }

    fn look(&mut self, sync: bool) {
        let Some(mut watch) = self.watch.take() else {
            return;
        };
        let mut under = vec![self.store_durable];
        if self.renamed {
            under.push(self.store);
        }
        for file in under {
            let Some(content) = file.and_then(|file| self.files.get(file)) else {
                watch.images.insert(None);
                continue;
            };
            watch.images.insert(Some(content.with(|_| false)));
            watch.images.insert(Some(content.with(|_| true)));
            let pending = content.pending.len();
            if sync && pending <= EXHAUSTIVE {
                for subset in 0..1_usize << pending {
                    let image = content.with(|n| subset & (1 << n) != 0);
                    watch.images.insert(Some(image));
                }
            } else if sync {
                for one in 0..pending {
                    watch.images.insert(Some(content.with(|n| n == one)));
                    watch.images.insert(Some(content.with(|n| n != one)));
                }
            }
            for _ in 0..watch.samples {
                watch.images.insert(Some(content.torn(&mut watch.rng)));
            }
        }
        self.watch = Some(watch);
    }

    fn check(&self, troubles: &[Trouble], error: Errno) -> io::Result<()> {
        let trouble = self.trouble.as_ref();
        let trouble = trouble.filter(|(_, when)| when.contains(&self.operations));
        match trouble.map(|(trouble, _)| *trouble) {
            Some(Trouble::Broken) => Err(Errno::IO.into()),
            Some(trouble) if troubles.contains(&trouble) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Disk {
    /// A disk that holds a store.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        let mut inner = lock(&disk.0.inner);
        inner.files.push(Content {
            durable: bytes.clone(),
            present: bytes,
            pending: Vec::new(),
        });
        inner.store = Some(0);
        inner.store_durable = Some(0);
        drop(inner);
        disk
    }

    pub(super) fn try_open(&self) -> Result<Store, EngineError> {
        Store::open_on(self.clone(), Path::new("test"), Namespace::default())
    }

    pub(super) fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    pub(super) fn set(&self, trouble: Option<Trouble>) {
        self.set_at(trouble, 0..u64::MAX);
    }

    /// Something goes wrong with some of what happens to the disk from now on, counted from 0.
    pub(super) fn set_at(&self, trouble: Option<Trouble>, when: Range<u64>) {
        let mut inner = lock(&self.0.inner);
        inner.trouble = trouble.map(|trouble| (trouble, when));
        inner.operations = 0;
    }

    pub(super) fn syncs(&self) -> u64 {
        lock(&self.0.inner).syncs
    }

    /// What is there now.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let inner = lock(&self.0.inner);
        inner.files[inner.store.unwrap()].present.clone()
    }

    /// Looks from now on at what could be found after a loss of power.
    pub(super) fn watch(&self, seed: u64, samples: usize) {
        lock(&self.0.inner).watch = Some(Watch {
            rng: fastrand::Rng::with_seed(seed),
            samples,
            images: BTreeSet::new(),
        });
    }

    /// All that could have been found since this was asked last.
    pub(super) fn images(&self) -> BTreeSet<Option<Vec<u8>>> {
        let mut inner = lock(&self.0.inner);
        inner.look(true);
        std::mem::take(&mut inner.watch.as_mut().unwrap().images)
    }

    /// Holds syncs back until [`Disk::release`].
    pub(super) fn hold(&self) {
        *lock(&self.0.closed) = true;
    }

    pub(super) fn release(&self) {
        *lock(&self.0.closed) = false;
        self.0.opened.notify_all();
    }

    fn with<T>(&self, file: usize, ask: impl FnOnce(&mut Content) -> T) -> T {
        ask(&mut lock(&self.0.inner).files[file])
    }
}

impl Medium for Disk {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let inner = lock(&self.0.inner);
        inner.check(&[], Errno::IO)?;
        Ok(inner.store.map(|file| inner.files[file].present.clone()))
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let inner = lock(&self.0.inner);
        inner.check(&[Trouble::ReadOnly], Errno::ROFS)?;
        let file = inner.store.ok_or(Errno::NOENT)?;
        Ok(Box::new(Handle(self.clone(), file)))
    }

    fn create(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut inner = lock(&self.0.inner);
        inner.check(&[Trouble::ReadOnly], Errno::ROFS)?;
        inner.check(&[Trouble::Full], Errno::NOSPC)?;
        inner.files.push(Content::default());
        let file = inner.files.len() - 1;
        inner.new = Some(file);
        Ok(Box::new(Handle(self.clone(), file)))
    }

    fn replace(&self) -> io::Result<()> {
        let mut inner = lock(&self.0.inner);
        inner.happens(false, &[Trouble::ReadOnly], Errno::ROFS)?;
        inner.store = inner.new.take();
        inner.renamed = true;
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = lock(&self.0.inner);
        inner.happens(true, &[Trouble::SyncFails], Errno::IO)?;
        inner.store_durable = inner.store;
        inner.renamed = false;
        Ok(())
    }

    fn keep(&self, _bytes: &[u8], suffix: &str) -> io::Result<PathBuf> {
        let inner = lock(&self.0.inner);
        inner.check(&[Trouble::ReadOnly], Errno::ROFS)?;
        inner.check(&[Trouble::Full], Errno::NOSPC)?;
        Ok(suffix.into())
    }
}

/// A file that is open.
#[derive(Debug)]
struct Handle(Disk, usize);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        let inner = lock(&self.0.0.inner);
        inner.check(&[], Errno::IO)?;
        Ok(inner.files[self.1].present.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = lock(&self.0.0.inner);
        inner.check(&[], Errno::IO)?;
        let offset = usize::try_from(offset).unwrap();
        let found = inner.files[self.1].present.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = lock(&self.0.0.inner);
        let len = usize::try_from(len).unwrap();
        if len > inner.files[self.1].present.len() {
            inner.check(&[Trouble::Full], Errno::NOSPC)?;
        }
        inner.happens(false, &[Trouble::ReadOnly], Errno::ROFS)?;
        drop(inner);
        self.0.with(self.1, |file| file.record(Op::SetLen(len)));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let closed = lock(&self.0.0.closed);
        drop(
            self.0
                .0
                .opened
                .wait_while(closed, |closed| *closed)
                .unwrap(),
        );
        let mut inner = lock(&self.0.0.inner);
        inner.syncs += 1;
        if let Err(error) = inner.happens(true, &[Trouble::SyncFails], Errno::IO) {
            // As Linux does: tried once, and then forgotten.
            inner.files[self.1].pending.clear();
            return Err(error);
        }
        inner.files[self.1].sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = lock(&self.0.0.inner);
        inner.happens(false, &[Trouble::ReadOnly], Errno::ROFS)?;
        let offset = usize::try_from(offset).unwrap();
        drop(inner);
        self.0
            .with(self.1, |file| file.record(Op::Write(offset, data.to_vec())));
        Ok(())
    }
}
