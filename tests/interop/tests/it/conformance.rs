//! The conformance kit against `faas-process`, against a provider on the real Go SDK, and through a
//! real gateway: what they deviate in is what `reports/` says. After a change of that:
//! `UPDATE_DOCS=1 cargo test -p interop conformance`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gateway;
use crate::go;
use crate::provider::{PASSWORD, Provider, USER, beside_us};

/// What the Go peer keeps to, for all that its SDK leaves to its author.
const GO_FEATURES: &str = "secrets,logs,scale,namespaces,streaming,upgrade,auth,metrics";

/// What `faas-process` keeps to: everything.
const OUR_FEATURES: &str = "secrets,logs,scale,scale-zero,namespaces,streaming,upgrade,auth,metrics,hardening,usage,\
     wake-on-call,trailers";

/// What a gateway of March 2021 passes on: no streams, no upgrades, and of namespaces their list
/// alone.
const GATEWAY_FEATURES: &str = "secrets,logs,scale,scale-zero,auth,metrics,usage,wake-on-call";

#[test]
fn conformance_of_faas_process_is_as_recorded() {
    let provider = Provider::start_in(tempfile::tempdir().unwrap(), |command| {
        command.env("PATH", path());
    });
    let found = check(&provider.url, OUR_FEATURES);
    found.must_be_as_recorded("faas-process");
    assert_eq!(found.verdict(), "conformant");
}

#[test]
fn conformance_of_the_go_sdk_is_as_recorded() {
    let provider = GoProvider::start();
    check(&provider.url, GO_FEATURES).must_be_as_recorded("go-sdk");
}

#[test]
fn conformance_through_a_gateway_is_as_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let mut kit = gateway::beside(directory.path());
    kit.arg(beside_us("provider-conformance"));
    kit.env("PATH", path());
    let found = run(kit, gateway::URL, GATEWAY_FEATURES, &["--gateway"]);
    found.must_be_as_recorded("gateway-2021");
}

/// The kit's report on a provider.
struct Found {
    dir: tempfile::TempDir,
    report: Value,
}

/// Where providers find the kit, which is the test function.
fn path() -> OsString {
    let kit = beside_us("provider-conformance");
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let all = kit.parent().map(Path::to_owned).into_iter();
    std::env::join_paths(all.chain(std::env::split_paths(&usual))).unwrap()
}

/// Runs the kit as an outside user would.
fn check(url: &str, features: &str) -> Found {
    let kit = Command::new(beside_us("provider-conformance"));
    run(kit, url, features, &[])
}

fn run(mut kit: Command, url: &str, features: &str, more: &[&str]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let reports = dir.path().join("reports");
    let output = kit
        .args(["run", "--url", url, "--user", USER, "--features", features])
        .args(more)
        .arg("--password-file")
        .arg(&password)
        // By its name, so that a report does not tell of this machine's directories.
        .args(["--command", "provider-conformance function"])
        .arg("--report")
        .arg(&reports)
        .arg("--junit")
        .arg(reports.join("junit.xml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    let report = fs::read_to_string(reports.join("report.json")).unwrap();
    let report = serde_json::from_str(&report).unwrap();
    Found { dir, report }
}

impl Found {
    fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap()
    }

    /// Compares with the report in the repository, or puts this one in its place.
    fn must_be_as_recorded(&self, name: &str) {
        let place = go::root().join("reports").join(version()).join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(&place).unwrap();
            for file in ["report.json", "report.html", "junit.xml"] {
                fs::copy(self.dir.path().join("reports").join(file), place.join(file)).unwrap();
            }
        }
        let recorded = fs::read_to_string(place.join("report.json")).unwrap();
        let recorded = serde_json::from_str(&recorded).unwrap();
        let (found, recorded) = (deviations(&self.report), deviations(&recorded));
        assert_eq!(
            found, recorded,
            "the report of {name} is old: UPDATE_DOCS=1 cargo test -p interop conformance"
        );
        let explained = fs::read_to_string(place.join("README.md")).unwrap();
        for id in found.keys() {
            assert!(
                explained.contains(id.as_str()),
                "{name}: {id} is not explained"
            );
        }
    }
}

