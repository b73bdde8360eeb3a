//! The patterns of `${NAME#pattern}`: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before any of them.

/// The text without what the pattern matches at its start: the longest such part, or the shortest
/// that is not empty. A pattern that is malformed matches nothing.
pub(crate) fn without_prefix<'a>(text: &'a str, pattern: &str, longest: bool) -> &'a str {
    let Some(pattern) = parse(pattern) else {
        return text;
    };
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let matching = |end: &usize| {
        let part: Vec<char> = text.get(..*end).unwrap_or_default().chars().collect();
        matches(&pattern, &part)
    };
    let mut found = ends.filter(matching);
    let end = if longest {
        found.next_back()
    } else {
        found.next()
    };
    end.and_then(|end| text.get(end..)).unwrap_or(text)
}

enum Element {
    Any,
    One,
    Literal(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

fn parse(pattern: &str) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(next) = rest.next() {
        elements.push(match next {
            '*' => Element::Any,
            '?' => Element::One,
            '\\' => Element::Literal(rest.next()?),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
                    let low = bound(&mut rest)?;
                    let high = match rest.next_if_eq(&'-') {
                        Some(_) => bound(&mut rest)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Element::Class { negated, ranges }
            }
            other => Element::Literal(other),
        });
    }
    Some(elements)
}

fn bound(rest: &mut impl Iterator<Item = char>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        other => Some(other),
    }
}

/// Whether the pattern matches all of the text. After a mismatch the last `*` takes one more.
fn matches(pattern: &[Element], text: &[char]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut retry = None;
    while seen < text.len() || at < pattern.len() {
        match (pattern.get(at), text.get(seen)) {
            (Some(Element::Any), _) => {
                retry = Some((at, seen + 1));
                at += 1;
                continue;
            }
            (Some(element), Some(&c)) if element.is(c) => {
                at += 1;
                seen += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((any, next)) if next <= text.len() => {
                at = any;
                seen = next;
            }
            _ => return false,
        }
    }
    true
}

impl Element {
    fn is(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_prefix;

    #[test]
    fn the_shortest_or_the_longest_match_goes() {
        assert_eq!(without_prefix("a/b/c", "*/", false), "b/c");
        assert_eq!(without_prefix("a/b/c", "*/", true), "c");
        assert_eq!(without_prefix("abc", "*", true), "");
        assert_eq!(without_prefix("abc", "?", false), "bc");
        assert_eq!(without_prefix("äbc", "?", false), "bc");
        assert_eq!(without_prefix("abc", "x*", true), "abc");
    }

    #[test]
    fn classes_and_escapes() {
        assert_eq!(without_prefix("b1", "[a-c]", false), "1");
        assert_eq!(without_prefix("b1", "[^a-c]", false), "b1");
        assert_eq!(without_prefix("*1", "\\*", false), "1");
        assert_eq!(without_prefix("]1", "[\\]]", false), "1");
    }

    #[test]
    fn a_malformed_pattern_matches_nothing() {
        for pattern in ["[", "[a", "[a-", "[]", "\\", "[-a]"] {
            assert_eq!(without_prefix("a1", pattern, true), "a1", "{pattern}");
        }
    }
}
