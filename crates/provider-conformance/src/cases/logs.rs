//! `/system/logs`.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::steps::scaling;
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop, status};
use crate::requirement::Profile;
use crate::wire::{Answer, Connection, Request, WireError};

pub(super) const CASES: &[Case] = cases! { "logs";
    lines_are_read: [
        "OFP-LOG-001", "OFP-LOG-002", "OFP-LOG-003", "OFP-LOG-004", "OFP-LOG-005", "OFP-LOG-006",
        "OFP-LOG-007", "OFP-LOG-008", "OFP-LOG-013", "OFP-LOG-015", "OFP-LOG-022",
    ],
    the_last_lines_are_read: ["OFP-LOG-009"],
    lines_since_a_time_are_read: ["OFP-LOG-011"],
    lines_are_followed: ["OFP-LOG-012", "OFP-LOG-014"],
    replicas_are_told_apart: ["OFP-LOG-010", "OFP-LOG-019"],
    queries_that_are_none_are_refused: ["OFP-LOG-016", "OFP-LOG-017", "OFP-LOG-018"],
    any_line_is_taken: ["OFP-LOG-020"],
    a_long_line_is_taken: ["OFP-LOG-021"],
    lines_outlive_their_replica: ["OFP-LOG-023"],
};

/// One object of the stream.
struct Line {
    object: Value,
}

impl Line {
    fn string(&self, member: &str) -> Option<&str> {
        self.object.get(member)?.as_str()
    }

    fn text(&self) -> &str {
        let text = self.string("text").unwrap_or_default();
        text.trim_end_matches(['\r', '\n'])
    }

    /// Whether it is the line, as it is or behind what a watchdog puts before it.
    fn says(&self, line: &str) -> bool {
        self.text().ends_with(line)
    }

    fn time(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.string("timestamp")?, &Rfc3339).ok()
    }
}

/// The objects in the body of an answer; one that cannot be read ends them, as it does for clients.
fn lines(body: &[u8]) -> (Vec<Line>, Option<String>) {
    let mut all = Vec::new();
    for read in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        match read {
            Ok(object) => all.push(Line { object }),
            Err(error) => return (all, Some(error.to_string())),
        }
    }
    (all, None)
}

/// Of some lines, those of the case's own that hold this.
fn saying<'a>(lines: &'a [Line], part: &str) -> Vec<&'a Line> {
    lines
        .iter()
        .filter(|line| line.text().contains(part))
        .collect()
}

fn path(function: &Function, query: &str) -> String {
    format!(
        "/system/logs?name={}&namespace={}{query}",
        function.name, function.namespace
    )
}

/// Has a function write a line, or several.
async fn write(cx: &Context, function: &Function, order: &str) -> Result<(), Stop> {
    let answer = cx.get(&function.path(&format!("/do/log?{order}"))).await?;
    if answer.is_success() {
        return Ok(());
    }
    let text = format!("the function was to write lines: {}", answer.shown());
    Err(Stop::Setup(text))
}

/// Reads the log until a line is there; the last answer where it never is.
async fn until_there(
    cx: &Context,
    function: &Function,
    line: &str,
) -> Result<Result<Answer, Answer>, Stop> {
    let request = Request::get(path(function, "&follow=false"));
    let there = |answer: &Answer| lines(&answer.body).0.iter().any(|one| one.says(line));
    cx.poll(
        "a line to be in the log",
        cx.timeouts().settle,
        request,
        there,
    )
    .await
}

/// The same, where it is not what is judged.
async fn written(cx: &Context, function: &Function, line: &str) -> Result<Answer, Stop> {
    until_there(cx, function, line).await?.map_err(|answer| {
        let text = format!("{line:?} is not in the log: {}", answer.shown());
        Stop::Setup(text)
    })
}

