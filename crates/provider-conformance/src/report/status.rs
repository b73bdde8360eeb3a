//! What can become of a requirement, and of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a requirement or a case. A later one outweighs an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// It was said beforehand that it cannot apply, or it cannot here.
    NotApplicable,
    /// What it needs is not declared.
    Skip,
    /// No case judges it.
    Uncovered,
    /// It holds.
    Pass,
    /// The user of the kit switched it off.
    Disabled,
    /// The case did not come so far, because of something else.
    Unreached,
    /// A SHOULD that does not hold.
    Warn,
    /// It does not hold, which was said beforehand, with a reason and an end date.
    KnownDeviation,
    /// A MUST that does not hold.
    Fail,
    /// The kit failed.
    Error,
}

impl Status {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Self; 10] = [
        Self::Error,
        Self::Fail,
        Self::KnownDeviation,
        Self::Warn,
        Self::Unreached,
        Self::Disabled,
        Self::Pass,
        Self::Uncovered,
        Self::Skip,
        Self::NotApplicable,
    ];

    /// As `report.json` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotApplicable => "not-applicable",
            Self::Skip => "skip",
            Self::Uncovered => "uncovered",
            Self::Pass => "pass",
            Self::Disabled => "disabled",
            Self::Unreached => "unreached",
            Self::Warn => "warn",
            Self::KnownDeviation => "known-deviation",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What all of a run comes to. There is no score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every MUST of what is declared holds, but for known deviations.
    Conformant,
    /// Nothing failed, but not every MUST of what is declared was judged.
    Partial,
    /// A MUST of what is declared does not hold.
    NonConformant,
    /// The kit failed, so that nothing can be said.
    Error,
}

impl Verdict {
    /// As `report.json` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conformant => "conformant",
            Self::Partial => "partial",
            Self::NonConformant => "non-conformant",
            Self::Error => "error",
        }
    }

    /// The exit code of the binary: 0, 1 where the provider is to blame or not all was judged, 2
    /// where the kit is.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Conformant => 0,
            Self::Partial | Self::NonConformant => 1,
            Self::Error => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
