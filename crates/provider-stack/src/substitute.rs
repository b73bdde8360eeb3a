//! `${NAME}` in a stack file, replaced as `faas-cli` does it before the YAML is read.
//!
//! The rules are those of the library that it uses (`drone/envsubst`: parse/parse.go, funcs.go),
//! which differ from a shell's: only `${…}` counts, `${NAME:?x}` and `${NAME:+x}` are defaults
//! like `${NAME:-x}`, and a comment is substituted like anything else. `$$` is a dollar sign; a
//! backslash before a backslash or a slash goes away.

use crate::glob;

/// A text with its variables replaced, which knows where each part of it came from.
#[derive(Debug)]
pub(crate) struct Substituted {
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

/// From `out` in the result on, text that came from `source`.
#[derive(Debug)]
struct Piece {
    out: usize,
    source: usize,
    /// Byte for byte; otherwise all of it stands for the one place.
    verbatim: bool,
}

/// A substitution that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadSubstitution {
    /// The byte at which it begins.
    pub(crate) at: usize,
    pub(crate) message: String,
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces what `source` holds. A variable that is not set is empty.
pub(crate) fn substitute(
    source: &str,
    variable: Variable<'_>,
) -> Result<Substituted, BadSubstitution> {
    let mut reader = Reader {
        source,
        at: 0,
        begin: 0,
        variable,
    };
    let mut done = Substituted {
        text: String::with_capacity(source.len()),
        pieces: Vec::new(),
    };
    while let Some(next) = reader.peek() {
        let begin = reader.at;
        if reader.take("${") {
            reader.begin = begin;
            let value = reader.expansion()?;
            done.piece(begin, false);
            done.text.push_str(&value);
            done.piece(reader.at, true);
        } else if let Some(escaped) = reader.escaped() {
            done.piece(reader.at - escaped.len_utf8(), true);
            done.text.push(escaped);
        } else {
            if done.pieces.is_empty() {
                done.piece(begin, true);
            }
            reader.at += next.len_utf8();
            done.text.push(next);
        }
    }
    Ok(done)
}

impl Substituted {
    fn piece(&mut self, source: usize, verbatim: bool) {
        self.pieces.push(Piece {
            out: self.text.len(),
            source,
            verbatim,
        });
    }

    /// The byte of the source that a byte of the text came from.
    pub(crate) fn source_of(&self, out: usize) -> usize {
        let after = self.pieces.partition_point(|piece| piece.out <= out);
        match after.checked_sub(1).and_then(|last| self.pieces.get(last)) {
            Some(piece) if piece.verbatim => piece.source + (out - piece.out),
            Some(piece) => piece.source,
            None => out,
        }
    }
}

/// Reads and evaluates in one go.
struct Reader<'a> {
    source: &'a str,
    at: usize,
    /// Where the outermost `${` stands: what an error points to.
    begin: usize,
    variable: Variable<'a>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// The second character of `$$`, `\\` and `\/`.
    fn escaped(&mut self) -> Option<char> {
        let mut next = self.rest().chars();
        let second = match (next.next()?, next.next()?) {
            ('$', '$') => '$',
            ('\\', second @ ('\\' | '/')) => second,
            _ => return None,
        };
        self.at += 2;
        Some(second)
    }

    fn wrong<T>(&self, why: &str) -> Result<T, BadSubstitution> {
        let shown: String = self
            .source
            .get(self.begin..)
            .unwrap_or_default()
            .chars()
            .take_while(|c| *c != '\n')
            .take(40)
            .collect();
        Err(BadSubstitution {
            at: self.begin,
            message: format!(
                "{shown:?} is no substitution: {why}; write ${{NAME}} or ${{NAME:-default}}, and \
                 $${{ for a plain ${{"
            ),
        })
    }

    fn close(&mut self) -> Result<(), BadSubstitution> {
        if self.take("}") {
            Ok(())
        } else {
            self.wrong("its closing brace is missing")
        }
    }

    fn name(&mut self) -> Result<String, BadSubstitution> {
        let letter = |c: &char| c.is_alphanumeric() || *c == '_';
        let name: String = self.rest().chars().take_while(letter).collect();
        if name.is_empty() {
            return self.wrong("the name of a variable is missing");
        }
        self.at += name.len();
        Ok(name)
    }

    /// What follows `${`, with its closing brace.
    fn expansion(&mut self) -> Result<String, BadSubstitution> {
        if self.take("#") {
            let name = self.name()?;
            self.close()?;
            return Ok(self.value(&name).len().to_string());
        }
        let name = self.name()?;
        let value = self.value(&name);
        for default in [":=", ":-", ":?", ":+", "="] {
            if self.take(default) {
                return self.default(value);
            }
        }
        match self.peek() {
            Some(':') => self.part(value),
            Some(',' | '^') => self.cased(value),
            Some('/') => self.replaced(value),
            Some('#' | '%') => self.trimmed(value),
            Some('-') => self.wrong("a default is written with a colon, ${NAME:-default}"),
            _ => {
                self.close()?;
                Ok(value)
            }
        }
    }

