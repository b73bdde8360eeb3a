//! How soon `faas-process` and its functions answer, and what it holds while nothing happens, each
//! beside its floor from the same run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::processes::{Running, resident};
use super::{free_address, median, milliseconds};
use crate::runner::target_directory;

const TIMES: usize = 11;
/// The program that becomes a function: it repeats what it gets.
const PROGRAM: &str = "cat";

pub(super) fn run() -> Result<()> {
    let directory = target_directory().join("bench/state");
    let mut ready = Vec::new();
    let mut answered = Vec::new();
    let mut floor = Vec::new();
    let mut idle = f64::NAN;
    for _ in 0..TIMES {
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        let address = free_address()?;
        let mut command = Command::new(target_directory().join("release/faas-process"));
        command
            .args(["--listen", &address.to_string(), "--state-dir"])
            .arg(&directory)
            .stderr(Stdio::null());
        floor.push(fork_and_exec()?);

        let started = Instant::now();
        let running = Running::listening(command, address)?;
        until_answered(address, "GET", "/healthz", "", 200)?;
        ready.push(started.elapsed().as_secs_f64());

        sleep(Duration::from_secs(1));
        idle = resident(running.id())?;

        let deployment = format!(r#"{{"service":"f","image":"none","envProcess":"{PROGRAM}"}}"#);
        let started = Instant::now();
        let (status, said) = ask(address, "POST", "/system/functions", &deployment)?;
        if status != 202 {
            bail!("the deployment was answered with {status}: {said}");
        }
        until_answered(address, "POST", "/function/f", "hello", 200)?;
        answered.push(started.elapsed().as_secs_f64());
    }
    let time = |of: &[f64]| Duration::from_secs_f64(median(of));
    let bound = time(&floor) * 3 + Duration::from_millis(50);
    println!("faas-process, medians of {TIMES}:\n");
    println!("| what | measured | goal | floor |");
    println!("|---|---|---|---|");
    println!("| resident while idle | {idle:.1} MiB | 15 MiB | - |");
    let floor = format!(
        "{} (fork and exec of {PROGRAM})",
        milliseconds(time(&floor))
    );
    println!(
        "| ready after start | {} | 50 ms | {floor} |",
        milliseconds(time(&ready))
    );
    println!(
        "| deploy to first answer | {} | {} | {floor} |",
        milliseconds(time(&answered)),
        milliseconds(bound),
    );
    Ok(())
}

/// Seconds from fork to the end of the program with nothing to do.
fn fork_and_exec() -> Result<f64> {
    let started = Instant::now();
    Command::new(PROGRAM).stdin(Stdio::null()).status()?;
    Ok(started.elapsed().as_secs_f64())
}

fn until_answered(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    wanted: u16,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask(address, method, path, body);
        match answer {
            Ok((status, _)) if status == wanted => return Ok(()),
            answer if Instant::now() >= deadline => {
                bail!("{path} was never answered with {wanted}, at last {answer:?}")
            }
            _ => sleep(Duration::from_millis(1)),
        }
    }
}

/// One request on a connection of its own: the status and the whole reply.
pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let status = reply
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("no status in {reply:?}"))?;
    Ok((status, reply))
}
