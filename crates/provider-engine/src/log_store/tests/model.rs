//! Readers of every kind against a plain list of what was written, with random seeds.

use std::sync::Mutex;

use super::*;

/// So few that all of them stay, and so long that there are many segments.
const LINES: usize = 900;
const INSTANCES: [&str; 3] = ["a", "b", "c"];

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1) + Duration::from_millis(millis)
}

/// A line as it was written.
#[derive(Debug, Clone)]
struct Written {
    instance: &'static str,
    time: SystemTime,
    text: String,
}

/// What readers ask for, at random, of so many lines.
fn random_request(rng: &mut fastrand::Rng, lines: usize) -> LogRequest {
    let mut request = request();
    request.follow = rng.bool();
    request.tail = rng.bool().then(|| rng.usize(0..60));
    request.instance = match rng.u8(0..3) {
        0 => None,
        1 => Some("nobody".to_owned()),
        _ => Some(INSTANCES[rng.usize(0..3)].to_owned()),
    };
    request.since = rng.bool().then(|| {
        // Often among the newest, where it and a tail meet.
        let line = if rng.bool() {
            rng.usize(0..LINES)
        } else {
            lines.saturating_sub(rng.usize(0..60))
        };
        at(line as u64) + Duration::from_nanos(rng.u64(0..4))
    });
    request
}

/// The texts that pass a filter, and how many of them are among the first so many lines.
fn wanted(request: &LogRequest, lines: &[Written], among: usize) -> (Vec<String>, usize) {
    let passes = |line: &&Written| {
        let by = request.instance.as_deref();
        by.is_none_or(|by| by == line.instance) && request.since.is_none_or(|at| line.time >= at)
    };
    let history = lines[..among].iter().filter(passes).count();
    let all = lines.iter().filter(passes);
    (all.map(|line| line.text.clone()).collect(), history)
}

/// Whether that may be the answer to a query that came when between `before` and `after` lines were
/// written.
fn answers(
    request: &LogRequest,
    lines: &[Written],
    (before, after): (usize, usize),
    seen: &[String],
) -> bool {
    (before..=after).any(|among| {
        let (all, history) = wanted(request, lines, among);
        let start = request.tail.map_or(0, |tail| history.saturating_sub(tail));
        let end = if request.follow { all.len() } else { history };
        all[start.min(end)..end] == *seen
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_is_exact_while_segments_begin() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let bench = Bench::with(LogLimits {
            function_bytes: 128 * 1024,
            ..LogLimits::default()
        });
        let log = bench.log();
        let lines: Arc<Mutex<Vec<Written>>> = Arc::default();
        let put = |lines: &Arc<Mutex<Vec<Written>>>| lines.lock().unwrap().len();
        let mut readers = Vec::new();
        while put(&lines) < LINES {
            for _ in 0..rng.usize(0..3) {
                let before = put(&lines);
                let request = random_request(&mut rng, before);
                let (log, lines) = (Arc::clone(&log), Arc::clone(&lines));
                readers.push(tokio::spawn(async move {
                    let mut stream = log.query(&request);
                    let mut seen = Vec::new();
                    let mut after = None;
                    while let Some(event) = stream.next().await {
                        after = after.or_else(|| Some(lines.lock().unwrap().len()));
                        seen.push(shown(event.unwrap()));
                    }
                    let after = after.unwrap_or_else(|| lines.lock().unwrap().len());
                    (request, before, after, seen)
                }));
            }
            let number = put(&lines);
            let instance = INSTANCES[rng.usize(0..3)];
            let time = at(number as u64);
            let new: Vec<Written> = (number..number + rng.usize(1..6))
                .map(|line| Written {
                    instance,
                    time: time + Duration::from_nanos((line - number) as u64),
                    text: format!("{line} {}", "x".repeat(rng.usize(0..400))),
                })
                .collect();
            let text: String = new.iter().map(|line| format!("{}\n", line.text)).collect();
            let mut chunk = LogChunk::of_lines(LogOutput::Stdout, text.into());
            chunk.timestamp = time;
            // Who asks meanwhile may see them or not.
            let mut intake = log.intake(instance);
            lines.lock().unwrap().extend(new);
            intake.put(chunk).await;
            if rng.u8(0..8) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        bench.store.flush().await;
        assert!(bench.segments().len() > 6, "{}", bench.segments().len());
        log.close();
        let lines = lines.lock().unwrap().clone();
        let some = readers.len();
        assert!(some > 100, "{some} readers");
        for reader in readers {
            let (request, before, after, seen) =
                tokio::time::timeout(Duration::from_secs(60), reader)
                    .await
                    .expect("a reader does not end")
                    .unwrap();
            // What was put in when it was asked for may be written after that.
            let range = (before.saturating_sub(5), after);
            assert!(
                answers(&request, &lines, range, &seen),
                "seed {seed}: {request:?} in {before}..{after} of {}: {seen:?}",
                lines.len()
            );
        }
    }
}
