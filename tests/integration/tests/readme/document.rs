//! The commands in a document, and how their output is compared.

/// A command and what the document says that it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where the command stands, from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    /// Where the output begins, from 1, even if there is none.
    pub(crate) output_line: usize,
    pub(crate) expected: String,
}

/// The steps of all `console` blocks, in order.
pub(crate) fn steps(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut in_block = false;
    for (number, line) in (1..).zip(markdown.lines()) {
        if line.starts_with("```") {
            in_block = line == "```console";
        } else if in_block {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    line: number,
                    command: command.to_owned(),
                    output_line: number + 1,
                    expected: String::new(),
                });
            } else if let Some(step) = steps.last_mut() {
                match line.strip_prefix("> ") {
                    Some(more) if step.expected.is_empty() => {
                        step.command.push('\n');
                        step.command.push_str(more);
                        step.output_line = number + 1;
                    }
                    _ => {
                        step.expected.push_str(line);
                        step.expected.push('\n');
                    }
                }
            } else {
                panic!("line {number}: a console block begins with a command");
            }
        }
    }
    steps
}

/// The document with what the commands printed, where that is not what it says.
pub(crate) fn updated(markdown: &str, steps: &[Step], printed: &[String]) -> String {
    let mut lines: Vec<&str> = markdown.lines().collect();
    for (step, printed) in steps.iter().zip(printed).rev() {
        if !matches(&step.expected, printed) {
            let begin = step.output_line - 1;
            let end = begin + step.expected.lines().count();
            lines.splice(begin..end, printed.lines());
        }
    }
    lines.join("\n") + "\n"
}

/// Whether the output is what the document says. A line `...` there stands for any lines.
pub(crate) fn matches(expected: &str, actual: &str) -> bool {
    let expected: Vec<String> = expected.lines().map(mask).collect();
    let actual: Vec<String> = actual.lines().map(mask).collect();
    matches_lines(&expected, &actual)
}

fn matches_lines(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=actual.len()).any(|skipped| matches_lines(rest, &actual[skipped..]))
        }
        Some((first, rest)) => actual.first() == Some(first) && matches_lines(rest, &actual[1..]),
    }
}

/// A line with what differs from run to run replaced: times, and the names of instances. The
/// watchdog's own log lines have a time as Go writes it.
pub(crate) fn mask(line: &str) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = time(rest) {
            masked.push_str("TIME");
            rest = after;
        } else if let Some(value) = rest.strip_prefix("\"instance\":\"") {
            masked.push_str("\"instance\":\"INSTANCE");
            rest = value.trim_start_matches(|c| c != '"');
        } else {
            masked.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    masked
}

/// What follows the time that the text begins with.
fn time(text: &str) -> Option<&str> {
    after(text, "dddd/dd/dd dd:dd:dd").or_else(|| {
        let rest = after(text, "dddd-dd-ddTdd:dd:dd")?;
        let rest = match rest.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => rest,
        };
        rest.strip_prefix('Z')
    })
}

/// What follows the pattern, in which `d` stands for a digit.
fn after<'a>(text: &'a str, pattern: &str) -> Option<&'a str> {
    let head = text.get(..pattern.len())?;
    let fits = head
        .chars()
        .zip(pattern.chars())
        .all(|(found, wanted)| match wanted {
            'd' => found.is_ascii_digit(),
            _ => found == wanted,
        });
    if fits {
        text.get(pattern.len()..)
    } else {
        None
    }
}

#[test]
fn commands_continue_and_output_follows() {
    let text =
        "# T\n```console\n$ cat <<E\n> a\n> E\na\n\n$ true\n```\ntext\n```sh\n$ not this\n```\n";
    assert_eq!(
        steps(text),
        [
            Step {
                line: 3,
                command: "cat <<E\na\nE".to_owned(),
                output_line: 6,
                expected: "a\n\n".to_owned(),
            },
            Step {
                line: 8,
                command: "true".to_owned(),
                output_line: 9,
                expected: String::new(),
            },
        ]
    );
}

#[test]
fn a_document_is_updated_only_where_it_is_wrong() {
    let text = "```console\n$ a\nold\n$ b\n...\n$ c\n```\nend\n";
    let printed = ["new\nlines\n".to_owned(), "any\n".to_owned(), String::new()];
    assert_eq!(
        updated(text, &steps(text), &printed),
        "```console\n$ a\nnew\nlines\n$ b\n...\n$ c\n```\nend\n"
    );
}

#[test]
fn output_is_compared_line_by_line() {
    assert!(matches("a\nb\n", "a\nb\n"));
    assert!(!matches("a\nb\n", "a\n"));
    assert!(!matches("a\n", "a\nb\n"));
    assert!(!matches("", "a\n"));
    assert!(matches("a\n...\nd\n", "a\nb\nc\nd\n"));
    assert!(!matches("a\n...\nd\n", "a\nb\nc\n"));
    assert!(matches("...\n", ""));
}

#[test]
fn times_and_instances_are_masked_and_nothing_else() {
    assert_eq!(
        mask(r#"{"instance":"f-1","timestamp":"2026-11-22T15:30:00.123456789Z","text":"2026"}"#),
        r#"{"instance":"INSTANCE","timestamp":"TIME","text":"2026"}"#
    );
    assert_eq!(mask("2026/11/22 15:30:00 POST /"), "TIME POST /");
    assert_eq!(mask("at 2026-11-22 é"), "at 2026-11-22 é");
}
