//! The `Http_*` variables that tell a process about its call, as CGI does.
//!
//! A header `X-Some-Name` becomes `Http_X_Some_Name`. of-watchdog: `pkg/watchdog.go`; the
//! variables with `Host` and `ContentLength` are the classic watchdog's. Differences: all values
//! of a repeated header are given, not the first only, and no header can pretend to be one of the
//! variables that the watchdog makes, to be another header, or to be a proxy setting.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;

/// Lower-case names, without `http_`, that no header may give: what the watchdog says itself, and
/// `proxy`: programs that read variables without regard to case take `Http_Proxy` for the proxy
/// that they should use.
const RESERVED: [&str; 8] = [
    "method",
    "query",
    "path",
    "host",
    "contentlength",
    "content_length",
    "transfer_encoding",
    "proxy",
];

/// The variables for one call. `length` is the body's length where it is known.
pub(crate) fn of_request(parts: &Parts, length: Option<u64>) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = headers(parts)
        .into_iter()
        .map(|(name, value)| {
            (
                OsString::from(format!("Http_{name}")),
                OsString::from_vec(value),
            )
        })
        .collect();
    let mut set = |name: &str, value: OsString| variables.push((OsString::from(name), value));

    set("Http_Method", parts.method.as_str().into());
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        set("Http_Query", query.into());
    }
    let path = percent_encoding::percent_decode_str(parts.uri.path());
    set("Http_Path", OsString::from_vec(path.collect()));
    let host = match parts.headers.get(HOST) {
        Some(host) => Some(OsString::from_vec(host.as_bytes().to_vec())),
        None => parts.uri.authority().map(|host| host.as_str().into()),
    };
    if let Some(host) = host {
        set("Http_Host", host);
    }
    // Go: an unknown length is -1.
    let length = length.map_or_else(|| "-1".to_owned(), |length| length.to_string());
    set("Http_ContentLength", length.clone().into());
    set("Http_Content_Length", length.into());
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        set("Http_Transfer_Encoding", "chunked".into());
    }
    variables
}

/// Whether the decoded path holds a byte that no variable can.
pub(crate) fn has_nul(parts: &Parts) -> bool {
    percent_encoding::percent_decode_str(parts.uri.path()).any(|byte| byte == 0)
}

/// The headers by the end of their variable's name.
fn headers(parts: &Parts) -> BTreeMap<String, Vec<u8>> {
    let mut by_name: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let names = parts.headers.keys();
    // Names with real dashes go first: X_Forwarded_For must not stand in for X-Forwarded-For.
    let (underscored, dashed): (Vec<_>, Vec<_>) = names.partition(|n| n.as_str().contains('_'));
    let mut taken: Vec<String> = RESERVED.map(str::to_owned).to_vec();
    for header in dashed.into_iter().chain(underscored) {
        let key = variable(header.as_str());
        if taken.contains(&key) {
            continue;
        }
        let mut joined = Vec::new();
        for value in parts.headers.get_all(header) {
            if !joined.is_empty() {
                joined.extend_from_slice(b", ");
            }
            joined.extend_from_slice(value.as_bytes());
        }
        by_name.insert(canonical(header.as_str()).replace('-', "_"), joined);
        taken.push(key);
    }
    by_name
}

fn variable(header: &str) -> String {
    header.to_ascii_lowercase().replace('-', "_")
}

