//! Keeping a provider to stack files while they and the programs in them change.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use provider_types::FunctionRef;

use crate::apply::{Applier, Step};
use crate::inputs::{Inputs, Snapshot};
use crate::options::StackOptions;
use crate::problem::{Problem, StackError};
use crate::stack::Stack;
use crate::watches::Watches;

/// A program that changes so soon after it was deployed may have done that itself.
const SOON: Duration = Duration::from_secs(2);
/// So often in a row is no accident, nor a person.
const OFTEN: u32 = 5;
/// What failed for no reason of its own is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The longest that such a program waits to be deployed again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is told of the files.
#[derive(Debug)]
#[non_exhaustive]
pub enum News {
    /// They were read and applied; the steps are those of [`Applier::apply`].
    Applied(Vec<Step>),
    /// They were read; this is to be known of them. Told again only once it was mended.
    Warning(Problem),
    /// They cannot be used. What runs goes on, until they can.
    Broken(StackError),
    /// They can be used again, and say what they said before they could not.
    Mended,
    /// Something is not followed, or not at once, and why.
    NotFollowed(String),
}

/// Keeps a provider to stack files.
#[derive(Debug)]
pub struct Follower {
    files: Vec<PathBuf>,
    options: StackOptions,
    applier: Applier,
    /// `None` only while a blocking thread has them.
    watches: Option<Watches>,
    /// Once this is closed, waiting ends.
    _alive: UnixStream,
    programs: BTreeMap<FunctionRef, Followed>,
    /// What was remarked on the files the last time.
    warned: Vec<String>,
    not_followed: BTreeSet<String>,
}

/// What a program consists of and what that looked like.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    inputs: Inputs,
    snapshot: Snapshot,
}

/// A program as it was deployed.
#[derive(Debug)]
struct Followed {
    program: Program,
    revision: u64,
    at: Instant,
    /// How often in a row it changed soon after it was deployed.
    soon: u32,
}

/// What was seen at one look.
struct Look {
    stack: Result<Stack, StackError>,
    /// In the order of its functions.
    programs: Vec<Program>,
}

impl Follower {
    /// Follows files once it is run.
    ///
    /// # Errors
    /// When the system gives no more inotify instances (`fs.inotify.max_user_instances`).
    pub fn new(files: Vec<PathBuf>, options: StackOptions, applier: Applier) -> io::Result<Self> {
        let (_alive, end) = UnixStream::pair()?;
        Ok(Self {
            files,
            options,
            applier,
            watches: Some(Watches::new(end)?),
            _alive,
            programs: BTreeMap::new(),
            warned: Vec::new(),
            not_followed: BTreeSet::new(),
        })
    }

    /// Applies the files, and again each time that one of them changes, or a file that they name,
    /// or the program of a function. Goes on until it is dropped. Must run on a tokio runtime.
    ///
    /// A function whose files have changed is updated, others are not touched. Files that cannot
    /// be used change nothing. What the back-end could not do for now is tried again after a while.
    ///
    /// # Errors
    /// When the system does not tell of changes any more.
    pub async fn run(mut self, mut tell: impl FnMut(News)) -> io::Result<()> {
        let mut broken = false;
        loop {
            let look = self.look(&mut tell).await?;
            let mut next = None;
            match look.stack {
                Ok(mut stack) => {
                    self.warn(&stack, &mut tell);
                    next = self.revise(&mut stack, look.programs, &mut tell);
                    let steps = self.applier.apply(&stack).await;
                    for step in &steps {
                        if let Some(program) = self.programs.get_mut(&step.function) {
                            program.at = Instant::now();
                        }
                    }
                    if self.applier.is_unfinished() {
                        let again = Instant::now() + TRY_AGAIN;
                        next = Some(next.map_or(again, |next| next.min(again)));
                    }
                    if !steps.is_empty() {
                        tell(News::Applied(steps));
                    } else if broken {
                        tell(News::Mended);
                    }
                    broken = false;
                }
                Err(error) => {
                    broken = true;
                    tell(News::Broken(error));
                }
            }
            self.changed(next).await?;
        }
    }

    /// Looks at all files, after it is sure to hear when they change from then on.
    async fn look(&mut self, tell: &mut impl FnMut(News)) -> io::Result<Look> {
        let (files, options) = (self.files.clone(), self.options.clone());
        let (look, failure) = self
            .blocking(move |watches| {
                let mut looked = look(&files, &options, watches);
                // What was read before its directory was followed may be old by now.
                if watches.end() {
                    looked = look(&files, &options, watches);
                    watches.end();
                }
                (looked, watches.failure())
            })
            .await?;
        if let Some(error) = failure {
            let why = format!(
                "not every directory can be followed: {error}; fs.inotify.max_user_watches may \
                 be too low"
            );
            self.not_followed(why, tell);
        }
        Ok(look)
    }

