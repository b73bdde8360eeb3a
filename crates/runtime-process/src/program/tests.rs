//! Which program a deployment means.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use provider_types::{ErrorKind, FunctionName, FunctionRef, Namespace};

use super::*;

const PATH: &str = "/usr/bin:/bin";

/// A functions directory with `hello/handler`, `hello/notes.txt` and the program `single`.
struct Functions(tempfile::TempDir);

impl Functions {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("hello")).unwrap();
        let functions = Self(dir);
        functions.write("hello/handler", "#!/bin/sh\n", 0o755);
        functions.write("hello/notes.txt", "notes", 0o644);
        functions.write("single", "#!/bin/sh\n", 0o755);
        functions.write("plain", "#!/bin/sh\n", 0o644);
        functions
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn resolve_with(
        &self,
        image: &str,
        process: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Program, String> {
        self.resolve_spec(image, process, |spec| {
            spec.env_vars = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
        })
    }

    fn resolve_in(
        &self,
        directory: &str,
        image: &str,
        process: Option<&str>,
    ) -> Result<Program, String> {
        self.resolve_spec(image, process, |spec| {
            let key = WORKING_DIRECTORY_ANNOTATION.to_owned();
            spec.annotations.insert(key, directory.to_owned());
        })
    }

    fn resolve_spec(
        &self,
        image: &str,
        process: Option<&str>,
        change: impl FnOnce(&mut FunctionSpec),
    ) -> Result<Program, String> {
        let name = FunctionName::new("it").unwrap();
        let mut spec = FunctionSpec::new(FunctionRef::new(name, Namespace::default()), image);
        spec.env_process = process.map(str::to_owned);
        change(&mut spec);
        let places = Places {
            functions_dir: Some(self.0.path()),
            search_path: PATH,
        };
        Program::resolve(&spec, places).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            error.to_string()
        })
    }

    fn resolve(&self, image: &str, process: Option<&str>) -> Result<Program, String> {
        self.resolve_with(image, process, &[])
    }
}

#[test]
fn an_image_that_is_a_program_is_run() {
    let functions = Functions::new();
    for image in ["single".to_owned(), functions.text("single")] {
        let program = functions.resolve(&image, None).unwrap();
        assert_eq!(program.command, [functions.text("single")]);
        assert_eq!((program.image_dir, program.image_not_run), (None, None));
    }
}

#[test]
fn the_tag_that_faas_cli_adds_is_taken_off() {
    let functions = Functions::new();
    for image in ["single:latest".to_owned(), functions.text("single:latest")] {
        let program = functions.resolve(&image, None).unwrap();
        assert_eq!(program.command, [functions.text("single")]);
    }
    assert!(functions.resolve("single:1.0", None).is_err());
}

#[test]
fn an_image_that_is_a_directory_is_where_the_command_runs() {
    let functions = Functions::new();
    for process in ["handler -v", "./handler -v"] {
        let program = functions.resolve("hello", Some(process)).unwrap();
        assert!(program.command[0].ends_with("handler"), "{program:?}");
        assert_eq!(program.command[1], "-v");
        assert_eq!(program.image_dir, Some(functions.path("hello")));
        assert_eq!(program.image_not_run, None);
    }
    let program = functions.resolve("hello", Some("cat notes.txt")).unwrap();
    assert!(program.command[0].ends_with("bin/cat"), "{program:?}");
    let said = functions.resolve("hello", None).unwrap_err();
    assert!(
        said.contains("directory") && said.contains("envProcess"),
        "{said}"
    );
}

#[test]
fn an_image_from_elsewhere_is_said_not_to_be_run() {
    let functions = Functions::new();
    let program = functions
        .resolve("ghcr.io/openfaas/alpine:latest", Some("env"))
        .unwrap();
    assert!(program.command[0].ends_with("bin/env"), "{program:?}");
    let said = program.image_not_run.unwrap();
    assert!(said.contains("ghcr.io/openfaas/alpine:latest"), "{said}");
    assert!(said.contains("\"env\""), "{said}");
}

#[test]
fn an_image_from_elsewhere_without_a_command_says_what_to_do() {
    let functions = Functions::new();
    for process in [None, Some(""), Some("  ")] {
        let said = functions
            .resolve("ghcr.io/openfaas/alpine", process)
            .unwrap_err();
        assert!(
            said.contains("runs local programs and pulls no images"),
            "{said}"
        );
        assert!(said.contains("--fprocess"), "{said}");
    }
    let said = functions
        .resolve("ghcr.io/openfaas/alpine", Some("no-such-program x"))
        .unwrap_err();
    assert!(
        said.contains("no-such-program") && said.contains("does not exist"),
        "{said}"
    );
    assert!(said.contains("pulls no images"), "{said}");
}