async fn lines_are_read(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let before = OffsetDateTime::now_utc();
    write(cx, &function, "stdout=plain%20line&times=3").await?;
    write(cx, &function, "stdout=wide.&size=300").await?;
    write(cx, &function, "stderr=bad%20news").await?;
    for query in ["", "&follow=false", "&follow=0"] {
        let read = cx.try_send(Request::get(path(&function, query))).await;
        // What is late has not ended; what breaks off has.
        let ended = !matches!(&read, Err(WireError::Late { .. }));
        let why = || read.as_ref().err().map(ToString::to_string);
        cx.require("OFP-LOG-013", ended, || {
            format!("with {query:?} there is {}", why().unwrap_or_default())
        })?;
        cx.check("OFP-LOG-022", read.is_ok(), || {
            format!("with {query:?}: {}", why().unwrap_or_default())
        });
    }
    let out = until_there(cx, &function, "plain line 2").await?;
    let found = match &out {
        Ok(answer) | Err(answer) => answer,
    };
    cx.require("OFP-LOG-001", out.is_ok(), || {
        format!("three lines were written; the log: {}", found.shown())
    })?;
    let wide = "wide.".repeat(60);
    let whole = until_there(cx, &function, &wide).await?.is_ok();
    cx.check("OFP-LOG-003", whole, || {
        "a line of 300 bytes was written and is not there".to_owned()
    });
    let err = until_there(cx, &function, "bad news").await?;
    cx.check("OFP-LOG-008", err.is_ok(), || {
        let last = match &err {
            Ok(answer) | Err(answer) => answer.shown(),
        };
        format!("what was written to standard error is not there: {last}")
    });
    let kind = found.header("content-type").unwrap_or_default();
    let (all, unread) = lines(&found.body);
    let own_lines = found.text().lines().filter(|line| !line.is_empty()).count();
    let ndjson = kind.starts_with("application/x-ndjson") && own_lines == all.len();
    cx.check("OFP-LOG-015", ndjson, || {
        format!("{} objects on {own_lines} lines, `{kind}`", all.len())
    });
    cx.check("OFP-LOG-002", unread.is_none(), || {
        format!("behind {} objects: {unread:?}", all.len())
    });
    judge_fields(cx, &function, &all, before);
    Ok(())
}

fn judge_fields(cx: &Context, function: &Function, all: &[Line], before: OffsetDateTime) {
    let plain = saying(all, "plain line");
    let in_order = (0..3).all(|number| {
        let wanted = format!("plain line {number}");
        plain.get(number).is_some_and(|line| line.says(&wanted))
    });
    cx.check("OFP-LOG-003", in_order && plain.len() == 3, || {
        let texts: Vec<&str> = plain.iter().map(|line| line.text()).collect();
        format!("`plain line 0` to `2` were written, these are there: {texts:?}")
    });
    for line in all {
        // A client reads what is absent as empty, and stops at what is of another kind.
        let strings = ["name", "namespace", "instance"];
        let readable = strings.into_iter().all(|member| {
            line.object
                .get(member)
                .is_none_or(|it| it.is_string() || it.is_null())
        });
        let says = line.string("text").is_some() && line.time().is_some();
        cx.check("OFP-LOG-002", readable && says, || {
            format!(
                "without a text or a time, or with something that is no string: {}",
                line.object
            )
        });
        cx.check(
            "OFP-LOG-004",
            line.string("name") == Some(&function.name),
            || format!("asked for {}: {}", function.name, line.object),
        );
        let text = line.string("text").unwrap_or_default();
        cx.check("OFP-LOG-005", !text.ends_with('\n'), || {
            format!("a newline ends {text:?}")
        });
        let named = line.string("namespace") == Some(&function.namespace)
            && line.string("instance").is_some_and(|it| !it.is_empty());
        cx.check("OFP-LOG-006", named, || line.object.to_string());
    }
    let now = OffsetDateTime::now_utc();
    for line in plain {
        let slack = time::Duration::seconds(10);
        let near = |time: OffsetDateTime| time > before - slack && time < now + slack;
        cx.check("OFP-LOG-007", line.time().is_some_and(near), || {
            format!("written between {before} and {now}: {}", line.object)
        });
    }
}

async fn the_last_lines_are_read(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-LOG-009";
    let function = cx.function().await?;
    write(cx, &function, "stdout=counted&times=6").await?;
    written(cx, &function, "counted 5").await?;
    let answer = cx.get(&path(&function, "&tail=2&follow=false")).await?;
    let (some, _) = lines(&answer.body);
    // Others may have written behind it, such as a watchdog.
    let early = |line: &&Line| !line.says("counted 4") && !line.says("counted 5");
    let counted = saying(&some, "counted");
    let last = some.len() <= 2 && !counted.iter().any(early);
    cx.check(id, answer.status() == 200 && last, || {
        format!("`tail=2` gave {} lines: {}", some.len(), answer.shown())
    });
    let whole = cx.get(&path(&function, "&follow=false")).await?;
    let wanted = saying(&lines(&whole.body).0, "counted").len();
    let answer = cx.get(&path(&function, "&tail=-1&follow=false")).await?;
    let all = saying(&lines(&answer.body).0, "counted").len();
    cx.check(
        id,
        answer.status() == 200 && all == wanted && all == 6,
        || format!("6 lines were written: `tail=-1` gave {all} of them, no `tail` {wanted}"),
    );
    if some.is_empty() {
        cx.check(id, false, || "`tail=2` gave no line at all".to_owned());
    }
    Ok(())
}

