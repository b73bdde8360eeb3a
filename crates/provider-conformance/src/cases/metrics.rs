//! What `/metrics` counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

/// The counter, and what the histogram counts.
const COUNTER: &str = "provider_http_requests_total";
const HISTOGRAM: &str = "provider_http_request_duration_seconds_count";

pub(super) const CASES: &[Case] = cases! { "metrics";
    the_text_is_that_of_prometheus: ["OFP-MET-001"],
    alone requests_are_counted: ["OFP-MET-002", "OFP-MET-003"],
    alone refused_requests_are_counted: ["OFP-MET-004"],
    alone calls_are_not_counted: ["OFP-MET-005"],
    names_make_no_series: ["OFP-MET-006"],
};

/// A line that is no comment.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

async fn the_text_is_that_of_prometheus(cx: &Context) -> Result<(), Stop> {
    // So that there is something to count.
    cx.get("/system/info").await?;
    let answer = cx.get("/metrics").await?;
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let known = kind.starts_with("text/plain") || kind.starts_with("application/openmetrics-text");
    cx.require("OFP-MET-001", answer.status() == 200 && known, || {
        answer.shown()
    })?;
    let text = answer.text();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let Some(sample) = sample(line).transpose() else {
            continue;
        };
        cx.check("OFP-MET-001", sample.is_ok(), || {
            format!("this line is neither a comment nor a sample: {line:?}")
        });
        if let Ok(sample) = sample {
            let series = (sample.name, sample.labels);
            let new = seen.insert(series);
            cx.check("OFP-MET-001", new, || {
                format!("this series is there twice: {line:?}")
            });
        }
    }
    cx.check("OFP-MET-001", !seen.is_empty(), || {
        "there is no sample".to_owned()
    });
    Ok(())
}

async fn requests_are_counted(cx: &Context) -> Result<(), Stop> {
    let before = samples(cx).await?;
    let request = Request::put("/system/functions").json("{");
    let mut last = cx.send(request.clone()).await?;
    for _ in 0..2 {
        last = cx.send(request.clone()).await?;
    }
    let labels = labels(last.status(), "PUT", "/system/functions");
    for (id, name) in [("OFP-MET-002", COUNTER), ("OFP-MET-003", HISTOGRAM)] {
        let grown = grown(cx, &before, name, &labels).await?;
        cx.check(id, (grown - 3.0).abs() < 0.5, || {
            format!("after 3 requests {name}{labels:?} has grown by {grown}")
        });
    }
    Ok(())
}

async fn refused_requests_are_counted(cx: &Context) -> Result<(), Stop> {
    if !cx.declares(Profile::Auth) {
        cx.not_applicable("OFP-MET-004", "nobody is asked for credentials");
        return Ok(());
    }
    let before = samples(cx).await?;
    for _ in 0..3 {
        cx.send(Request::get("/system/functions").anonymous())
            .await?;
    }
    let labels = labels(401, "GET", "/system/functions");
    let grown = grown(cx, &before, COUNTER, &labels).await?;
    cx.check("OFP-MET-004", (grown - 3.0).abs() < 0.5, || {
        format!("after 3 requests without credentials {COUNTER}{labels:?} has grown by {grown}")
    });
    Ok(())
}

async fn calls_are_not_counted(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let before = samples(cx).await?;
    for _ in 0..3 {
        cx.send(Request::new("PATCH", function.path("/"))).await?;
    }
    let after = samples(cx).await?;
    // No route of the API has this method.
    let labels = BTreeMap::from([("method".to_owned(), "PATCH".to_owned())]);
    let grown = sum(&after, COUNTER, &labels) - sum(&before, COUNTER, &labels);
    cx.check("OFP-MET-005", grown < 0.5, || {
        format!("3 calls of a function have made {COUNTER}{labels:?} grow by {grown}")
    });
    Ok(())
}

