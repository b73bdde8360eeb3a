//! `cargo xtask bench`: what a call through the proxy costs, as ratios within one run.
//!
//! nginx is the upstream (a fixed reply), wrk the caller: 64 keep-alive connections, 32-byte
//! bodies. Behind the same upstream stand our server, nginx as a reverse proxy and, where `go` is
//! present, the Go SDK's proxy. They take turns, round by round, so that whatever else the machine
//! does falls on all of them; the medians of the rounds count.

mod demand;
mod logs;
mod many;
mod processes;
mod start;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::runner::{Runner, cargo, find_program, output, program, root, target_directory};
use processes::{Running, cpu};

const CONNECTIONS: u32 = 64;
/// Twice 16 bytes.
const BODY: &str = "0123456789abcdef0123456789abcdef";

/// What is compared: a name, and the proxy that stands for it.
struct Contender {
    name: &'static str,
    url: String,
    running: Running,
    /// Microseconds of CPU per request, a round each.
    costs: Vec<f64>,
    /// Requests per second, a round each.
    rates: Vec<f64>,
}

/// What can be measured by itself.
pub(crate) const PARTS: [&str; 5] = ["calls", "start", "demand", "many", "logs"];

/// Measures the parts that are named, or all, and prints.
///
/// # Errors
/// When a program is missing, does not start, or answers wrongly.
pub(crate) fn run(parts: &[String], rounds: u32, seconds: u32) -> Result<()> {
    build()?;
    for part in PARTS {
        if !parts.is_empty() && !parts.iter().any(|it| it == part) {
            continue;
        }
        match part {
            "calls" => calls(rounds, seconds)?,
            "start" => start::run()?,
            "demand" => demand::run()?,
            "many" => many::run()?,
            _ => logs::run()?,
        }
    }
    Ok(())
}

fn build() -> Result<()> {
    Runner::unlimited().run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "bench",
        "--bin",
        "bench",
        "--bin",
        "hello",
        "--bin",
        "resolve",
        "--bin",
        "many",
        "--package",
        "faas-process",
        "--bin",
        "faas-process",
    ]))?;
    std::fs::create_dir_all(target_directory().join("bench"))?;
    Ok(())
}

/// What a call through the proxy costs.
fn calls(rounds: u32, seconds: u32) -> Result<()> {
    for (name, package) in [("nginx", "nginx"), ("wrk", "wrk")] {
        if find_program(name).is_none() && !Path::new("/usr/sbin").join(name).is_file() {
            bail!("{name} is missing: apt-get install --yes --no-install-recommends {package}");
        }
    }
    let directory = target_directory().join("bench");
    let cores = std::thread::available_parallelism()?.get();

    let upstream_address = free_address()?;
    let _upstream = nginx(
        &directory,
        "upstream",
        1,
        &format!("server {{ listen {upstream_address}; location / {{ return 200 {BODY}; }} }}"),
    )?;
    let mut contenders = contenders(&directory, upstream_address, cores)?;
    let script = directory.join("post.lua");
    std::fs::write(
        &script,
        format!("wrk.method = 'POST'\nwrk.body = '{BODY}'\n"),
    )?;

    for round in 0..=rounds {
        for contender in &mut contenders {
            // The first round is for caches and pools to fill.
            let (cost, rate) = measure(contender, &script, seconds)?;
            if round > 0 {
                contender.costs.push(cost);
                contender.rates.push(rate);
            }
        }
    }
    report(&contenders);
    Ok(())
}