async fn lines_since_a_time_are_read(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-LOG-011";
    let function = cx.function().await?;
    write(cx, &function, "stdout=earlier").await?;
    let answer = written(cx, &function, "earlier").await?;
    let (all, _) = lines(&answer.body);
    let earlier = all.iter().find(|line| line.says("earlier"));
    let earlier = earlier.and_then(Line::time);
    let Some(earlier) = earlier else {
        return Err(Stop::Setup("the line has no time".to_owned()));
    };
    // Some providers have seconds only. Waiting for the next one is no waiting for the provider.
    let next = earlier + time::Duration::milliseconds(1_100);
    let pause = next - OffsetDateTime::now_utc();
    tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()).await;
    write(cx, &function, "stdout=later").await?;
    written(cx, &function, "later").await?;
    let since = earlier + time::Duration::milliseconds(1_000);
    for hours in [0, 5, -8] {
        let offset = UtcOffset::from_hms(hours, 0, 0).unwrap_or(UtcOffset::UTC);
        let text = since.to_offset(offset).format(&Rfc3339).unwrap_or_default();
        let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC);
        let answer = cx
            .get(&path(&function, &format!("&follow=false&since={encoded}")))
            .await?;
        let (some, _) = lines(&answer.body);
        let (early, late) = (saying(&some, "earlier"), saying(&some, "later"));
        let holds = answer.status() == 200 && early.is_empty() && late.len() == 1;
        cx.check(id, holds, || {
            format!(
                "`since={text}`, between the two: {} lines from before, {} from after; status {}",
                early.len(),
                late.len(),
                answer.status()
            )
        });
    }
    Ok(())
}

/// Asks for lines as they come.
async fn follow(cx: &Context, target: &str) -> Result<Connection, Stop> {
    let request = cx.prepare(Request::get(target));
    let mut connection = cx.connect().await?;
    let sent = connection.send(&request).await;
    sent.map_err(|source| Stop::Provider {
        call: request.line(),
        source,
    })?;
    Ok(connection)
}

/// Whether a line comes before the connection's limit.
async fn comes(connection: &mut Connection, seen: &mut Vec<u8>, line: &str) -> bool {
    loop {
        // Whether it is one in JSON is judged elsewhere.
        if String::from_utf8_lossy(seen).contains(line) {
            return true;
        }
        match connection.piece().await {
            Ok(Some(piece)) => seen.extend(piece.data),
            _ => return false,
        }
    }
}

async fn lines_are_followed(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (value, line) in [("true", "first"), ("1", "second")] {
        let query = format!("&follow={value}&tail=-1");
        let mut connection = follow(cx, &path(&function, &query)).await?;
        // A provider that sends its header with the first line gets one.
        connection.set_limit(cx.timeouts().prompt);
        let mut head = connection.head("GET").await;
        cx.check("OFP-LOG-014", head.is_ok(), || {
            format!("`follow={value}` of a log without new lines: {head:?}")
        });
        write(cx, &function, &format!("stdout=followed%20{line}%201")).await?;
        connection.set_limit(cx.timeouts().settle);
        if head.is_err() {
            head = connection.head("GET").await;
        }
        if let Ok(refused) = head.as_ref()
            && refused.status != 200
        {
            let text = format!("`follow={value}` was answered with {}", refused.status);
            return Err(Stop::Setup(text));
        }
        let mut seen = Vec::new();
        let mut came = head.is_ok();
        for number in 1..=3 {
            let wanted = format!("followed {line} {number}");
            came = came && comes(&mut connection, &mut seen, &wanted).await;
            cx.check("OFP-LOG-012", came, || {
                format!(
                    "`follow={value}`: {wanted:?} was written and did not come; {}",
                    String::from_utf8_lossy(&seen)
                )
            });
            if came && number < 3 {
                let next = format!("stdout=followed%20{line}%20{}", number + 1);
                write(cx, &function, &next).await?;
            }
        }
    }
    Ok(())
}

