//! Images of a disk after a crash, and bytes that changed.

use proptest::prelude::*;

use super::*;

/// Three chunks of which the last one is to suffer: `0 1`, `2 3 4`, `5 6`.
async fn three_chunks(bench: &mut Bench) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let log = bench.log();
    let mut ends = Vec::new();
    for lines in [&["0", "1"][..], &["2", "3", "4"], &["5", "6"]] {
        write(&log, "an-instance", lines).await;
        bench.store.flush().await;
        ends.push(fs::read(&bench.segments()[0]).unwrap().len());
    }
    let segment = bench.segments().remove(0);
    let bytes = fs::read(&segment).unwrap();
    (segment, bytes, ends)
}

#[tokio::test]
async fn a_tail_that_is_torn_at_any_byte_is_cut_off_and_said() {
    let mut bench = Bench::new();
    let (segment, bytes, ends) = three_chunks(&mut bench).await;
    for length in ends[1]..=bytes.len() {
        fs::write(&segment, &bytes[..length]).unwrap();
        // The lines are the last four bytes.
        let lost: &[&str] = if length == ends[1] {
            &[]
        } else if length < ends[2] - 4 {
            &["<0>"]
        } else if length < ends[2] {
            &["<2>"]
        } else {
            &["5", "6"]
        };
        let whole = ["0", "1", "2", "3", "4"];
        // It is said again at each start, until there is a line behind it.
        for _ in 0..2 {
            bench.reopen();
            let log = bench.log();
            assert_eq!(all(&log, &request()).await, [&whole, lost].concat());
        }
        bench.reopen();
        let log = bench.log();
        let mut follower = log.query(&following());
        for expected in [&whole, lost].concat() {
            assert_eq!(next(&mut follower).await, expected, "{length}");
        }
        write(&log, "another", &["next"]).await;
        assert_eq!(next(&mut follower).await, "next");
        drop(follower);
        bench.store.flush().await;
        for _ in 0..2 {
            assert_eq!(
                all(&bench.log(), &request()).await,
                [&whole, lost, &["next"]].concat()
            );
            bench.reopen();
        }
        let mut tail = request();
        tail.tail = Some(1);
        assert_eq!(all(&bench.log(), &tail).await, ["next"]);
    }
}

#[tokio::test]
async fn a_tail_of_zeros_is_cut_off_and_said() {
    let mut bench = Bench::new();
    let (segment, bytes, ends) = three_chunks(&mut bench).await;
    let mut image = bytes[..ends[1]].to_vec();
    image.resize(ends[1] + 8192, 0);
    fs::write(&segment, &image).unwrap();
    bench.reopen();
    let log = bench.log();
    assert_eq!(
        all(&log, &request()).await,
        ["0", "1", "2", "3", "4", "<0>"]
    );
    write(&log, "another", &["next"]).await;
    bench.store.flush().await;
    assert!(fs::metadata(&segment).unwrap().len() < image.len() as u64);
}

#[tokio::test]
async fn a_changed_byte_in_the_middle_costs_its_block_and_is_said() {
    let mut bench = Bench::new();
    let (segment, bytes, ends) = three_chunks(&mut bench).await;
    for at in ends[0]..ends[1] {
        let mut image = bytes.clone();
        image[at] ^= 0x10;
        fs::write(&segment, &image).unwrap();
        // Found at the start, and while it is read.
        bench.reopen();
        let log = bench.log();
        assert_eq!(
            all(&log, &request()).await,
            ["0", "1", "<3>", "5", "6"],
            "{at}"
        );
        let mut tail = request();
        tail.tail = Some(3);
        assert_eq!(all(&log, &tail).await, ["1", "<3>", "5", "6"]);
        fs::write(&segment, &bytes).unwrap();
        bench.reopen();
        let log = bench.log();
        assert_eq!(all(&log, &request()).await.len(), 7);
        fs::write(&segment, &image).unwrap();
        assert_eq!(all(&log, &request()).await, ["0", "1", "<3>", "5", "6"]);
    }
}