    /// Tells what is to be known of the files and was not told the last time.
    fn warn(&mut self, stack: &Stack, tell: &mut impl FnMut(News)) {
        let warnings: Vec<_> = stack.warnings.iter().map(ToString::to_string).collect();
        for (warning, text) in stack.warnings.iter().zip(&warnings) {
            if !self.warned.contains(text) {
                tell(News::Warning(warning.clone()));
            }
        }
        self.warned = warnings;
    }

    fn not_followed(&mut self, why: String, tell: &mut impl FnMut(News)) {
        if self.not_followed.insert(why.clone()) {
            tell(News::NotFollowed(why));
        }
    }

    /// Gives each function whose program has changed a new revision. A program that changes each
    /// time it is deployed, as it writes to its own directory, waits longer and longer: gives when
    /// it is due.
    fn revise(
        &mut self,
        stack: &mut Stack,
        programs: Vec<Program>,
        tell: &mut impl FnMut(News),
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut before = std::mem::take(&mut self.programs);
        for (function, program) in stack.functions.iter_mut().zip(programs) {
            let name = &function.spec.function;
            if program.snapshot.cut {
                let why = format!("{name}: its directory holds too much, not all is followed");
                self.not_followed(why, tell);
            }
            let now = Instant::now();
            let followed = match before.remove(name) {
                None => Followed {
                    program,
                    revision: 0,
                    at: now,
                    soon: 0,
                },
                Some(before) if before.program == program => before,
                Some(before) => {
                    let due = before.at + pause(before.soon);
                    if now < due {
                        next = Some(next.map_or(due, |next| next.min(due)));
                        before
                    } else {
                        before.changed(name, program, now, tell)
                    }
                }
            };
            function.revision = followed.revision;
            self.programs.insert(name.clone(), followed);
        }
        next
    }

    /// Waits until it is time to look again.
    async fn changed(&mut self, next: Option<Instant>) -> io::Result<()> {
        let wait = next.map(|next| next.saturating_duration_since(Instant::now()));
        self.blocking(move |watches| watches.wait(wait)).await?
    }

    /// Does something that blocks, on a thread for that. Where the follower is dropped meanwhile,
    /// waiting ends.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Watches) -> T + Send + 'static,
    ) -> io::Result<T> {
        let Some(mut watches) = self.watches.take() else {
            return Err(io::Error::other("what was done before was given up"));
        };
        let working = tokio::task::spawn_blocking(move || (work(&mut watches), watches));
        let (done, watches) = working.await.map_err(io::Error::other)?;
        self.watches = Some(watches);
        Ok(done)
    }
}

impl Followed {
    fn changed(
        self,
        name: &FunctionRef,
        program: Program,
        now: Instant,
        tell: &mut impl FnMut(News),
    ) -> Self {
        let is_soon = now < self.at + pause(self.soon) + SOON;
        let soon = if is_soon { self.soon + 1 } else { 0 };
        if soon >= OFTEN {
            let path = self.program.snapshot.difference(&program.snapshot);
            tell(News::NotFollowed(format!(
                "{name} is deployed again and again, as {} changes: the next time in {} s at the \
                 earliest; let it write to its temporary directory, not to that of its program",
                path.unwrap_or(Path::new("its command")).display(),
                pause(soon).as_secs(),
            )));
        }
        Self {
            program,
            revision: self.revision + 1,
            at: now,
            soon,
        }
    }
}

/// How long a program is left alone that has changed so often soon after it was deployed.
fn pause(soon: u32) -> Duration {
    match soon.checked_sub(OFTEN) {
        None => Duration::ZERO,
        Some(more) => LONGEST_PAUSE.min(Duration::from_secs(2u64.saturating_pow(more + 1))),
    }
}

/// Reads all, and has followed all of it before it was read.
fn look(files: &[PathBuf], options: &StackOptions, watches: &mut Watches) -> Look {
    watches.begin();
    let stack = Stack::load(files, options);
    let looked_at = match &stack {
        Ok(stack) => &stack.looked_at,
        Err(error) => error.looked_at(),
    };
    for file in looked_at {
        watches.file(file);
    }
    let mut besides = looked_at.to_owned();
    if let Some(programs) = &options.programs {
        besides.extend(programs.ignored.iter().cloned());
    }
    let canonical: Vec<_> = besides
        .iter()
        .filter_map(|it| it.canonicalize().ok())
        .collect();
    besides.extend(canonical);

    let functions = stack.iter().flat_map(|stack| &stack.functions);
    let programs = functions
        .map(|function| {
            for path in &function.asked {
                watches.file(path);
            }
            let inputs = Inputs::of(function, options);
            let snapshot = inputs.look(watches, &besides);
            Program { inputs, snapshot }
        })
        .collect();
    Look { stack, programs }
}
