//! What a stack file means, and what is wrong with it.

use std::path::Path;

use proptest::prelude::*;
use provider_stack::{STACK_FILE_ANNOTATION, Stack, StackFunction};
use provider_types::wire::{self, FunctionStatus};

use crate::files::{Files, HEAD};

/// The functions of a file that is right and of which nothing is to be said.
fn read(files: &Files) -> Vec<StackFunction> {
    let stack = files.load().unwrap_or_else(|error| panic!("{error}"));
    assert!(stack.warnings.is_empty(), "{:?}", stack.warnings);
    stack.functions
}

/// The one function of a file.
fn only(files: &Files) -> StackFunction {
    let mut functions = read(files);
    assert_eq!(functions.len(), 1);
    functions.remove(0)
}

/// What is wrong with a file of functions.
#[track_caller]
fn wrong(functions: &str, wanted: &[&str]) {
    wrong_file(&format!("{HEAD}{functions}"), wanted);
}

#[track_caller]
fn wrong_file(text: &str, wanted: &[&str]) {
    let files = Files::new();
    files.write("stack.yaml", text);
    let error = files.load().expect_err(text);
    let said = files.without_directory(&error);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), wanted.len(), "{said}");
    for (line, wanted) in lines.iter().zip(wanted) {
        let (place, words) = wanted.split_once(' ').unwrap();
        assert!(line.starts_with(&format!("stack.yaml:{place}: ")), "{line}");
        assert!(line.contains(words), "{line}");
    }
}

