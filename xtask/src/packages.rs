//! The Debian packages that the tests need.

use anyhow::{Result, bail};

use crate::runner::{Runner, find_program, output, program};

/// A program that some test runs, and the Debian package that has it.
#[derive(Debug)]
struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const NEEDS: [Need; 4] = [
    Need {
        program: "journalctl",
        package: "systemd",
        purpose: "the journald log source is tested against a real systemd-journald",
    },
    Need {
        program: "curl",
        package: "curl",
        purpose: "the README's commands are run as they stand there",
    },
    Need {
        program: "kill",
        package: "procps",
        purpose: "processes are ended as an operator would",
    },
    Need {
        program: "ip",
        package: "iproute2",
        purpose: "a real gateway is run in a network of its own",
    },
];

/// How commands become root here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are.
    Already,
    /// By `sudo`, which asks for no password.
    Sudo,
    /// Not at all.
    No,
}

impl Root {
    /// Finds out.
    pub(crate) fn find() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Already
        } else if output(&mut program("sudo", &["-n", "true"])).is_ok() {
            Self::Sudo
        } else {
            Self::No
        }
    }

    /// That program as root, or nothing where we may not.
    pub(crate) fn command(self, arguments: &[&str]) -> Option<std::process::Command> {
        match (self, arguments) {
            (Self::Already, [name, rest @ ..]) => Some(program(name, rest)),
            (Self::Sudo, _) => Some(program("sudo", &[&["-n"], arguments].concat())),
            _ => None,
        }
    }
}

/// Installs what is missing, where that may be done.
///
/// # Errors
/// Where it may not: names the programs, what they are for, and the command that installs them.
pub(crate) fn ensure(runner: &Runner) -> Result<()> {
    let missing = missing(|name| find_program(name).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let mut install = vec![
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "--quiet",
    ];
    install.extend(&packages);

    let root = Root::find();
    if find_program("apt-get").is_some()
        && let (Some(mut update), Some(mut install)) = (
            root.command(&["apt-get", "update", "--quiet"]),
            root.command(&install),
        )
    {
        runner.run(&mut update)?;
        runner.run(&mut install)?;
        return Ok(());
    }
    bail!("{}", explain(&missing, &packages))
}

fn missing(is_there: impl Fn(&str) -> bool) -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| !is_there(need.program))
        .collect()
}

fn explain(missing: &[&Need], packages: &[&str]) -> String {
    let mut text = String::from("the tests need programs that are not here:\n");
    for need in missing {
        text.push_str(&format!("  {}: {}\n", need.program, need.purpose));
    }
    text.push_str(&format!(
        "they cannot be installed from here without a password; on Debian and Ubuntu run\n  \
         sudo apt-get install --yes {}\nand start again",
        packages.join(" ")
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_asked_for() {
        assert!(missing(|_| true).is_empty());
        let only_curl = missing(|name| name != "curl");
        assert_eq!(only_curl.len(), 1);
        assert_eq!(only_curl[0].package, "curl");
    }

    #[test]
    fn where_nothing_may_be_installed_the_exact_command_is_named() {
        let missing = missing(|_| false);
        let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
        let text = explain(&missing, &packages);
        assert!(
            text.contains("sudo apt-get install --yes systemd curl procps iproute2"),
            "{text}"
        );
    }

    #[test]
    fn commands_become_root_as_this_user_can() {
        let line = |root: Root| {
            root.command(&["apt-get", "update"]).map(|command| {
                let mut words = vec![command.get_program().to_owned()];
                words.extend(command.get_args().map(ToOwned::to_owned));
                words.join(std::ffi::OsStr::new(" "))
            })
        };
        assert_eq!(line(Root::Already).unwrap(), "apt-get update");
        assert_eq!(line(Root::Sudo).unwrap(), "sudo -n apt-get update");
        assert_eq!(line(Root::No), None);
    }
}