/// The requirements that do not hold, and how that is called.
fn deviations(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = report["requirements"].as_array().unwrap().iter();
    let deviates = |one: &&Value| {
        matches!(
            one["status"].as_str(),
            Some("fail" | "error" | "unreached" | "known-deviation")
        )
    };
    all.filter(deviates)
        .map(|one| (text(&one["id"]), text(&one["status"])))
        .collect()
}

/// The reports are of this version of the kit.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A running provider on the Go SDK; stopped when dropped.
struct GoProvider {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl GoProvider {
    fn start() -> Self {
        let program = go::build("go", "./provider", "interop-provider");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("basic-auth-user"), USER).unwrap();
        fs::write(directory.path().join("basic-auth-password"), PASSWORD).unwrap();
        let port = free_port();
        let mut child = Command::new(program)
            .arg(port.to_string())
            .arg(directory.path())
            .env("PATH", path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "the provider has ended");
            assert!(Instant::now() < deadline, "the provider does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            _directory: directory,
        }
    }
}

impl Drop for GoProvider {
    fn drop(&mut self) {
        // Its functions end with it: they are told to by the kernel.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The SDK takes the number of a port only.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Every report in the repository: version, implementation, and what it says.
fn recorded() -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for version in folders(&go::root().join("reports")) {
        for place in folders(&version) {
            let report = fs::read_to_string(place.join("report.json")).unwrap();
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            all.push((
                name(&version),
                name(&place),
                serde_json::from_str(&report).unwrap(),
            ));
        }
    }
    all
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The part of `docs/compatibility.md` about the reports.
pub(crate) fn documentation() -> String {
    let mut page = String::from(
        "## Conformance\n\n\
         What the [conformance kit](../crates/provider-conformance/README.md) found, by profile: \
         how many requirements hold, and which MUSTs do not. Each report is in [`reports/`](../reports), \
         with what it deviates in and how to make it again.\n",
    );
    for (version, name, report) in recorded() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        page.push_str(&format!(
            "\n### {name}, by kit {version}: {}\n\n\
             `{} {}`: [report](../reports/{version}/{name}/report.html), \
             [explained](../reports/{version}/{name}/README.md)\n\n\
             | Profile | MUST hold | SHOULD hold | MUSTs that do not |\n| --- | --- | --- | --- |\n",
            text(&report["verdict"]),
            text(&report["target"]["provider"]),
            text(&report["target"]["release"]),
        ));
        for (profile, row) in rows(&report) {
            page.push_str(&format!("| {profile} | {row} |\n"));
        }
    }
    page
}

/// For each profile that is declared: how many of its requirements hold.
fn rows(report: &Value) -> BTreeMap<String, String> {
    let mut profiles: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for one in report["requirements"].as_array().unwrap() {
        let judged = matches!(
            one["status"].as_str(),
            Some("pass" | "fail" | "warn" | "known-deviation")
        );
        if judged {
            let profile = one["profile"].as_str().unwrap().to_owned();
            profiles.entry(profile).or_default().push(one);
        }
    }
    let row = |judged: Vec<&Value>| {
        let count = |level: &str| {
            let of_it = judged.iter().filter(|one| one["level"] == level);
            let hold = of_it.clone().filter(|one| one["status"] == "pass").count();
            format!("{hold} of {}", of_it.count())
        };
        let broken = judged
            .iter()
            .filter(|one| one["level"] == "MUST" && one["status"] != "pass")
            .map(|one| one["id"].as_str().unwrap());
        let broken: Vec<&str> = broken.collect();
        format!(
            "{} | {} | {}",
            count("MUST"),
            count("SHOULD"),
            broken.join(", ")
        )
    };
    let all = profiles.into_iter();
    all.map(|(profile, judged)| (profile, row(judged)))
        .collect()
}
