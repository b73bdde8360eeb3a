//! What reading a stack depends on besides its files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use provider_types::{NameRule, Namespace};

/// How stack files are read.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct StackOptions {
    /// Where a function goes that names no namespace. Default `openfaas-fn`.
    pub default_namespace: Namespace,
    /// Which names of functions are taken. Default: DNS labels.
    pub names: NameRule,
    /// What `${NAME}` stands for in a stack file: usually the environment. Default: nothing is set.
    pub variables: BTreeMap<String, String>,
    /// Where a relative path is looked up that is not found beside the stack file: usually the
    /// working directory, which is the only place where `faas-cli` looks. Default: nowhere.
    pub working_dir: Option<PathBuf>,
    /// Set where functions are programs of this machine. Default: images are only names.
    pub programs: Option<Programs>,
}

/// For back-ends that run local programs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Programs {
    /// The annotation that tells the runtime in which directory a function's command runs: a
    /// function whose `handler` is a directory gets it.
    pub directory_annotation: String,
    /// Where the runtime looks up an image that is a relative path. Only used to find what to
    /// follow. Default: in the working directory.
    pub functions_dir: Option<PathBuf>,
    /// `PATH` of the functions. Only used to find what to follow. Default: empty.
    pub search_path: String,
    /// Files and directories that belong to no program even where they lie in its directory: those
    /// of the provider. Default: none.
    pub ignored: Vec<PathBuf>,
}

impl Programs {
    /// Local programs, and the annotation that the runtime knows.
    pub fn new(directory_annotation: impl Into<String>) -> Self {
        Self {
            directory_annotation: directory_annotation.into(),
            functions_dir: None,
            search_path: String::new(),
            ignored: Vec::new(),
        }
    }
}

impl fmt::Debug for StackOptions {
    /// The values of variables are not shown: there may be passwords among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackOptions")
            .field("default_namespace", &self.default_namespace)
            .field("names", &self.names)
            .field("variables", &self.variables.len())
            .field("working_dir", &self.working_dir)
            .field("programs", &self.programs)
            .finish()
    }
}
