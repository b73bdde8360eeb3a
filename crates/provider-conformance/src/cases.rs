//! The cases, by area.

mod functions;

use crate::case::Case;

/// Every case of the kit.
#[must_use]
pub fn all() -> Vec<Case> {
    let lists = [functions::CASES];
    lists.concat()
}

#[cfg(test)]
mod tests;
