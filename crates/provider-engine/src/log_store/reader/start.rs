//! Where a reader begins: what `since` and `tail` come to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::Reader;
use crate::log_store::PROMISED_LINES;
use crate::log_store::block::{self, Head};
use crate::log_store::segments::{Mark, Segments};

/// A segment as it was when the query came.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: u64,
    time: u64,
    bytes: u64,
}

impl Reader {
    /// Finds the first line. All that was put in before belongs to the history.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let log = Arc::clone(&self.log);
        let (seen, end, kept, last_time, loss) = {
            let files = log.files(&self.dir)?;
            let segments = &files.segments;
            let seen: Vec<Seen> = segments
                .list
                .iter()
                .map(|segment| Seen {
                    first: segment.first,
                    time: segment.time,
                    bytes: segment.bytes,
                })
                .collect();
            (
                seen,
                segments.end,
                segments.kept(),
                segments.last_time,
                segments.loss,
            )
        };
        let oldest = seen.first().map_or(end, |oldest| oldest.first);
        let since = self.filter.since;
        let all_time = seen.first().is_none_or(|oldest| since <= oldest.time);
        let lower = if all_time {
            oldest
        } else if since > last_time {
            end
        } else {
            self.first_since(&seen, end)?
        };
        let found = match self.tail {
            None => None,
            Some(0) => Some(end),
            Some(tail) => self.walk_back(&seen, lower, end, tail)?,
        };
        // That lines go is no news, but that fewer are there than are promised.
        let short = found.is_none() && all_time && kept < PROMISED_LINES;
        let next = found.unwrap_or(if short { 0 } else { lower });
        self.window.begin(next, found.is_some() || !all_time);
        if !self.follow {
            self.window.end_before(end, loss && self.tail != Some(0));
        }
        Ok(())
    }

    /// The number of the first line that is not older than is asked for, or of one a little before
    /// it in the same block.
    fn first_since(&self, seen: &[Seen], end: u64) -> io::Result<u64> {
        let since = self.filter.since;
        let before = seen.partition_point(|segment| segment.time < since);
        for segment in seen.get(before.saturating_sub(1)..).unwrap_or_default() {
            let index = self.index(*segment)?;
            let at = index.partition_point(|mark| mark.time <= since);
            let mut regions = regions(&index, segment.bytes);
            let mut found = None;
            for (start, stop) in regions.drain(at.saturating_sub(1)..) {
                let bytes = self.bytes(*segment, start, stop)?;
                let wanted = |(_, block): &(usize, block::Block<'_>)| {
                    block.head.count > 0 && block.head.last_time() >= since
                };
                found = block::all(&bytes).find(wanted).map(|(_, it)| it.head.first);
                if found.is_some() {
                    break;
                }
            }
            if let Some(first) = found {
                return Ok(first);
            }
        }
        Ok(end)
    }

    /// The number of the first of the newest `tail` lines that pass the filter, if there are so many
    /// between these two. Reads from the end, and no more than it must.
    fn walk_back(
        &self,
        seen: &[Seen],
        lower: u64,
        end: u64,
        tail: usize,
    ) -> io::Result<Option<u64>> {
        let mut wanted = tail as u64;
        for segment in seen.iter().rev() {
            let index = self.index(*segment)?;
            for (start, stop) in regions(&index, segment.bytes).into_iter().rev() {
                let bytes = self.bytes(*segment, start, stop)?;
                let heads: Vec<Head<'_>> = block::all(&bytes).map(|(_, it)| it.head).collect();
                for head in heads.into_iter().rev() {
                    if head.end() <= lower {
                        return Ok(None);
                    }
                    if head.end() > end {
                        continue;
                    }
                    if !self.filter.wants(head.instance) {
                        continue;
                    }
                    // Those that are too old are the first of the oldest block: they are left out
                    // when it is read.
                    let passing = u64::from(head.count);
                    if passing >= wanted {
                        return Ok(Some(head.end() - wanted));
                    }
                    wanted -= passing;
                }
            }
        }
        Ok(None)
    }

    /// The index of a segment; an empty one where it was removed meanwhile.
    fn index(&self, segment: Seen) -> io::Result<Vec<Mark>> {
        let mut files = self.log.files(&self.dir)?;
        let segments = &mut files.segments;
        let at = segments
            .list
            .iter()
            .position(|it| (it.first, it.time) == (segment.first, segment.time));
        match at {
            Some(at) => segments.index(&self.dir.path, at).map(<[Mark]>::to_vec),
            None => Ok(Vec::new()),
        }
    }

    /// Some bytes of a segment; none where it was removed meanwhile.
    fn bytes(&self, segment: Seen, start: u64, stop: u64) -> io::Result<Vec<u8>> {
        read(
            &Segments::path(&self.dir.path, segment.first, segment.time),
            start,
            stop,
        )
    }
}

/// The parts of a segment between the places in its index.
fn regions(index: &[Mark], bytes: u64) -> Vec<(u64, u64)> {
    let starts = index.iter().map(|mark| mark.offset);
    let stops = starts.clone().skip(1).chain([bytes]);
    starts
        .zip(stops)
        .filter(|(start, stop)| start < stop)
        .map(|(start, stop)| (start, stop.min(bytes)))
        .collect()
}

fn read(path: &Path, start: u64, stop: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(bytes),
        opened => opened?,
    };
    file.seek(SeekFrom::Start(start))?;
    file.take(stop - start).read_to_end(&mut bytes)?;
    Ok(bytes)
}
