//! Log lines: bounds, filters, followers.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use provider_types::{
    CallContext, ExitReason, LogEvent, LogOutput, LogRequest, LogSource, LogStream,
};

use crate::fake::{Bench, Fake, function, spec};

fn request(name: &str) -> LogRequest {
    LogRequest::new(CallContext::default(), function(name))
}

async fn all(bench: &Bench, request: LogRequest) -> Vec<String> {
    let stream = bench.engine.query(request).await.unwrap();
    stream.map(shown).collect().await
}

fn shown(event: Result<LogEvent, provider_types::ProviderError>) -> String {
    match event.unwrap() {
        LogEvent::Line(line) => line.text,
        LogEvent::Dropped(lines) => format!("<{lines} dropped>"),
        other => panic!("{other:?}"),
    }
}

async fn next(stream: &mut LogStream) -> String {
    shown(stream.next().await.expect("a line"))
}

/// A function that wrote `lines` lines, named by their numbers.
async fn talkative(lines: usize, set: impl FnOnce(&mut provider_engine::EngineConfig)) -> Bench {
    let bench = Bench::with(Fake::default(), set).await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    write(&bench, 0..lines).await;
    bench
}

async fn write(bench: &Bench, lines: std::ops::Range<usize>) {
    let id = bench.fake.running()[0].clone();
    for line in lines {
        bench
            .fake
            .write(&id, LogOutput::Stdout, line.to_string().as_bytes());
    }
    settle().await;
}

