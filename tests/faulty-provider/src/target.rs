//! What a request is for.

use crate::answer::Answer;
use crate::defect::Defect;
use crate::http1::Head;
use crate::state::Inner;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A path of the API, decoded.
    Api {
        path: String,
        query: Vec<(String, String)>,
    },
    /// A function: what names it, and path and query as they came.
    Function { name: String, rest: Vec<u8> },
    /// The server itself.
    Asterisk,
}

pub(crate) fn parse(inner: &Inner, head: &Head) -> Result<Target, Answer> {
    let mut target = head.second.as_slice();
    if head.first == "OPTIONS" && target == b"*" {
        return Ok(Target::Asterisk);
    }
    if target.starts_with(b"http://") || target.starts_with(b"https://") {
        if inner.has(Defect::AbsoluteFormRefused) {
            return Err(Answer::text(404, "404 page not found"));
        }
        let after = target.get(8..).unwrap_or_default();
        let slash = after.iter().position(|byte| matches!(byte, b'/' | b'?'));
        target = slash.and_then(|at| after.get(at..)).unwrap_or(b"/");
    }
    if !target.starts_with(b"/") || target.contains(&b'#') {
        return Err(Answer::text(400, "the target is none"));
    }
    let mut target = target.to_vec();
    if inner.has(Defect::DotsResolved) {
        target = resolved(&target);
    }
    if let Some(after) = target.strip_prefix(b"/function/") {
        return function(after);
    }
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let path = parts.next().unwrap_or_default();
    let query = parts.next().unwrap_or_default();
    let Some(path) = decode(path, false) else {
        return Err(Answer::text(
            400,
            "the target is not encoded as it should be",
        ));
    };
    let pairs = query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty());
    let pairs = pairs.filter_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(parts.next()?, true)?;
        Some((name, decode(parts.next().unwrap_or_default(), true)?))
    });
    Ok(Target::Api {
        path,
        query: pairs.collect(),
    })
}

fn function(after: &[u8]) -> Result<Target, Answer> {
    let end = after.iter().position(|byte| matches!(byte, b'/' | b'?'));
    let (name, rest) = after.split_at(end.unwrap_or(after.len()));
    let Some(name) = decode(name, false) else {
        return Err(Answer::text(
            400,
            "the target is not encoded as it should be",
        ));
    };
    let path = rest.split(|byte| *byte == b'?').next().unwrap_or_default();
    if leads_out(path) {
        return Err(Answer::text(400, "the path leads out of the function"));
    }
    Ok(Target::Function {
        name,
        rest: rest.to_vec(),
    })
}

/// Whether segments of dots, encoded or not, go above where the path begins.
fn leads_out(path: &[u8]) -> bool {
    let mut text = String::from_utf8_lossy(path).to_ascii_lowercase();
    for (encoded, plain) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
        text = text.replace(encoded, plain);
    }
    let mut depth = 0_i64;
    text.split('/').any(|segment| {
        match segment {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    })
}

/// The target with its segments of dots resolved (a defect).
fn resolved(target: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(target)
        .replace("%2e", ".")
        .replace("%2E", ".");
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    if !path.split('/').any(|segment| segment == "..") {
        return target.to_vec();
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{query}")
    };
    format!("/{}{query}", segments.join("/")).into_bytes()
}

/// Percent-decoded text; `None` where that is not possible.
pub(crate) fn decode(bytes: &[u8], plus_is_blank: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [*rest.next()?, *rest.next()?];
                let text = std::str::from_utf8(&digits).ok()?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                decoded.push(u8::from_str_radix(text, 16).ok()?);
            }
            b'+' if plus_is_blank => decoded.push(b' '),
            byte => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).ok()
}
