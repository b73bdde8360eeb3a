//! The segments of one function's log: files of blocks, the oldest first.
//!
//! A segment is named by the number and the time of its first line, so that a listing tells which
//! is wanted. Only the last one is written to, and it is never removed, as it says how far the
//! numbers went. A sparse index of each is made when it is first needed.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::block::{self, Found};

/// The form of blocks and names; files of another are left alone.
const SUFFIX: &str = ".v1";

/// How far apart the places in an index are.
const INDEX_STEP: u64 = 64 * 1024;

/// The segments of one function's log.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Whether `list` is known.
    listed: bool,
    /// Whether `end`, `last_time` and `loss` are known.
    recovered: bool,
    pub(super) list: VecDeque<Segment>,
    /// The number that the next line gets.
    pub(super) end: u64,
    /// The time of the last line.
    pub(super) last_time: u64,
    /// After the last block lines are missing that nobody could count.
    pub(super) loss: bool,
}

/// A file of blocks.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first line; lines before it that are not in the segment before are missing.
    pub(super) first: u64,
    /// The time of its first line.
    pub(super) time: u64,
    /// How many bytes of it hold blocks.
    pub(super) bytes: u64,
    /// Where blocks start, `INDEX_STEP` apart; `None` until it is needed.
    index: Option<Vec<Mark>>,
}

/// A place where a block starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    /// The number of the block's first line.
    pub(super) first: u64,
    /// The time of the block's first line.
    pub(super) time: u64,
}

// === impl Segments ===

impl Segments {
    /// Lists what is in the directory, once.
    pub(super) fn list(&mut self, dir: &Path) -> io::Result<()> {
        if self.listed {
            return Ok(());
        }
        let mut found = Vec::new();
        match fs::read_dir(dir) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    let name = entry.file_name();
                    let parsed = name.to_str().and_then(Segment::parse);
                    if let Some(mut segment) = parsed {
                        segment.bytes = entry.metadata()?.len();
                        found.push(segment);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        found.sort_by_key(|segment| (segment.first, segment.time));
        self.list = found.into();
        self.listed = true;
        Ok(())
    }

    /// Finds out, once, where the log ends: behind the last undamaged block.
    ///
    /// Nothing is changed on disk. The next write cuts off what is behind; until then every start
    /// finds the same.
    pub(super) fn recover(&mut self, dir: &Path) -> io::Result<()> {
        if self.recovered {
            return Ok(());
        }
        self.list(dir)?;
        if let Some(last) = self.list.back_mut() {
            let bytes = last.read_all(dir)?;
            let mut index = Index::default();
            let (mut end, mut last_time, mut good) = (last.first, last.time, 0);
            for (offset, found) in block::all(&bytes) {
                let head = found.head;
                index.add(offset as u64, head.first, head.time);
                end = end.max(head.end());
                last_time = last_time.max(head.last_time());
                good = offset + found.size;
            }
            let torn = bytes.get(good..).unwrap_or_default();
            match block::read(torn) {
                _ if torn.is_empty() => {}
                // The lines are lost, but not how many they were.
                Found::Part(_, Some(head)) if head.first >= end => end = head.end(),
                _ => self.loss = true,
            }
            last.index = Some(index.0);
            last.bytes = good as u64;
            self.end = end;
            self.last_time = last_time;
        }
        self.recovered = true;
        Ok(())
    }

    /// How many bytes all segments have.
    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.bytes).sum()
    }

    /// How many lines are kept or were dropped on the way, from the oldest that is kept.
    pub(super) fn kept(&self) -> u64 {
        let first = self.list.front().map_or(self.end, |oldest| oldest.first);
        self.end.saturating_sub(first)
    }

    /// How many lines would be kept without the oldest segment; at least so many, where the end is
    /// not known yet.
    pub(super) fn kept_without_oldest(&self) -> u64 {
        let end = self
            .end
            .max(self.list.back().map_or(0, |newest| newest.first));
        self.list.get(1).map_or(0, |next| end - next.first.min(end))
    }

    /// The segment to write to: its path, and the file with everything cut off that is no block.
    pub(super) fn open_last(&self, dir: &Path) -> io::Result<Option<File>> {
        let Some(last) = self.list.back() else {
            return Ok(None);
        };
        let path = last.path(dir);
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            // Somebody removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.set_len(last.bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Some(file))
    }

    /// Begins a new segment, whose first line gets that time.
    pub(super) fn begin(&mut self, dir: &Path, time: u64) -> io::Result<File> {
        let segment = Segment::new(self.end, time);
        let mut create = OpenOptions::new();
        create.write(true).create(true).truncate(true).mode(0o600);
        let path = segment.path(dir);
        let file = match create.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
                create.open(&path)?
            }
            opened => opened?,
        };
        // One that was removed by somebody, or is empty, gives way.
        self.list.retain(|old| old.first != segment.first);
        self.list.push_back(segment);
        Ok(file)
    }

    /// Notes that a block was written behind the last one.
    pub(super) fn wrote(&mut self, head: &block::Head<'_>, size: u64) {
        if let Some(last) = self.list.back_mut() {
            let index = last.index.get_or_insert_default();
            Index::push(index, last.bytes, head.first, head.time);
            last.bytes += size;
        }
        self.end = self.end.max(head.end());
        self.last_time = self.last_time.max(head.last_time());
        if head.loss {
            self.loss = false;
        }
    }

    /// Which segment holds a line: the last that begins at or before it, else the oldest.
    pub(super) fn holding(&self, number: u64) -> Option<usize> {
        let after = self.list.partition_point(|segment| segment.first <= number);
        (!self.list.is_empty()).then(|| after.saturating_sub(1))
    }

    /// Where the segment is that begins with that line and time.
    pub(super) fn path(dir: &Path, first: u64, time: u64) -> PathBuf {
        dir.join(format!("{first:020}-{time:020}{SUFFIX}"))
    }

    /// The index of a segment.
    pub(super) fn index(&mut self, dir: &Path, at: usize) -> io::Result<&[Mark]> {
        match self.list.get_mut(at) {
            Some(segment) => segment.index(dir),
            None => Ok(&[]),
        }
    }
}

// === impl Segment ===

impl Segment {
    fn new(first: u64, time: u64) -> Self {
        Self {
            first,
            time,
            bytes: 0,
            index: Some(Vec::new()),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let (first, time) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        Some(Self {
            first: first.parse().ok()?,
            time: time.parse().ok()?,
            bytes: 0,
            index: None,
        })
    }

    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        Segments::path(dir, self.first, self.time)
    }

    fn index(&mut self, dir: &Path) -> io::Result<&[Mark]> {
        if self.index.is_none() {
            let bytes = self.read_all(dir)?;
            let mut index = Index::default();
            for (offset, found) in block::all(&bytes) {
                index.add(offset as u64, found.head.first, found.head.time);
            }
            self.index = Some(index.0);
        }
        Ok(self.index.as_deref().unwrap_or_default())
    }

    fn read_all(&self, dir: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(dir))?
            .take(self.bytes)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// An index that is being made.
#[derive(Debug, Default)]
struct Index(Vec<Mark>);

impl Index {
    fn add(&mut self, offset: u64, first: u64, time: u64) {
        Self::push(&mut self.0, offset, first, time);
    }

    fn push(index: &mut Vec<Mark>, offset: u64, first: u64, time: u64) {
        let far = index
            .last()
            .is_none_or(|last| offset - last.offset >= INDEX_STEP);
        if far {
            index.push(Mark {
                offset,
                first,
                time,
            });
        }
    }
}
