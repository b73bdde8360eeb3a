//! From stack files to functions that can be deployed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use provider_types::wire::FunctionDeployment;
use provider_types::{FunctionRef, FunctionSpec, Namespace, SecretName};

use crate::options::StackOptions;
use crate::places::Places;
use crate::problem::{Place, Problem, StackError};
use crate::schema;
use crate::text::{Found, Reader, Remarks, Text, read_bytes};

/// The annotation of a function that came from a stack file: the path of that file.
///
/// It is how a function is known that is no longer in its file.
pub const STACK_FILE_ANNOTATION: &str = "dev.provider.stack-file";

/// Where `faas-cli` keeps the values of secrets while a function is developed.
const SECRETS_DIR: &str = ".secrets";

/// The functions of one or several stack files.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stack {
    /// The functions, sorted by namespace and name.
    pub functions: Vec<StackFunction>,
    /// What is not as somebody may expect: keys that have no effect, for example.
    pub warnings: Vec<Problem>,
    /// The stack files, as [`STACK_FILE_ANNOTATION`] names them.
    pub files: Vec<PathBuf>,
    /// Every file that was looked for, there or not.
    pub looked_at: Vec<PathBuf>,
}

/// A function of a stack.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StackFunction {
    /// What is to be deployed.
    pub spec: FunctionSpec,
    /// The file in which it is.
    pub file: PathBuf,
    /// Its name in that file.
    pub place: Place,
    /// Its secrets, in the order of the file.
    pub secrets: Vec<StackSecret>,
    /// The directory that its `handler` names, where programs are local and there is one.
    pub directory: Option<PathBuf>,
    /// Differs from the one before when the function's program has changed, so that it is to be
    /// deployed anew although nothing else has. 0 at first.
    pub revision: u64,
    /// What its program was looked for as: links in it may lead elsewhere one day.
    #[cfg_attr(
        not(feature = "watch"),
        expect(dead_code, reason = "only who follows the files asks")
    )]
    pub(crate) asked: Vec<PathBuf>,
}

/// A secret that a function of a stack reads.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackSecret {
    /// Its name.
    pub name: SecretName,
    /// Where the stack file names it.
    pub place: Place,
    /// The bytes of `.secrets/NAME`; `None` where there is no such file.
    pub value: Option<Vec<u8>>,
    /// Where that file is, or should be.
    pub file: PathBuf,
}

impl fmt::Debug for StackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackSecret")
            .field("name", &self.name)
            .field("place", &self.place)
            .field("value", &self.value.as_ref().map(Vec::len))
            .field("file", &self.file)
            .finish()
    }
}

impl Stack {
    /// Reads stack files, with the environment files, templates and secrets that they name.
    ///
    /// Relative paths in a file are looked up beside it, then in [`StackOptions::working_dir`].
    ///
    /// # Errors
    /// All that is wrong with any of the files, each with line and column. Nothing is returned of
    /// files that are right when others are not.
    pub fn load<P: AsRef<Path>>(files: &[P], options: &StackOptions) -> Result<Self, StackError> {
        let mut loading = Loading::new(options);
        for file in files {
            let file = file.as_ref();
            if file.to_string_lossy().contains("://") {
                let why = "a stack file is a path here, not a URL: download it first";
                let problem = Problem::new(file, None, why);
                loading.remarks.errors.push(problem);
                continue;
            }
            loading.looked_at(file);
            match Text::read(file) {
                Ok(text) => loading.file(file, text),
                Err(problem) => loading.remarks.errors.push(problem),
            }
        }
        loading.finish()
    }

    /// Reads the text of one stack file. `file` is where it is, for relative paths and for
    /// messages; it need not exist.
    ///
    /// # Errors
    /// As [`Stack::load`].
    pub fn parse(file: &Path, text: &str, options: &StackOptions) -> Result<Self, StackError> {
        let mut loading = Loading::new(options);
        loading.file(file, Text::new(file, text.to_owned()));
        loading.finish()
    }
}

/// A stack on the way.
struct Loading<'a> {
    options: &'a StackOptions,
    remarks: Remarks,
    stack: Stack,
    /// Which function of the stack has a name.
    seen: HashMap<FunctionRef, usize>,
}

impl<'a> Loading<'a> {
    fn new(options: &'a StackOptions) -> Self {
        Self {
            options,
            remarks: Remarks::default(),
            stack: Stack::default(),
            seen: HashMap::new(),
        }
    }

    fn looked_at(&mut self, file: &Path) {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        self.stack.looked_at.push(file);
    }

    fn finish(self) -> Result<Stack, StackError> {
        let mut stack = self.stack;
        if !self.remarks.errors.is_empty() {
            return Err(StackError::new(self.remarks.errors, stack.looked_at));
        }
        stack
            .functions
            .sort_by(|a, b| a.spec.function.cmp(&b.spec.function));
        stack.warnings = self.remarks.warnings;
        Ok(stack)
    }

