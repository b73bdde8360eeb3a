//! A function's command: how `fprocess` is split, and where its program is.
//!
//! No shell is involved. What only a shell would understand is refused with a hint, because it
//! would otherwise reach the program as a strange argument.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use thiserror::Error;

/// Where programs are looked for when the function's environment has no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command is not usable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is nothing in it but blanks.
    #[error("the command is empty: give a program and its arguments, separated by blanks")]
    Empty,
    /// It holds something that only a shell understands.
    #[error(
        "the command contains {found}, but it is split on blanks and not run by a shell: \
         put such a command into a script that starts with #!/bin/sh and name the script"
    )]
    NeedsShell {
        /// What was found, as it is to be read by a person.
        found: String,
    },
    /// It holds a NUL byte, which no argument can.
    #[error("the command contains a NUL byte")]
    Nul,
    /// No such program.
    #[error("there is no program {program:?} in {searched}")]
    NotFound {
        /// The program that was asked for.
        program: String,
        /// Where it was looked for.
        searched: String,
    },
    /// There is such a file, but it cannot be run.
    #[error("{path:?} is not executable: chmod +x makes it so")]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The program's name is that of something else than a file.
    #[error("{path:?} is not a file that could be run")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
}

/// Splits a command on runs of blanks (space, tab, line end) into a program and its arguments.
///
/// Quotes, pipes, redirections, command lists, background jobs, substitutions and variables are
/// refused, as no shell will read them. `&`, `?` and `=` inside an argument are fine, so that a
/// URL can be one.
///
/// ```
/// use provider_watchdog::split_command;
///
/// assert_eq!(split_command("node  index.js --url=http://db/?a=1&b=2")?.len(), 3);
/// assert!(split_command("sh -c 'date | wc'").is_err());
/// # Ok::<(), provider_watchdog::CommandError>(())
/// ```
///
/// # Errors
///
/// [`CommandError::Empty`], [`CommandError::NeedsShell`] or [`CommandError::Nul`].
pub fn split_command(command: &str) -> Result<Vec<String>, CommandError> {
    if command.contains('\0') {
        return Err(CommandError::Nul);
    }
    let parts: Vec<String> = command
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    if parts.is_empty() {
        return Err(CommandError::Empty);
    }
    match parts.iter().find_map(|part| shell_syntax(part)) {
        Some(found) => Err(CommandError::NeedsShell { found }),
        None => Ok(parts),
    }
}

