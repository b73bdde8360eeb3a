//! Which directories are watched, for what, and whether something happened there.
//!
//! Directories and not files: an editor that saves by renaming a new file over the old one would
//! take a watched file away. An event only says that it is time to look again.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::read_link;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// It is time to look again once nothing has happened for so long: a save is more than one event.
const QUIET: Duration = Duration::from_millis(100);
/// And at the latest so long after the first event.
const LATEST: Duration = Duration::from_secs(2);

/// No more links than this are followed on the way to one file.
const MOST_LINKS: usize = 16;

/// What is looked at in one directory.
#[derive(Debug, Default)]
struct Interest {
    /// Everything that counts as part of a program.
    all: bool,
    names: BTreeSet<OsString>,
}

/// The watched directories.
#[derive(Debug)]
pub(crate) struct Watches {
    end: UnixStream,
    inotify: OwnedFd,
    directories: HashMap<i32, Interest>,
    /// Those that were not watched before.
    new: usize,
    /// Why a directory is not watched, the first one.
    failed: Option<io::Error>,
}

impl Watches {
    /// Waiting ends when the other side of `end` is closed.
    pub(crate) fn new(end: UnixStream) -> io::Result<Self> {
        Ok(Self {
            end,
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            directories: HashMap::new(),
            new: 0,
            failed: None,
        })
    }

    /// Forgets what is of interest; the directories stay watched until [`Watches::end`].
    pub(crate) fn begin(&mut self) {
        for interest in self.directories.values_mut() {
            *interest = Interest::default();
        }
        self.new = 0;
        self.failed = None;
    }

    /// Follows a file that may or may not be there, what it is a link to, and the links on the way:
    /// each may be made to lead elsewhere.
    pub(crate) fn file(&mut self, path: &Path) {
        self.name(path);
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let mut links = path.ancestors().filter(|it| it.is_symlink());
            let Some(link) = links.next() else { return };
            let target = read_link(link).unwrap_or_default();
            let end = path.strip_prefix(link).unwrap_or(Path::new(""));
            let next = link.parent().unwrap_or(link).join(target).join(end);
            for link in [link].into_iter().chain(links) {
                self.name(link);
            }
            self.name(&next);
            path = next;
        }
    }

    /// Follows a name in its directory, or the first directory on the way that is missing.
    fn name(&mut self, path: &Path) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if parent.is_dir() {
            if let Some(interest) = self.directory(parent) {
                interest.names.insert(name.to_owned());
            }
        } else {
            self.name(parent);
        }
    }

    /// Follows everything in a directory, but not in those below it.
    pub(crate) fn everything_in(&mut self, directory: &Path) {
        if let Some(interest) = self.directory(directory) {
            interest.all = true;
        }
    }

    fn directory(&mut self, path: &Path) -> Option<&mut Interest> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => {
                if !self.directories.contains_key(&watch) {
                    self.new += 1;
                }
                Some(self.directories.entry(watch).or_default())
            }
            // One that went away meanwhile is told of by its parent.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => None,
            Err(error) => {
                self.failed.get_or_insert(error.into());
                None
            }
        }
    }

    /// Stops watching what is of no interest any more. Whether directories came in that were not
    /// watched before: what was seen of them until then may be old.
    pub(crate) fn end(&mut self) -> bool {
        self.directories.retain(|watch, interest| {
            let kept = interest.all || !interest.names.is_empty();
            if !kept {
                // It may have gone with its directory.
                let _ = inotify::remove_watch(&self.inotify, *watch);
            }
            kept
        });
        self.new > 0
    }

    /// Why a directory is not watched, if one is not.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Waits until something has happened that is of interest and nothing more does, or until so
    /// much time has passed.
    pub(crate) fn wait(&mut self, most: Option<Duration>) -> io::Result<()> {
        let until = most.map(|most| Instant::now() + most);
        if !self.event(until)? {
            return Ok(());
        }
        let latest = Instant::now() + LATEST;
        while Instant::now() < latest && self.event(Some(Instant::now() + QUIET))? {}
        Ok(())
    }

    /// Waits for something of interest; whether there was.
    fn event(&mut self, until: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(Timespec::try_from).transpose();
            let left = left.map_err(io::Error::other)?;
            let mut fds = [
                PollFd::new(&self.inotify, PollFlags::IN),
                PollFd::new(&self.end, PollFlags::IN),
            ];
            match poll(&mut fds, left.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let ended = fds.last().is_some_and(|end| !end.revents().is_empty());
            if ended || self.read()? {
                return Ok(!ended);
            }
        }
    }

    /// Reads what happened; whether any of it is of interest.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut interesting = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => return Ok(interesting),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                interesting = true;
                continue;
            }
            let Some(interest) = self.directories.get(&event.wd()) else {
                continue;
            };
            interesting |= match event.file_name() {
                Some(name) => {
                    let name = OsStr::from_bytes(name.to_bytes());
                    interest.names.contains(name)
                        || interest.all && counts(name, flags.contains(ReadFlags::ISDIR))
                }
                // Of the directory itself: it was moved or is gone.
                None => !flags.contains(ReadFlags::ATTRIB),
            };
            if flags.contains(ReadFlags::IGNORED) {
                self.directories.remove(&event.wd());
            }
        }
    }
}

/// Whether a file or directory of that name is part of a program, and no tool's or editor's own.
pub(crate) fn counts(name: &OsStr, is_directory: bool) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    if is_directory {
        return !name.starts_with('.')
            && !matches!(name, "node_modules" | "target" | "__pycache__");
    }
    let is_temporary = name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".swx")
        || name.ends_with(".tmp")
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        // Vim tries with this name whether it can write to a directory.
        || name == "4913";
    !is_temporary
}