    fn file(&mut self, file: &Path, text: Text) {
        if let Err(problem) = self.functions(file, text) {
            self.remarks.errors.push(problem);
        }
    }

    fn functions(&mut self, file: &Path, mut text: Text) -> Result<(), Problem> {
        let variables = &self.options.variables;
        text.substitute(&|name| variables.get(name).cloned())?;
        let root = text.tree(&mut self.remarks)?;
        let mut reader = Reader {
            text: &text,
            remarks: &mut self.remarks,
        };
        let functions = schema::functions(&mut reader, &root, self.options.names);
        if functions.is_empty() && reader.remarks.errors.is_empty() {
            reader.warn(root.at, "there are no functions in it");
        }
        let places = Places::beside(file, self.options.working_dir.as_deref());
        self.stack.files.push(places.file.clone());
        for function in functions {
            self.function(file, &text, &places, function);
        }
        Ok(())
    }

    fn function(
        &mut self,
        file: &Path,
        text: &Text,
        places: &Places,
        mut function: schema::Function,
    ) {
        let fprocess = self.fprocess(text, places, &function);
        let variables = self.variables(text, places, &mut function);
        let directory = self.directory(text, places, function.handler.as_ref());
        let Found { value: name, at } = function.name;
        let place = text.place(at);

        let mut deployment = FunctionDeployment::new(&name, self.image(places, &function.image));
        deployment.namespace = function.namespace;
        deployment.env_process = fprocess;
        deployment.env_vars = variables.into_iter().map(unplaced).collect();
        deployment.labels = Some(function.labels.into_iter().map(unplaced).collect());
        deployment.constraints = values(function.constraints);
        deployment.secrets = values(function.secrets.clone());
        deployment.limits = function.limits;
        deployment.requests = function.requests;
        deployment.read_only_root_filesystem = function.read_only;
        let mut annotations: BTreeMap<_, _> =
            function.annotations.into_iter().map(unplaced).collect();
        if let (Some(programs), Some(directory)) = (&self.options.programs, &directory) {
            annotations
                .entry(programs.directory_annotation.clone())
                .or_insert_with(|| directory.display().to_string());
        }
        annotations.insert(
            STACK_FILE_ANNOTATION.to_owned(),
            places.file.display().to_string(),
        );
        deployment.annotations = Some(annotations);

        let spec = deployment.into_spec(&self.options.default_namespace, self.options.names);
        let spec = match spec {
            Ok(spec) => spec,
            Err(error) => {
                // Where a part of it is wrong, that was said with a better place.
                if self.remarks.errors.is_empty() {
                    let problem = text.problem(at, error.to_string());
                    self.remarks.errors.push(problem);
                }
                return;
            }
        };
        let first = self.seen.get(&spec.function);
        if let Some(first) = first.and_then(|index| self.stack.functions.get(*index)) {
            let Place { line, column } = first.place;
            let message = format!(
                "function {} is also in {}:{line}:{column}",
                spec.function,
                first.file.display()
            );
            self.remarks.errors.push(text.problem(at, message));
            return;
        }
        self.seen
            .insert(spec.function.clone(), self.stack.functions.len());
        let secrets = self.secrets(text, places, &spec.function.namespace, &function.secrets);
        let handler = function.handler.iter().map(|handler| &handler.value);
        let image = Some(&function.image.value).filter(|image| is_path(image));
        let asked = handler.chain(image).flat_map(|path| places.all(path));
        self.stack.functions.push(StackFunction {
            spec,
            file: file.to_owned(),
            place,
            secrets,
            directory,
            revision: 0,
            asked: asked.collect(),
        });
    }

    /// The image as `faas-cli` sends it: with the tag `latest` where it has none
    /// (`faas-cli`: schema/image.go). Where programs are local, `./` begins a path beside the
    /// stack file, for which no image reference could be taken.
    fn image(&self, places: &Places, image: &Found<String>) -> String {
        let image = &image.value;
        if self.options.programs.is_some() && is_path(image) {
            return places.existing(image).display().to_string();
        }
        let last = image.rsplit('/').next().unwrap_or_default();
        if last.contains(':') {
            image.clone()
        } else {
            format!("{image}:latest")
        }
    }

    /// The process that is named, else that of the template (`faas-cli`: commands/deploy.go).
    fn fprocess(&mut self, text: &Text, places: &Places, function: &schema::Function) -> String {
        let lang = function.lang.as_ref();
        let Some(lang) = lang.filter(|_| function.fprocess.is_empty()) else {
            return function.fprocess.clone();
        };
        if lang.value.is_empty() || lang.value.eq_ignore_ascii_case("dockerfile") {
            return String::new();
        }
        let template = places.existing(&format!("template/{}/template.yml", lang.value));
        self.looked_at(&template);
        if !template.exists() {
            let message = format!(
                "there is no {}, so the function has no fprocess: name one, or get the template \
                 with \"faas-cli template pull\"",
                template.display()
            );
            self.remarks.warnings.push(text.problem(lang.at, message));
            return String::new();
        }
        self.other_file(&template, schema::template)
            .unwrap_or_default()
    }

