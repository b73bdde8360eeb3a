//! `faas-process restore`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use provider_engine::Backup;

use super::{Place, file};
use crate::failure::{Failure, Kind, OrFail as _};

/// Put a backup in the place of the state
///
/// The whole backup is verified before anything is changed. State that is there is kept beside the
/// new one. Refused while a provider uses the directory: stop it first, and start it afterwards.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The file that backup wrote, - for the standard input
    file: PathBuf,
}

impl Args {
    pub(super) fn run(self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        let state_dir = self.place.find(variable)?;
        let backup = file::open(&self.file)
            .and_then(|input| {
                Backup::read(input)
                    .with_context(|| format!("{} cannot be restored", self.file.display()))
            })
            .or_fail(Kind::Directory)?;
        let kept = backup.restore(&state_dir).or_fail(Kind::Directory)?;
        let mut words = format!("{}: {backup}", state_dir.display());
        if let Some(kept) = kept {
            words.push_str(&format!(". What was there is in {}", kept.display()));
        }
        file::say(Path::new(""), &words);
        Ok(())
    }
}