/// Lets the lines arrive.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn lines_come_in_order_with_instance_and_time_and_tail_takes_the_newest() {
    let bench = talkative(5, |_| {}).await;
    assert_eq!(all(&bench, request("f")).await, ["0", "1", "2", "3", "4"]);
    let mut two = request("f");
    two.tail = Some(2);
    assert_eq!(all(&bench, two.clone()).await, ["3", "4"]);
    two.tail = Some(0);
    assert!(all(&bench, two).await.is_empty());
    let mut stream = bench.engine.query(request("f")).await.unwrap();
    let Some(Ok(LogEvent::Line(line))) = stream.next().await else {
        panic!("no line");
    };
    assert_eq!(line.instance, bench.fake.running()[0].as_str());
    assert!(line.timestamp.elapsed().unwrap() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn since_instance_and_tail_go_together() {
    let bench = talkative(2, |_| {}).await;
    bench.scale("f", 2).await.unwrap();
    bench.available("f", 2).await;
    std::thread::sleep(Duration::from_millis(5));
    let since = SystemTime::now();
    std::thread::sleep(Duration::from_millis(5));
    let ids = bench.fake.running();
    for n in 0..3 {
        for (which, id) in ids.iter().enumerate() {
            let line = format!("{which}-{n}");
            bench.fake.write(id, LogOutput::Stderr, line.as_bytes());
        }
        settle().await;
    }
    let mut narrow = request("f");
    narrow.since = Some(since);
    assert_eq!(all(&bench, narrow.clone()).await.len(), 6);
    narrow.instance = Some(ids[1].to_string());
    assert_eq!(all(&bench, narrow.clone()).await, ["1-0", "1-1", "1-2"]);
    narrow.tail = Some(2);
    assert_eq!(all(&bench, narrow.clone()).await, ["1-1", "1-2"]);
    narrow.instance = Some("nobody".to_owned());
    assert!(all(&bench, narrow).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_follower_gets_history_then_what_comes_and_the_end_with_the_function() {
    let bench = talkative(3, |_| {}).await;
    let mut follow = request("f");
    follow.follow = true;
    follow.tail = Some(1);
    let mut stream = bench.engine.query(follow).await.unwrap();
    assert_eq!(next(&mut stream).await, "2");
    let nothing = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
    assert!(nothing.is_err());
    write(&bench, 3..5).await;
    assert_eq!(next(&mut stream).await, "3");
    // Lines of the next instance come too.
    let id = bench.fake.running()[0].clone();
    bench.fake.crash(&id, ExitReason::Code(1));
    bench
        .until("a new one", |fake| fake.running().len() == 1)
        .await;
    write(&bench, 5..6).await;
    bench.delete("f").await.unwrap();
    assert_eq!(next(&mut stream).await, "4");
    assert_eq!(next(&mut stream).await, "this replica exited with code 1");
    assert_eq!(next(&mut stream).await, "5");
    assert!(stream.next().await.is_none());
    assert!(
        bench
            .engine
            .query(request("f"))
            .await
            .is_err_and(|e| e.is_not_found())
    );
}

#[tokio::test(start_paused = true)]
async fn a_follower_comes_to_its_end_when_the_engine_does() {
    let bench = talkative(1, |_| {}).await;
    let mut follow = request("f");
    follow.follow = true;
    let stream = bench.engine.query(follow).await.unwrap();
    bench.engine.shutdown(Duration::from_secs(5)).await;
    let lines = tokio::time::timeout(Duration::from_secs(5), stream.count()).await;
    assert_eq!(lines.unwrap(), 1);
}

/// Bounds that are passed soon.
fn small(config: &mut provider_engine::EngineConfig) {
    config.logs.function_bytes = 128 * 1024;
}

/// Writes lines of 100 bytes that begin with their numbers.
async fn write_long(bench: &Bench, lines: std::ops::Range<usize>) {
    let id = bench.fake.running()[0].clone();
    for line in lines {
        let line = format!("{line} {}", "x".repeat(100));
        bench.fake.write(&id, LogOutput::Stdout, line.as_bytes());
    }
    settle().await;
}

fn number(line: &str) -> usize {
    line.split(' ').next().unwrap().parse().expect(line)
}

#[tokio::test(start_paused = true)]
async fn a_slow_follower_is_told_what_it_missed_and_holds_nobody_up() {
    let bench = talkative(1, small).await;
    let mut follow = request("f");
    follow.follow = true;
    let mut stream = bench.engine.query(follow).await.unwrap();
    assert_eq!(next(&mut stream).await, "0");
    write_long(&bench, 1..10_000).await;
    let (mut line, mut missed) = (1, 0);
    while line < 10_000 {
        let text = next(&mut stream).await;
        if let Some(gap) = text.strip_prefix('<') {
            let gap: usize = gap.strip_suffix(" dropped>").unwrap().parse().unwrap();
            (line, missed) = (line + gap, missed + gap);
        } else {
            assert_eq!(number(&text), line);
            line += 1;
        }
    }
    assert!((1..9_000).contains(&missed), "{missed}");
}

#[tokio::test(start_paused = true)]
async fn the_newest_thousand_lines_are_kept_and_a_gap_in_them_is_said() {
    let bench = talkative(0, small).await;
    write_long(&bench, 0..10_000).await;
    let lines = all(&bench, request("f")).await;
    assert!((1_000..2_000).contains(&lines.len()), "{}", lines.len());
    for (line, number_of) in lines.iter().zip(10_000 - lines.len()..) {
        assert_eq!(number(line), number_of);
    }

    // The bound on all functions counts for more.
    let bench = talkative(0, |config| {
        small(config);
        config.logs.total_bytes = 32 * 1024;
    })
    .await;
    write_long(&bench, 0..10_000).await;
    let lines = all(&bench, request("f")).await;
    let kept = lines.len() - 1;
    assert!(kept < 1_000, "{kept}");
    assert_eq!(lines[0], format!("<{} dropped>", 10_000 - kept));
    assert_eq!(number(&lines[kept]), 9_999);
    let mut two = request("f");
    two.tail = Some(2);
    assert_eq!(all(&bench, two).await.len(), 2);
    // What went was older than what is asked for.
    std::thread::sleep(Duration::from_millis(5));
    let mut since = request("f");
    since.since = Some(SystemTime::now());
    write(&bench, 0..1).await;
    assert_eq!(all(&bench, since).await, ["0"]);
}

#[tokio::test(start_paused = true)]
async fn long_lines_stay_whole_and_bytes_that_are_no_text_are_marked() {
    let bench = talkative(0, |_| {}).await;
    let id = bench.fake.running()[0].clone();
    bench
        .fake
        .write(&id, LogOutput::Stdout, &vec![b'x'; 1024 * 1024]);
    bench.fake.write(&id, LogOutput::Stdout, b"a\xff\xfeb");
    settle().await;
    let lines = all(&bench, request("f")).await;
    assert_eq!(lines[0].len(), 1024 * 1024);
    assert_eq!(lines[1], "a\u{fffd}\u{fffd}b");
}

#[tokio::test(start_paused = true)]
async fn history_outlives_instances_and_scale_to_zero() {
    let bench = talkative(2, |_| {}).await;
    bench.scale("f", 0).await.unwrap();
    bench
        .until("stopped", |fake| fake.running().is_empty())
        .await;
    assert_eq!(all(&bench, request("f")).await, ["0", "1"]);
    assert!(
        bench
            .engine
            .query(request("g"))
            .await
            .is_err_and(|e| e.is_not_found())
    );
}
