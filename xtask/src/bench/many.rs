//! What it costs to have many functions: deploying them, on the disk below `target`, and listing
//! them, beside writing the same list.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::milliseconds;
use crate::runner::{output, target_directory};

const MANY: usize = 10_000;

pub(super) fn run() -> Result<()> {
    let directory = target_directory().join("bench/many");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let sync = sync(&directory)?;
    let mut command = Command::new(target_directory().join("release/many"));
    let said = output(command.arg(&directory).arg(MANY.to_string()))?;
    let numbers: Vec<f64> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("many said something else: {said}"))?;
    let [first, first_cpu, last, last_cpu, list, floor] = numbers[..] else {
        bail!("many said something else: {said}");
    };
    println!("\n{MANY} functions, on the disk:\n");
    println!("| what | measured | goal | floor |");
    println!("|---|---|---|---|");
    println!(
        "| deploying one of the last thousand, 16 at a time | {last_cpu:.0} µs of CPU, {:.2} of one \
         of the first thousand; {last:.0} µs on the clock, first {first:.0} | linear | {} (a write \
         and its sync) |",
        last_cpu / first_cpu,
        milliseconds(sync),
    );
    let time = |microseconds: f64| milliseconds(Duration::from_secs_f64(microseconds / 1e6));
    println!(
        "| listing all over HTTP | {} of CPU, {:.2} of the floor | 3 of the floor | {} (writing the same \
         list as JSON) |",
        time(list),
        list / floor,
        time(floor),
    );
    Ok(())
}

/// What a write of one page and its sync take here.
fn sync(directory: &std::path::Path) -> Result<Duration> {
    use std::os::unix::fs::FileExt as _;
    const TIMES: u32 = 100;
    let file = std::fs::File::create(directory.join("sync"))?;
    let started = Instant::now();
    for _ in 0..TIMES {
        file.write_all_at(&[1; 4096], 0)?;
        file.sync_data()?;
    }
    Ok(started.elapsed() / TIMES)
}
