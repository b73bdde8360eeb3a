//! The store on real files: restarts, damage, races, bounds, a disk that fails.

mod bounds;
mod damage;
mod model;
mod power;
mod races;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use provider_types::{
    CallContext, DroppedLines, FunctionRef, LogChunk, LogEvent, LogOutput, LogReading, LogRequest,
    LogStream, Namespace,
};

use super::{FunctionLog, LogStore};
use crate::config::LogLimits;

/// A store in a directory of its own.
struct Bench {
    dir: tempfile::TempDir,
    limits: LogLimits,
    store: LogStore,
}

impl Bench {
    fn new() -> Self {
        Self::with(LogLimits::default())
    }

    fn with(limits: LogLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(Some(&dir.path().join("logs")), limits);
        Self { dir, limits, store }
    }

    /// The same directory, opened again.
    fn reopen(&mut self) {
        self.store = LogStore::new(Some(&self.dir.path().join("logs")), self.limits);
    }

    fn log(&self) -> Arc<FunctionLog> {
        self.log_of("f")
    }

    fn log_of(&self, name: &str) -> Arc<FunctionLog> {
        let created = UNIX_EPOCH + Duration::from_secs(1);
        self.store.log_of(&function(name), created)
    }

    /// The segments of all functions, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(self.dir.path(), &mut found);
        found.sort();
        found
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

fn function(name: &str) -> FunctionRef {
    FunctionRef::parse_dotted(name, &Namespace::default()).unwrap()
}

fn request() -> LogRequest {
    LogRequest::new(CallContext::default(), function("f"))
}

fn following() -> LogRequest {
    let mut request = request();
    request.follow = true;
    request
}

/// Writes one chunk of lines.
async fn write(log: &Arc<FunctionLog>, instance: &str, lines: &[&str]) {
    let mut text = lines.join("\n");
    text.push('\n');
    log.intake(instance)
        .put(LogChunk::of_lines(LogOutput::Stdout, text.into()))
        .await;
}

/// Writes numbered lines, each a chunk.
async fn write_numbers(log: &Arc<FunctionLog>, numbers: std::ops::Range<u64>) {
    let mut intake = log.intake("i");
    for number in numbers {
        let line = number.to_string().into_bytes();
        intake.put(LogChunk::new(LogOutput::Stdout, line)).await;
    }
}

fn shown(event: LogEvent) -> String {
    match event {
        LogEvent::Line(line) => line.text,
        LogEvent::Dropped(lines) => format!("<{lines}>"),
        other => panic!("{other:?}"),
    }
}

async fn all(log: &Arc<FunctionLog>, request: &LogRequest) -> Vec<String> {
    let events = log.query(request).map(|event| shown(event.unwrap()));
    tokio::time::timeout(Duration::from_secs(60), events.collect())
        .await
        .expect("it does not end")
}

async fn next(stream: &mut LogStream) -> String {
    let event = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
    shown(event.expect("nothing came").expect("it ended").unwrap())
}

#[tokio::test]
async fn history_is_there_after_a_restart_and_numbers_and_times_go_on() {
    let mut bench = Bench::new();
    let log = bench.log();
    write(&log, "a", &["one", "two"]).await;
    write(&log, "b", &["", "three"]).await;
    bench.store.flush().await;
    for round in 0..3 {
        bench.reopen();
        let log = bench.log();
        let mut expected = vec!["one".to_owned(), "two".into(), "".into(), "three".into()];
        expected.extend((0..round).map(|round| format!("round {round}")));
        assert_eq!(all(&log, &request()).await, expected);
        write(&log, "c", &[&format!("round {round}")]).await;
        bench.store.flush().await;
    }
    let log = bench.log();
    let lines: Vec<_> = log.query(&request()).collect().await;
    let mut last = UNIX_EPOCH;
    for event in lines {
        let Ok(LogEvent::Line(line)) = event else {
            panic!("{event:?}");
        };
        assert!(line.timestamp > last);
        last = line.timestamp;
    }
}

#[tokio::test]
async fn files_and_directories_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    write(&bench.log(), "a", &["secret"]).await;
    bench.store.flush().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let segment = &bench.segments()[0];
    assert_eq!(mode(segment), 0o600);
    for dir in segment.ancestors().skip(1).take(4) {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
}

#[tokio::test]
async fn any_bytes_come_back_and_what_is_no_text_is_marked() {
    let bench = Bench::new();
    let log = bench.log();
    let mut intake = log.intake("a");
    let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    intake
        .put(LogChunk::new(LogOutput::Stderr, bytes.clone()))
        .await;
    intake
        .put(LogChunk::new(LogOutput::Stderr, vec![b'x'; 1024 * 1024]))
        .await;
    // A runtime that forgets the last newline.
    intake
        .put(LogChunk::of_lines(LogOutput::Stderr, b"a\nb".to_vec()))
        .await;
    let lines = all(&log, &request()).await;
    assert_eq!(lines[0], String::from_utf8_lossy(&bytes));
    assert_eq!(lines[1].len(), 1024 * 1024);
    assert_eq!(lines[2..], ["a", "b"]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_turn_the_order_around() {
    let mut bench = Bench::new();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    for (seconds, text) in [(1_000, "a"), (500, "b"), (2_000, "c")] {
        let mut chunk = LogChunk::new(LogOutput::Stdout, text.into());
        chunk.timestamp = at(seconds);
        bench.log().intake("i").put(chunk).await;
        bench.store.flush().await;
        bench.reopen();
    }
    let mut since = request();
    let log = bench.log();
    assert_eq!(all(&log, &since).await, ["a", "b", "c"]);
    since.since = Some(at(1_000));
    assert_eq!(all(&log, &since).await, ["a", "b", "c"]);
    since.since = Some(at(1_000) + Duration::from_nanos(1));
    assert_eq!(all(&log, &since).await, ["b", "c"]);
    since.since = Some(at(1_001));
    assert_eq!(all(&log, &since).await, ["c"]);
    since.since = Some(at(2_001));
    assert!(all(&log, &since).await.is_empty());
}

#[tokio::test]
async fn since_tail_and_instance_are_exact_at_every_line() {
    let bench = Bench::with(LogLimits {
        function_bytes: 128 * 1024,
        ..LogLimits::default()
    });
    let log = bench.log();
    // Several segments and several places in the index of each.
    let mut written = Vec::new();
    for number in 0..900_u64 {
        let instance = ["a", "b", "c"][usize::try_from(number * number % 3).unwrap()];
        let lines: Vec<String> = (0..=number % 4)
            .map(|part| format!("{number}.{part} {}", "x".repeat(60)))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut chunk = LogChunk::of_lines(LogOutput::Stdout, (lines.join("\n") + "\n").into());
        chunk.timestamp = UNIX_EPOCH + Duration::from_millis(number);
        log.intake(instance).put(chunk).await;
        written.extend(lines.iter().enumerate().map(|(part, line)| {
            let time = Duration::from_millis(number) + Duration::from_nanos(part as u64);
            (instance, UNIX_EPOCH + time, (*line).to_owned())
        }));
    }
    bench.store.flush().await;
    assert!(bench.segments().len() > 5);
    let first_kept = {
        let kept = all(&log, &request()).await.len();
        written.len() - kept
    };
    let kept = &written[first_kept..];
    for (at, (_, time, _)) in kept.iter().enumerate().step_by(37) {
        for instance in [None, Some("b"), Some("nobody")] {
            for tail in [None, Some(0), Some(1), Some(50), Some(100_000)] {
                let mut narrow = request();
                narrow.since = Some(*time);
                narrow.instance = instance.map(str::to_owned);
                narrow.tail = tail;
                let mut expected: Vec<&str> = kept[at..]
                    .iter()
                    .filter(|(by, ..)| instance.is_none_or(|it| it == *by))
                    .map(|(.., text)| text.as_str())
                    .collect();
                if let Some(tail) = tail {
                    expected.drain(..expected.len().saturating_sub(tail));
                }
                assert_eq!(all(&log, &narrow).await, expected, "{narrow:?}");
            }
        }
    }
    for tail in [1, 2, 3, 500, 1_000] {
        let mut narrow = request();
        narrow.tail = Some(tail);
        let expected: Vec<&str> = kept[kept.len() - tail..]
            .iter()
            .map(|(.., text)| text.as_str())
            .collect();
        assert_eq!(all(&log, &narrow).await, expected);
    }
}

#[tokio::test]
async fn a_deleted_functions_lines_go_at_once_or_with_their_last_reader() {
    let bench = Bench::new();
    let log = bench.log();
    write(&log, "a", &["old"]).await;
    bench.store.flush().await;
    let mut reader = log.query(&following());
    assert_eq!(next(&mut reader).await, "old");
    write(&log, "a", &["last"]).await;
    bench.store.flush().await;
    log.remove();
    write(&log, "a", &["too late"]).await;
    assert_eq!(bench.segments().len(), 1);
    assert_eq!(next(&mut reader).await, "last");
    assert!(reader.next().await.is_none());
    drop(reader);
    until(|| bench.segments().is_empty()).await;
    assert_eq!(bench.store.reading(), LogReading::default());

    let again = bench
        .store
        .log_of(&function("f"), UNIX_EPOCH + Duration::from_secs(2));
    assert!(all(&again, &request()).await.is_empty());
    write(&again, "a", &["new"]).await;
    assert_eq!(all(&again, &request()).await, ["new"]);
    again.remove();
    until(|| bench.segments().is_empty()).await;
}

/// Waits until something is so.
async fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never");
}

#[tokio::test]
async fn what_belongs_to_no_function_is_removed_at_the_start() {
    let mut bench = Bench::new();
    write(&bench.log(), "a", &["kept"]).await;
    write(&bench.log_of("gone"), "a", &["not kept"]).await;
    bench.store.flush().await;
    assert_eq!(bench.segments().len(), 2);
    bench.reopen();
    let log = bench.log();
    bench.store.survey();
    assert_eq!(bench.segments().len(), 1);
    let size = fs::metadata(&bench.segments()[0]).unwrap().len();
    let reading = bench.store.reading();
    assert_eq!((reading.bytes, reading.segments), (size, 1));
    assert_eq!(all(&log, &request()).await, ["kept"]);
    assert_eq!(bench.store.reading(), reading);
}

#[tokio::test]
async fn a_thousand_functions_hold_few_files_open() {
    let bench = Bench::new();
    let logs: Vec<_> = (0..1_000).map(|n| bench.log_of(&format!("f{n}"))).collect();
    for round in 0..2 {
        for log in &logs {
            write(log, "a", &[&format!("round {round}")]).await;
        }
    }
    bench.store.flush().await;
    let open = || {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        links
            .filter_map(|link| fs::read_link(link.unwrap().path()).ok())
            .filter(|path| path.starts_with(bench.dir.path()))
            .count()
    };
    assert!((1..=super::OPEN_FILES).contains(&open()), "{}", open());
    // The first sweep sees that they were used.
    bench.store.sweep();
    bench.store.sweep();
    assert_eq!(open(), 0);
    for log in logs.iter().step_by(111) {
        write(log, "a", &["round 2"]).await;
        let lines = all(log, &request()).await;
        assert_eq!(lines, ["round 0", "round 1", "round 2"]);
    }
}

#[tokio::test]
async fn lines_are_counted_for_each_function_and_what_is_dropped_by_why() {
    let bench = Bench::new();
    let (f, g) = (bench.log(), bench.log_of("e"));
    drop(bench.log_of("silent"));
    write(&f, "a", &["one", "two"]).await;
    write(&g, "a", &["one"]).await;
    let mut late = LogChunk::new(LogOutput::Stdout, b"three".to_vec());
    late.dropped = 5;
    f.intake("a").put(late).await;
    bench.store.flush().await;
    let reading = bench.store.reading();
    let told: Vec<_> = reading
        .functions
        .iter()
        .map(|it| (it.function.name.as_str(), it.lines, it.dropped))
        .collect();
    assert_eq!(told, [("e", 1, 0), ("f", 3, 5)]);
    let of_functions: u64 = reading.functions.iter().map(|it| it.bytes).sum();
    assert_eq!((reading.segments, reading.bytes), (2, of_functions));
    let dropped = reading.dropped;
    assert_eq!(
        (dropped.not_taken, dropped.no_room, dropped.failed),
        (5, 0, 0)
    );
    // What was counted once is not counted again when it cannot be written.
    let dir = bench.segments()[1].parent().unwrap().to_owned();
    bench.store.sweep();
    bench.store.sweep();
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();
    let mut lost = LogChunk::new(LogOutput::Stdout, b"four".to_vec());
    lost.dropped = 7;
    f.intake("a").put(lost).await;
    bench.store.flush().await;
    let dropped = bench.store.reading().dropped;
    assert_eq!(
        (dropped.not_taken, dropped.no_room, dropped.failed),
        (12, 0, 1)
    );
    // Nor where not even the directory can be read.
    let mut lost = LogChunk::new(LogOutput::Stdout, b"one".to_vec());
    lost.dropped = 2;
    let reopened = LogStore::new(Some(&bench.dir.path().join("logs")), bench.limits);
    let f = reopened.log_of(&function("f"), UNIX_EPOCH + Duration::from_secs(1));
    f.intake("a").put(lost).await;
    reopened.flush().await;
    let dropped = reopened.reading().dropped;
    assert_eq!(
        (dropped.not_taken, dropped.no_room, dropped.failed),
        (2, 0, 1)
    );
}

/// Time as the clock of this machine says it, for what must lie between two readings of it.
fn now() -> SystemTime {
    SystemTime::now()
}