fn contenders(directory: &Path, upstream: SocketAddr, cores: usize) -> Result<Vec<Contender>> {
    let ours = target_directory().join("release/bench");
    let mut contenders = Vec::new();
    let mut add = |name, address: SocketAddr, running| {
        contenders.push(Contender {
            name,
            url: format!("http://{address}/function/f"),
            running,
            costs: Vec::new(),
            rates: Vec::new(),
        });
    };

    let address = free_address()?;
    add(
        "ours",
        address,
        Running::listening(on(&ours, address, upstream), address)?,
    );

    let address = free_address()?;
    let server = format!(
        "upstream function {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
         server {{
             listen {address};
             location /function/f {{
                 proxy_pass http://function/;
                 proxy_http_version 1.1;
                 proxy_set_header Host $http_host;
                 proxy_set_header Connection \"\";
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                 proxy_set_header X-Forwarded-Host $http_host;
                 proxy_set_header X-Forwarded-Proto $scheme;
             }}
         }}"
    );
    add("nginx", address, nginx(directory, "proxy", cores, &server)?);

    match find_program("go") {
        None => println!("no go: the Go SDK's proxy is left out"),
        Some(_) => {
            let binary = directory.join("go-proxy");
            let mut build = program("go", &["build", "-o"]);
            build.arg(&binary).arg(".");
            build.current_dir(root().join("tests/bench/go"));
            Runner::unlimited().run(&mut build)?;
            let address = free_address()?;
            let running = Running::listening(on(&binary, address, upstream), address)?;
            add("go", address, running);
        }
    }
    Ok(contenders)
}

fn on(binary: &Path, address: SocketAddr, upstream: SocketAddr) -> Command {
    let mut command = Command::new(binary);
    command
        .arg(address.to_string())
        .arg(upstream.to_string())
        // Go logs every call that wrk's end cuts off.
        .stderr(std::process::Stdio::null());
    command
}

fn nginx(directory: &Path, name: &str, workers: usize, server: &str) -> Result<Running> {
    let prefix = directory.join(name);
    std::fs::create_dir_all(&prefix)?;
    let address = server
        .split("listen ")
        .nth(1)
        .and_then(|rest| rest.split(';').next())
        .context("a server without an address")?
        .parse()?;
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|temporary| format!("{temporary}_temp_path {temporary};\n"))
        .collect();
    std::fs::write(
        prefix.join("nginx.conf"),
        format!(
            "daemon off;\nworker_processes {workers};\npid nginx.pid;\nerror_log stderr error;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\naccess_log off;\nkeepalive_requests 1000000000;\n{paths}{server}\n}}\n"
        ),
    )?;
    let found = find_program("nginx").unwrap_or_else(|| PathBuf::from("/usr/sbin/nginx"));
    let mut command = Command::new(found);
    command
        .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
        .arg(&prefix);
    Running::listening(command, address)
}

/// Microseconds of CPU per request, and requests per second.
fn measure(contender: &Contender, script: &Path, seconds: u32) -> Result<(f64, f64)> {
    let before = cpu(contender.running.id())?;
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script"])
        .arg(script)
        .arg(&contender.url);
    let said = output(&mut wrk)?;
    let spent = cpu(contender.running.id())?.saturating_sub(before);
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("{} gave errors:\n{said}", contender.name);
    }
    let requests: f64 = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse().ok())
        .with_context(|| format!("wrk said something else:\n{said}"))?;
    Ok((
        spent.as_secs_f64() * 1e6 / requests,
        requests / f64::from(seconds),
    ))
}

fn report(contenders: &[Contender]) {
    println!("\nCPU per proxied call, {CONNECTIONS} keep-alive connections, 32-byte bodies:\n");
    println!("| proxy | CPU per call | to nginx | to Go | calls a second |");
    println!("|---|---|---|---|---|");
    let cost = |name| {
        contenders
            .iter()
            .find(|contender| contender.name == name)
            .map(|contender| median(&contender.costs))
    };
    let ratio = |own: f64, other: Option<f64>| {
        other.map_or_else(|| "-".into(), |other| format!("{:.2}", own / other))
    };
    for contender in contenders {
        let own = median(&contender.costs);
        println!(
            "| {} | {own:.1} µs | {} | {} | {:.0} |",
            contender.name,
            ratio(own, cost("nginx")),
            ratio(own, cost("go")),
            median(&contender.rates),
        );
    }
    println!();
}

/// The middle of some numbers.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// An address that was free just now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A duration as milliseconds.
fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
