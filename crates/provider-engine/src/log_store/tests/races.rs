//! Readers against a writer that rotates and removes.

use super::*;

/// Small segments: every few lines there is a new one.
fn small() -> LogLimits {
    LogLimits {
        function_bytes: 128 * 1024,
        ..LogLimits::default()
    }
}

/// Reads on from a number until a line of another; each line comes once or is in a gap.
async fn read_until(stream: &mut LogStream, last: u64) {
    let mut expected = None;
    loop {
        let event = next(stream).await;
        if let Some(gap) = event.strip_prefix('<') {
            let gap = gap.strip_suffix('>').unwrap().parse::<u64>().unwrap();
            assert!(gap > 0);
            expected = Some(expected.unwrap_or(0) + gap);
            continue;
        }
        let number: u64 = event.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(number, expected.unwrap_or(number));
        if number == last {
            return;
        }
        expected = Some(number + 1);
    }
}

/// Followers that begin at any moment, with and without a tail, while lines are written and
/// segments begin and go: thousands of beginnings, of which each sees every line once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_begins_at_any_moment_sees_every_line_once() {
    const LINES: u64 = 30_000;
    const FOLLOWERS: u64 = 2_000;
    for seed in 0..2 {
        let bench = Bench::with(small());
        let log = bench.log();
        let writer = tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut intake = log.intake("i");
                let mut number = 0;
                while number < LINES {
                    let mut lines = Vec::new();
                    for _ in 0..rng.u64(1..30).min(LINES - number) {
                        let line = format!("{number} {}\n", "x".repeat(rng.usize(0..200)));
                        lines.extend_from_slice(line.as_bytes());
                        number += 1;
                    }
                    intake
                        .put(LogChunk::of_lines(LogOutput::Stdout, lines))
                        .await;
                    if rng.u8(..) < 64 {
                        tokio::task::yield_now().await;
                    }
                    if rng.u8(..) < 16 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        });
        let mut rng = fastrand::Rng::with_seed(seed + 1_000);
        let mut readers = Vec::new();
        for _ in 0..FOLLOWERS {
            let mut request = following();
            request.tail = (rng.bool()).then(|| rng.usize(0..200));
            // Some begin when they are asked for, some when they are looked at.
            let mut stream = log.query(&request);
            readers.push(tokio::spawn(async move {
                read_until(&mut stream, LINES - 1).await;
            }));
            // No more at a time than files may be open.
            while readers
                .iter()
                .filter(|reader| !reader.is_finished())
                .count()
                > 32
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if writer.is_finished() {
                    break;
                }
            }
            if writer.is_finished() {
                break;
            }
        }
        writer.await.unwrap();
        // Those that take no tail begin after all is written find the last line too.
        for reader in readers {
            reader.await.unwrap();
        }
        bench.store.flush().await;
        assert!(bench.segments().len() > 4);
        assert_eq!(bench.store.reading().dropped, DroppedLines::default());
    }
}
