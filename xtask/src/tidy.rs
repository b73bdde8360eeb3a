//! `cargo xtask tidy`: the rules about the tree that no compiler knows.
//!
//! Each rule gives a line for everything that breaks it; a line names the place and what would be
//! right. The rules also run as a test of this package.

mod documents;
mod edges;
mod files;
mod licences;
mod manifests;
mod tree;

use anyhow::{Result, bail};

pub(crate) use manifests::{RUST_BESIDE_THE_SDK, rust_version};

use crate::metadata::Metadata;
use crate::runner::root;

/// Checks every rule.
///
/// # Errors
/// When one is broken; all that is wrong has been printed.
pub(crate) fn run() -> Result<()> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} rules of the tree are broken", problems.len());
    }
    println!("tidy: every rule holds");
    Ok(())
}

fn problems() -> Result<Vec<String>> {
    let metadata = Metadata::load()?;
    let files = tree::read(root())?;
    Ok([
        edges::check(&metadata),
        manifests::check(&metadata, &files),
        licences::check(&metadata),
        files::check(&files),
        documents::check(&metadata, &files),
    ]
    .concat())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_keeps_every_rule() {
        let problems = super::problems().unwrap();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
