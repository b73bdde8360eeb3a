//! The keys of a stack file (`go-sdk`: stack/schema.go, stack/stack.go), before any other file is
//! looked at.

use provider_types::wire::FunctionResources;
use provider_types::{FunctionName, NameRule, Namespace, Quantity, SecretName};

use crate::text::{Entry, Found, Reader};
use crate::yaml::{Node, Value};

/// The one version there is.
const VERSION: &str = "1.0";
/// The one provider there is.
const PROVIDER: &str = "openfaas";

/// What is said of a function, as it is said.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: Found<String>,
    pub(crate) lang: Option<Found<String>>,
    pub(crate) handler: Option<Found<String>>,
    pub(crate) image: Found<String>,
    pub(crate) fprocess: String,
    pub(crate) environment: Vec<(Found<String>, String)>,
    pub(crate) environment_file: Vec<Found<String>>,
    pub(crate) labels: Vec<(Found<String>, String)>,
    pub(crate) annotations: Vec<(Found<String>, String)>,
    pub(crate) secrets: Vec<Found<String>>,
    pub(crate) constraints: Vec<Found<String>>,
    pub(crate) limits: Option<FunctionResources>,
    pub(crate) requests: Option<FunctionResources>,
    pub(crate) read_only: bool,
    pub(crate) namespace: String,
}

/// Reads a file's functions. What is wrong is remarked on; the functions are then of no use.
pub(crate) fn functions(reader: &mut Reader<'_>, root: &Node, names: NameRule) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut has_provider = false;
    let file = reader.map(
        root,
        "a stack file",
        "a map with the keys version, provider and functions",
    );
    for Entry { key, node } in &file {
        match key.value.as_str() {
            "version" => version(reader, node),
            "provider" => {
                has_provider = true;
                provider(reader, key.at, node);
            }
            "functions" => {
                let what = "a map of names and functions";
                for entry in reader.map(node, "functions", what) {
                    functions.extend(function(reader, entry, names));
                }
            }
            // Where templates come from, and what is copied into a build.
            "configuration" => {}
            other => reader.warn(
                key.at,
                format!(
                    "{other} is not known and ignored: a stack file has version, provider, \
                     functions and configuration"
                ),
            ),
        }
    }
    if !has_provider && reader.remarks.errors.is_empty() {
        reader.error(root.at, format!("provider is missing: {PROVIDER_LINES}"));
    }
    functions
}

const PROVIDER_LINES: &str = "a stack file has the lines \"provider:\" and \"  name: openfaas\"";

fn version(reader: &mut Reader<'_>, node: &Node) {
    if let Some(version) = reader.text(node, "version") {
        if version.value != VERSION {
            let given = version.value;
            reader.error(
                version.at,
                format!("version {given:?} is not known: write {VERSION}, or leave it out"),
            );
        }
    }
}

fn provider(reader: &mut Reader<'_>, at: usize, node: &Node) {
    let mut name = None;
    for Entry { key, node } in reader.map(node, "provider", "a map with the key name") {
        match key.value.as_str() {
            "name" => name = reader.text(&node, "name of provider"),
            // Of the client; nothing here calls a gateway. `network` is of old files.
            "gateway" | "network" => {}
            other => reader.warn(
                key.at,
                format!("{other} is not known and ignored: provider has name and gateway"),
            ),
        }
    }
    match name {
        Some(name) if name.value == PROVIDER => {}
        Some(name) => {
            let given = name.value;
            reader.error(
                name.at,
                format!("provider {given:?} is not known: write {PROVIDER}"),
            );
        }
        None => reader.error(at, format!("provider has no name: {PROVIDER_LINES}")),
    }
}

const KEYS: &str = "lang, handler, image, fprocess, environment, environment_file, labels, \
                    annotations, secrets, limits, requests, constraints, \
                    readonly_root_filesystem, namespace and those of the build";