async fn names_make_no_series(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    for target in [
        format!("/system/function/{name}"),
        format!("/system/namespace/{name}"),
    ] {
        cx.get(&target).await?;
    }
    let scale = Request::post(format!("/system/scale-function/{name}"));
    cx.send(scale.json(r#"{"replicas":1}"#)).await?;
    let all = samples(cx).await?;
    let named = all
        .iter()
        .find(|one| one.labels.values().any(|value| value.contains(&name)));
    cx.check("OFP-MET-006", named.is_none(), || {
        format!("a request for {name}, which is not there, has made {named:?}")
    });
    Ok(())
}

/// By how much a series has grown, as soon as it is 3; a request may be counted a little after it
/// was answered.
async fn grown(
    cx: &Context,
    before: &[Sample],
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<f64, Stop> {
    let grown = |now: &[Sample]| sum(now, name, labels) - sum(before, name, labels);
    let counted = |answer: &Answer| grown(&read(answer)) > 2.5;
    let limit = cx.timeouts().prompt;
    let polled = cx.poll(
        "requests to be counted",
        limit,
        Request::get("/metrics"),
        counted,
    );
    let last = polled.await?.unwrap_or_else(|last| last);
    Ok(grown(&read(&last)))
}

async fn samples(cx: &Context) -> Result<Vec<Sample>, Stop> {
    let answer: Answer = cx.get("/metrics").await?;
    if answer.status() != 200 {
        let text = format!("/metrics was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    Ok(read(&answer))
}

/// The samples of an answer; lines that are none are left out.
fn read(answer: &Answer) -> Vec<Sample> {
    let text = answer.text();
    text.lines().filter_map(|line| sample(line).ok()?).collect()
}

fn labels(code: u16, method: &str, path: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("code", code.to_string()),
        ("method", method.to_owned()),
        ("path", path.to_owned()),
    ];
    let owned = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    owned.collect()
}

/// The sum of all series of a name that have these labels.
fn sum(samples: &[Sample], name: &str, labels: &BTreeMap<String, String>) -> f64 {
    let matches = |one: &&Sample| {
        let has = |(label, value): (&String, &String)| one.labels.get(label) == Some(value);
        one.name == name && labels.iter().all(has)
    };
    samples.iter().filter(matches).map(|one| one.value).sum()
}

/// Reads a line; nothing for comments and empty ones.
fn sample(line: &str) -> Result<Option<Sample>, ()> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(['{', ' ', '\t']).ok_or(())?;
    let (name, mut rest) = line.split_at(end);
    let is_name = |text: &str| {
        let inner = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == ':';
        text.chars().all(inner) && text.starts_with(|one: char| !one.is_ascii_digit())
    };
    if !is_name(name) {
        return Err(());
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (label, behind) = rest.split_once("=\"").ok_or(())?;
            let (value, behind) = quoted(behind).ok_or(())?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return Err(());
            }
            rest = behind;
        }
    }
    let mut words = rest.split_whitespace();
    let value = words.next().ok_or(())?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().map_err(drop)?,
    };
    let timestamp_is_number = words.next().is_none_or(|word| word.parse::<i64>().is_ok());
    if !timestamp_is_number || words.next().is_some() {
        return Err(());
    }
    Ok(Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    }))
}

/// The text up to the next quote that is not escaped, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, one)) = chars.next() {
        match one {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            one => value.push(one),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn a_sample_has_a_name_labels_and_a_value() {
        let read = sample(r#"a_b{path="/x \"y\",z",code="200"} 1.5 1700000000"#);
        let read = read.unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.value), ("a_b", 1.5));
        assert_eq!(read.labels.get("path").unwrap(), "/x \"y\",z");
        assert_eq!(read.labels.len(), 2);
        assert!(sample("# HELP a b").unwrap().is_none());
        assert!(sample("up +Inf").unwrap().is_some());
    }

    #[test]
    fn a_line_that_is_none_is_told() {
        for line in [
            "{\"a\":1}",
            "a",
            "a{b=\"c} 1",
            "a b",
            "1a 1",
            "a 1 2 3",
            "a{b=\"1\",b=\"2\"} 1",
        ] {
            assert!(sample(line).is_err(), "{line}");
        }
    }
}
