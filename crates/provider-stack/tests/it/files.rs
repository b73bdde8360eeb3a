//! A directory with the files of a stack.

use std::fs;
use std::path::{Path, PathBuf};

use provider_stack::{Programs, Stack, StackError, StackOptions};

/// What every stack file begins with.
pub(crate) const HEAD: &str = "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n";

pub(crate) struct Files {
    _dir: tempfile::TempDir,
    path: PathBuf,
    pub(crate) options: StackOptions,
}

impl Files {
    /// Files in which local programs are named.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = StackOptions::default();
        let mut programs = Programs::new("test/directory");
        programs.search_path = "/usr/bin:/bin".to_owned();
        options.programs = Some(programs);
        Self {
            path: dir.path().canonicalize().unwrap(),
            _dir: dir,
            options,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The stack file: functions below the usual head.
    pub(crate) fn functions(&self, text: &str) {
        self.write("stack.yaml", &format!("{HEAD}{text}"));
    }

    pub(crate) fn load(&self) -> Result<Stack, StackError> {
        Stack::load(&[self.path("stack.yaml")], &self.options)
    }

    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        let variables = &mut self.options.variables;
        variables.insert(name.to_owned(), value.to_owned());
    }

    /// A text of ours without the directory, which differs each time.
    pub(crate) fn without_directory(&self, text: &dyn std::fmt::Display) -> String {
        text.to_string()
            .replace(&format!("{}/", self.path.display()), "")
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.path
    }
}
