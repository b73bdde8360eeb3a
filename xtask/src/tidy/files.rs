//! What source files and texts look like.

use super::tree::File;

/// A file of ours is one concept; well before this many lines it is two.
const MOST_LINES: usize = 1_000;

/// Notes to oneself. Built of halves, so that this file is free of them.
const NOTES: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

pub(super) fn check(files: &[File]) -> Vec<String> {
    let here = crate::runner::root().display().to_string();
    let mut problems: Vec<String> = files.iter().flat_map(|file| broken(file, &here)).collect();
    problems.extend(examples_without_test(files));
    problems
}

/// Examples that no test runs.
fn examples_without_test(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter_map(|file| file.path.strip_prefix("examples/src/bin/"))
        .filter(|name| {
            let test = format!("examples/tests/it/{name}");
            files.iter().all(|file| file.path != test)
        })
        .map(|name| format!("examples/src/bin/{name}: no examples/tests/it/{name} runs it"))
        .collect()
}

/// The rules of one file, in a tree that lies at `here`.
fn broken(file: &File, here: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut say =
        |line: usize, what: String| problems.push(format!("{}:{line}: {what}", file.path));

    if file.has_extension("rs") {
        if !file.text.starts_with("//!") {
            say(1, "open with `//!`: what the file is for".to_owned());
        }
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            say(
                lines,
                format!("{lines} lines; split it before {MOST_LINES}"),
            );
        }
        if file.name() == "mod.rs" {
            say(
                1,
                "name the file after the module, beside its folder".to_owned(),
            );
        }
    }
    for (number, line) in file.text.lines().enumerate() {
        let number = number + 1;
        for note in NOTES.iter().filter(|note| has_word(line, note)) {
            say(
                number,
                format!("{note}: do it, or write it where plans are"),
            );
        }
        if has_path(line, here) {
            say(number, format!("{here} is of this machine"));
        }
    }
    problems
}

/// Whether the word stands there by itself.
fn has_word(line: &str, word: &str) -> bool {
    let joins =
        |neighbour: Option<char>| neighbour.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        !joins(before.chars().next_back()) && !joins(rest.chars().nth(word.len()))
    })
}

/// Whether the text has that absolute path or one below it.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let part_of_a_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
        let begins = before
            .chars()
            .next_back()
            .is_none_or(|c| !(part_of_a_name(c) || "/~}".contains(c)));
        let ends = rest
            .chars()
            .nth(path.chars().count())
            .is_none_or(|c| !part_of_a_name(c));
        begins && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_in(path: &str, text: &str) -> Vec<String> {
        broken(
            &File {
                path: path.to_owned(),
                text: text.to_owned(),
            },
            "/srv/checkout",
        )
    }

    #[test]
    fn a_source_file_says_what_it_is_for() {
        assert!(broken_in("a/b.rs", "//! It.\n").is_empty());
        assert_eq!(
            broken_in("a/b.rs", "use x;\n"),
            ["a/b.rs:1: open with `//!`: what the file is for"]
        );
        assert!(broken_in("a/b.md", "no rust\n").is_empty());
    }

    #[test]
    fn a_thousand_lines_is_the_end() {
        let most = format!("//! It.\n{}", "\n".repeat(MOST_LINES - 1));
        assert!(broken_in("a.rs", &most).is_empty());
        let more = broken_in("a.rs", &format!("{most}\n"));
        assert_eq!(more, ["a.rs:1001: 1001 lines; split it before 1000"]);
    }

    #[test]
    fn a_module_is_not_called_mod() {
        assert_eq!(broken_in("a/mod.rs", "//! It.\n").len(), 1);
    }

    #[test]
    fn an_example_has_a_test_of_the_same_name() {
        let file = |path: &str| File {
            path: path.to_owned(),
            text: String::new(),
        };
        let one = file("examples/src/bin/one.rs");
        assert_eq!(
            examples_without_test(&[one]),
            ["examples/src/bin/one.rs: no examples/tests/it/one.rs runs it"]
        );
        let both = [
            file("examples/src/bin/one.rs"),
            file("examples/tests/it/one.rs"),
        ];
        assert!(examples_without_test(&both).is_empty());
    }

    #[test]
    fn notes_to_oneself_are_found_as_words_only() {
        let note = NOTES[0];
        assert_eq!(broken_in("a.md", &format!("# A\n{note}: more\n")).len(), 1);
        assert!(broken_in("a.md", &format!("MY_{note} {note}S\n")).is_empty());
    }

    #[test]
    fn where_the_tree_lies_is_not_written_into_it() {
        for text in ["in /srv/checkout/a\n", "`/srv/checkout`\n"] {
            assert_eq!(broken_in("a.md", text).len(), 1, "{text}");
        }
        for text in ["/srv/checkouts\n", "/opt/srv/checkout\n"] {
            assert!(broken_in("a.md", text).is_empty(), "{text}");
        }
    }
}
