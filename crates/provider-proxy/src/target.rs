//! Which function a request is for, and what of its path the function gets. Read from the raw,
//! still-encoded path: what the caller wrote is what the function gets.

use http::Uri;
use provider_types::{FunctionRef, NameRule, Namespace};

const PREFIX: &str = "/function/";

/// What follows `/function/`, up to the next slash: `NAME` or `NAME.NAMESPACE` as the caller wrote
/// it. Empty where there is none.
pub(crate) fn name(uri: &Uri) -> &str {
    split(uri.path()).0
}

fn split(path: &str) -> (&str, &str) {
    let Some(below) = path.strip_prefix(PREFIX) else {
        return ("", "");
    };
    match below.find('/') {
        Some(end) => below.split_at(end),
        None => (below, ""),
    }
}

/// Why a request is for no function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// The path does not lead below `/function/NAME`.
    NoName,
    /// What stands there cannot be a function's name, so there is no such function.
    NotAName,
    /// The path leads out of the function.
    Escapes,
}

/// What of a request's path and query the function gets, as the caller wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest<'a> {
    /// Begins with a slash.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// The function, and the path and query that it is to get.
pub(crate) fn parse<'a>(
    uri: &'a Uri,
    default: &Namespace,
    rule: NameRule,
) -> Result<(FunctionRef, Rest<'a>), NoTarget> {
    let (name, rest) = split(uri.path());
    if name.is_empty() {
        return Err(NoTarget::NoName);
    }
    if escapes(name) || escapes(rest) {
        return Err(NoTarget::Escapes);
    }
    let function =
        FunctionRef::parse_dotted_with(name, default, rule).map_err(|_| NoTarget::NotAName)?;
    let rest = Rest {
        path: if rest.is_empty() { "/" } else { rest },
        query: uri.query(),
    };
    Ok((function, rest))
}

/// Whether a path leads above where it starts, once percent-decoded: `..` as such or with its dots
/// or the slashes around it encoded. An empty segment counts as none, because some servers merge
/// slashes.
fn escapes(path: &str) -> bool {
    // The usual path has no dot-dot in it at all.
    if !path.contains("..") && !path.contains("%2") {
        return false;
    }
    let mut bytes = path.bytes();
    let mut depth = 0_i64;
    // Of the present segment: how many dots, and whether it is nothing but dots.
    let (mut dots, mut others) = (0_u32, 0_u32);
    loop {
        let next = match bytes.next() {
            Some(b'%') => {
                let mut ahead = bytes.clone();
                match (ahead.next(), ahead.next()) {
                    (Some(b'2'), Some(b'e' | b'E')) => {
                        bytes = ahead;
                        Some(b'.')
                    }
                    (Some(b'2'), Some(b'f' | b'F')) => {
                        bytes = ahead;
                        Some(b'/')
                    }
                    _ => Some(b'%'),
                }
            }
            next => next,
        };
        match next {
            Some(b'.') => dots += 1,
            None | Some(b'/') => {
                match (dots, others) {
                    (2, 0) => depth -= 1,
                    (0 | 1, 0) => {}
                    _ => depth += 1,
                }
                if depth < 0 {
                    return true;
                }
                (dots, others) = (0, 0);
                if next.is_none() {
                    return false;
                }
            }
            Some(_) => others += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<(String, String), NoTarget> {
        let uri: Uri = path.parse().unwrap();
        parse(&uri, &Namespace::default(), NameRule::DnsLabel).map(|(function, rest)| {
            let query = rest.query.map(|query| format!("?{query}"));
            let query = query.unwrap_or_default();
            (function.to_string(), format!("{}{query}", rest.path))
        })
    }

    #[test]
    fn the_rest_of_the_path_passes_as_it_came() {
        for (path, function, rest) in [
            ("/function/f", "f.openfaas-fn", "/"),
            ("/function/f/", "f.openfaas-fn", "/"),
            ("/function/f?", "f.openfaas-fn", "/?"),
            ("/function/f?a=%2B&b", "f.openfaas-fn", "/?a=%2B&b"),
            ("/function/f.staging/", "f.staging", "/"),
            ("/function/f/a/", "f.openfaas-fn", "/a/"),
            ("/function/f//a//", "f.openfaas-fn", "//a//"),
            (
                "/function/f/a%2Fb%20c(1)?x=%2B",
                "f.openfaas-fn",
                "/a%2Fb%20c(1)?x=%2B",
            ),
            (
                "/function/f/!*'();:@&=+$,~%zz|",
                "f.openfaas-fn",
                "/!*'();:@&=+$,~%zz|",
            ),
            ("/function/f/a%0Ab", "f.openfaas-fn", "/a%0Ab"),
            ("/function/f/a/../b/./c", "f.openfaas-fn", "/a/../b/./c"),
            ("/function/f/a%2F..%2Fb", "f.openfaas-fn", "/a%2F..%2Fb"),
            ("/function/f/...", "f.openfaas-fn", "/..."),
            ("/function/f/..a", "f.openfaas-fn", "/..a"),
            ("/function/f/./x", "f.openfaas-fn", "/./x"),
            ("/function/f/%252e%252e/x", "f.openfaas-fn", "/%252e%252e/x"),
            ("http://host/function/f/x", "f.openfaas-fn", "/x"),
        ] {
            assert_eq!(read(path), Ok((function.into(), rest.into())), "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_out_of_the_function_is_refused() {
        for path in [
            "/function/f/..",
            "/function/f/../g",
            "/function/f/%2e%2e/g",
            "/function/f/.%2E/g",
            "/function/f/%2e./g",
            "/function/f/a/../../g",
            "/function/f//../g",
            "/function/f/./../g",
            "/function/f/..%2fg",
            "/function/f/a%2f..%2F..%2fg",
            "/function/..",
            "/function/../system/functions",
            "/function/%2e%2e/system/functions",
        ] {
            assert_eq!(read(path), Err(NoTarget::Escapes), "{path}");
        }
    }

    #[test]
    fn what_names_no_function_is_told_apart() {
        for path in [
            "/function",
            "/function/",
            "/function//x",
            "/",
            "/functions/f",
            "/x/function/f",
        ] {
            assert_eq!(read(path), Err(NoTarget::NoName), "{path}");
        }
        for path in [
            "/function/a%2Fb",
            "/function/F",
            "/function/f.",
            "/function/.",
            "/function/a_b",
        ] {
            assert_eq!(read(path), Err(NoTarget::NotAName), "{path}");
        }
    }
}
