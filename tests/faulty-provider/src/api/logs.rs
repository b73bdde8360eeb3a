//! Logs.

use std::sync::Arc;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncWrite;

use super::{Request, namespace};
use crate::answer::{Answer, Content, Follow};
use crate::defect::Defect;
use crate::http1::{Framing, write_piece};
use crate::logs::Line;
use crate::state::Inner;

pub(super) fn query(inner: &Arc<Inner>, request: &Request) -> Result<Answer, Answer> {
    let has = |defect| inner.has(defect);
    if has(Defect::LogsAre500) {
        return Err(Answer::text(500, "the logs cannot be read"));
    }
    let text = |name| request.query(name).unwrap_or_default();
    let bad = |name: &str| Answer::text(422, format!("{name} cannot be read"));
    let tail = match text("tail") {
        "" => 0,
        number => number.parse::<i64>().map_err(|_| bad("tail"))?,
    };
    let since = match text("since") {
        "" => None,
        since if has(Defect::SinceWithoutZone) => {
            let local = format!("{}Z", since.get(..19).unwrap_or_default());
            Some(OffsetDateTime::parse(&local, &Rfc3339).map_err(|_| bad("since"))?)
        }
        since => Some(OffsetDateTime::parse(since, &Rfc3339).map_err(|_| bad("since"))?),
    };
    let mut follow = matches!(text("follow"), "1" | "t" | "T" | "true" | "TRUE" | "True");
    follow = match text("follow") {
        "1" if has(Defect::FollowOnlyTrue) => false,
        "0" if has(Defect::FollowZeroFollows) => true,
        _ if has(Defect::FollowEnds) => false,
        _ if has(Defect::LogsNeverEnd) => true,
        _ => follow,
    };
    let name = text("name");
    if name.is_empty() {
        return Err(Answer::text(400, "name is needed"));
    }
    let state = inner.state();
    let named = request
        .query("namespace")
        .filter(|_| !has(Defect::LogNamespaceIgnored));
    if has(Defect::EmptyNamespaceOfLogs) && named == Some("") {
        return Err(Answer::text(400, "the namespace is empty"));
    }
    let namespace = namespace(inner, &state, None, named)?;
    let key = (namespace, name.to_owned());
    let Some(function) = state.functions.get(&key) else {
        return Err(Answer::text(404, format!("there is no function {}", key.1)));
    };
    let mut instance = text("instance").to_owned();
    if has(Defect::LogsOfOneReplica) {
        let first = function.instances.first();
        instance = first.map_or(instance, |one| one.id.clone());
    }
    let tail = match usize::try_from(tail) {
        _ if has(Defect::TailIgnored) => None,
        Err(_) if has(Defect::TailOfMinusOneIsNone) => Some(0),
        Ok(0) | Err(_) => None,
        Ok(tail) => Some(tail),
    };
    let mut answer = Answer::empty(200).with("Content-Type", "application/x-ndjson");
    answer.body = Content::Lines(Box::new(Follow {
        logs: Arc::clone(&function.logs),
        name: key.1,
        namespace: key.0,
        follow,
        tail,
        since: since.filter(|_| !has(Defect::SinceIgnored)),
        instance,
    }));
    Ok(answer)
}

/// Sends lines as chunks, until there are no more.
pub(crate) async fn send(
    inner: &Inner,
    follow: &Follow,
    framing: Framing,
    to: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let (mut number, mut first) = (0, true);
    loop {
        let more = follow.logs.more.notified();
        tokio::pin!(more);
        more.as_mut().enable();
        let (mut lines, next) = follow.logs.from(number);
        number = next;
        lines.retain(|line| follow.instance.is_empty() || line.instance == follow.instance);
        lines.retain(|line| follow.since.is_none_or(|since| line.time >= since));
        if let Some(tail) = follow.tail.filter(|_| std::mem::take(&mut first)) {
            if inner.has(Defect::TailIsHead) {
                lines.truncate(tail);
            } else {
                lines.drain(..lines.len().saturating_sub(tail));
            }
        }
        if inner.has(Defect::LogsReversed) {
            lines.reverse();
        }
        for line in lines {
            if inner.has(Defect::BadBytesEndLogs) && line.text.contains('\u{fffd}') {
                return Ok(());
            }
            write_piece(to, framing, shown(inner, follow, &line).as_bytes()).await?;
        }
        if !follow.follow {
            return Ok(());
        }
        more.await;
    }
}

fn shown(inner: &Inner, follow: &Follow, line: &Line) -> String {
    let has = |defect| inner.has(defect);
    let mut text = line.text.clone();
    if has(Defect::LogTextCut) {
        text = text.chars().take(100).collect();
    }
    if has(Defect::LogsAreText) {
        return format!("{text}\n");
    }
    if has(Defect::LogTextWithNewline) {
        text.push('\n');
    }
    let time = line.time.format(&Rfc3339).unwrap_or_default();
    let name = if has(Defect::LogNameIsInstance) {
        &line.instance
    } else {
        &follow.name
    };
    let namespace = if has(Defect::LogNamespaceEmpty) {
        ""
    } else {
        &follow.namespace
    };
    let mut object = json!({
        "name": name,
        "namespace": namespace,
        "instance": line.instance,
        "timestamp": time,
        "text": text,
    });
    if let Some(object) = object.as_object_mut() {
        if has(Defect::LogTimeIsNumber) {
            object.insert("timestamp".to_owned(), json!(line.time.unix_timestamp()));
        }
        if has(Defect::LogInstanceIsNumber) {
            object.insert("instance".to_owned(), json!(1));
        }
        if has(Defect::LogWithoutInstance) {
            object.remove("instance");
        }
    }
    format!("{object}\n")
}