#[test]
fn an_image_never_leads_out_of_the_functions_directory() {
    let functions = Functions::new();
    let outside = tempfile::NamedTempFile::new_in(functions.0.path().parent().unwrap()).unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(outside.path(), "#!/bin/sh\n").unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    for image in [format!("../{name}"), format!("hello/../../{name}")] {
        let said = functions.resolve(&image, None).unwrap_err();
        assert!(said.contains("\"..\""), "{said}");
    }
}

#[test]
fn what_cannot_run_is_refused_with_its_cause() {
    let functions = Functions::new();
    functions.write("bad-shell", "#!/no/such/shell\n", 0o755);
    functions.write("hello/no-line", "echo hi\n", 0o755);
    let said = |image: &str, process| functions.resolve(image, process).unwrap_err();
    assert!(said("plain", None).contains("not executable"));
    assert!(said("bad-shell", None).contains("/no/such/shell does not exist"));
    assert!(said("/no/such/program", None).contains("does not exist"));
    assert!(said("hello", Some("no-line")).contains("no interpreter"));
    assert!(said("hello", Some("./missing")).contains("does not exist"));
    assert!(said("hello", Some("notes.txt")).contains("not executable"));
    assert!(said("x", Some("/usr/bin")).contains("is a directory"));
    assert!(said("x", Some("bin/handler")).contains("relative path"));
    assert!(said("x", Some("sh -c 'date'")).contains("script"));
    assert!(said("x", Some("cat | wc")).contains("shell"));
}

#[test]
fn a_mode_that_is_not_known_is_named() {
    let functions = Functions::new();
    let said = functions
        .resolve_with("x", Some("env"), &[("mode", "afterburn")])
        .unwrap_err();
    assert!(
        said.contains("afterburn") && said.contains("streaming"),
        "{said}"
    );
}

#[test]
fn files_are_served_without_a_program() {
    let functions = Functions::new();
    let mode = ("mode", "static");
    let program = functions.resolve_with("hello", None, &[mode]).unwrap();
    assert!(program.command.is_empty());
    assert_eq!(program.image_dir, Some(functions.path("hello")));
    let said = functions.resolve_with("nginx", None, &[mode]).unwrap_err();
    assert!(said.contains("static_path"), "{said}");
    assert!(
        functions
            .resolve_with("nginx", None, &[mode, ("static_path", "/srv")])
            .is_ok()
    );
}

#[test]
fn a_fixed_port_allows_one_instance() {
    let functions = Functions::new();
    let fixed = [("mode", "http"), ("upstream_url", "http://127.0.0.1:3000")];
    let program = functions.resolve_with("single", None, &fixed).unwrap();
    let said = program.single_instance().unwrap();
    assert!(said.contains("3000") && said.contains("PORT"), "{said}");
    let told = functions
        .resolve_with("single", None, &[("mode", "http")])
        .unwrap();
    assert_eq!(told.single_instance(), None);
}

#[test]
fn a_directory_may_be_named_beside_the_image() {
    let functions = Functions::new();
    let hello = functions.text("hello");
    let program = functions.resolve_in(&hello, "ghcr.io/a/b:1", Some("handler -x"));
    let program = program.unwrap();
    assert_eq!(
        program.command,
        [functions.text("hello/handler"), "-x".to_owned()]
    );
    assert_eq!(program.image_dir, Some(functions.path("hello")));
    assert_eq!(program.image_not_run, None);
    // What the image names here goes before it.
    let program = functions.resolve_in(&hello, "single", None).unwrap();
    assert_eq!(program.command, [functions.text("single")]);
    assert_eq!(program.image_dir, Some(functions.path("hello")));
    let other = functions.text("");
    let program = functions
        .resolve_in(&other, "hello", Some("handler"))
        .unwrap();
    assert_eq!(program.image_dir, Some(functions.path("hello")));

    let said = functions.resolve_in(&hello, "a:1", None).unwrap_err();
    assert!(
        said.contains("\"a:1\" is neither") && said.contains("--fprocess"),
        "{said}"
    );

    for wrong in ["hello", "/none", &functions.text("single")] {
        let said = functions.resolve_in(wrong, "a:1", Some("cat")).unwrap_err();
        assert!(said.contains(WORKING_DIRECTORY_ANNOTATION), "{said}");
        assert!(said.contains("absolute path"), "{said}");
    }
}
