//! What every `Cargo.toml` says, and what it inherits.

use super::tree::File;
use crate::metadata::Metadata;
use crate::runner::root;

/// Lines that every member has.
const INHERITED: [&str; 4] = [
    "version.workspace = true",
    "edition.workspace = true",
    "license.workspace = true",
    "authors.workspace = true",
];

/// The oldest Rust that builds what is not of the SDK; the SDK's is the workspace's.
pub(crate) const RUST_BESIDE_THE_SDK: &str = "1.90";

/// What a manifest states as its oldest Rust.
pub(crate) fn rust_version(manifest: &str) -> Option<&str> {
    manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .map(|version| version.trim_matches('"'))
}

pub(super) fn check(metadata: &Metadata, files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in metadata.members() {
        let folder = member.folder();
        let Some(manifest) = files
            .iter()
            .find(|file| root().join(&file.path) == member.manifest_path)
        else {
            problems.push(format!("{} has no manifest in the tree", member.name));
            continue;
        };
        if folder
            .file_name()
            .is_none_or(|name| name != member.name.as_str())
        {
            problems.push(format!(
                "{}: the folder is not called {}",
                manifest.path, member.name
            ));
        }
        problems.extend(broken(manifest));
    }
    problems
}

/// The rules of one manifest.
fn broken(manifest: &File) -> Vec<String> {
    let path = &manifest.path;
    let lines: Vec<&str> = manifest.text.lines().map(str::trim_end).collect();
    let has = |line: &str| lines.contains(&line);
    let mut problems = Vec::new();
    let mut want = |line: &str| problems.push(format!("{path}: say `{line}`"));

    for line in INHERITED.into_iter().filter(|line| !has(line)) {
        want(line);
    }
    if !has("rust-version.workspace = true")
        && rust_version(&manifest.text) != Some(RUST_BESIDE_THE_SDK)
    {
        want("rust-version.workspace = true");
    }
    if !lines.iter().any(|line| line.starts_with("description = ")) {
        want("description = …");
    }
    if !manifest.text.contains("[lints]\nworkspace = true") {
        want("[lints] workspace = true");
    }
    if !path.starts_with("crates/") && !has("publish = false") {
        want("publish = false");
    }

    let mut in_dependencies = false;
    for line in lines {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies
            && line.contains('=')
            && line.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !line.contains("workspace = true")
        {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            problems.push(format!(
                "{path}: {name} states its own version; declare it in the root's \
                 [workspace.dependencies] and inherit it"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\ndescription = \"X\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        authors.workspace = true\n\n[dependencies]\nserde.workspace = true\n\n[lints]\nworkspace = true\n";

    fn broken_in(path: &str, text: &str) -> Vec<String> {
        broken(&File {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_right() {
        assert_eq!(broken_in("crates/x/Cargo.toml", GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_missing_line_is_named() {
        for line in INHERITED {
            let problems = broken_in(
                "crates/x/Cargo.toml",
                &GOOD.replace(&format!("\n{line}"), ""),
            );
            assert_eq!(problems, [format!("crates/x/Cargo.toml: say `{line}`")]);
        }
        let problems = broken_in(
            "crates/x/Cargo.toml",
            &GOOD.replace("[lints]\nworkspace = true", ""),
        );
        assert_eq!(
            problems,
            ["crates/x/Cargo.toml: say `[lints] workspace = true`"]
        );
    }

    #[test]
    fn only_crates_are_published() {
        let problems = broken_in("bins/x/Cargo.toml", GOOD);
        assert_eq!(problems, ["bins/x/Cargo.toml: say `publish = false`"]);
    }

    #[test]
    fn a_version_of_its_own_is_a_problem() {
        let text = GOOD.replace("serde.workspace = true", "serde = { version = \"1\" }");
        let problems = broken_in("crates/x/Cargo.toml", &text);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].contains("serde states its own version"),
            "{problems:?}"
        );
    }
}
