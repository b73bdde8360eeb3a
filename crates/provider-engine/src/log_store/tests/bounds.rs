//! What goes when there is too much, and what stays.

use super::*;

fn numbered(number: u64, size: usize) -> String {
    format!("{number} {}", "x".repeat(size))
}

async fn fill(log: &Arc<FunctionLog>, lines: std::ops::Range<u64>, size: usize) {
    for number in lines {
        write(log, "i", &[&numbered(number, size)]).await;
    }
}

fn first(lines: &[String]) -> u64 {
    lines[0]
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .expect(&lines[0])
}

#[tokio::test]
async fn a_function_keeps_so_many_bytes_and_its_newest_thousand_lines() {
    let bench = Bench::with(LogLimits {
        function_bytes: 256 * 1024,
        ..LogLimits::default()
    });
    let log = bench.log();
    let mut bytes = 0;
    for step in 0..40 {
        fill(&log, step * 500..(step + 1) * 500, 20).await;
        let lines = all(&log, &request()).await;
        assert_eq!(first(&lines), (step + 1) * 500 - lines.len() as u64);
        bytes = bench.store.reading().bytes;
        assert!(bytes <= 256 * 1024 + 32 * 1024, "{bytes}");
        // No more goes than must.
        assert!(step < 6 || bytes > 200_000, "{step}: {bytes}");
    }
    let on_disk: u64 = bench
        .segments()
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(bytes, on_disk);
    let segments = bench.segments().len() as u64;
    assert_eq!(bench.store.reading().segments, segments);
    // Lines so long that a thousand of them pass the bound.
    fill(&log, 20_000..21_500, 2_000).await;
    let lines = all(&log, &request()).await;
    assert!((1_000..1_100).contains(&lines.len()), "{}", lines.len());
    assert_eq!(first(&lines), 21_500 - lines.len() as u64);
}

#[tokio::test]
async fn lines_that_are_too_old_go_except_the_newest_thousand() {
    let bench = Bench::with(LogLimits {
        function_age: Some(Duration::from_secs(3_600)),
        ..LogLimits::default()
    });
    let log = bench.log();
    let mut intake = log.intake("i");
    // One line each minute, the last one now.
    let start = now() - Duration::from_secs(3_000 * 60);
    for number in 0..3_000_u32 {
        let mut chunk = LogChunk::new(LogOutput::Stdout, number.to_string().into());
        chunk.timestamp = start + number * Duration::from_secs(60);
        intake.put(chunk).await;
    }
    bench.store.flush().await;
    bench.store.sweep();
    let lines = all(&log, &request()).await;
    assert!((1_000..1_020).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines.last().unwrap(), "2999");
    // A function that says much keeps an hour of it.
    let log = bench.log_of("much");
    let mut intake = log.intake("i");
    for number in 0..10_000_u32 {
        let mut chunk = LogChunk::new(LogOutput::Stdout, number.to_string().into());
        chunk.timestamp =
            start + Duration::from_secs(2_800 * 60) + number * Duration::from_millis(1_200);
        intake.put(chunk).await;
    }
    bench.store.flush().await;
    bench.store.sweep();
    let lines = all(&log, &request()).await;
    // 3,000 lines are an hour; an eighth of it may stay longer.
    assert!((3_000..3_450).contains(&lines.len()), "{}", lines.len());
}

#[tokio::test]
async fn the_function_with_the_most_makes_room_for_the_others() {
    let mut bench = Bench::with(LogLimits {
        function_bytes: 512 * 1024,
        total_bytes: 640 * 1024,
        ..LogLimits::default()
    });
    let (quiet, loud) = (bench.log_of("quiet"), bench.log());
    fill(&quiet, 0..1_000, 100).await;
    fill(&loud, 0..20_000, 100).await;
    bench.store.flush().await;
    let reading = bench.store.reading();
    assert!(reading.bytes <= 640 * 1024, "{reading:?}");
    assert_eq!(reading.dropped, DroppedLines::default());
    assert_eq!(all(&quiet, &request()).await.len(), 1_000);
    assert!(all(&loud, &request()).await.len() >= 1_000);

    // Far too little for the promise: it is broken, and that is said.
    drop((quiet, loud));
    bench.limits.total_bytes = 64 * 1024;
    bench.reopen();
    let (quiet, loud) = (bench.log_of("quiet"), bench.log());
    bench.store.survey();
    assert!(bench.store.reading().bytes <= 64 * 1024);
    for (log, end) in [(quiet, 1_000), (loud, 20_000)] {
        let lines = all(&log, &request()).await;
        assert_eq!(lines[0], format!("<{}>", end - (lines.len() as u64 - 1)));
        write(&log, "i", &["next"]).await;
        assert_eq!(all(&log, &request()).await.last().unwrap(), "next");
    }
}

#[tokio::test]
async fn bounds_hold_over_a_restart() {
    let mut bench = Bench::with(LogLimits {
        function_bytes: 256 * 1024,
        ..LogLimits::default()
    });
    for round in 0..5 {
        let log = bench.log();
        fill(&log, round * 3_000..(round + 1) * 3_000, 100).await;
        bench.store.flush().await;
        let lines = all(&log, &request()).await;
        assert_eq!(first(&lines), (round + 1) * 3_000 - lines.len() as u64);
        assert!(bench.store.reading().bytes < 300 * 1024);
        drop(log);
        bench.reopen();
    }
}

#[tokio::test]
async fn what_a_stalled_disk_cannot_take_is_counted_oldest_first_and_the_function_goes_on() {
    let bench = Bench::new();
    let log = bench.log();
    write(&log, "i", &["before"]).await;
    bench.store.flush().await;
    // Whoever holds the files stands for a disk that does not answer.
    let stalled = Arc::clone(&log).stall();
    let mut intake = log.intake("i");
    let writing = async {
        for number in 0..40 {
            let line = format!("{number} {}", "x".repeat(1_000_000));
            let chunk = LogChunk::new(LogOutput::Stdout, line.into());
            intake.put(chunk).await;
        }
    };
    // It would wait for ever.
    let written = tokio::time::timeout(Duration::from_secs(60), writing).await;
    written.expect("the function is held up");
    drop(stalled);
    let lines = all(&log, &request()).await;
    assert_eq!(lines[0], "before");
    let numbers: Vec<&str> = lines[1..]
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    // The first may have been on its way to the disk.
    let gap = numbers
        .iter()
        .position(|text| text.starts_with('<'))
        .unwrap();
    assert!(gap <= 2, "{numbers:?}");
    let missing: usize = numbers[gap][1..numbers[gap].len() - 1].parse().unwrap();
    let newest: Vec<String> = (gap + missing..40).map(|n| n.to_string()).collect();
    assert_eq!(numbers[gap + 1..], newest);
    assert!(newest.len() >= 6, "{numbers:?}");
    assert_eq!(bench.store.reading().dropped.no_room, missing as u64);
}
