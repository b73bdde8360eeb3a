//! What everything that we build from may be licensed as, and where it comes from.
//!
//! `deny.toml` says the same to cargo-deny; a test keeps the two lists equal.

use std::collections::BTreeMap;

use crate::metadata::Metadata;

/// What may be linked into an MIT program without asking anybody.
const ALLOWED: [&str; 9] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// The one registry, by the name that cargo gives it whatever mirror it is read from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that are there in two versions until the crates named beside them move on.
const TWICE: [&str; 2] = [
    "base64", // wiremock, in tests only
    "syn",    // enumflags2_derive and tracing-attributes, at build time only
];

/// Must be nowhere: they need a C library or tool chain that a newcomer may not have.
const NEVER: [&str; 6] = [
    "openssl-sys",
    "native-tls",
    "aws-lc-sys",
    "cmake",
    "prost-build",
    "bindgen",
];

pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        let label = format!("{} {}", package.name, package.version);
        match &package.license {
            None => problems.push(format!("{label} states no licence")),
            Some(expression) if !allows(expression) => problems.push(format!(
                "{label} is licensed as {expression}, which xtask/src/tidy/licences.rs does not list"
            )),
            Some(_) => {}
        }
        if let Some(source) = &package.source
            && source != REGISTRY
        {
            problems.push(format!("{label} comes from {source}, not from crates.io"));
        }
        if NEVER.contains(&package.name.as_str()) {
            problems.push(format!(
                "{label} needs a C library or tool chain; do without it"
            ));
        }
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    for (name, found) in versions {
        if found.len() == 1 && TWICE.contains(&name) {
            problems.push(format!(
                "{name} is built once again: take it off the list in xtask/src/tidy/licences.rs"
            ));
        }
        if found.len() > 1 && !TWICE.contains(&name) {
            problems.push(format!(
                "{name} is built in {} versions: {}",
                found.len(),
                found.join(", ")
            ));
        }
    }
    problems
}

/// Whether an SPDX expression leaves a choice that is allowed: one side of an `OR`, both of an
/// `AND`. Old manifests write `/` for `OR`.
fn allows(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) && rest.is_empty()
}

fn either(words: &mut &[&str]) -> bool {
    let mut allowed = both(words);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        allowed |= both(words);
    }
    allowed
}

fn both(words: &mut &[&str]) -> bool {
    let mut allowed = one(words);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let allowed = either(words);
            if let [")", rest @ ..] = *words {
                *words = rest;
                allowed
            } else {
                false
            }
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::root;

    #[test]
    fn a_choice_needs_one_side_and_a_sum_needs_both() {
        for right in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "MIT AND BSD-3-Clause",
            "(GPL-3.0 OR MIT) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(allows(right), "{right}");
        }
        for wrong in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR GPL-3.0) AND LGPL-2.1",
            "(MIT",
            "MIT MIT",
            "MIT WITH strange-exception",
        ] {
            assert!(!allows(wrong), "{wrong}");
        }
    }

    #[test]
    fn cargo_deny_is_told_the_same() {
        let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
        for licence in ALLOWED {
            assert!(text.contains(&format!("\"{licence}\",")), "{licence}");
        }
        for name in NEVER.iter().chain(&TWICE) {
            assert!(text.contains(&format!("\"{name}\"")), "{name}");
        }
        let listed = text
            .lines()
            .skip_while(|line| *line != "allow = [")
            .skip(1)
            .take_while(|line| *line != "]")
            .count();
        assert_eq!(listed, ALLOWED.len());
    }

    #[test]
    fn a_foreign_source_a_missing_licence_and_a_second_version_are_problems() {
        let package = |name: &str, version: &str, licence: Option<&str>, source: Option<&str>| {
            serde_json::json!({
                "id": format!("{name} {version}"), "name": name, "version": version,
                "license": licence, "source": source, "manifest_path": "",
                "dependencies": [],
            })
        };
        let metadata = serde_json::from_value(serde_json::json!({
            "workspace_members": [],
            "packages": [
                package("ours", "0.1.0", Some("MIT"), None),
                package("twice", "1.0.0", Some("MIT"), Some(REGISTRY)),
                package("twice", "2.0.0", Some("MIT"), Some(REGISTRY)),
                package("bare", "1.0.0", None, Some(REGISTRY)),
                package("cmake", "1.0.0", Some("MIT"), Some("git+https://example.com/cmake")),
            ],
            "resolve": { "nodes": [] },
        }))
        .unwrap();
        assert_eq!(
            check(&metadata),
            [
                "bare 1.0.0 states no licence",
                "cmake 1.0.0 comes from git+https://example.com/cmake, not from crates.io",
                "cmake 1.0.0 needs a C library or tool chain; do without it",
                "twice is built in 2 versions: 1.0.0, 2.0.0",
            ]
        );
    }
}