    fn value(&self, name: &str) -> String {
        (self.variable)(name).unwrap_or_default()
    }

    /// `${NAME:-default}`, where the default may hold further substitutions.
    fn default(&mut self, value: String) -> Result<String, BadSubstitution> {
        let mut default = String::new();
        while !self.take("}") {
            default.push_str(&self.word(|c| c != '}', false)?);
        }
        Ok(if value.is_empty() { default } else { value })
    }

    /// `${NAME:position}` and `${NAME:position:length}`, in bytes.
    fn part(&mut self, value: String) -> Result<String, BadSubstitution> {
        self.take(":");
        let position = self.word(|c| c != ':' && c != '}', false)?;
        let mut length = None;
        if self.take(":") {
            while self.take(":") {}
            length = Some(self.word(|c| c != '}', false)?);
        }
        self.close()?;

        let Ok(position) = position.parse::<isize>() else {
            return Ok(value);
        };
        let from = match usize::try_from(position) {
            Ok(from) => from,
            Err(_) => value.len().saturating_sub(position.unsigned_abs()),
        };
        let to = match length.map(|length| length.parse::<isize>()) {
            None => value.len(),
            Some(Err(_)) => return Ok(value),
            Some(Ok(length)) => from.saturating_add_signed(length).min(value.len()),
        };
        // A range that cuts a character in two, or that is none, gives nothing.
        Ok(value.get(from..to).unwrap_or_default().to_owned())
    }

    /// `${NAME,}`, `${NAME,,}`, `${NAME^}` and `${NAME^^}`.
    fn cased(&mut self, value: String) -> Result<String, BadSubstitution> {
        let of = |operator: &char| matches!(operator, ',' | '^');
        let operator: String = self.rest().chars().take_while(of).take(2).collect();
        self.at += operator.len();
        self.close()?;
        let mut letters = value.chars();
        let first = letters.next();
        Ok(match operator.as_str() {
            ",," => value.to_lowercase(),
            "^^" => value.to_uppercase(),
            "," => first.map_or_else(String::new, |c| c.to_lowercase().chain(letters).collect()),
            "^" => first.map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect()),
            _ => value,
        })
    }

    /// `${NAME/text/with}`, `//` for all, `/#` at the start, `/%` at the end.
    fn replaced(&mut self, value: String) -> Result<String, BadSubstitution> {
        self.take("/");
        let operator = ["/", "#", "%"].into_iter().find(|mark| self.take(mark));
        let text = self.word(|c| c != '/', true)?;
        if !self.take("/") {
            return self.wrong("what to replace with is missing");
        }
        while self.take("/") {}
        let with = if self.peek() == Some('}') {
            None
        } else {
            Some(self.word(|c| c != '}', true)?)
        };
        self.close()?;
        Ok(match (operator, with) {
            (Some("/"), with) => value.replace(&text, &with.unwrap_or_default()),
            (None, with) => value.replacen(&text, &with.unwrap_or_default(), 1),
            (Some("#"), Some(with)) => match value.strip_prefix(&text) {
                Some(rest) => with + rest,
                None => value,
            },
            (Some("%"), Some(with)) => match value.strip_suffix(&text) {
                Some(rest) => rest.to_owned() + &with,
                None => value,
            },
            (Some(_), _) => value,
        })
    }

    /// `${NAME#pattern}` and `##` from the start, `%` and `%%` from the end.
    fn trimmed(&mut self, value: String) -> Result<String, BadSubstitution> {
        let at_end = self.peek() == Some('%');
        let mark = if at_end { "%" } else { "#" };
        self.take(mark);
        let longest = self.take(mark);
        let pattern = self.word(|c| c != '}', false)?;
        self.close()?;
        Ok(if at_end {
            // The library turns both round, brackets included.
            let turned = |text: &str| text.chars().rev().collect::<String>();
            turned(glob::without_prefix(
                &turned(&value),
                &turned(&pattern),
                longest,
            ))
        } else {
            glob::without_prefix(&value, &pattern, longest).to_owned()
        })
    }

    /// A substitution, or text up to one, or up to a character that is not accepted.
    fn word(
        &mut self,
        accept: impl Fn(char) -> bool,
        escapes: bool,
    ) -> Result<String, BadSubstitution> {
        if self.take("${") {
            return self.expansion();
        }
        let mut word = String::new();
        while let Some(next) = self.peek() {
            if self.rest().starts_with("${") {
                break;
            }
            match escapes.then(|| self.escaped()).flatten() {
                Some(escaped) => word.push(escaped),
                None if accept(next) => {
                    self.at += next.len_utf8();
                    word.push(next);
                }
                None => break,
            }
        }
        if word.is_empty() {
            return self.wrong("it is not complete");
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests;
