//! The table that closes a run of `cargo xtask ci`.

use std::fmt::Write;
use std::time::Duration;

use super::BY_FAR;

/// How a stage ended.
#[derive(Debug)]
pub(super) enum Ended {
    Passed,
    Failed(String),
    NotRun(String),
}

/// One stage in the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) budget: Duration,
    pub(super) took: Duration,
    pub(super) ended: Ended,
}

impl Row {
    /// A stage that could not run is no failure, and no pass either; being over budget is one when
    /// it is by far.
    pub(super) fn counts_as_failure(&self) -> bool {
        match self.ended {
            Ended::Failed(_) => true,
            Ended::Passed => self.took > self.budget * BY_FAR,
            Ended::NotRun(_) => false,
        }
    }

    fn verdict(&self) -> String {
        match &self.ended {
            Ended::Failed(reason) => {
                let first = reason.lines().next().unwrap_or_default();
                format!("FAILED: {first}")
            }
            Ended::NotRun(reason) => format!("not run: {reason}"),
            Ended::Passed if self.counts_as_failure() => "FAILED: far over its budget".to_owned(),
            Ended::Passed if self.took > self.budget => "passed, over its budget".to_owned(),
            Ended::Passed => "passed".to_owned(),
        }
    }
}

/// A line for each stage, and their sum.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<10}{:>9}{:>9}  result\n", "stage", "took", "budget");
    for row in rows {
        let _ = writeln!(
            text,
            "{:<10}{:>8.1}s{:>8}s  {}",
            row.name,
            row.took.as_secs_f64(),
            row.budget.as_secs(),
            row.verdict()
        );
    }
    let took: Duration = rows.iter().map(|row| row.took).sum();
    let budget: Duration = rows.iter().map(|row| row.budget).sum();
    let _ = writeln!(
        text,
        "{:<10}{:>8.1}s{:>8}s",
        "all",
        took.as_secs_f64(),
        budget.as_secs()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(took: u64, ended: Ended) -> Row {
        Row {
            name: "stage",
            budget: Duration::from_secs(10),
            took: Duration::from_secs(took),
            ended,
        }
    }

    #[test]
    fn a_stage_somewhat_over_its_budget_passes_and_one_far_over_it_fails() {
        assert!(!row(11, Ended::Passed).counts_as_failure());
        assert!(table(&[row(11, Ended::Passed)]).contains("passed, over its budget"));
        assert!(row(31, Ended::Passed).counts_as_failure());
        assert!(table(&[row(31, Ended::Passed)]).contains("FAILED: far over its budget"));
    }

    #[test]
    fn a_stage_that_could_not_run_is_never_shown_as_passed() {
        let text = table(&[row(0, Ended::NotRun("no Go".to_owned()))]);
        assert!(text.contains("not run: no Go"), "{text}");
        assert!(!text.contains("passed"), "{text}");
    }

    #[test]
    fn the_table_shows_the_first_line_of_a_failure_and_the_sum() {
        let text = table(&[
            row(3, Ended::Failed("the reason\nmore".to_owned())),
            row(4, Ended::Passed),
        ]);
        assert!(text.contains("FAILED: the reason\n"), "{text}");
        assert!(!text.contains("more"), "{text}");
        assert!(text.contains("all            7.0s      20s"), "{text}");
    }
}
