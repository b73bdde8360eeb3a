//! What is printed once the provider listens: where, what is protected and what is not, the
//! budgets, and what to try next.

use std::fmt::{self, Display, Write as _};
use std::path::Path;
use std::time::Duration;

use provider_http::{Config, ListenAddress, Role};
use runtime_process::{LimitsStatus, LimitsWay, SandboxStatus, SecretsStatus};

use crate::address::reachable;
use crate::bounds::Bounds;
use crate::config::Settings;

/// What the banner tells of.
#[derive(Debug)]
pub(crate) struct Banner<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) addresses: Vec<ListenAddress>,
    pub(crate) sandbox: SandboxStatus,
    pub(crate) private_temp: bool,
    pub(crate) secrets: SecretsStatus,
    pub(crate) limits: LimitsStatus,
    pub(crate) root: bool,
}

impl Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, .. } = self;
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        writeln!(f, "faas-process listens on {}", addresses.join(" and "))?;
        writeln!(f, "  role      {}", role(settings.http.role))?;
        let kept = if settings.temporary.is_some() {
            " (removed at the end)"
        } else {
            ""
        };
        writeln!(f, "  state     {}{kept}", settings.state_dir.display())?;
        writeln!(f, "  calls     {}", self.calls())?;
        writeln!(f, "  functions {}", self.functions())?;
        writeln!(f, "  secrets   {}", self.secrets)?;
        if let Some(stacks) = &self.settings.stacks {
            writeln!(f, "  stack     {stacks}")?;
        }
        writeln!(f, "  limits    {}", self.limits)?;
        writeln!(
            f,
            "  budgets   {}",
            budgets(&settings.http, &settings.bounds)
        )?;
        if let Some(command) = self.next_command() {
            writeln!(f, "\nTry:\n  {command}")?;
        }
        Ok(())
    }
}

impl Banner<'_> {
    /// Puts into the log what an operator should change.
    pub(crate) fn warn(&self) {
        if self.root && self.settings.run_as.is_none() {
            tracing::warn!("functions run as root: start with --run-as USER, or not as root");
        }
        if self.sandbox != SandboxStatus::Enforced {
            tracing::warn!("functions are not sandboxed: they can read the provider's state");
        }
        if self.limits.way == LimitsWay::Watch {
            tracing::warn!(
                "limits are held by watching: a function may overstep one for half a second, and \
                 CPU is not limited; `faas-process doctor` says what a better way takes"
            );
        }
    }

    fn calls(&self) -> String {
        if self.settings.http.basic_auth {
            format!(
                "/system/ asks for the credentials in {}; /function/, /healthz and /metrics are open",
                self.settings.http.secret_mount_path.display()
            )
        } else {
            "no credentials are asked for: /system/ answers this machine only, not web pages; \
             /function/, /healthz and /metrics are open"
                .to_owned()
        }
    }

    fn functions(&self) -> String {
        let mut text = match (&self.settings.run_as, self.root) {
            (Some(user), _) => format!("run as {}", user.name),
            (None, true) => "run as ROOT (--run-as USER changes that)".to_owned(),
            (None, false) => "run as you".to_owned(),
        };
        text.push_str(", not isolated from each other; ");
        text.push_str(match self.sandbox {
            SandboxStatus::Enforced if self.private_temp => {
                "they write to their own directory only, as the state lies in the temporary one, \
                 and cannot read our state and credentials (Landlock)"
            }
            SandboxStatus::Enforced => {
                "they write to their own and the temporary directory only and cannot read our \
                 state and credentials (Landlock)"
            }
            SandboxStatus::Off => {
                "NO SANDBOX (--no-sandbox): they read and write what that user may, our state \
                 included"
            }
            _ => {
                "NO SANDBOX, as this kernel has no Landlock: they read and write what that user \
                 may, our state included"
            }
        });
        text
    }

    /// A deployment that works as it is printed.
    fn next_command(&self) -> Option<String> {
        let (main, first) = (self.addresses.first()?, self.addresses.get(1));
        let system = match (&self.settings.system_listen, first) {
            (Some(_), Some(second)) => second,
            _ => main,
        };
        let mut command = "curl".to_owned();
        let http = &self.settings.http;
        if http.basic_auth {
            let file = |name: &str| quoted(&http.secret_mount_path.join(name));
            let (user, password) = (file("basic-auth-user"), file("basic-auth-password"));
            // Writing to a string cannot fail.
            let _ = write!(command, " -u \"$(cat {user}):$(cat {password})\"");
        }
        let call = "-d '{\"service\":\"env\",\"image\":\"env\",\"envProcess\":\"env\"}'";
        let _ = write!(command, " {}/system/functions {call}", target(system));
        let _ = write!(command, " && curl {}/function/env", target(main));
        Some(command)
    }
}

/// The address as curl takes it.
fn target(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Unix(path) => format!("--unix-socket {} http://localhost", quoted(path)),
        ListenAddress::Tcp(address) => format!("http://{}", reachable(*address)),
    }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Standalone => "standalone: clients talk to it directly",
        _ => "provider: a gateway stands in front",
    }
}

fn budgets(config: &Config, bounds: &Bounds) -> String {
    let seconds = |time: Duration| format!("{}s", time.as_secs_f64());
    let total = config.total_timeout.map_or("none".to_owned(), seconds);
    [
        ("header_timeout", seconds(config.header_timeout)),
        ("resolve_timeout", seconds(config.resolve_timeout)),
        ("ready_timeout", seconds(bounds.ready_timeout)),
        ("queue_wait", seconds(bounds.queue_wait)),
        ("connect_timeout", seconds(config.connect_timeout)),
        ("upstream_timeout", seconds(config.upstream_timeout)),
        ("idle_timeout", seconds(config.idle_timeout)),
        ("total_timeout", total),
        ("drain_timeout", seconds(config.drain_timeout)),
    ]
    .map(|(name, value)| format!("{name} {value}"))
    .join(", ")
}
