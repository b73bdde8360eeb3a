//! Those who read a log: each keeps its own place, by the numbers of lines.
//!
//! A line that is to come next and is not there makes a gap: what was removed, dropped or damaged
//! is told as [`LogEvent::Dropped`](provider_types::LogEvent::Dropped) by the same rule.

mod start;
mod window;

use std::fs::File;
use std::io;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use provider_types::{LogRequest, LogStream, ProviderError};
use tokio::sync::watch;

use self::window::Window;
use super::block::{self, Found};
use super::function_log::Progress;
use super::segments::Segments;
use super::{FunctionLog, LogDir, nanos};

/// How much is read at a time.
const READ_BYTES: u64 = 128 * 1024;

/// Answers a query.
pub(super) fn query(log: &Arc<FunctionLog>, request: &LogRequest) -> LogStream {
    let Some(dir) = log.held_dir() else {
        return stream::empty().boxed();
    };
    let reader = Reader {
        progress: log.progress.subscribe(),
        log: Arc::clone(log),
        dir,
        filter: Filter {
            instance: request.instance.clone(),
            since: request.since.map_or(0, nanos),
        },
        tail: request.tail,
        follow: request.follow,
        started: false,
        place: None,
        window: Window::default(),
    };
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        loop {
            if let Some(event) = reader.window.next(&reader.filter) {
                return Some((Ok(event), Some(reader)));
            }
            let handle = reader.log.shared.handle.clone();
            // Taken before looking, so that what comes while looking is seen afterwards.
            let progress = *reader.progress.borrow_and_update();
            let (filled, back) = handle
                .spawn_blocking(move || {
                    let filled = reader.fill(progress.closed);
                    (filled, reader)
                })
                .await
                .ok()?;
            reader = back;
            match filled {
                Ok(Filled::Some) => {}
                Ok(Filled::Nothing) => reader.progress.changed().await.ok()?,
                Ok(Filled::End) => return None,
                Err(error) => {
                    let error = ProviderError::internal("the log cannot be read").with_cause(error);
                    return Some((Err(error), None));
                }
            }
        }
    })
    .boxed()
}

/// Which lines are wanted.
#[derive(Debug)]
struct Filter {
    instance: Option<String>,
    /// The earliest time; 0 is all.
    since: u64,
}

impl Filter {
    fn wants(&self, instance: &str) -> bool {
        self.instance.as_deref().is_none_or(|it| it == instance)
    }
}

/// A reader's place in a log.
#[derive(Debug)]
struct Reader {
    log: Arc<FunctionLog>,
    /// Keeps the files of a function that is deleted meanwhile.
    dir: Arc<LogDir>,
    progress: watch::Receiver<Progress>,
    filter: Filter,
    tail: Option<usize>,
    follow: bool,
    /// The first line is known.
    started: bool,
    place: Option<Place>,
    window: Window,
}

/// A segment that is being read.
#[derive(Debug)]
struct Place {
    first: u64,
    time: u64,
    /// Where the window begins.
    offset: u64,
    /// Open while there is something to read.
    file: Option<File>,
}

/// What became of looking for more lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// There may be some now.
    Some,
    /// There are none yet.
    Nothing,
    /// There will be none.
    End,
}

/// What to do next.
enum Step {
    /// Read the place's segment, from the end of what was parsed up to there.
    Read(u64),
    /// All there is was read.
    AtEnd { end: u64, loss: bool },
}

// === impl Reader ===

