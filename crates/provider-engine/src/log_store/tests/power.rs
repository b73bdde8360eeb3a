//! Loss of power: of what was not written back, any sectors, sizes and names may be missing.
//!
//! The store never syncs. What it must not do is show a line that was not written, or twice, or in
//! another order, or leave out some in the middle without saying so. A failure names its seed;
//! `LOG_SEED=seed` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SEEDS: u64 = 24;
const SECTOR: usize = 512;

/// All files and their bytes.
type Image = BTreeMap<PathBuf, Vec<u8>>;

fn image(bench: &Bench) -> Image {
    let paths = bench.segments();
    let read = |path: PathBuf| fs::read(&path).ok().map(|bytes| (path, bytes));
    paths.into_iter().filter_map(read).collect()
}

/// What the disk has of files that are `now` and were `before` when it last had all.
fn survives(rng: &mut fastrand::Rng, before: &Image, now: &Image) -> Image {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(now.keys()).collect();
    // Either the system wrote much or it wrote little.
    let lost = [1, 8, 64][rng.usize(0..3)];
    let mut disk = Image::new();
    for path in paths {
        let mut none = Vec::new();
        let (old, new) = match (before.get(path), now.get(path)) {
            // Names are sectors of a directory.
            (None, Some(_)) | (Some(_), None) if rng.u8(0..4) == 0 => match before.get(path) {
                Some(old) => (old, old),
                None => continue,
            },
            (_, None) => continue,
            (None, Some(new)) => (&none, new),
            (Some(old), Some(new)) => (old, new),
        };
        let (least, most) = (old.len().min(new.len()), old.len().max(new.len()));
        let length = match rng.u8(0..3) {
            0 => rng.usize(least..=most),
            _ => new.len(),
        };
        let mut bytes = vec![0; length];
        for (at, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            let from = if rng.usize(0..64) < lost { old } else { new };
            let at = at * SECTOR;
            let there = from.get(at..from.len().min(at + sector.len()));
            let there = there.unwrap_or_default();
            sector[..there.len()].copy_from_slice(there);
        }
        none.clear();
        disk.insert(path.clone(), bytes);
    }
    disk
}

fn restore(bench: &Bench, disk: &Image) {
    for path in bench.segments() {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in disk {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// How many lines an event says are missing; `None` for a line.
fn missing(event: &str) -> Option<usize> {
    let gap = event.strip_prefix('<')?.strip_suffix('>')?;
    Some(gap.parse().unwrap())
}

/// Goes through what is shown: every line is the one of its number, or it is said to be missing.
/// How many numbers there are.
fn check(seed: u64, events: &[String], written: &[Option<String>], oldest: usize) -> usize {
    let of = |text: &String| {
        let is_it = |line: &Option<String>| line.as_ref() == Some(text);
        let found = written.iter().position(is_it);
        found.unwrap_or_else(|| panic!("seed {seed}: nobody wrote {text}"))
    };
    // The oldest segments go without a word, unless too few lines are left.
    let first = events.iter().position(|event| missing(event).is_none());
    let gaps = &events[..first.unwrap_or(events.len())];
    let gap: usize = gaps.iter().filter_map(|event| missing(event)).sum();
    let start = match first {
        Some(first) => of(&events[first]).checked_sub(gap).expect("more than all"),
        None if gap >= 1_000 && oldest + gap <= written.len() => oldest,
        None => 0,
    };
    assert!([0, oldest].contains(&start), "seed {seed}: from {start}");
    let mut at = start;
    for event in events {
        if let Some(gap) = missing(event) {
            at += gap;
        } else {
            let wrote = written.get(at).and_then(Option::as_ref);
            assert_eq!(wrote, Some(event), "seed {seed}");
            at += 1;
        }
        let short: Vec<_> = events.iter().map(|it| &it[..it.len().min(12)]).collect();
        assert!(
            at <= written.len(),
            "seed {seed}: {at} lines of {} from {start}, oldest {oldest}: {short:?}",
            written.len()
        );
    }
    at
}

/// The number of the oldest line that may be kept.
fn oldest(bench: &Bench) -> usize {
    let segments = bench.segments();
    let name = segments.first().and_then(|it| it.file_name()?.to_str());
    name.map_or(0, |name| name.split('-').next().unwrap().parse().unwrap())
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::with(LogLimits {
            function_bytes: 128 * 1024,
            ..LogLimits::default()
        });
        // By number; what was lost once is lost.
        let mut written: Vec<Option<String>> = Vec::new();
        let mut disk = Image::new();
        for life in 0..8 {
            let log = bench.log();
            for _ in 0..rng.usize(1..120) {
                let lines: Vec<String> = (0..rng.usize(1..20))
                    .map(|line| {
                        let number = written.len() + line;
                        format!("{number} of {life} {}", "x".repeat(rng.usize(0..200)))
                    })
                    .collect();
                let instance = ["a", "instance"][rng.usize(0..2)];
                let shown: Vec<&str> = lines.iter().map(String::as_str).collect();
                write(&log, instance, &shown).await;
                written.extend(lines.into_iter().map(Some));
                // The system writes back when it likes.
                if rng.u8(0..24) == 0 {
                    bench.store.flush().await;
                    disk = survives(&mut rng, &disk, &image(&bench));
                }
            }
            let events = all(&log, &request()).await;
            let end = check(seed, &events, &written, oldest(&bench));
            assert_eq!(end, written.len(), "seed {seed}");
            // What was written since the last loss is there.
            let of_this_life = |event: &String| event.contains(&format!(" of {life} "));
            let new = events.iter().skip_while(|event| !of_this_life(event));
            assert!(events.iter().any(of_this_life) && new.clone().all(of_this_life));
            drop(log);
            disk = survives(&mut rng, &disk, &image(&bench));
            restore(&bench, &disk);
            bench.reopen();
            let log = bench.log();
            let events = all(&log, &request()).await;
            let end = check(seed, &events, &written, oldest(&bench));
            // Asked again it is the same, and its end is its end.
            assert_eq!(all(&log, &request()).await, events);
            let mut tail = request();
            tail.tail = Some(20);
            let newest = all(&log, &tail).await;
            let lines = |events: &[String]| -> Vec<String> {
                let is_line = |it: &&String| !it.starts_with('<');
                events.iter().filter(is_line).cloned().collect()
            };
            let (newest, shown) = (lines(&newest), lines(&events));
            let expected = &shown[shown.len().saturating_sub(20)..];
            assert_eq!(newest, expected, "seed {seed}");
            written.truncate(end);
            // A line that is missing between others now is not shown later. The oldest may come
            // back: that they were removed may be forgotten, too.
            let kept: BTreeSet<&String> = shown.iter().collect();
            let is_first = |line: &Option<String>| line.as_ref() == shown.first();
            let first = written.iter().position(is_first).unwrap_or(0);
            for line in &mut written[first..] {
                *line = line.take().filter(|line| kept.contains(line));
            }
        }
    });
}

#[test]
fn whatever_a_disk_forgets_no_line_is_made_up_and_none_is_left_out_in_silence() {
    match std::env::var("LOG_SEED") {
        Ok(seed) => run(seed.parse().unwrap()),
        Err(_) => (0..SEEDS).for_each(run),
    }
}
