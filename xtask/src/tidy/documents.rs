//! What the documents must have: a README a crate, examples that run, links that lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::tree::File;
use crate::metadata::Metadata;
use crate::runner::root;

/// Documents that the root has.
const ROOT: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
];

pub(super) fn check(metadata: &Metadata, files: &[File]) -> Vec<String> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let mut problems: Vec<String> = ROOT
        .into_iter()
        .filter(|path| find(path).is_none())
        .map(|path| format!("{path} is missing"))
        .collect();

    let architecture = find("ARCHITECTURE.md").map_or("", |file| &file.text);
    let readme = find("README.md").map_or("", |file| &file.text);
    for member in metadata.members() {
        let folder = member.folder();
        let Ok(folder) = folder.strip_prefix(root()) else {
            continue;
        };
        let folder = folder.display().to_string();
        if !folder.starts_with("crates/") {
            continue;
        }
        let name = &member.name;
        match find(&format!("{folder}/README.md")) {
            None => problems.push(format!("{folder}/README.md is missing")),
            Some(file) => problems.extend(readme_of(file, name)),
        }
        match find(&format!("{folder}/src/lib.rs")) {
            None => problems.push(format!("{folder}/src/lib.rs is missing")),
            Some(file) if !file.text.contains("//! ```") => {
                problems.push(format!("{}: its documentation has no example", file.path))
            }
            Some(_) => {}
        }
        for (document, text) in [("README.md", readme), ("ARCHITECTURE.md", architecture)] {
            if !text.contains(&format!("`{name}`")) && !text.contains(&format!("[{name}]")) {
                problems.push(format!("{document} does not name {name}"));
            }
        }
    }

    for file in files {
        if file.has_extension("md") {
            problems.extend(title(file));
            problems.extend(links(file, root()));
        }
        if file.has_extension("md") || file.has_extension("rs") {
            problems.extend(examples_that_do_not_run(file));
        }
    }
    problems
}

/// A crate's README: its name, who it is for, and an example.
fn readme_of(file: &File, name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !file.text.starts_with(&format!("# {name}\n")) {
        problems.push(format!("{}:1: open with `# {name}`", file.path));
    }
    if !file.text.contains("\n```") {
        problems.push(format!("{}: it has no example", file.path));
    }
    problems
}

fn title(file: &File) -> Option<String> {
    (!file.text.starts_with("# ")).then(|| format!("{}:1: open with a title", file.path))
}

/// Relative links, each to a file or folder that is there.
fn links(file: &File, root: &Path) -> Vec<String> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    let mut in_code = false;
    for (number, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (_, rest) in line
            .match_indices("](")
            .map(|(at, _)| line.split_at(at + 2))
        {
            let link = rest.split([')', '#']).next().unwrap_or_default();
            if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            match normal(&folder.join(link)) {
                Some(path) if root.join(&path).exists() => {}
                _ => problems.push(format!(
                    "{}:{}: the link to {link} leads nowhere",
                    file.path,
                    number + 1
                )),
            }
        }
    }
    problems
}

/// A path without `.` and `..`; `None` if it leads out of the tree.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::Normal(part) => parts.push(part),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.iter().collect())
}

/// Blocks of Rust that nobody compiles go stale.
fn examples_that_do_not_run(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let line = line
            .trim_start()
            .trim_start_matches("//!")
            .trim_start_matches("///");
        if let Some(words) = line.trim_start().strip_prefix("```")
            && words.split([',', ' ']).any(|word| word == "ignore")
        {
            problems.push(format!(
                "{}:{}: an example that is not compiled; make it run, or `no_run`",
                file.path,
                number + 1
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_link_must_lead_to_something_in_the_tree() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("docs/operate")).unwrap();
        std::fs::write(directory.path().join("docs/a.md"), "# A\n").unwrap();
        let links_in = |text: &str| links(&file("docs/operate/b.md", text), directory.path());

        assert!(links_in("[a](../a.md#part) [x](https://example.com/) [here](#b)").is_empty());
        assert_eq!(
            links_in("[a](a.md)\n"),
            ["docs/operate/b.md:1: the link to a.md leads nowhere"]
        );
        assert_eq!(links_in("[out](../../../a.md)").len(), 1);
        assert!(links_in("```text\n[a](a.md)\n```\n").is_empty());
    }

    #[test]
    fn a_crate_readme_names_the_crate_and_shows_how_to_use_it() {
        let good = "# x\n\nFor those who.\n\n```rust\nx();\n```\n";
        assert!(readme_of(&file("crates/x/README.md", good), "x").is_empty());
        assert_eq!(readme_of(&file("crates/x/README.md", good), "y").len(), 1);
        assert_eq!(
            readme_of(&file("crates/x/README.md", "# x\n"), "x").len(),
            1
        );
    }

    #[test]
    fn a_document_has_a_title() {
        assert_eq!(title(&file("a.md", "# A\n")), None);
        assert!(title(&file("a.md", "A\n")).is_some());
    }

    #[test]
    fn an_example_that_is_not_compiled_is_found_wherever_it_stands() {
        let fence = "```";
        for text in [
            format!("/// {fence}ignore\n"),
            format!("//! {fence}rust,ignore\n"),
            format!("{fence}rust ignore\n"),
        ] {
            assert_eq!(
                examples_that_do_not_run(&file("a.rs", &text)).len(),
                1,
                "{text}"
            );
        }
        let runs = format!("/// {fence}no_run\n/// ignore\n");
        assert!(examples_that_do_not_run(&file("a.rs", &runs)).is_empty());
    }
}
