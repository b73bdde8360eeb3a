//! Series that are written as they are read, for one scrape, and kept nowhere.

use std::fmt::{Display, Write as _};

use provider_types::FunctionRef;

/// Adds a series to a text of series: each sample is its labels, in braces or empty, and a value.
pub(super) fn write(
    out: &mut String,
    (name, kind, help): (&str, &str, &str),
    samples: impl IntoIterator<Item = (String, impl Display)>,
) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

/// The labels of a function.
pub(super) fn labels(function: &FunctionRef) -> String {
    let FunctionRef { namespace, name } = function;
    format!("{{function=\"{name}\",namespace=\"{namespace}\"}}")
}
