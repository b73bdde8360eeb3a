//! YAML as a tree in which every part knows where it stands.
//!
//! All scalars are kept as the text that was written: `1.0` and `true` are what they look like,
//! which is how `faas-cli` reads them into its fields, all of which are texts.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// More than any stack file has; a parser of another depth would end this process.
const DEEPEST: usize = 64;

/// A part of a document.
#[derive(Debug)]
pub(crate) struct Node {
    /// The byte of the text at which it begins.
    pub(crate) at: usize,
    /// Whether it is a scalar without quotes.
    pub(crate) plain: bool,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    Text(String),
    List(Vec<Rc<Node>>),
    /// In the order of the text, keys as often as they are there.
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

/// A text that is no YAML.
#[derive(Debug)]
pub(crate) struct BadYaml {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// The first document of a text; and where a second one begins, if one does.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Rc<Node>,
    pub(crate) second: Option<usize>,
}

/// Reads a text. An empty one is a null.
pub(crate) fn parse(text: &str) -> Result<Document, BadYaml> {
    let mut builder = Builder {
        bytes: text
            .char_indices()
            .map(|(byte, _)| byte)
            .chain([text.len()])
            .collect(),
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
    };
    let mut documents = 0;
    let mut second = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| builder.bad(&error))?;
        let at = builder.byte(&span);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents == 2 {
                    second = Some(at);
                    break;
                }
            }
            event => builder.hear(event, at)?,
        }
    }
    let root = builder.root.unwrap_or_else(|| {
        Rc::new(Node {
            at: 0,
            plain: true,
            value: Value::Null,
        })
    });
    Ok(Document { root, second })
}

/// A list or map that is not yet complete.
struct Open {
    at: usize,
    anchor: usize,
    is_map: bool,
    parts: Vec<Rc<Node>>,
}

struct Builder {
    /// The byte of each character, for the parser counts characters.
    bytes: Vec<usize>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

impl Builder {
    fn byte(&self, span: &Span) -> usize {
        self.byte_of(span.start.index())
    }

    fn byte_of(&self, character: usize) -> usize {
        let last = self.bytes.last().copied().unwrap_or_default();
        self.bytes.get(character).copied().unwrap_or(last)
    }

    fn bad(&self, error: &ScanError) -> BadYaml {
        BadYaml {
            at: self.byte_of(error.marker().index()),
            message: format!("this is no YAML: {}", error.info()),
        }
    }

    fn hear(&mut self, event: Event<'_>, at: usize) -> Result<(), BadYaml> {
        match event {
            Event::Scalar(text, style, anchor, _tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    text => Value::Text(text.to_owned()),
                };
                self.complete(Node { at, plain, value }, anchor);
            }
            Event::SequenceStart(anchor, _tag) => self.begin(at, anchor, false)?,
            Event::MappingStart(anchor, _tag) => self.begin(at, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Rc::clone(node);
                    self.add(node);
                }
                None => {
                    return Err(BadYaml {
                        at,
                        message: "this alias stands within what it stands for".to_owned(),
                    });
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, anchor: usize, is_map: bool) -> Result<(), BadYaml> {
        if self.open.len() == DEEPEST {
            return Err(BadYaml {
                at,
                message: format!("this is nested more than {DEEPEST} times"),
            });
        }
        self.open.push(Open {
            at,
            anchor,
            is_map,
            parts: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let value = if open.is_map {
            let mut parts = open.parts.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        } else {
            Value::List(open.parts)
        };
        let node = Node {
            at: open.at,
            plain: false,
            value,
        };
        self.complete(node, open.anchor);
    }

    fn complete(&mut self, node: Node, anchor: usize) {
        let node = Rc::new(node);
        // Anchors count from 1.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node);
    }

    fn add(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(open) => open.parts.push(node),
            None => self.root = Some(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Null => "-".to_owned(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| shown(part)).collect();
                format!("[{}]", parts.join(","))
            }
            Value::Map(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}:{}", shown(key), shown(value)))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }
        }
    }

    #[track_caller]
    fn reads(text: &str, wanted: &str) {
        assert_eq!(shown(&parse(text).unwrap().root), wanted, "{text}");
    }

    #[test]
    fn scalars_stay_as_they_are_written() {
        reads("a: 1.0\nb: true\nc: 0x10\nd: \"1\"\ne: 2024-01-01", {
            r#"{"a":"1.0","b":"true","c":"0x10","d":"1","e":"2024-01-01"}"#
        });
        reads("[~, null, 'null', \"\", ]", r#"[-,-,"null",""]"#);
        reads("a:\nb: |\n  x\n  y\n", r#"{"a":-,"b":"x\ny\n"}"#);
        reads("", "-");
        reads("# nothing", "-");
    }

    #[test]
    fn aliases_stand_for_what_has_the_anchor() {
        reads("a: &x {k: v}\nb: *x", r#"{"a":{"k":"v"},"b":{"k":"v"}}"#);
        let cycle = parse("a: &x\n  b: *x").unwrap_err();
        assert_eq!(cycle.at, 11);
        let unknown = parse("a: *x").unwrap_err();
        assert!(unknown.message.contains("anchor"), "{}", unknown.message);
    }

    #[test]
    fn places_are_bytes_also_behind_wide_characters() {
        let text = "ä: ö\nü:\n  ß: [é, x]\n";
        let document = parse(text).unwrap();
        let Value::Map(pairs) = &document.root.value else {
            panic!("no map")
        };
        let Value::Map(inner) = &pairs[1].1.value else {
            panic!("no map")
        };
        assert_eq!(inner[0].0.at, text.find('ß').unwrap());
        let Value::List(list) = &inner[0].1.value else {
            panic!("no list")
        };
        assert_eq!(list[1].at, text.find('x').unwrap());
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        for (text, at) in [("ä: 'x", 4), ("a: b: c", 4), ("a: 1\n b: 2", 7)] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = parse(&"[".repeat(DEEPEST + 1)).unwrap_err();
        assert!(deep.message.contains("nested"), "{deep:?}");
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
        assert!(parse(&("[".repeat(60) + &"]".repeat(60))).is_ok());
    }

    #[test]
    fn a_second_document_is_seen() {
        let document = parse("a: 1\n---\nb: 2\n").unwrap();
        assert_eq!(shown(&document.root), r#"{"a":"1"}"#);
        assert_eq!(document.second, Some(5));
    }
}
