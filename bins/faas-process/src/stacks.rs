//! The functions of stack files: read before anything is opened, applied once the provider listens.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use provider_engine::Engine;
use provider_http::Config;
use provider_stack::{Applier, Follower, News, Problem, Programs, Stack, StackOptions, Step};
use provider_types::Progress;
use runtime_process::WORKING_DIRECTORY_ANNOTATION;
use tokio::task::JoinHandle;

use crate::failure::{Failure, Kind, OrFail as _};

/// Stack files that were right when the provider was started.
#[derive(Debug)]
pub(crate) struct Stacks {
    files: Vec<PathBuf>,
    /// Whether to keep to them when they change.
    watch: bool,
    options: StackOptions,
    stack: Stack,
}

/// How stack files are read here: with our environment, for local programs.
pub(crate) fn options(http: &Config) -> StackOptions {
    let mut programs = Programs::new(WORKING_DIRECTORY_ANNOTATION);
    programs.search_path = env::var("PATH").unwrap_or_default();
    let mut options = StackOptions::default();
    options.default_namespace = http.default_namespace.clone();
    // A name or value that is no text cannot be meant.
    options.variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    options.working_dir = env::current_dir().ok();
    options.programs = Some(programs);
    options
}

impl Stacks {
    /// Reads the files; none is none.
    pub(crate) fn read(
        files: Vec<PathBuf>,
        watch: bool,
        options: StackOptions,
    ) -> Result<Option<Self>, Failure> {
        if files.is_empty() {
            return match watch {
                true => Err(Failure::usage(
                    "--watch follows stack files, and there is none: name one with --stack FILE",
                )),
                false => Ok(None),
            };
        }
        let stack = Stack::load(&files, &options).or_fail(Kind::Usage)?;
        Ok(Some(Self {
            files,
            watch,
            options,
            stack,
        }))
    }

    /// Deploys what is in the files, and goes on with what becomes of them where that is wanted.
    /// The log says what is done.
    pub(crate) fn keep(&self, engine: &Arc<Engine>) -> Result<JoinHandle<()>, Failure> {
        let mut applier = Applier::new(engine.clone())
            .secrets(engine.clone())
            .namespaces(engine.clone());
        if self.watch {
            let (files, options) = (self.files.clone(), self.options.clone());
            let follower = Follower::new(files, options, applier).or_fail(Kind::Running)?;
            return Ok(tokio::spawn(async move {
                if let Err(error) = follower.run(tell).await {
                    tracing::error!(%error, "changes of the stack files are no longer seen");
                }
            }));
        }
        let stack = self.stack.clone();
        Ok(tokio::spawn(async move {
            stack
                .warnings
                .iter()
                .cloned()
                .map(News::Warning)
                .for_each(tell);
            tell(News::Applied(applier.apply(&stack).await));
        }))
    }
}

impl fmt::Display for Stacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self
            .files
            .iter()
            .map(|it| it.display().to_string())
            .collect();
        let functions = self.stack.functions.len();
        let plural = if functions == 1 { "" } else { "s" };
        write!(f, "{functions} function{plural} of {}", files.join(" and "))?;
        f.write_str(match self.watch {
            true => ", followed: what is saved is deployed, and the log says so",
            false => "; the log says what is deployed",
        })
    }
}

/// Puts news into the log.
fn tell(news: News) {
    match news {
        News::Applied(steps) => steps.into_iter().for_each(told),
        News::Warning(problem) => tracing::warn!("{}", whole(problem)),
        News::Broken(error) => {
            for problem in error.problems() {
                tracing::error!("{}", whole(problem.clone()));
            }
            tracing::error!("the stack cannot be used like this: what runs goes on");
        }
        News::Mended => tracing::info!("the stack can be used again: nothing in it is new"),
        News::NotFollowed(why) => tracing::warn!("{why}"),
        other => tracing::info!("{other:?}"),
    }
}

fn told(step: Step) {
    let function = step.function;
    for warning in step.warnings {
        tracing::warn!("{function}: {warning}");
    }
    match step.outcome {
        Ok(change) if step.progress == Progress::Done => tracing::info!("{function} {change}"),
        Ok(change) => tracing::info!("{function} {change}, not yet ready"),
        Err(problem) => tracing::error!("{}", whole(problem)),
    }
}

/// A problem with its causes, in one line.
fn whole(problem: Problem) -> String {
    format!("{:#}", anyhow::Error::new(problem))
}
