//! The clients, and how a command of theirs is run and its answer compared.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::go;
use crate::provider::{PASSWORD, Provider, USER};

/// Names another `faas-cli` to be used, a newer one for example.
const OTHER_CLI: &str = "FAAS_CLI";

/// Who gives a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// The `faas-cli` of the module proxy.
    Cli,
    /// A `faas-cli` of 2026, where [`OTHER_CLI`] names one.
    NewerCli,
    /// The program on `go-sdk`.
    Sdk,
}

/// A command and what is to come of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) client: Client,
    /// The words after the program's name. `{dir}` is a directory that lasts as long as the case's
    /// provider.
    pub(crate) words: &'static [&'static str],
    pub(crate) input: &'static str,
    /// What it is good for, for the documentation.
    pub(crate) does: &'static str,
    pub(crate) exit: i32,
    /// The whole output, first the standard one and then errors, where `*` stands for any text.
    pub(crate) output: &'static str,
    /// Whether it is asked again until it is answered so: it waits for something.
    pub(crate) waits: bool,
    /// Where the command does not end by itself: what is done while it runs. Its output is then
    /// awaited, and it is stopped.
    pub(crate) meanwhile: Option<&'static Case>,
}

/// A command that succeeds.
pub(crate) const fn case(
    client: Client,
    does: &'static str,
    words: &'static [&'static str],
    output: &'static str,
) -> Case {
    Case {
        client,
        words,
        input: "",
        does,
        exit: 0,
        output,
        waits: false,
        meanwhile: None,
    }
}

impl Case {
    pub(crate) const fn input(self, input: &'static str) -> Self {
        Self { input, ..self }
    }

    pub(crate) const fn fails(self) -> Self {
        Self { exit: 1, ..self }
    }

    pub(crate) const fn waits(self) -> Self {
        Self {
            waits: true,
            ..self
        }
    }

    pub(crate) const fn meanwhile(self, case: &'static Case) -> Self {
        Self {
            meanwhile: Some(case),
            ..self
        }
    }

    /// The command as one would type it.
    pub(crate) fn typed(&self) -> String {
        let mut typed = match self.client {
            Client::Cli | Client::NewerCli => "faas-cli".to_owned(),
            Client::Sdk => "sdk".to_owned(),
        };
        for word in self.words {
            typed.push(' ');
            if word.is_empty() || word.contains([' ', '$']) {
                typed.push_str(&format!("'{word}'"));
            } else {
                typed.push_str(word);
            }
        }
        typed
    }

    /// Runs the command; what it did otherwise than it should.
    pub(crate) fn run(&self, provider: &Provider) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(20);
        if let Some(other) = self.meanwhile {
            return self.run_beside(other, provider, end);
        }
        loop {
            let (exit, output) = self.once(provider);
            if exit == Some(self.exit) && matches(self.output, &output) {
                return Ok(());
            }
            if !self.waits || Instant::now() > end {
                return Err(format!(
                    "{}\n  should exit with {} and say:\n{}\n  did exit with {exit:?} and say:\n{output}\n",
                    self.typed(),
                    self.exit,
                    self.output,
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs another command once this one has said something, and awaits the whole output.
    fn run_beside(&self, other: &Self, provider: &Provider, end: Instant) -> Result<(), String> {
        let log = provider.directory().join("followed");
        let mut child = self
            .command(provider)
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let said = || Self::shown(&std::fs::read(&log).unwrap(), provider);
        let until = |done: &dyn Fn() -> bool| {
            while !done() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        until(&|| !said().is_empty());
        let beside = other.run(provider);
        until(&|| matches(self.output, &said()));
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        beside?;
        let output = said();
        if ended.is_some() || !matches(self.output, &output) {
            return Err(format!(
                "{}\n  should go on and say:\n{}\n  ended: {ended:?}, and did say:\n{output}\n",
                self.typed(),
                self.output,
            ));
        }
        Ok(())
    }

    fn once(&self, provider: &Provider) -> (Option<i32>, String) {
        let output = go::output(&mut self.command(provider), self.input.to_owned());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), Self::shown(&said, provider))
    }

    fn command(&self, provider: &Provider) -> Command {
        let directory = provider.directory();
        let mut command = self.client.command(provider);
        command.args(
            self.words
                .iter()
                .map(|w| w.replace("{dir}", &text(directory))),
        );
        command
    }

    /// Output without what differs from run to run.
    fn shown(said: &[u8], provider: &Provider) -> String {
        String::from_utf8_lossy(said)
            .replace(&provider.url, "{url}")
            .replace(&text(provider.directory()), "{dir}")
            .trim()
            .to_owned()
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

impl Client {
    /// The client as it is called in the provider's directory.
    pub(crate) fn command(self, provider: &Provider) -> Command {
        let directory = provider.directory();
        let mut command = Command::new(self.program());
        command
            .current_dir(directory)
            // The credentials of `faas-cli login` are kept below the home directory.
            .env("HOME", directory)
            .env("OPENFAAS_CONFIG", directory.join("config"))
            .env("OPENFAAS_URL", &provider.url)
            .env("OPENFAAS_USER", USER)
            .env("OPENFAAS_PASSWORD", PASSWORD);
        command
    }

    fn program(self) -> &'static Path {
        static CLI: OnceLock<PathBuf> = OnceLock::new();
        static SDK: OnceLock<PathBuf> = OnceLock::new();
        match self {
            Self::Cli | Self::NewerCli => CLI.get_or_init(|| {
                other_cli().unwrap_or_else(|| {
                    go::build("faas-cli", "github.com/openfaas/faas-cli", "faas-cli")
                })
            }),
            Self::Sdk => SDK.get_or_init(|| go::build("go", "./sdk", "interop-sdk")),
        }
    }

    /// Whether this client is at hand; all but the newer `faas-cli` must be.
    pub(crate) fn is_here(self) -> bool {
        self != Self::NewerCli || other_cli().is_some()
    }
}

fn other_cli() -> Option<PathBuf> {
    std::env::var_os(OTHER_CLI).map(PathBuf::from)
}

/// Whether a text is a pattern's, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text) in [
        ("", ""),
        ("a", "a"),
        ("*", ""),
        ("*", "a\nb"),
        ("a*c", "abc"),
        ("a*c", "ac"),
        ("*b*", "abc"),
        ("a*b*c", "a1b2c"),
    ] {
        assert!(matches(pattern, text), "{pattern:?} {text:?}");
    }
    for (pattern, text) in [
        ("", "a"),
        ("a", "ab"),
        ("a*c", "abcd"),
        ("*b*", "ac"),
        ("a*b*c", "acb"),
        ("ab*bc", "abc"),
    ] {
        assert!(!matches(pattern, text), "{pattern:?} {text:?}");
    }
}
