//! How long the kit waits for what.

use std::time::Duration;

/// Every limit of a run, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection (5 s).
    pub connect: Duration,
    /// For each answer of the API or a function, and each piece of one (10 s).
    pub answer: Duration,
    /// For a deployed function to become available (30 s).
    pub ready: Duration,
    /// For a change to show in lists and statuses (10 s).
    pub settle: Duration,
    /// For what must come at once, such as a piece of a stream (2 s).
    pub prompt: Duration,
    /// How long nothing must come before it counts as nothing (300 ms).
    pub quiet: Duration,
    /// For one case, its cleaning not counted (90 s).
    pub case: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            ready: Duration::from_secs(30),
            settle: Duration::from_secs(10),
            prompt: Duration::from_secs(2),
            quiet: Duration::from_millis(300),
            case: Duration::from_secs(90),
        }
    }
}

impl Timeouts {
    /// All of them so many times as long, for a slow provider or a far one.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            connect: self.connect.mul_f64(factor),
            answer: self.answer.mul_f64(factor),
            ready: self.ready.mul_f64(factor),
            settle: self.settle.mul_f64(factor),
            prompt: self.prompt.mul_f64(factor),
            quiet: self.quiet.mul_f64(factor),
            case: self.case.mul_f64(factor),
        }
    }
}