    /// The variables of the function; those of its files go before its own, later files before
    /// earlier ones (`faas-cli`: commands/deploy.go).
    fn variables(
        &mut self,
        text: &Text,
        places: &Places,
        function: &mut schema::Function,
    ) -> Vec<(Found<String>, String)> {
        let mut variables = std::mem::take(&mut function.environment);
        for file in &function.environment_file {
            let path = places.existing(&file.value);
            for candidate in places.all(&file.value) {
                self.looked_at(&candidate);
            }
            if !path.exists() {
                let message = format!(
                    "environment_file {:?} does not exist: looked for {}",
                    file.value,
                    places.tried(&file.value)
                );
                let problem = text.problem(file.at, message);
                self.remarks.errors.push(problem);
                continue;
            }
            let found = self.other_file(&path, schema::environment_file);
            variables.extend(found.unwrap_or_default());
        }
        variables
    }

    /// Reads a file that a stack file names; nothing in it is substituted.
    fn other_file<T>(
        &mut self,
        path: &Path,
        read: impl FnOnce(&mut Reader<'_>, &crate::yaml::Node) -> T,
    ) -> Option<T> {
        let text = Text::read(path);
        let tree = text.and_then(|text| Ok((text.tree(&mut self.remarks)?, text)));
        match tree {
            Ok((root, text)) => {
                let mut reader = Reader {
                    text: &text,
                    remarks: &mut self.remarks,
                };
                Some(read(&mut reader, &root))
            }
            Err(problem) => {
                self.remarks.errors.push(problem);
                None
            }
        }
    }

    /// The directory of the function's program, where programs are local.
    fn directory(
        &mut self,
        text: &Text,
        places: &Places,
        handler: Option<&Found<String>>,
    ) -> Option<PathBuf> {
        let handler = handler.filter(|handler| !handler.value.is_empty())?;
        self.options.programs.as_ref()?;
        let directory = places.existing(&handler.value);
        if directory.is_dir() {
            return Some(directory);
        }
        self.looked_at(&directory);
        let message = format!(
            "handler {:?} is no directory, so the function does not run in it: looked for {}",
            handler.value,
            places.tried(&handler.value)
        );
        self.remarks
            .warnings
            .push(text.problem(handler.at, message));
        None
    }

    fn secrets(
        &mut self,
        text: &Text,
        places: &Places,
        namespace: &Namespace,
        names: &[Found<String>],
    ) -> Vec<StackSecret> {
        let mut secrets = Vec::new();
        for found in names {
            // One that cannot be called so was remarked on.
            let Ok(name) = SecretName::new(&found.value) else {
                continue;
            };
            let relative = format!("{SECRETS_DIR}/{name}");
            for candidate in places.all(&relative) {
                self.looked_at(&candidate);
            }
            let file = places.existing(&relative);
            let value = match read_bytes(&file) {
                Ok(value) => Some(value),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    let message = format!("the secret's file {} cannot be read", file.display());
                    let problem = text.problem(found.at, message).because(error);
                    self.remarks.errors.push(problem);
                    None
                }
            };
            if let Some(other) = self.other_value(namespace, &name, value.as_deref()) {
                let message = format!(
                    "secret {name} of namespace {namespace} has one value in {} and another one \
                     in {}: give it one, or two names",
                    other.display(),
                    file.display()
                );
                self.remarks.errors.push(text.problem(found.at, message));
            }
            secrets.push(StackSecret {
                name,
                place: text.place(found.at),
                value,
                file,
            });
        }
        secrets
    }

    /// Where a secret has another value, beside another stack file.
    fn other_value(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        value: Option<&[u8]>,
    ) -> Option<PathBuf> {
        let here = |function: &&StackFunction| function.spec.function.namespace == *namespace;
        let functions = self.stack.functions.iter().filter(here);
        let mut secrets = functions.flat_map(|function| &function.secrets);
        let other = secrets.find(|other| {
            let differs = other.value.is_some() && other.value.as_deref() != value;
            other.name == *name && value.is_some() && differs
        });
        other.map(|other| other.file.clone())
    }
}

fn is_path(image: &str) -> bool {
    image.starts_with("./") || image.starts_with("../") || image == "."
}

fn unplaced((name, value): (Found<String>, String)) -> (String, String) {
    (name.value, value)
}

fn values(found: Vec<Found<String>>) -> Vec<String> {
    found.into_iter().map(|found| found.value).collect()
}
