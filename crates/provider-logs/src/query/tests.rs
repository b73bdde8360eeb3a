//! Query strings that clients send, and ones that nobody should.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

#[track_caller]
fn parse(query: &str) -> LogQuery {
    LogQuery::parse(query).unwrap_or_else(|error| panic!("{query}: {error:?}"))
}

fn at(seconds: u64, nanos: u32) -> Option<SystemTime> {
    Some(UNIX_EPOCH + Duration::new(seconds, nanos))
}

#[test]
fn what_faas_cli_sends_is_read() {
    let query = parse(
        "follow=true&instance=a-1&name=figlet&namespace=staging\
         &since=2026-11-22T15%3A00%3A00Z&tail=-1",
    );
    assert_eq!(
        query,
        LogQuery {
            name: "figlet".to_owned(),
            namespace: "staging".to_owned(),
            instance: Some("a-1".to_owned()),
            tail: None,
            follow: true,
            since: at(1_795_359_600, 0),
        }
    );
    assert_eq!(parse(""), LogQuery::default());
}

#[test]
fn the_last_value_counts() {
    let query = parse("name=a&tail=1&follow=1&name=b&tail=2&follow=0&name=the+last");
    assert_eq!(
        (query.name.as_str(), query.tail, query.follow),
        ("the last", Some(2), false)
    );
    assert_eq!(parse("instance=a&instance=").instance, None);
    assert_eq!(parse("tail=x&tail=5").tail, Some(5));
}

#[test]
fn tail_is_a_whole_number_and_none_from_zero_down() {
    for (text, tail) in [
        ("", None),
        ("0", None),
        ("-1", None),
        ("-9223372036854775808", None),
        ("1", Some(1)),
        ("007", Some(7)),
        ("%2B5", Some(5)),
    ] {
        assert_eq!(parse(&format!("tail={text}")).tail, tail, "{text:?}");
    }
    for bad in [
        "+5",
        "x",
        "1.5",
        "0x10",
        "1e3",
        "5+",
        "9223372036854775808",
        "-",
        "١",
    ] {
        assert!(
            matches!(
                LogQuery::parse(&format!("tail={bad}")),
                Err(LogQueryError::Tail(_))
            ),
            "{bad:?} was taken"
        );
    }
}

#[test]
fn follow_is_true_for_what_go_takes_and_else_false() {
    for text in ["1", "t", "T", "true", "TRUE", "True"] {
        assert!(parse(&format!("follow={text}")).follow, "{text:?}");
    }
    for text in ["0", "f", "false", "", "yes", "tRUE", "on", "1 ", "2"] {
        assert!(!parse(&format!("follow={text}")).follow, "{text:?}");
    }
}

#[test]
fn since_keeps_its_fraction_and_its_offset() {
    for (text, since) in [
        ("", None),
        ("1970-01-01T00:00:01Z", at(1, 0)),
        ("1970-01-01T00:00:01.000001Z", at(1, 1_000)),
        ("1970-01-01T02:00:01%2B02:00", at(1, 0)),
        ("1970-01-01T00:00:00-05:00", at(18_000, 0)),
    ] {
        assert_eq!(parse(&format!("since={text}")).since, since, "{text:?}");
    }
    for bad in [
        "1970-01-01T02:00:01+02:00",
        "1970-01-01",
        "5m",
        "0",
        "1970-01-01T24:00:00Z",
        "2025-02-29T00:00:00Z",
    ] {
        let error = LogQuery::parse(&format!("since={bad}")).unwrap_err();
        assert!(matches!(error, LogQueryError::Since(_)), "{bad:?}");
        assert_eq!(error.to_string(), "could not parse the log request");
    }
}

#[test]
fn broken_pairs_are_dropped_and_the_others_kept() {
    for (query, name) in [
        ("name=a%zz&tail=1", ""),
        ("name=a&name=b%2&tail=1", "a"),
        ("name=a;tail=9&tail=1", ""),
        ("na%6de=a&tail=1", "a"),
        ("name=a%2Eb&tail=1", "a.b"),
        ("&&=x&name=a&name&tail=1", ""),
        ("name=a=b&tail=1", "a=b"),
        ("NAME=a&tail=1", ""),
        ("name=%ff&tail=1", "\u{fffd}"),
    ] {
        let read = parse(query);
        assert_eq!((read.name.as_str(), read.tail), (name, Some(1)), "{query}");
    }
}

#[test]
fn names_are_checked_and_the_namespace_has_a_default() {
    let default = Namespace::default();
    let request = |query: &str| {
        parse(query).into_request(CallContext::default(), &default, NameRule::DnsLabel)
    };
    assert_eq!(
        request("name=figlet").unwrap().function.to_string(),
        "figlet.openfaas-fn"
    );
    assert_eq!(
        request("name=figlet&namespace=x")
            .unwrap()
            .function
            .to_string(),
        "figlet.x"
    );
    let missing = request("tail=1").unwrap_err().to_string();
    assert!(
        missing.starts_with("function name is required"),
        "{missing}"
    );
    for bad in [
        "name=..%2Fx",
        "name=a.b",
        "name=a&namespace=..",
        "name=--all",
    ] {
        assert!(request(bad).is_err(), "{bad} was taken");
    }
}

proptest! {
    #[test]
    fn no_query_panics(query in ".{0,80}") {
        let _ = LogQuery::parse(&query);
    }

    #[test]
    fn what_is_escaped_reads_back(name in ".{0,20}", tail in 1_usize..1_000_000) {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let read = parse(&format!("junk=%&name={escaped}&tail={tail}"));
        prop_assert_eq!((read.name, read.tail), (name, Some(tail)));
    }
}
