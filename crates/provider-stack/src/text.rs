//! A text file that was read, and what was found wrong in it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::problem::{Lines, Place, Problem};
use crate::substitute::{self, Substituted};
use crate::yaml::{self, Node, Value};

/// More than a file of this kind ever has.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A file whose parts can be found again.
#[derive(Debug)]
pub(crate) struct Text {
    path: PathBuf,
    source: String,
    lines: Lines,
    /// Present where variables were replaced.
    substituted: Option<Substituted>,
}

/// The bytes of a regular file that is not absurdly large.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            LARGEST / 1024 / 1024
        )));
    }
    Ok(bytes)
}

impl Text {
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let bytes = read_bytes(path)
            .map_err(|error| Problem::new(path, None, "cannot be read").because(error))?;
        match String::from_utf8(bytes) {
            Ok(source) => Ok(Self::new(path, source)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                let place = Lines::of(&text).place(&text, valid);
                Err(Problem::new(path, Some(place), "this is not UTF-8"))
            }
        }
    }

    pub(crate) fn new(path: &Path, source: String) -> Self {
        // Editors of another system put a byte-order mark before the text.
        let source = match source.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => source,
        };
        Self {
            path: path.to_owned(),
            lines: Lines::of(&source),
            source,
            substituted: None,
        }
    }

    /// Replaces the variables in it.
    pub(crate) fn substitute(
        &mut self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Problem> {
        match substitute::substitute(&self.source, variable) {
            Ok(done) => {
                self.substituted = Some(done);
                Ok(())
            }
            Err(wrong) => Err(self.problem(wrong.at, wrong.message)),
        }
    }

    /// The tree in it, with a warning where it has more than that.
    pub(crate) fn tree(&self, remarks: &mut Remarks) -> Result<std::rc::Rc<Node>, Problem> {
        let text = self
            .substituted
            .as_ref()
            .map_or(&self.source, |done| &done.text);
        let document = yaml::parse(text).map_err(|bad| self.problem(bad.at, bad.message))?;
        if let Some(at) = document.second {
            let why = "what follows here is ignored: only the first document of a file counts";
            remarks.warnings.push(self.problem(at, why));
        }
        Ok(document.root)
    }

    /// The place of a byte of the text that was read as YAML.
    pub(crate) fn place(&self, at: usize) -> Place {
        let byte = self
            .substituted
            .as_ref()
            .map_or(at, |done| done.source_of(at));
        self.lines.place(&self.source, byte)
    }

    pub(crate) fn problem(&self, at: usize, message: impl Into<String>) -> Problem {
        // What was not substituted stands where it was written.
        Problem::new(&self.path, Some(self.place(at)), message)
    }
}

/// What is to be said of files.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

/// A value and the byte at which it stands.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

/// One line of a map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Found<String>,
    pub(crate) node: std::rc::Rc<Node>,
}

/// Reads values of the kinds that are expected, and remarks on others.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a Text,
    pub(crate) remarks: &'a mut Remarks,
}

impl Reader<'_> {
    pub(crate) fn error(&mut self, at: usize, message: impl Into<String>) {
        self.remarks.errors.push(self.text.problem(at, message));
    }

    pub(crate) fn warn(&mut self, at: usize, message: impl Into<String>) {
        self.remarks.warnings.push(self.text.problem(at, message));
    }

    fn expected(&mut self, node: &Node, what: &str, wanted: &str) {
        let found = match node.value {
            Value::Null => "nothing",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        self.error(node.at, format!("{what} is to be {wanted}, not {found}"));
    }

    /// The lines of a map, those of `<<` included; nothing is an empty one.
    pub(crate) fn map(&mut self, node: &Node, what: &str, wanted: &str) -> Vec<Entry> {
        let pairs = match &node.value {
            Value::Null => return Vec::new(),
            Value::Map(pairs) => pairs,
            Value::Text(_) | Value::List(_) => {
                self.expected(node, what, wanted);
                return Vec::new();
            }
        };
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.expected(key, &format!("a key of {what}"), "a text");
                continue;
            };
            if name == "<<" && key.plain {
                merged.extend(self.merged(value, what, wanted));
            } else if let Some(first) = places.get(name) {
                let line = self.text.place(*first).line;
                self.error(
                    key.at,
                    format!("{name} is already in {what}, at line {line}"),
                );
            } else {
                places.insert(name.clone(), key.at);
                entries.push(Entry {
                    key: Found {
                        value: name.clone(),
                        at: key.at,
                    },
                    node: std::rc::Rc::clone(value),
                });
            }
        }
        for entry in merged {
            let Entry { key, .. } = &entry;
            if !places.contains_key(&key.value) {
                places.insert(key.value.clone(), key.at);
                entries.push(entry);
            }
        }
        entries
    }

    /// What `<<` adds: a map, or several of which the first goes before the others.
    fn merged(&mut self, node: &Node, what: &str, wanted: &str) -> Vec<Entry> {
        match &node.value {
            Value::List(parts) => {
                let parts: Vec<_> = parts.iter().map(std::rc::Rc::clone).collect();
                parts
                    .iter()
                    .flat_map(|part| self.map(part, what, wanted))
                    .collect()
            }
            Value::Null | Value::Text(_) | Value::Map(_) => self.map(node, what, wanted),
        }
    }

    /// A text; nothing is `None`.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<Found<String>> {
        match &node.value {
            Value::Text(text) => Some(Found {
                value: text.clone(),
                at: node.at,
            }),
            Value::Null => None,
            Value::List(_) | Value::Map(_) => {
                self.expected(node, what, "a text");
                None
            }
        }
    }

    /// A list of texts; nothing is an empty one.
    pub(crate) fn texts(&mut self, node: &Node, what: &str) -> Vec<Found<String>> {
        let parts = match &node.value {
            Value::Null => return Vec::new(),
            Value::List(parts) => parts,
            Value::Text(_) | Value::Map(_) => {
                self.expected(node, what, "a list, each on a line after a dash");
                return Vec::new();
            }
        };
        parts
            .iter()
            .filter_map(|part| match part.value {
                Value::Null => {
                    self.expected(part, &format!("an entry of {what}"), "a text");
                    None
                }
                _ => self.text(part, &format!("an entry of {what}")),
            })
            .collect()
    }

    /// A map of texts; a key with nothing has an empty text.
    pub(crate) fn pairs(&mut self, node: &Node, what: &str) -> Vec<(Found<String>, String)> {
        let entries = self.map(node, what, "a map, each line as NAME: value");
        entries
            .into_iter()
            .map(|Entry { key, node }| {
                let what = format!("{} of {what}", key.value);
                let value = self.text(&node, &what).map(|found| found.value);
                (key, value.unwrap_or_default())
            })
            .collect()
    }

    /// Whether something is so; nothing is `false`.
    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> bool {
        let yes = match &node.value {
            Value::Text(text) => text.to_ascii_lowercase(),
            Value::Null => return false,
            Value::List(_) | Value::Map(_) => String::new(),
        };
        match yes.as_str() {
            "true" | "yes" | "on" | "y" => true,
            "false" | "no" | "off" | "n" => false,
            _ => {
                self.error(node.at, format!("{what} is to be true or false"));
                false
            }
        }
    }
}
