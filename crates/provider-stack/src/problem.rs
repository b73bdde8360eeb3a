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

impl Place {
    /// The place of a byte.
    pub(crate) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
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
    /// `problems` is not empty.
    pub(crate) fn new(problems: Vec<Problem>, looked_at: Vec<PathBuf>) -> Self {
        Self {
            problems,
            looked_at,
        }
    }

    /// All that is wrong, in the order of the files.
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
        for (byte, line, column) in [(0, 1, 1), (2, 1, 3), (3, 2, 1), (7, 2, 3), (9, 3, 1)] {
            assert_eq!(Place::of(text, byte), Place { line, column }, "{byte}");
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
