//! `faas-process export`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use provider_engine::Backup;
use provider_types::{FunctionSpec, Namespace};

use super::{Place, file};
use crate::failure::{Failure, Kind, OrFail as _};

/// Write the functions as a stack file, which faas-cli and --stack read
///
/// Works while the provider runs and when none runs. Secrets are named in the file, their values
/// are not in it: backup writes those too. How far a function is scaled is not in a stack file
/// either, but for its labels.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Write a stack file, to the standard output if no FILE is named
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", required = true)]
    stack: PathBuf,
    /// Only the functions of this namespace; needed where two namespaces have functions of one name
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

impl Args {
    pub(super) fn run(self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        let namespace = |name: String| Namespace::new(&name).or_fail(Kind::Usage);
        let configured = variable("function_namespace").filter(|name| !name.is_empty());
        let default = configured.map(namespace).transpose()?.unwrap_or_default();
        let only = self.namespace.map(namespace).transpose()?;
        let state_dir = self.place.find(variable)?;
        let backup = Backup::of(&state_dir).or_fail(Kind::Directory)?;
        let functions: Vec<FunctionSpec> = backup
            .functions()
            .filter(|function| {
                only.as_ref()
                    .is_none_or(|only| function.function.namespace == *only)
            })
            .cloned()
            .collect();
        let yaml = provider_stack::to_yaml(&functions, &default).map_err(|error| {
            Failure::usage(format!(
                "{error}, with --namespace {}",
                error.first.namespace
            ))
        })?;
        let text = format!("{}{yaml}", needs(&functions));
        file::write(&self.stack, text.as_bytes()).or_fail(Kind::Running)?;
        let count = functions.len();
        let plural = if count == 1 { "" } else { "s" };
        let words = format!("{}: {count} function{plural}", self.stack.display());
        file::say(&self.stack, &words);
        Ok(())
    }
}

/// What must be there before the file can be deployed.
fn needs(functions: &[FunctionSpec]) -> String {
    let secrets: BTreeSet<&str> = functions
        .iter()
        .flat_map(|function| &function.secrets)
        .map(AsRef::as_ref)
        .collect();
    if secrets.is_empty() {
        return String::new();
    }
    let names = Vec::from_iter(secrets).join(", ");
    format!("# These secrets have to be there first: {names}\n")
}
