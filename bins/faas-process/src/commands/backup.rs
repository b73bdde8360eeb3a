//! `faas-process backup`.

use std::path::PathBuf;

use provider_engine::Backup;

use super::{Place, file};
use crate::failure::{Failure, Kind, OrFail as _};

/// Write functions, secrets and namespaces to a file
///
/// Works while the provider runs: the backup is of one moment, and nothing waits for it. Works as
/// well when none runs.
///
/// The secrets are in the file in plain text. It is made for its owner only (mode 0600): keep it as
/// safe as the state. Logs are not in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The file to write, - for the standard output; one that is there is replaced
    file: PathBuf,
}

impl Args {
    pub(super) fn run(self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        let state_dir = self.place.find(variable)?;
        let backup = Backup::of(&state_dir).or_fail(Kind::Directory)?;
        let mut bytes = Vec::new();
        backup.write(&mut bytes).or_fail(Kind::Running)?;
        file::write(&self.file, &bytes).or_fail(Kind::Running)?;
        let words = format!(
            "{}: {backup}. The secrets are in it in plain text: keep it as safe as the state",
            self.file.display()
        );
        file::say(&self.file, &words);
        Ok(())
    }
}