/// What is remarked on a file of functions that is right.
#[track_caller]
fn warned(text: &str, wanted: &[&str]) {
    let files = Files::new();
    files.write("stack.yaml", text);
    let stack = files.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stack.warnings.len(), wanted.len(), "{:?}", stack.warnings);
    for (warning, wanted) in stack.warnings.iter().zip(wanted) {
        let (place, words) = wanted.split_once(' ').unwrap();
        let said = files.without_directory(warning);
        assert!(said.starts_with(&format!("stack.yaml:{place}: ")), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn everything_that_a_deployment_has_is_taken_from_the_file() {
    let mut files = Files::new();
    files.variable("TAG", "0.3");
    files.write("env.yml", "environment:\n  A: file\n  C: ${TAG}\n");
    files.write(".secrets/api-key", "s3cret\n");
    files.functions(
        "  full:
    lang: dockerfile
    handler: .
    image: ghcr.io/a/full:${TAG:-latest}
    fprocess: node index.js
    namespace: dev
    environment:
      A: own
      B: 1.50
      D: true
      E:
    environment_file: [env.yml]
    labels:
      com.openfaas.scale.min: 2
    annotations:
      topic: cron
    secrets:
      - api-key
    limits: {memory: 128Mi, cpu: 100m}
    requests:
      memory: 64Mi
    constraints:
      - node.platform.os == linux
    readonly_root_filesystem: true
    skip_build: true
    build_args: {X: y}
    build_options: [dev]
    build_secrets: {a: b}
    platforms: linux/amd64
",
    );
    let function = only(&files);
    let mut spec = function.spec;
    let mark = spec.annotations.remove(STACK_FILE_ANNOTATION).unwrap();
    assert_eq!(mark, files.path("stack.yaml").display().to_string());
    let directory = spec.annotations.remove("test/directory").unwrap();
    assert_eq!(directory, files.directory().display().to_string());
    assert_eq!(
        wire::to_string(&FunctionStatus::from_spec(&spec)),
        concat!(
            r#"{"name":"full","image":"ghcr.io/a/full:0.3","namespace":"dev","#,
            r#""envProcess":"node index.js","#,
            r#""envVars":{"A":"file","B":"1.50","C":"${TAG}","D":"true","E":""},"#,
            r#""constraints":["node.platform.os == linux"],"secrets":["api-key"],"#,
            r#""labels":{"com.openfaas.scale.min":"2"},"annotations":{"topic":"cron"},"#,
            r#""limits":{"memory":"128Mi","cpu":"100m"},"requests":{"memory":"64Mi"},"#,
            r#""readOnlyRootFilesystem":true,"createdAt":"0001-01-01T00:00:00Z"}"#,
        )
    );
    assert_eq!(function.secrets[0].value.as_deref(), Some(&b"s3cret\n"[..]));
    assert!(!format!("{:?}", function.secrets).contains("115"));
}

#[test]
fn a_later_environment_file_goes_before_an_earlier_one() {
    let files = Files::new();
    files.write("a.yml", "environment: {X: a, Y: a}\n");
    files.write("sub/b.yml", "environment: {X: b}\n");
    files
        .functions("  f:\n    image: i:1\n    environment_file:\n    - a.yml\n    - ./sub/b.yml\n");
    let variables = only(&files).spec.env_vars;
    assert_eq!(
        (variables["X"].as_str(), variables["Y"].as_str()),
        ("b", "a")
    );
}

#[test]
fn paths_are_looked_up_beside_the_file_and_then_in_the_working_directory() {
    let mut files = Files::new();
    files.options.working_dir = Some(files.path("work"));
    files.write("work/env.yml", "environment: {A: work}\n");
    files.write("work/.secrets/token", "work");
    files.write("work/hello/run.sh", "");
    files.functions(
        "  f:\n    image: i:1\n    handler: ./hello\n    environment_file: [env.yml]\n    \
         secrets: [token]\n",
    );
    let function = only(&files);
    assert_eq!(function.spec.env_vars["A"], "work");
    assert_eq!(function.secrets[0].value.as_deref(), Some(&b"work"[..]));
    assert_eq!(function.directory, Some(files.path("work/hello")));

    files.write(".secrets/token", "beside");
    assert_eq!(
        only(&files).secrets[0].value.as_deref(),
        Some(&b"beside"[..])
    );
}

#[test]
fn an_image_is_sent_as_the_client_sends_it() {
    let mut files = Files::new();
    files.write("bin/tool", "");
    for (image, wanted) in [
        ("hello", "hello:latest".to_owned()),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest".to_owned()),
        ("localhost:5000/b", "localhost:5000/b:latest".to_owned()),
        ("a/b:1", "a/b:1".to_owned()),
        ("a@sha256:00", "a@sha256:00".to_owned()),
        ("./bin/tool", files.path("bin/tool").display().to_string()),
        (
            "./bin/../bin/tool",
            files.path("bin/tool").display().to_string(),
        ),
        ("./none", files.path("none").display().to_string()),
    ] {
        files.functions(&format!("  f:\n    image: \"{image}\"\n"));
        assert_eq!(only(&files).spec.image, wanted, "{image}");
    }
    files.options.programs = None;
    assert_eq!(only(&files).spec.image, "./none:latest");
}

#[test]
fn a_handler_is_where_a_local_program_runs() {
    let mut files = Files::new();
    files.write("hello/run.sh", "");
    files.functions("  f:\n    image: i:1\n    handler: ./hello\n    fprocess: ./run.sh\n");
    let function = only(&files);
    let hello = files.path("hello");
    assert_eq!(function.directory.as_ref(), Some(&hello));
    let annotation = &function.spec.annotations["test/directory"];
    assert_eq!(*annotation, hello.display().to_string());
    // Who names another directory means it.
    files.functions(
        "  f:\n    image: i:1\n    handler: ./hello\n    annotations: {test/directory: /srv}\n",
    );
    assert_eq!(only(&files).spec.annotations["test/directory"], "/srv");

    files.functions("  f:\n    image: i:1\n    handler: ./hello\n");
    files.options.programs = None;
    let function = only(&files);
    assert_eq!(function.directory, None);
    assert_eq!(function.spec.annotations.len(), 1);
}

#[test]
fn a_template_brings_the_process() {
    let files = Files::new();
    files.write(
        "template/py/template.yml",
        "language: py\nfprocess: python index.py\n",
    );
    files.functions("  f:\n    image: i:1\n    lang: py\n");
    assert_eq!(
        only(&files).spec.env_process.as_deref(),
        Some("python index.py")
    );
    files.functions("  f:\n    image: i:1\n    lang: py\n    fprocess: cat\n");
    assert_eq!(only(&files).spec.env_process.as_deref(), Some("cat"));
    files.functions("  f:\n    image: i:1\n    lang: Dockerfile\n");
    assert_eq!(only(&files).spec.env_process, None);
}

#[test]
fn anchors_and_merges_are_read() {
    let files = Files::new();
    files.write(
        "stack.yaml",
        "provider: {name: openfaas}
functions:
  a: &base
    image: i:1
    environment: &env {X: 1, Y: 1}
  b:
    <<: *base
    environment:
      <<: [*env, {Z: 3, X: 9}]
      Y: 2
",
    );
    let functions = read(&files);
    let variables: Vec<_> = functions[1].spec.env_vars.iter().collect();
    let text = |(name, value): &(&String, &String)| format!("{name}={value}");
    let variables: Vec<_> = variables.iter().map(text).collect();
    assert_eq!(variables, ["X=1", "Y=2", "Z=3"]);
    assert_eq!(functions[1].spec.image, "i:1");
}

#[test]
fn several_files_are_one_stack() {
    let files = Files::new();
    let file = |name: &str| format!("{HEAD}  {name}:\n    image: i:1\n");
    files.write("a.yaml", &file("b"));
    files.write("b.yaml", &file("a"));
    let paths = [files.path("a.yaml"), files.path("b.yaml")];
    let stack = Stack::load(&paths, &files.options).unwrap();
    let names: Vec<_> = stack
        .functions
        .iter()
        .map(|function| function.spec.function.to_string())
        .collect();
    assert_eq!(names, ["a.openfaas-fn", "b.openfaas-fn"]);

    files.write("b.yaml", &file("b"));
    let error = Stack::load(&paths, &files.options).unwrap_err();
    assert_eq!(
        files.without_directory(&error),
        "b.yaml:5:3: function b.openfaas-fn is also in a.yaml:5:3"
    );
    let other = format!("{}    namespace: dev\n", file("b"));
    files.write("b.yaml", &other);
    assert!(Stack::load(&paths, &files.options).is_ok());
}

#[test]
fn a_secret_with_two_values_is_refused() {
    let files = Files::new();
    let file = |name: &str, namespace: &str| {
        format!("{HEAD}  {name}:\n    image: i:1\n    secrets: [key]\n    namespace: {namespace}\n")
    };
    files.write("one/stack.yaml", &file("a", "dev"));
    files.write("two/stack.yaml", &file("b", "dev"));
    files.write("one/.secrets/key", "1");
    files.write("two/.secrets/key", "2");
    let paths = [files.path("one/stack.yaml"), files.path("two/stack.yaml")];
    let error = Stack::load(&paths, &files.options).unwrap_err();
    assert_eq!(
        files.without_directory(&error),
        "two/stack.yaml:7:15: secret key of namespace dev has one value in one/.secrets/key and \
         another one in two/.secrets/key: give it one, or two names"
    );
    files.write("two/.secrets/key", "1");
    assert!(Stack::load(&paths, &files.options).is_ok());
    files.write("two/.secrets/key", "2");
    files.write("two/stack.yaml", &file("b", "prod"));
    assert!(Stack::load(&paths, &files.options).is_ok());
}

#[test]
fn what_is_no_yaml_or_no_stack_says_where() {
    wrong_file("a: b: c\n", &["1:5 no YAML"]);
    wrong_file("- a\n", &["1:1 to be a map"]);
    wrong_file("", &["1:1 provider is missing"]);
    wrong_file(
        "version: 2.0\nprovider: {name: openfaas}",
        &["1:10 write 1.0"],
    );
    wrong_file("functions: {}\n", &["1:1 provider is missing"]);
    wrong_file("provider:\n  name: faas\n", &["2:9 write openfaas"]);
    wrong_file("provider:\n  gateway: x\n", &["1:1 no name"]);
    wrong_file("provider:\n", &["1:1 no name"]);
    wrong_file("a: ${B\n", &["1:4 closing brace"]);
    let twice = "provider:\n  name: openfaas\nprovider:\n  name: openfaas\n";
    wrong_file(
        twice,
        &["3:1 provider is already in a stack file, at line 1"],
    );
}

#[test]
fn a_function_that_is_wrong_says_where_and_what_would_be_right() {
    wrong("  f:\n    handler: x\n", &["5:3 function f has no image"]);
    wrong("  f:\n", &["5:3 no image"]);
    wrong("  - f\n", &["5:3 functions is to be a map"]);
    wrong("  My_fn:\n    image: i\n", &["5:3 use a-z"]);
    wrong("  f:\n    image: [a]\n", &["6:12 a text, not a list"]);
    wrong(
        "  f:\n    image: i\n    limits:\n      memory: 12Q\n",
        &["8:15 memory of limits of function f: \"12Q\" is not a quantity"],
    );
    wrong(
        "  f:\n    image: i\n    requests: {cpu: -1}\n",
        &["7:21 must not be negative"],
    );
    wrong(
        "  f:\n    image: i\n    limits: 128Mi\n",
        &["7:13 memory and cpu, not a text"],
    );
    wrong(
        "  f:\n    image: i\n    environment: [A=b]\n",
        &["7:18 NAME: value, not a list"],
    );
    wrong(
        "  f:\n    image: i\n    environment: {A: {b: c}}\n",
        &["7:22 not a map"],
    );
    wrong(
        "  f:\n    image: i\n    environment: {A=b: c}\n",
        &["7:19 no variable"],
    );
    wrong("  f:\n    image: i\n    secrets: key\n", &["7:14 a list"]);
    wrong(
        "  f:\n    image: i\n    secrets: [../key]\n",
        &["7:15 secret name"],
    );
    wrong(
        "  f:\n    image: i\n    namespace: A\n",
        &["7:16 namespace"],
    );
    wrong(
        "  f:\n    image: i\n    readonly_root_filesystem: maybe\n",
        &["7:31 true or false"],
    );
    wrong(
        "  f:\n    image: i\n  f:\n    image: j\n",
        &["7:3 f is already in functions"],
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    wrong(
        "  f:\n    image: i\n    limits: {cpu: x}\n  g:\n    handler: x\n",
        &["7:19 quantity", "8:3 no image"],
    );
    wrong(
        "  f:\n    limits: {cpu: x}\n    image: i\n    image: j\n",
        &["6:19 quantity", "8:5 image is already in function f"],
    );
}

#[test]
fn a_place_is_that_of_the_file_and_not_of_what_was_made_of_it() {
    let mut files = Files::new();
    files.variable("LONG", "several\n# lines\n# of text");
    files.variable("BAD", "not a quantity");
    files.functions("  # ${LONG}\n  f:\n    image: ${UNSET}i\n    limits: {cpu: ${BAD}}\n");
    let error = files.load().unwrap_err();
    let place = error.problems()[0].place.unwrap();
    assert_eq!((place.line, place.column), (8, 19), "{error}");
}

#[test]
fn other_files_that_are_missing_or_wrong_are_named() {
    let functions = "  f:\n    image: i\n    environment_file:\n      - env.yml\n";
    wrong(
        functions,
        &["8:9 environment_file \"env.yml\" does not exist: looked for env.yml"],
    );

    let files = Files::new();
    files.functions(functions);
    files.write("env.yml", "environment:\n  A: [x]\n");
    let said = files.without_directory(&files.load().unwrap_err());
    assert!(said.starts_with("env.yml:2:6: "), "{said}");
    files.write("env.yml", "A=b\n");
    let said = files.without_directory(&files.load().unwrap_err());
    assert!(
        said.starts_with("env.yml:1:1: an environment file is to be"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let files = Files::new();
    let error = files.load().unwrap_err();
    assert_eq!(
        files.without_directory(&error),
        "stack.yaml: cannot be read"
    );
    assert!(std::error::Error::source(&error).is_some());

    std::fs::write(files.path("stack.yaml"), b"a: \xff\n").unwrap();
    let said = files.without_directory(&files.load().unwrap_err());
    assert_eq!(said, "stack.yaml:1:4: this is not UTF-8");

    for (file, why) in [
        ("/dev/zero", "cannot be read"),
        ("https://x/y", "not a URL"),
    ] {
        let error = Stack::load(&[file], &files.options).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn what_has_no_effect_is_remarked_on() {
    let head = HEAD.replace("functions:\n", "");
    warned(
        &format!("{HEAD}  f:\n    image: i\n    environments: {{}}\n    limits: {{gpu: 1}}\n"),
        &["7:5 environments is not known", "8:14 gpu is not known"],
    );
    warned(
        &format!("{head}service: x\n"),
        &["4:1 service is not", "1:1 no functions"],
    );
    warned(
        &format!("{HEAD}  f:\n    image: i\n---\nfunctions: {{}}\n"),
        &["7:1 only the first document"],
    );
    warned(
        &format!("{HEAD}  f:\n    image: i\n    lang: cobol\n"),
        &["7:11 template/cobol/template.yml"],
    );
    warned(
        &format!("{HEAD}  f:\n    image: i\n    handler: ./helo\n"),
        &["7:14 \"./helo\" is no directory"],
    );
    let configuration = "configuration:\n  templates:\n    - name: x\n  copy: [common]\n";
    warned(&format!("{configuration}{HEAD}  f:\n    image: i\n"), &[]);
}

#[test]
fn a_secret_without_a_file_has_no_value() {
    let files = Files::new();
    files.functions("  f:\n    image: i\n    secrets:\n      - token\n");
    let secret = &only(&files).secrets[0];
    assert_eq!(secret.value, None);
    assert_eq!(secret.file, files.path(".secrets/token"));
    assert_eq!((secret.place.line, secret.place.column), (8, 9));
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "[a-f:\\-\\[\\]{}$&*<|>#'\"!%@?, \n\té]{0,80}") {
        let files = Files::new();
        for text in [text.clone(), format!("{HEAD}{text}"), format!("{HEAD}  f:\n    {text}")] {
            if let Err(error) = Stack::parse(Path::new("/x/stack.yaml"), &text, &files.options) {
                for problem in error.problems() {
                    let place = problem.place.unwrap();
                    // The end of a text is the line after its last.
                    prop_assert!(place.line <= text.matches('\n').count() + 1, "{}", problem);
                }
            }
        }
    }
}
