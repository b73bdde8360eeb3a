//! What is wrong with a stack, and where.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A place in a text file, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Where the lines of a text begin, to find places without counting from its start each time.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self([0].into_iter().chain(after_breaks).collect())
    }

    /// The place of a byte of that text.
    pub(crate) fn place(&self, text: &str, byte: usize) -> Place {
        let line = self.0.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|line| self.0.get(line));
        let start = start.copied().unwrap_or_default();
        let before = text.get(start..byte).unwrap_or_default();
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }
}

/// Something wrong, or something to know, shown as `FILE:LINE:COLUMN: message`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Problem {
    /// The file it is in.
    pub file: PathBuf,
    /// Where in the file; `None` where all of it is meant.
    pub place: Option<Place>,
    /// What is wrong and what would be right.
    pub message: String,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Problem {
    pub(crate) fn new(
        file: impl Into<PathBuf>,
        place: Option<Place>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            place,
            message: message.into(),
            cause: None,
        }
    }

    pub(crate) fn because(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl StdError for Problem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let cause = self.cause.as_deref()?;
        Some(cause)
    }
}

/// Why stack files cannot be used: everything that was found wrong with them, one a line.
#[derive(Debug, Clone)]
pub struct StackError {
    problems: Vec<Problem>,
    looked_at: Vec<PathBuf>,
}

impl StackError {
    /// `problems` is not empty. Those of one file are told in the order of its lines.
    pub(crate) fn new(mut problems: Vec<Problem>, looked_at: Vec<PathBuf>) -> Self {
        let mut files: Vec<PathBuf> = Vec::new();
        for problem in &problems {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        problems.sort_by_cached_key(|problem| {
            let file = files.iter().position(|file| *file == problem.file);
            (file, problem.place)
        });
        Self {
            problems,
            looked_at,
        }
    }

    /// All that is wrong, file by file, in the order of the lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Every file that was looked for, there or not: when one of them changes, it is worth another
    /// try.
    #[must_use]
    pub fn looked_at(&self) -> &[PathBuf] {
        &self.looked_at
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl StdError for StackError {
    /// The cause of the only problem; where there are several, each has its own.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.problems.as_slice() {
            [only] => only.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let text = "ab\näöx\n";
        let lines = Lines::of(text);
        for (byte, line, column) in [(0, 1, 1), (2, 1, 3), (3, 2, 1), (7, 2, 3), (9, 3, 1)] {
            assert_eq!(lines.place(text, byte), Place { line, column }, "{byte}");
        }
    }

    #[test]
    fn the_cause_is_not_said_twice() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let problem = Problem::new("a.yaml", None, "cannot be read").because(missing);
        assert_eq!(problem.to_string(), "a.yaml: cannot be read");
        let error = StackError::new(vec![problem], Vec::new());
        assert!(error.source().is_some());
    }
}