#[tokio::test]
async fn segments_that_are_lost_or_damaged_are_gaps() {
    let mut bench = Bench::with(LogLimits {
        function_bytes: 128 * 1024,
        ..LogLimits::default()
    });
    let log = bench.log();
    for number in 0..1_500 {
        write(&log, "i", &[&format!("{number} {}", "x".repeat(20))]).await;
    }
    bench.store.flush().await;
    let segments = bench.segments();
    assert!(segments.len() >= 5, "{}", segments.len());
    fs::remove_file(&segments[1]).unwrap();
    let length = usize::try_from(fs::metadata(&segments[3]).unwrap().len()).unwrap();
    fs::write(&segments[3], vec![b'?'; length]).unwrap();
    bench.reopen();
    let first_of = |segment: &Path| -> u64 {
        let name = segment.file_name().unwrap().to_str().unwrap();
        name.split('-').next().unwrap().parse().unwrap()
    };
    let gaps = [
        format!("<{}>", first_of(&segments[2]) - first_of(&segments[1])),
        format!("<{}>", first_of(&segments[4]) - first_of(&segments[3])),
    ];
    let told: Vec<String> = all(&bench.log(), &request())
        .await
        .into_iter()
        .filter(|line| line.starts_with('<'))
        .collect();
    assert_eq!(told, gaps);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_lines_that_are_counted_and_nobody_waits() {
    let bench = Bench::new();
    let log = bench.log();
    write(&log, "i", &["before"]).await;
    bench.store.flush().await;
    let mut follower = log.query(&following());
    assert_eq!(next(&mut follower).await, "before");
    // The file cannot be opened any more, as its directory is a file.
    bench.store.sweep();
    bench.store.sweep();
    let dir = bench.segments()[0].parent().unwrap().to_owned();
    let aside = bench.dir.path().join("aside");
    fs::rename(&dir, &aside).unwrap();
    fs::write(&dir, "in the way").unwrap();
    write_numbers(&log, 0..1_000).await;
    bench.store.flush().await;
    assert_eq!(bench.store.reading().dropped.failed, 1_000);
    fs::remove_file(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    write(&log, "i", &["after"]).await;
    let mut dropped = 0;
    loop {
        let event = next(&mut follower).await;
        let Some(lines) = event.strip_prefix('<') else {
            assert_eq!(event, "after");
            break;
        };
        dropped += lines.strip_suffix('>').unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(dropped, 1_000);
    assert_eq!(all(&log, &request()).await, ["before", "<1000>", "after"]);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_to_a_file_every_line_is_there_or_missing_in_a_gap(
        chunks in prop::collection::vec(1_u64..40, 1..60),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1_usize..300), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        runtime().block_on(async {
            let mut bench = Bench::with(LogLimits {
                function_bytes: 128 * 1024,
                ..LogLimits::default()
            });
            let log = bench.log();
            let mut number = 0;
            for lines in &chunks {
                let lines: Vec<String> = (number..number + lines)
                    .map(|number| format!("{number} {}", "y".repeat(50)))
                    .collect();
                number += lines.len() as u64;
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                write(&log, "i", &lines).await;
            }
            bench.store.flush().await;
            let segments = bench.segments();
            for (at, byte, length) in damage {
                let segment = at.get(&segments);
                let mut bytes = fs::read(segment).unwrap();
                let at = at.index(bytes.len());
                for place in bytes.iter_mut().skip(at).take(length) {
                    *place = byte;
                }
                fs::write(segment, bytes).unwrap();
            }
            if let Some(cut) = cut {
                let segment = cut.get(&segments);
                let bytes = fs::read(segment).unwrap();
                fs::write(segment, &bytes[..cut.index(bytes.len())]).unwrap();
            }
            bench.reopen();
            let log = bench.log();
            write(&log, "i", &["999999 next"]).await;
            let mut expected = 0;
            let mut uncounted = false;
            let events = all(&log, &request()).await;
            for event in &events {
                if event == "<0>" {
                    uncounted = true;
                } else if let Some(gap) = event.strip_prefix('<') {
                    expected += gap.strip_suffix('>').unwrap().parse::<u64>().unwrap();
                } else if event != "999999 next" {
                    let at: u64 = event.split(' ').next().unwrap().parse().unwrap();
                    assert_eq!(at, expected, "{events:?}");
                    expected += 1;
                }
            }
            assert_eq!(events.last().unwrap(), "999999 next");
            // What could not be counted was at the end.
            assert!(expected == number || uncounted || cut.is_some(), "{expected} of {number}");
        });
    }
}