impl Reader {
    /// Fills the window with what comes next. Blocks.
    fn fill(&mut self, closed: bool) -> io::Result<Filled> {
        if !self.started {
            self.start()?;
            self.started = true;
        }
        loop {
            if self.window.is_done() {
                let more = self.window.is_ready();
                return Ok(if more { Filled::Some } else { Filled::End });
            }
            let step = {
                let log = Arc::clone(&self.log);
                let mut files = log.files(&self.dir)?;
                self.step(&mut files.segments)?
            };
            match step {
                Step::Read(until) => {
                    if self.read(until)? {
                        return Ok(Filled::Some);
                    }
                }
                Step::AtEnd { end, loss } => {
                    if self.window.reach(end, loss) {
                        return Ok(Filled::Some);
                    }
                    if let Some(place) = &mut self.place {
                        place.file = None;
                    }
                    let ends = closed || !self.follow;
                    return Ok(if ends { Filled::End } else { Filled::Nothing });
                }
            }
        }
    }

    /// Finds what is to be read next.
    fn step(&mut self, segments: &mut Segments) -> io::Result<Step> {
        loop {
            let Some(place) = &mut self.place else {
                let Some(at) = segments.holding(self.window.next_number()) else {
                    return Ok(self.at_end(segments));
                };
                self.place = self.place_in(segments, at)?;
                continue;
            };
            let parsed = place.offset + self.window.parsed();
            let at = segments
                .list
                .iter()
                .position(|segment| (segment.first, segment.time) == (place.first, place.time));
            let bytes = match (at, &place.file) {
                (Some(at), _) => segments.list.get(at).map_or(0, |segment| segment.bytes),
                // It was removed, but not from those who have it open.
                (None, Some(file)) => file.metadata()?.len(),
                (None, None) => 0,
            };
            if parsed < bytes {
                return Ok(Step::Read(bytes));
            }
            self.place = match at {
                Some(at) if at + 1 < segments.list.len() => {
                    segments.list.get(at + 1).map(|next| Place {
                        first: next.first,
                        time: next.time,
                        offset: 0,
                        file: None,
                    })
                }
                Some(_) => return Ok(self.at_end(segments)),
                None => None,
            };
            self.window.clear();
        }
    }

    fn at_end(&self, segments: &Segments) -> Step {
        Step::AtEnd {
            end: segments.end,
            loss: segments.loss,
        }
    }

    /// The place in a segment from which the next line is found.
    fn place_in(&self, segments: &mut Segments, at: usize) -> io::Result<Option<Place>> {
        let next = self.window.next_number();
        let Some((first, time)) = segments.list.get(at).map(|it| (it.first, it.time)) else {
            return Ok(None);
        };
        let index = if next > first {
            segments.index(&self.dir.path, at)?
        } else {
            &[]
        };
        let before = index.partition_point(|mark| mark.first <= next);
        let mark = before.checked_sub(1).and_then(|at| index.get(at));
        Ok(Some(Place {
            first,
            time,
            offset: mark.map_or(0, |mark| mark.offset),
            file: None,
        }))
    }

    /// Reads on in the place's segment, which has blocks up to `end`; says whether there was one.
    fn read(&mut self, end: u64) -> io::Result<bool> {
        let Some(place) = &mut self.place else {
            return Ok(false);
        };
        let file = match &mut place.file {
            Some(file) => file,
            none => {
                let name = Segments::path(&self.dir.path, place.first, place.time);
                match File::open(name) {
                    Ok(file) => none.insert(file),
                    // It was removed just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.place = None;
                        self.window.clear();
                        return Ok(false);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        place.offset += self.window.parsed();
        let left = end - place.offset;
        for bytes in [READ_BYTES, u64::MAX] {
            let mut bytes = bytes.min(left);
            loop {
                self.window.read(file, place.offset, bytes)?;
                match block::read(self.window.bytes()) {
                    Found::Block(_) => return Ok(true),
                    Found::Part(size, _) if size as u64 > bytes && size as u64 <= left => {
                        bytes = size as u64;
                    }
                    Found::Part(..) | Found::Damage => break,
                }
            }
            // Damage: the next block that is whole may be anywhere in the rest.
            if let Some((skipped, _)) = block::find(self.window.bytes()) {
                self.window.skip(skipped);
                return Ok(true);
            }
        }
        self.window.skip_all();
        Ok(true)
    }
}
