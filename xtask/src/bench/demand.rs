//! What it costs to have functions that are not called: finding one among many, an engine full of
//! functions that sleep, and how soon one of them answers, each beside its floor from the same run.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::processes::{Running, resident, voluntary_switches};
use super::start::ask;
use super::{free_address, median, milliseconds};
use crate::runner::{output, target_directory};

const MANY: usize = 10_000;
const ASLEEP: usize = 1_000;
const TIMES: usize = 21;
/// How long a rest is watched.
const REST: Duration = Duration::from_secs(20);
/// A connection that is refused is tried again after this.
const MOMENT: Duration = Duration::from_micros(100);

pub(super) fn run() -> Result<()> {
    println!("\nFunctions that are not called:\n");
    println!("| what | measured | goal | floor |");
    println!("|---|---|---|---|");
    resolve()?;
    idle()?;
    from_zero()
}

fn resolve() -> Result<()> {
    let mut command = Command::new(target_directory().join("release/resolve"));
    let said = output(command.args(["1", &MANY.to_string()]))?;
    let costs: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split(' ').nth(1)?.parse().ok())
        .collect();
    let [one, many] = costs[..] else {
        bail!("resolve said something else: {said}");
    };
    println!(
        "| a lease among {MANY} functions | {many:.0} ns, {:+.1} % | ± 5 % | {one:.0} ns (one function) |",
        100.0 * (many / one - 1.0)
    );
    Ok(())
}

/// A provider on an empty state directory.
fn provider() -> Result<(Running, SocketAddr)> {
    let directory = target_directory().join("bench/asleep");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let address = free_address()?;
    let mut command = Command::new(target_directory().join("release/faas-process"));
    command
        .args(["--listen", &address.to_string(), "--state-dir"])
        .arg(&directory)
        .stderr(Stdio::null());
    Ok((Running::listening(command, address)?, address))
}

fn deploy(address: SocketAddr, deployment: &str) -> Result<()> {
    let (status, said) = ask(address, "POST", "/system/functions", deployment)?;
    if status != 202 {
        bail!("the deployment was answered with {status}: {said}");
    }
    Ok(())
}

/// Waits until no function has a replica.
fn until_asleep(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, list) = ask(address, "GET", "/system/functions", "")?;
        if !list.contains("eplicas\":") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("not all functions go to sleep");
        }
        sleep(Duration::from_millis(20));
    }
}

fn idle() -> Result<()> {
    let (running, address) = provider()?;
    let before = resident(running.id())?;
    for number in 0..ASLEEP {
        let labels =
            r#"{"com.openfaas.scale.zero":"true","com.openfaas.scale.zero-duration":"1s"}"#;
        deploy(
            address,
            &format!(
                r#"{{"service":"f{number}","image":"none","envProcess":"cat","labels":{labels}}}"#
            ),
        )?;
    }
    until_asleep(address)?;
    // What was begun is over by then, and the threads that it took have ended.
    sleep(Duration::from_secs(15));
    let before_rest = voluntary_switches(running.id())?;
    sleep(REST);
    let switches: u64 = voluntary_switches(running.id())?
        .iter()
        .map(|(thread, count)| count - before_rest.get(thread).unwrap_or(&0))
        .sum();
    let rate = f64::from(u32::try_from(switches)?) / REST.as_secs_f64();
    let held = resident(running.id())?;
    println!(
        "| resident with {ASLEEP} functions asleep | {held:.1} MiB | 40 MiB | {before:.1} MiB (none deployed) |"
    );
    println!("| wakes of that a second | {rate:.2} | 1 | - |");
    Ok(())
}

/// A program in an interpreter, as most functions are: what `hello` does.
const PERL: &str = r#"#!/usr/bin/perl
use strict; use IO::Socket::INET;
$| = 1;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT},
    Listen => 5, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    next unless <$client>;
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    print $client "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
}
"#;

/// The smallest program there can be, and one in an interpreter.
fn from_zero() -> Result<()> {
    woken("compiled", &target_directory().join("release/hello"))?;
    if !Path::new("/usr/bin/perl").is_file() {
        println!("| from zero to the first byte, a program in perl | no perl | 2 × | - |");
        return Ok(());
    }
    let script = target_directory().join("bench/hello.pl");
    std::fs::write(&script, PERL)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    woken("in perl", &script)
}

fn woken(kind: &str, program: &Path) -> Result<()> {
    let (_running, address) = provider()?;
    deploy(
        address,
        &format!(
            r#"{{"service":"f","image":"{}","envVars":{{"mode":"http"}}}}"#,
            program.display()
        ),
    )?;
    let mut floor = Vec::new();
    let mut woken = Vec::new();
    for _ in 0..TIMES {
        let nobody = r#"{"replicas":0}"#;
        ask(address, "POST", "/system/scale-function/f", nobody)?;
        until_asleep(address)?;
        // Its process is gone, and nothing else is to be done: it sleeps.
        sleep(Duration::from_secs(1));
        floor.push(fork_exec_connect(program)?);
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "POST /function/f HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n"
        )?;
        let mut first = [0; 12];
        stream.read_exact(&mut first)?;
        woken.push(begun.elapsed().as_secs_f64());
        if &first != b"HTTP/1.1 200" {
            bail!(
                "the call that wakes was answered {:?}",
                String::from_utf8_lossy(&first)
            );
        }
    }
    let time = |of: &[f64]| Duration::from_secs_f64(median(of));
    let (floor, woken) = (time(&floor), time(&woken));
    println!(
        "| from zero to the first byte, a program {kind}, median of {TIMES} | {}, {:.1} × | 2 × | {} (fork, exec and connect) |",
        milliseconds(woken),
        woken.as_secs_f64() / floor.as_secs_f64(),
        milliseconds(floor),
    );
    Ok(())
}

/// Seconds until the program, started by hand, takes a connection.
fn fork_exec_connect(program: &Path) -> Result<f64> {
    let address = free_address()?;
    let begun = Instant::now();
    let mut child = Ended(
        Command::new(program)
            .env_clear()
            .env("PORT", address.port().to_string())
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?,
    );
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.0.try_wait()? {
            bail!("{} ended: {status}", program.display());
        }
        sleep(MOMENT);
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// A process that does not outlive its measurement.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
