//! Where the relative paths of a stack file lead.

use std::path::{Path, PathBuf};

/// The directories of one stack file.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The file by its own path, without links.
    pub(crate) file: PathBuf,
    /// Beside the file, then the working directory.
    directories: Vec<PathBuf>,
}

impl Places {
    pub(crate) fn beside(file: &Path, working_dir: Option<&Path>) -> Self {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let file = absolute.canonicalize().unwrap_or(absolute);
        let beside = file.parent().unwrap_or(Path::new("/")).to_owned();
        let mut directories = vec![beside];
        directories.extend(working_dir.map(Path::to_owned));
        directories.dedup();
        Self { file, directories }
    }

    /// Every path that a relative one may mean.
    pub(crate) fn all(&self, path: &str) -> impl Iterator<Item = PathBuf> {
        // Joining an absolute path gives that path.
        let path = path.strip_prefix("./").unwrap_or(path).to_owned();
        self.directories.iter().map(move |dir| dir.join(&path))
    }

    /// The first of them that is there, without links and `..`; else the first.
    pub(crate) fn existing(&self, path: &str) -> PathBuf {
        self.all(path)
            .find_map(|candidate| candidate.canonicalize().ok())
            .or_else(|| self.all(path).next())
            .unwrap_or_default()
    }

    /// All of them, for a message.
    pub(crate) fn tried(&self, path: &str) -> String {
        let mut all: Vec<String> = self.all(path).map(|it| it.display().to_string()).collect();
        all.dedup();
        all.join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn beside_the_file_goes_before_the_working_directory() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        for name in ["stack", "other"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        for file in ["stack/stack.yaml", "stack/both", "other/both", "other/only"] {
            fs::write(dir.join(file), "").unwrap();
        }
        let places = Places::beside(&dir.join("stack/stack.yaml"), Some(&dir.join("other")));
        assert_eq!(places.existing("both"), dir.join("stack/both"));
        assert_eq!(places.existing("./only"), dir.join("other/only"));
        assert_eq!(places.existing("../other/only"), dir.join("other/only"));
        assert_eq!(places.existing("none"), dir.join("stack/none"));
        assert_eq!(places.existing("/none"), Path::new("/none"));
        let tried = places.tried("none");
        assert!(
            tried.contains("stack/none and ") && tried.contains("other/none"),
            "{tried}"
        );
    }
}