/// Finds the file that a program's name means, as `execvp` would.
///
/// A name with a slash is a path, relative to `dir`; any other is looked for in the directories
/// of `path` (without one in [`DEFAULT_PATH`]). Relative directories in `path` start at `dir` too.
///
/// # Errors
///
/// [`CommandError::NotFound`], [`CommandError::NotExecutable`] or [`CommandError::NotAFile`].
pub fn find_program(
    program: &str,
    path: Option<&OsStr>,
    dir: &Path,
) -> Result<PathBuf, CommandError> {
    if program.contains('/') {
        let file = dir.join(program);
        return match runnable(&file) {
            Ok(true) => Ok(file),
            Ok(false) => Err(CommandError::NotFound {
                program: program.to_owned(),
                searched: format!("{}", file.parent().unwrap_or(dir).display()),
            }),
            Err(error) => Err(error),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut obstacle = None;
    for directory in std::env::split_paths(path) {
        let file = dir.join(directory).join(program);
        match runnable(&file) {
            Ok(true) => return Ok(file),
            Ok(false) => {}
            Err(error) => obstacle = obstacle.or(Some(error)),
        }
    }
    Err(obstacle.unwrap_or_else(|| CommandError::NotFound {
        program: program.to_owned(),
        searched: format!("PATH ({})", path.to_string_lossy()),
    }))
}

/// Whether there is such a file; an error when there is one that cannot be run.
fn runnable(file: &Path) -> Result<bool, CommandError> {
    let Ok(metadata) = std::fs::metadata(file) else {
        return Ok(false);
    };
    if !metadata.is_file() {
        return Err(CommandError::NotAFile {
            path: file.to_owned(),
        });
    }
    match access(file, Access::EXEC_OK) {
        Ok(()) => Ok(true),
        Err(_) => Err(CommandError::NotExecutable {
            path: file.to_owned(),
        }),
    }
}

/// What in an argument only a shell would understand, in words.
fn shell_syntax(part: &str) -> Option<String> {
    for quote in ['\'', '"', '`'] {
        if part.contains(quote) {
            return Some(format!("the quote {quote}"));
        }
    }
    if part.ends_with('\\') {
        return Some("an escaped blank (\\)".to_owned());
    }
    for operator in ["&&", "||", "|", ";", "<", ">", "$(", "${"] {
        if part.contains(operator) {
            return Some(format!("the shell operator {operator}"));
        }
    }
    if part.ends_with('&') {
        return Some("the shell operator &".to_owned());
    }
    let mut rest = part;
    while let Some((_, after)) = rest.split_once('$') {
        if after.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            return Some("a shell variable ($NAME)".to_owned());
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_of_any_kind_and_number_separate_arguments() {
        assert_eq!(
            split_command("  a\tb   c\n").unwrap(),
            ["a".to_owned(), "b".to_owned(), "c".to_owned()]
        );
    }

    #[test]
    fn a_command_without_a_program_is_refused() {
        assert_eq!(split_command(" \t "), Err(CommandError::Empty));
        assert_eq!(split_command("a\0b"), Err(CommandError::Nul));
    }

    #[test]
    fn what_needs_a_shell_is_refused_and_named() {
        for (command, named) in [
            ("sh -c 'date'", "the quote '"),
            ("echo \"a b\"", "the quote \""),
            ("echo `date`", "the quote `"),
            ("cat a | wc", "operator |"),
            ("a || b", "operator ||"),
            ("a && b", "operator &&"),
            ("a;b", "operator ;"),
            ("a > /tmp/x", "operator >"),
            ("a 2>&1", "operator >"),
            ("a < x", "operator <"),
            ("a &", "operator &"),
            ("a $(date)", "operator $("),
            ("a ${HOME}", "operator ${"),
            ("a $HOME", "variable"),
            ("a 5$_x", "variable"),
            ("a my\\ file", "escaped blank"),
        ] {
            let error = split_command(command).unwrap_err().to_string();
            assert!(error.contains(named), "{command}: {error}");
            assert!(error.contains("script"), "{command} gives no hint: {error}");
        }
    }

    #[test]
    fn what_a_shell_would_leave_alone_passes() {
        for command in ["a --u=http://x/?a=1&b=2", "grep ^a$", "a $5", "awk {print}"] {
            assert!(split_command(command).is_ok(), "{command}");
        }
    }

    #[test]
    fn a_program_is_found_in_the_path_given_and_nowhere_else() {
        let path = Some(OsStr::new("/nonexistent:/bin:/usr/bin"));
        let found = find_program("sh", path, Path::new("/")).unwrap();
        assert!(found.ends_with("sh") && found.is_absolute());
        let error = find_program("sh", Some(OsStr::new("/nonexistent")), Path::new("/"));
        assert!(matches!(error, Err(CommandError::NotFound { .. })));
    }

    #[test]
    fn a_path_starts_at_the_working_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "").unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let find = |name| find_program(name, None, dir.path());
        assert!(matches!(find("./none"), Err(CommandError::NotFound { .. })));
        assert!(matches!(find("./sub"), Err(CommandError::NotAFile { .. })));
        assert!(matches!(
            find("./plain"),
            Err(CommandError::NotExecutable { .. })
        ));
    }

    proptest! {
        #[test]
        fn what_is_split_holds_nothing_that_needs_a_shell(command in "[ -~\\t\\n]{0,40}") {
            if let Ok(parts) = split_command(&command) {
                prop_assert!(!parts.is_empty());
                for part in &parts {
                    prop_assert!(!part.is_empty());
                    prop_assert!(!part.contains([' ', '\t', '\n', '\'', '"', '`', '|', ';', '<', '>']));
                }
                prop_assert_eq!(split_command(&parts.join(" ")), Ok(parts));
            }
        }

        #[test]
        fn plain_words_come_back_as_they_were(words in prop::collection::vec("[a-zA-Z0-9_./:=?%@+,-]{1,8}", 1..6)) {
            prop_assert_eq!(split_command(&words.join("  ")), Ok(words));
        }
    }
}