async fn replicas_are_told_apart(cx: &Context) -> Result<(), Stop> {
    let (tail, instance) = ("OFP-LOG-010", "OFP-LOG-019");
    if !cx.declares(Profile::Scale) {
        for id in [tail, instance] {
            cx.not_applicable(id, "the provider does not declare `scale`");
        }
        return Ok(());
    }
    let function = cx.function().await?;
    cx.send(scaling(&function, 2)).await?;
    let request = Request::get(function.status_path());
    let two = |answer: &Answer| status(answer).is_some_and(|it| it.available_replicas == 2);
    let polled = cx.poll("two replicas", cx.timeouts().ready, request, two);
    if let Err(last) = polled.await? {
        return Err(Stop::Setup(format!("no two replicas: {}", last.shown())));
    }
    // Calls go to both in the end.
    let mut instances = Vec::new();
    let mut calls = 0;
    while instances.len() < 2 && calls < 64 {
        for _ in 0..8 {
            calls += 1;
            write(cx, &function, &format!("stdout=spread%20{calls}.")).await?;
        }
        let request = Request::get(path(&function, "&follow=false"));
        let complete = |answer: &Answer| saying(&lines(&answer.body).0, "spread").len() == calls;
        let limit = cx.timeouts().settle;
        let polled = cx.poll("all lines to be in the log", limit, request, complete);
        let answer = polled.await?.unwrap_or_else(|last| last);
        let (all, _) = lines(&answer.body);
        let there = saying(&all, "spread").len();
        if there < calls {
            for id in [tail, instance] {
                cx.check(id, false, || {
                    format!("2 replicas wrote {calls} lines, and {there} of them are there")
                });
            }
            return Ok(());
        }
        instances = saying(&all, "spread")
            .iter()
            .filter_map(|line| line.string("instance").map(str::to_owned))
            .collect();
        instances.sort();
        instances.dedup();
    }
    let answer = cx.get(&path(&function, "&tail=3&follow=false")).await?;
    let count = lines(&answer.body).0.len();
    cx.check(tail, count <= 3 && count > 0, || {
        format!("`tail=3` of a function with 2 replicas gave {count} lines")
    });
    if let [one, _] = instances.as_slice() {
        let encoded = utf8_percent_encode(one, NON_ALPHANUMERIC);
        let query = format!("&follow=false&instance={encoded}");
        let answer = cx.get(&path(&function, &query)).await?;
        let (some, _) = lines(&answer.body);
        let others = some
            .iter()
            .filter(|line| line.string("instance") != Some(one));
        let others = others.count();
        cx.check(instance, others == 0 && !some.is_empty(), || {
            format!(
                "`instance={one}` gave {} lines, {others} of others",
                some.len()
            )
        });
    } else {
        cx.check(instance, false, || {
            format!("after {calls} calls of 2 replicas the lines are of {instances:?}")
        });
    }
    Ok(())
}

async fn queries_that_are_none_are_refused(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for query in ["&tail=some", "&since=yesterday"] {
        let answer = cx
            .get(&path(&function, &format!("{query}&follow=false")))
            .await?;
        cx.check("OFP-LOG-016", matches!(answer.status(), 400 | 422), || {
            format!("`{query}` was answered with {}", answer.shown())
        });
    }
    for query in ["follow=false", "name=&follow=false"] {
        let answer = cx.get(&format!("/system/logs?{query}")).await?;
        cx.check("OFP-LOG-017", answer.status() == 400, || {
            format!("`{query}` was answered with {}", answer.shown())
        });
    }
    let name = cx.name();
    let answer = cx
        .get(&format!("/system/logs?name={name}&follow=false"))
        .await?;
    cx.check("OFP-LOG-018", answer.status() == 404, || {
        format!("logs of nothing were answered with {}", answer.shown())
    });
    Ok(())
}

async fn any_line_is_taken(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    // No UTF-8, an escape sequence, a NUL, and a backspace.
    for bytes in ["%FF%FE", "%1B%5B31m", "a%00b", "%08"] {
        write(cx, &function, &format!("stdout=odd%20{bytes}")).await?;
    }
    write(cx, &function, "stdout=still%20here").await?;
    let read = until_there(cx, &function, "still here").await?;
    cx.check("OFP-LOG-020", read.is_ok(), || {
        let last = match &read {
            Ok(answer) | Err(answer) => answer.shown(),
        };
        format!("a line behind odd ones is not there: {last}")
    });
    Ok(())
}

async fn a_long_line_is_taken(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-LOG-021";
    let function = cx.function().await?;
    write(cx, &function, "stdout=long.&size=262144").await?;
    write(cx, &function, "stdout=behind%20it").await?;
    let read = until_there(cx, &function, "behind it").await?;
    cx.check(id, read.is_ok(), || {
        "a line behind a long one is not there".to_owned()
    });
    Ok(())
}

async fn lines_outlive_their_replica(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-LOG-023";
    if !cx.declares(Profile::ScaleZero) {
        cx.not_applicable(id, "the provider does not declare `scale-zero`");
        return Ok(());
    }
    let function = cx.function().await?;
    write(cx, &function, "stdout=remembered").await?;
    written(cx, &function, "remembered").await?;
    cx.send(scaling(&function, 0)).await?;
    let request = Request::get(function.status_path());
    let none = |answer: &Answer| status(answer).is_some_and(|it| it.available_replicas == 0);
    let polled = cx.poll("no replica", cx.timeouts().ready, request, none);
    if let Err(last) = polled.await? {
        return Err(Stop::Setup(format!("it keeps a replica: {}", last.shown())));
    }
    let read = until_there(cx, &function, "remembered").await?;
    cx.check(id, read.is_ok(), || {
        "the line of a replica that is gone is not there".to_owned()
    });
    Ok(())
}