/// Upper case at the start and after each dash, lower case elsewhere. Go:
/// `textproto.CanonicalMIMEHeaderKey`.
fn canonical(header: &str) -> String {
    let mut upper = true;
    header
        .chars()
        .map(|c| {
            let written = if upper {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            upper = c == '-';
            written
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn variables(request: http::request::Builder, length: Option<u64>) -> BTreeMap<String, String> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        of_request(&parts, length)
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn a_call_is_described_by_canonical_names() {
        let request = Request::builder()
            .method("PUT")
            .uri("/a%20b/c?x=%20y&z")
            .header("host", "example.org:80")
            .header("x-call-id", "7")
            .header("x-CALL-trace", "9");
        let got = variables(request, Some(5));
        let want = [
            ("Http_Content_Length", "5"),
            ("Http_ContentLength", "5"),
            ("Http_Host", "example.org:80"),
            ("Http_Method", "PUT"),
            ("Http_Path", "/a b/c"),
            ("Http_Query", "x=%20y&z"),
            ("Http_X_Call_Id", "7"),
            ("Http_X_Call_Trace", "9"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(got, BTreeMap::from(want));
    }

    #[test]
    fn all_values_of_a_repeated_header_are_given() {
        let request = Request::get("/").header("x-a", "1").header("X-A", "2");
        assert_eq!(variables(request, None)["Http_X_A"], "1, 2");
    }

    #[test]
    fn a_length_that_is_not_known_is_minus_one() {
        let request = Request::post("/").header("transfer-encoding", "chunked");
        let got = variables(request, None);
        assert_eq!(got["Http_ContentLength"], "-1");
        assert_eq!(got["Http_Transfer_Encoding"], "chunked");
        assert!(!got.contains_key("Http_Query"));
    }

    #[test]
    fn no_header_becomes_a_proxy_setting() {
        let got = variables(Request::get("/").header("proxy", "http://evil"), Some(0));
        assert!(
            got.keys()
                .all(|name| !name.eq_ignore_ascii_case("http_proxy"))
        );
    }

    #[test]
    fn no_header_stands_in_for_what_the_watchdog_says() {
        let request = Request::get("/real")
            .header("method", "DELETE")
            .header("path", "/fake")
            .header("query", "fake")
            .header("contentlength", "9")
            .header("content_length", "9")
            .header("transfer_encoding", "chunked");
        let got = variables(request, Some(0));
        assert_eq!(got["Http_Method"], "GET");
        assert_eq!(got["Http_Path"], "/real");
        assert_eq!(got["Http_ContentLength"], "0");
        assert_eq!(got["Http_Content_Length"], "0");
        assert!(!got.keys().any(|n| n.eq_ignore_ascii_case("http_query")));
        assert!(
            !got.keys()
                .any(|n| n.eq_ignore_ascii_case("http_transfer_encoding"))
        );
    }

    #[test]
    fn an_underscore_does_not_stand_in_for_a_dash() {
        let request = Request::get("/")
            .header("x_forwarded_for", "fake")
            .header("x-forwarded-for", "real");
        let got = variables(request, None);
        assert_eq!(got["Http_X_Forwarded_For"], "real");
        assert!(!got.values().any(|value| value == "fake"));

        let alone = variables(Request::get("/").header("x_my_id", "5"), None);
        assert_eq!(alone["Http_X_my_id"], "5");
    }

    proptest! {
        /// Whatever the headers: the watchdog's own variables are as the request is, every name
        /// is there once, and no two differ in case only, as some programs do not look at it.
        #[test]
        fn headers_cannot_forge_variables(
            headers in prop::collection::vec(
                (
                    prop_oneof![
                        "[a-zA-Z_-]{1,3}",
                        "(method|query|path|host|content[-_]?length|transfer[-_]encoding|proxy)",
                        "[xX][-_](forwarded|FORWARDED)[-_]for",
                    ],
                    "[ -~]{0,5}",
                ),
                0..8,
            )
        ) {
            let mut request = Request::put("/p");
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let variables = of_request(&parts, Some(3));
            let mut seen = std::collections::HashSet::new();
            for (name, value) in &variables {
                let name = name.to_str().unwrap();
                prop_assert!(name.starts_with("Http_"), "{name}");
                let known = name.to_ascii_lowercase();
                prop_assert_ne!(&known, "http_proxy");
                let own = match known.as_str() {
                    "http_method" => Some("PUT"),
                    "http_path" => Some("/p"),
                    "http_content_length" | "http_contentlength" => Some("3"),
                    "http_query" => None,
                    _ => Some(value.to_str().unwrap()),
                };
                prop_assert_eq!(value.to_str(), own);
                prop_assert!(seen.insert(known), "{} twice", name);
            }
        }
    }
}
