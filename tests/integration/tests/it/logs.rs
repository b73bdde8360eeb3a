//! Lines, and following them.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, Provider, image, process, until, with};

/// A function that writes to its log what its script does, without dates.
async fn deploy(place: &Place, provider: &Provider, name: &str, script: &str) {
    place.script(name, &format!("#!/bin/sh\nexec >&2\n{script}\n"));
    let plain = json!({"prefix_logs": "false"});
    provider.deployed(with(image(name, name), plain)).await;
}

/// Its lines, once the last of them is this one. The watchdog's own lines, which have a date, are
/// left out.
async fn lines_until(provider: &Provider, name: &str, last: &str) -> Vec<String> {
    let own = |line: &String| !(line.starts_with("20") && line.contains('/'));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let newest = texts(provider, &format!("name={name}&tail=50")).await;
        if newest.into_iter().rfind(own).as_deref() == Some(last) {
            let mut all = texts(provider, &format!("name={name}")).await;
            all.retain(own);
            return all;
        }
        if tokio::time::Instant::now() >= deadline {
            let newest = texts(provider, &format!("name={name}&tail=50")).await;
            panic!("{last} is not the last line: {newest:?}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_kept_of_each_functions_lines_is_in_the_metrics() {
    let place = Place::new();
    let provider = place.start().await;
    deploy(&place, &provider, "writes", "seq 1 5000").await;
    provider.called("writes", "").await;
    lines_until(&provider, "writes", "5000").await;
    let metrics = provider.get("/metrics").await.text().await.unwrap();
    let value = |series: &str| -> u64 {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series}: {metrics}"))
            .parse()
            .unwrap()
    };
    let of_function = "{function=\"writes\",namespace=\"openfaas-fn\"}";
    // The watchdog has lines of its own.
    let lines = value(&format!("provider_function_log_lines_total{of_function}"));
    assert!((5_000..5_010).contains(&lines), "{lines}");
    let bytes = value("provider_log_bytes");
    assert!(bytes > 23_000, "{bytes}");
    assert_eq!(
        value(&format!("provider_function_log_bytes{of_function}")),
        bytes
    );
    assert_eq!(value("provider_log_segments"), 1);
    for reason in ["not_taken", "no_room", "write_failed"] {
        let dropped = format!("provider_log_dropped_lines_total{{reason=\"{reason}\"}}");
        assert_eq!(value(&dropped), 0);
    }
}

/// Writes 60 MB in 60,000 numbered lines.
const LONG_LINES: &str =
    "long=$(head -c 1000 /dev/zero | tr '\\0' x)\nseq -f \"%.0f $long\" 1 60000\necho end";

/// Whether the line `end` is among the last of a reply.
fn has_end(body: &[u8]) -> bool {
    let newest = &body[body.len().saturating_sub(2_000)..];
    String::from_utf8_lossy(newest).contains("\"text\":\"end\"")
}

async fn texts(provider: &Provider, query: &str) -> Vec<String> {
    let reply = provider.get(&format!("/system/logs?{query}")).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let body = reply.text().await.unwrap();
    body.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_function_writes_is_in_its_logs() {
    let place = Place::new();
    place.script("writes", "#!/bin/sh\nread word\necho \"heard $word\" >&2\n");
    let provider = place.start().await;
    let plain = json!({"prefix_logs": "false"});
    provider
        .deployed(with(image("writes", "writes"), plain))
        .await;
    for word in ["one", "two", "three"] {
        provider.called("writes", word).await;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let all = texts(&provider, "name=writes").await;
        let heard: Vec<&String> = all.iter().filter(|it| it.starts_with("heard")).collect();
        if heard.len() == 3 {
            assert_eq!(heard, ["heard one", "heard two", "heard three"]);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{all:?}");
    }
    assert_eq!(texts(&provider, "name=writes&tail=1").await.len(), 1);
    let unknown = provider.get("/system/logs?name=unknown").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_follower_hears_a_line_when_it_is_written() {
    let place = Place::new();
    place.script("writes", "#!/bin/sh\nread word\necho \"heard $word\" >&2\n");
    let provider = place.start().await;
    provider.deployed(image("writes", "writes")).await;
    provider.called("writes", "before").await;
    let url = format!("{}/system/logs?name=writes&follow=1&tail=1", provider.url);
    let mut reply = provider.client.get(url).send().await.unwrap();
    provider.called("writes", "now").await;
    let mut seen = String::new();
    while !seen.contains("heard now") {
        let chunk = timeout(PATIENCE, reply.chunk())
            .await
            .expect("nothing came");
        seen.push_str(&String::from_utf8_lossy(&chunk.unwrap().unwrap()));
    }
}

#[tokio::test]
async fn a_chatty_function_is_not_held_up_by_nobody_reading() {
    let place = Place::new();
    let provider = place.start().await;
    deploy(&place, &provider, "chatty", "seq 1 200000").await;
    provider.called("chatty", "").await;
    let lines = lines_until(&provider, "chatty", "200000").await;
    assert_eq!(lines.len(), 200_000);
    provider.deployed(process("other", "cat")).await;
    assert_eq!(provider.called("other", "fine").await, "fine");
}

#[tokio::test]
async fn history_outlives_a_killed_provider_and_scale_to_zero_but_not_the_function() {
    let place = Place::new();
    let script = "read word\nseq -f \"$word %g\" 1 500";
    let mut expected = Vec::new();
    for round in 0..3 {
        let mut provider = place.start().await;
        let word = format!("round{round}");
        if round == 0 {
            deploy(&place, &provider, "writes", script).await;
        }
        provider.called("writes", &word).await;
        expected.extend((1..=500).map(|line| format!("{word} {line}")));
        let seen = lines_until(&provider, "writes", expected.last().unwrap()).await;
        assert!(seen == expected, "{} of {}", seen.len(), expected.len());
        provider.end("-KILL").await;
    }
    let provider = place.start().await;
    assert!(lines_until(&provider, "writes", expected.last().unwrap()).await == expected);
    assert_eq!(provider.scale("writes", 0).await, StatusCode::ACCEPTED);
    provider.available("writes", 0).await;
    assert!(lines_until(&provider, "writes", expected.last().unwrap()).await == expected);

    assert!(provider.delete("writes").await.is_success());
    let gone = provider.get("/system/logs?name=writes").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    deploy(&place, &provider, "writes", script).await;
    provider.called("writes", "new").await;
    let lines = lines_until(&provider, "writes", "new 500").await;
    assert_eq!((lines.len(), &*lines[0]), (500, "new 1"));
    let of_function = place.path("state").join("logs/openfaas-fn/writes");
    until("the old lines are removed", || {
        std::fs::read_dir(&of_function).unwrap().count() == 1
    })
    .await;
}

#[tokio::test]
async fn lines_of_a_mebibyte_and_of_any_bytes_are_whole() {
    let place = Place::new();
    let provider = place.start().await;
    let script = "head -c 1048576 /dev/zero | tr '\\0' x; echo\n\
                  printf 'a\\377\\000\\033b\\n'\n\
                  head -c 2500000 /dev/zero | tr '\\0' y; echo\necho end";
    deploy(&place, &provider, "odd", script).await;
    provider.called("odd", "").await;
    let lines = lines_until(&provider, "odd", "end").await;
    assert_eq!(lines.len(), 6);
    assert!(lines[0] == "x".repeat(1024 * 1024), "{}", lines[0].len());
    assert_eq!(lines[1], "a\u{fffd}\0\u{1b}b");
    let mark = " [cut: it goes on in the next line]";
    let mut rejoined = String::new();
    for piece in &lines[2..4] {
        rejoined.push_str(piece.strip_suffix(mark).expect("no mark"));
    }
    rejoined.push_str(&lines[4]);
    assert!(rejoined == "y".repeat(2_500_000), "{}", rejoined.len());

    // With the date in front, as it is by default.
    place.script(
        "dated",
        "#!/bin/sh\n{ head -c 1048576 /dev/zero | tr '\\0' x; echo; } >&2\n",
    );
    provider.deployed(image("dated", "dated")).await;
    provider.called("dated", "").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let lines = texts(&provider, "name=dated").await;
        if let Some(line) = lines.iter().find(|line| line.contains("xxx")) {
            assert!(line.ends_with(&format!("stderr: {}", "x".repeat(1024 * 1024))));
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn a_reader_that_reads_nothing_holds_nobody_up() {
    let place = Place::new();
    let provider = place.start().await;
    deploy(&place, &provider, "much", LONG_LINES).await;
    let address = provider.url.strip_prefix("http://").unwrap();
    let mut reader = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /system/logs?name=much&follow=1 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    reader.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    reader.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    provider.called("much", "").await;
    let lines = lines_until(&provider, "much", "end").await;
    assert_eq!(last_number(1, lines.iter().map(String::as_str)), 60_000);
    // It goes on where it was, line for line.
    let mut body = Vec::new();
    let read = async {
        let mut buffer = vec![0; 1024 * 1024];
        while !has_end(&body) {
            let count = reader.read(&mut buffer).await.unwrap();
            assert!(count > 0, "it ended");
            body.extend_from_slice(&buffer[..count]);
        }
    };
    timeout(PATIENCE * 2, read).await.expect("not all came");
    let body = String::from_utf8(body).unwrap();
    let texts: Vec<String> = body
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| Some(message.get("text")?.as_str()?.to_owned()))
        .collect();
    assert_eq!(last_number(1, texts.iter().map(String::as_str)), 60_000);
}

/// How many lines of its own a watchdog may have among those that are missing.
const OWN_LINES: u64 = 4;

/// Goes through lines that begin with their numbers; what is missing must be said. The last number.
fn last_number<'a>(first: u64, lines: impl Iterator<Item = &'a str>) -> u64 {
    let mut expected = first;
    let mut own_lines = 0;
    for line in lines {
        let (start, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Ok(number) = start.parse::<u64>() else {
            continue;
        };
        if rest.ends_with("missing here") {
            expected += number;
            own_lines = OWN_LINES;
        } else {
            let right = expected.saturating_sub(own_lines)..=expected;
            let line = line.get(..100).unwrap_or(line);
            assert!(right.contains(&number), "{line} instead of {expected}");
            expected = number + 1;
            own_lines = 0;
        }
    }
    expected - 1
}

#[tokio::test]
async fn a_follower_sees_each_line_once_while_old_ones_go() {
    let place = Place::new();
    let mut command = place.command();
    command.args(["--log-bytes", "256Ki"]);
    let provider = Provider::start(command).await;
    deploy(&place, &provider, "much", "seq 1 200000\necho end").await;
    let url = format!("{}/system/logs?name=much&follow=1", provider.url);
    let mut reply = provider.client.get(url).send().await.unwrap();
    let (call, followed) = tokio::join!(provider.called("much", ""), async {
        let mut body = Vec::new();
        while !has_end(&body) {
            let chunk = timeout(PATIENCE, reply.chunk()).await.expect("no end");
            body.extend_from_slice(&chunk.unwrap().expect("it ended"));
        }
        String::from_utf8(body).unwrap()
    });
    assert_eq!(call, "");
    let said: Vec<String> = followed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(last_number(1, said.iter().map(String::as_str)), 200_000);
    let kept = lines_until(&provider, "much", "end").await;
    assert!((1_000..150_000).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0], (200_002 - kept.len()).to_string());
    let tail = texts(&provider, "name=much&tail=1000").await;
    assert_eq!(tail.len(), 1_000);
}