/// A function, unless it lacks what every function has.
fn function(reader: &mut Reader<'_>, entry: Entry, names: NameRule) -> Option<Function> {
    let Entry { key: name, node } = entry;
    if let Err(error) = FunctionName::with_rule(&name.value, names) {
        reader.error(name.at, error.to_string());
    }
    let mut image = None;
    let mut image_is_wrong = false;
    let mut function = Function {
        image: name.clone(),
        name,
        lang: None,
        handler: None,
        fprocess: String::new(),
        environment: Vec::new(),
        environment_file: Vec::new(),
        labels: Vec::new(),
        annotations: Vec::new(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only: false,
        namespace: String::new(),
    };
    let this = format!("function {}", function.name.value);
    for Entry { key, node } in reader.map(&node, &this, "a map with the key image") {
        let what = format!("{} of {this}", key.value);
        match key.value.as_str() {
            "lang" => function.lang = reader.text(&node, &what),
            "handler" => function.handler = reader.text(&node, &what),
            "image" => {
                // A list, for example, is remarked on as such.
                image_is_wrong = !matches!(node.value, Value::Null | Value::Text(_));
                image = reader.text(&node, &what);
            }
            "fprocess" => {
                let text = reader.text(&node, &what);
                function.fprocess = text.map(|found| found.value).unwrap_or_default();
            }
            "environment" => {
                function.environment = reader.pairs(&node, &what);
                check_variables(reader, &function.environment);
            }
            "environment_file" => function.environment_file = reader.texts(&node, &what),
            "labels" => function.labels = reader.pairs(&node, &what),
            "annotations" => function.annotations = reader.pairs(&node, &what),
            "secrets" => {
                function.secrets = reader.texts(&node, &what);
                for secret in &function.secrets {
                    if let Err(error) = SecretName::new(&secret.value) {
                        reader.error(secret.at, error.to_string());
                    }
                }
            }
            "constraints" => function.constraints = reader.texts(&node, &what),
            "limits" => function.limits = resources(reader, &node, &what),
            "requests" => function.requests = resources(reader, &node, &what),
            "readonly_root_filesystem" => function.read_only = reader.boolean(&node, &what),
            "namespace" => {
                if let Some(namespace) = reader.text(&node, &what) {
                    if !namespace.value.is_empty() {
                        if let Err(error) = Namespace::new(&namespace.value) {
                            reader.error(namespace.at, error.to_string());
                        }
                    }
                    function.namespace = namespace.value;
                }
            }
            // Of the build, which is over.
            "skip_build" | "build_options" | "build_args" | "build_secrets" | "platforms"
            | "publish" | "buildpack" | "copy" => {}
            other => reader.warn(
                key.at,
                format!("{other} is not known and ignored: a function has {KEYS}"),
            ),
        }
    }
    match image.filter(|image| !image.value.trim().is_empty()) {
        Some(image) => {
            function.image = image;
            Some(function)
        }
        None if image_is_wrong => None,
        None => {
            let at = function.name.at;
            reader.error(
                at,
                format!("{this} has no image: name one with the key image"),
            );
            None
        }
    }
}

/// A variable's name ends at `=` and its value at NUL.
fn check_variables(reader: &mut Reader<'_>, variables: &[(Found<String>, String)]) {
    for (name, value) in variables {
        if name.value.is_empty() || name.value.contains(['=', '\0']) || value.contains('\0') {
            let given = &name.value;
            reader.error(
                name.at,
                format!(
                    "{given:?} is no variable: a name is not empty and has no '=' or NUL, a \
                         value has no NUL"
                ),
            );
        }
    }
}

fn resources(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<FunctionResources> {
    let mut resources = FunctionResources::default();
    for Entry { key, node } in reader.map(node, what, "a map with the keys memory and cpu") {
        let field = match key.value.as_str() {
            "memory" => &mut resources.memory,
            "cpu" => &mut resources.cpu,
            // Not of the schema; what the provider API has besides.
            "nvidia.com/gpu" => &mut resources.nvidia_gpu,
            "amd.com/gpu" => &mut resources.amd_gpu,
            "intel.com/gpu" => &mut resources.intel_gpu,
            other => {
                let message =
                    format!("{other} is not known and ignored: {what} has memory and cpu");
                reader.warn(key.at, message);
                continue;
            }
        };
        let what = format!("{} of {what}", key.value);
        let Some(quantity) = reader.text(&node, &what) else {
            continue;
        };
        if !quantity.value.is_empty() {
            if let Err(error) = Quantity::parse(&quantity.value) {
                reader.error(quantity.at, format!("{what}: {error}"));
            }
        }
        *field = quantity.value;
    }
    let is_empty = resources == FunctionResources::default();
    (!is_empty).then_some(resources)
}

/// The variables of an environment file: what is below `environment`.
pub(crate) fn environment_file(
    reader: &mut Reader<'_>,
    root: &Node,
) -> Vec<(Found<String>, String)> {
    let what = "an environment file";
    let wanted = "a map with the key environment, below which the variables stand";
    let mut variables = None;
    for Entry { key, node } in reader.map(root, what, wanted) {
        match key.value.as_str() {
            "environment" => variables = Some(reader.pairs(&node, "environment")),
            other => reader.warn(
                key.at,
                format!("{other} is ignored: the variables stand below the key environment"),
            ),
        }
    }
    let variables = variables.unwrap_or_default();
    check_variables(reader, &variables);
    variables
}

/// The process of a template (`template/LANG/template.yml`).
pub(crate) fn template(reader: &mut Reader<'_>, root: &Node) -> String {
    let entries = reader.map(root, "a template", "a map with the key fprocess");
    let fprocess = entries.iter().find(|entry| entry.key.value == "fprocess");
    fprocess
        .and_then(|entry| reader.text(&entry.node, "fprocess"))
        .map(|found| found.value)
        .unwrap_or_default()
}
