//! The text files of the workspace, without what is built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Whether the name ends so, for example in `rs`.
    pub(super) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Every text file below `root`, sorted by path.
///
/// # Errors
/// When a file or folder cannot be read.
pub(super) fn read(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            // `target` is cargo's, `.git` is a folder or, in a work tree, a file.
            if name == "target" || name == ".git" {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.extend(read_file(root, entry.path())?);
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// `None` for a file that is not text.
fn read_file(root: &Path, path: PathBuf) -> Result<Option<File>> {
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let below = path.strip_prefix(root).unwrap_or(&path);
    Ok(String::from_utf8(bytes).ok().map(|text| File {
        path: below.to_string_lossy().replace('\\', "/"),
        text,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_and_what_is_no_text_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("target/debug")).unwrap();
        std::fs::create_dir_all(root.join("b/.ci")).unwrap();
        std::fs::write(root.join("target/debug/out.rs"), "built").unwrap();
        std::fs::write(root.join("b/.ci/run"), "script").unwrap();
        std::fs::write(root.join("a.bin"), [0xff, 0xfe]).unwrap();
        std::fs::write(root.join("a.rs"), "//! A.").unwrap();

        let paths: Vec<String> = read(root).unwrap().into_iter().map(|f| f.path).collect();
        assert_eq!(paths, ["a.rs", "b/.ci/run"]);
    }
}
