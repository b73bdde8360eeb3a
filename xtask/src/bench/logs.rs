//! What it costs to keep what a function writes, beside `cat > file` for the same bytes.
//!
//! The floor is the same program into `cat > file`: a pipe and a file too, but no lines, no
//! checksums and no bounds. All take turns; the medians count.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::processes::Running;
use super::start::ask;
use super::{free_address, median, milliseconds};
use crate::runner::target_directory;

const TIMES: usize = 7;
/// How many lines of 100 bytes.
const LINES: u32 = 1_280_000;
const LAST: &str = "the last line";

pub(super) fn run() -> Result<()> {
    let directory = target_directory().join("bench/logs");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let lines = directory.join("lines");
    let mut file = BufWriter::new(File::create(&lines)?);
    for line in 0..LINES {
        writeln!(file, "{line:<99}")?;
    }
    writeln!(file, "{LAST}")?;
    file.into_inner()?.sync_all()?;
    let megabytes = fs::metadata(&lines)?.len() as f64 / 1e6;

    let script = directory.join("writes");
    let body = format!("#!/bin/sh\nexec cat '{}' >&2\n", lines.display());
    fs::write(&script, body)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;

    let address = free_address()?;
    let mut command = Command::new(target_directory().join("release/faas-process"));
    command
        .args(["--listen", &address.to_string(), "--log-bytes", "1Gi"])
        .arg("--state-dir")
        .arg(directory.join("state"))
        .stderr(Stdio::null());
    let _running = Running::listening(command, address)?;
    let mut floor = Vec::new();
    let mut ways = [Way::new(false), Way::new(true)];
    for round in 0..=TIMES {
        let copy = directory.join("copy");
        let started = Instant::now();
        let status = Command::new("sh")
            .args(["-c", "cat \"$0\" | cat > \"$1\""])
            .args([&lines, &copy])
            .status()?;
        let took = started.elapsed().as_secs_f64();
        if !status.success() || fs::metadata(&copy)?.len() != fs::metadata(&lines)?.len() {
            bail!("cat > file did not write what it was given");
        }
        fs::remove_file(&copy)?;

        // The first round is for caches to fill.
        if round > 0 {
            floor.push(took);
        }
        for way in &mut ways {
            // A function of its own each time, so that its log begins empty.
            let name = format!("writes-{}-{round}", way.prefix);
            let (written, kept) = way.call(address, &script, &name, round == TIMES)?;
            if round > 0 {
                way.written.push(written);
                way.kept.push(kept);
            }
        }
    }
    fs::remove_dir_all(&directory)?;

    let time = |of: &[f64]| milliseconds(Duration::from_secs_f64(median(of)));
    let ratio = |of: &[f64]| median(of) / median(&floor);
    println!("\nLog intake, {megabytes:.0} MB in lines of 100 bytes, medians of {TIMES}:\n");
    println!("| what | measured | to the floor | goal |");
    println!("|---|---|---|---|");
    println!(
        "| the same program into `cat > file` | {} | 1.00 | - |",
        time(&floor)
    );
    for Way {
        prefix,
        written,
        kept,
    } in &ways
    {
        let how = if *prefix {
            "with date and stream in front of each, as is the default"
        } else {
            "as they are (`prefix_logs=false`)"
        };
        println!(
            "| a call that writes them to its log, {how} | {} | {:.2} | 2.00 |",
            time(written),
            ratio(written)
        );
        println!(
            "| until the last of them can be read | {} | {:.2} | 2.00 |",
            time(kept),
            ratio(kept)
        );
    }
    println!("\nNo line was dropped.");
    Ok(())
}

/// A way to write lines, and how long it took, a round each.
struct Way {
    prefix: bool,
    /// Until the call had its reply.
    written: Vec<f64>,
    /// Until the last line could be read.
    kept: Vec<f64>,
}

impl Way {
    fn new(prefix: bool) -> Self {
        Self {
            prefix,
            written: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Calls a new function once; the seconds until its reply and until its last line can be read.
    fn call(
        &self,
        address: SocketAddr,
        script: &Path,
        name: &str,
        look: bool,
    ) -> Result<(f64, f64)> {
        let deployment = format!(
            r#"{{"service":"{name}","image":"{}","envVars":{{"prefix_logs":"{}"}}}}"#,
            script.display(),
            self.prefix
        );
        expect(
            202,
            &ask(address, "POST", "/system/functions", &deployment)?,
        )?;
        let started = Instant::now();
        expect(
            200,
            &ask(address, "POST", &format!("/function/{name}"), "")?,
        )?;
        let written = started.elapsed().as_secs_f64();
        let newest = format!("/system/logs?name={name}&tail=5");
        while !ask(address, "GET", &newest, "")?.1.contains(LAST) {
            if started.elapsed() > Duration::from_secs(60) {
                bail!("the last line was never kept");
            }
            sleep(Duration::from_millis(1));
        }
        let kept = started.elapsed().as_secs_f64();
        if look {
            let (_, all) = ask(address, "GET", &format!("/system/logs?name={name}"), "")?;
            if all.contains("missing here") {
                bail!("lines were dropped");
            }
        }
        let deletion = format!(r#"{{"functionName":"{name}"}}"#);
        expect(
            202,
            &ask(address, "DELETE", "/system/functions", &deletion)?,
        )?;
        Ok((written, kept))
    }
}

fn expect(wanted: u16, (status, said): &(u16, String)) -> Result<()> {
    if *status != wanted && !(wanted == 202 && *status == 200) {
        bail!("answered with {status}: {said}");
    }
    Ok(())
}
