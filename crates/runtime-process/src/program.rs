//! Which program a deployment means: `image` and `envProcess` against what is on this machine.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use provider_types::{FunctionSpec, ProviderError};

use crate::executable::{self, NotRunnable};
use crate::http_mode::HttpMode;

/// That the image was only a name and `envProcess` is what runs.
///
/// `faas-cli describe` shows annotations; those of this provider begin with `dev.provider.`.
pub const IMAGE_NOT_RUN_ANNOTATION: &str = "dev.provider.image-not-run";

/// The annotation of a deployment that names the directory its command runs in, by an absolute
/// path, where the image names none: what a stack file says as `handler`.
pub const WORKING_DIRECTORY_ANNOTATION: &str = "dev.provider.working-directory";

/// Where programs are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// Relative images are below this directory.
    pub(crate) functions_dir: Option<&'a Path>,
    /// `PATH` of the functions.
    pub(crate) search_path: &'a str,
}

/// What an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The program's absolute path and its arguments; empty in the mode `static`.
    pub(crate) command: Vec<String>,
    /// The image's directory, where it is one, or the one that was named beside it; instances run
    /// in it.
    pub(crate) image_dir: Option<PathBuf>,
    /// Present where the image was not run: what the status says.
    pub(crate) image_not_run: Option<String>,
    /// How it serves.
    pub(crate) mode: Mode,
}

/// How a program serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The watchdog serves, and runs the program per call or not at all.
    Watchdog,
    /// The program listens itself.
    Http(HttpMode),
}

impl Mode {
    /// What an instance lacks that does not answer, where the program itself is to listen.
    pub(crate) fn unready(&self, listens: Option<SocketAddr>) -> Option<String> {
        let address = listens?;
        let remedy = match self {
            Self::Watchdog => return None,
            Self::Http(HttpMode::Told) => {
                "the program must listen on the port in its variable PORT".to_owned()
            }
            Self::Http(HttpMode::Fixed { knob, .. }) => {
                format!("the program must listen there, as its variable {knob} says")
            }
        };
        Some(format!("nothing listens on {address}; {remedy}"))
    }
}

/// What an image names on this machine.
enum Image {
    Directory(PathBuf),
    Executable(PathBuf),
    /// A file that is there and cannot be run.
    Broken(NotRunnable),
    /// Nothing here: the name of a container image, most likely.
    Elsewhere,
}

impl Program {
    /// Finds the program of a deployment, without starting anything.
    pub(crate) fn resolve(spec: &FunctionSpec, places: Places<'_>) -> Result<Self, ProviderError> {
        let mode_name = spec.env_vars.get("mode").map_or("", String::as_str);
        let mode = match mode_name {
            "http" => Mode::Http(HttpMode::of(&spec.env_vars)?),
            "" | "streaming" | "serializing" | "static" => Mode::Watchdog,
            other => {
                return Err(ProviderError::invalid(format!(
                    "mode {other:?} in envVars is not known: use streaming, http, serializing or \
                     static"
                )));
            }
        };
        let directory = working_directory(spec)?;
        let command_line = spec.env_process.as_deref().unwrap_or_default().trim();
        let image = match (Image::find(&spec.image, places)?, &directory) {
            // Where nothing says what runs, the image is what lacks.
            (Image::Elsewhere, Some(directory))
                if !command_line.is_empty() || mode_name == "static" =>
            {
                Image::Directory(directory.clone())
            }
            (image, _) => image,
        };
        if mode_name == "static" {
            return Self::of_files(spec, image);
        }
        let mut program = if command_line.is_empty() {
            Self::of_image(&spec.image, image)?
        } else {
            Self::of_command(&spec.image, image, command_line, places)?
        };
        program.mode = mode;
        program.image_dir = program.image_dir.or(directory);
        Ok(program)
    }

    /// The mode `static` serves files and runs nothing.
    fn of_files(spec: &FunctionSpec, image: Image) -> Result<Self, ProviderError> {
        let image_dir = match image {
            Image::Directory(dir) => Some(dir),
            Image::Executable(_) | Image::Broken(_) | Image::Elsewhere => None,
        };
        if image_dir.is_none() && !spec.env_vars.contains_key("static_path") {
            return Err(ProviderError::invalid(format!(
                "mode static serves files: let image name their directory, which {:?} is not, or \
                 set static_path in envVars",
                spec.image
            )));
        }
        Ok(Self {
            command: Vec::new(),
            image_dir,
            image_not_run: None,
            mode: Mode::Watchdog,
        })
    }

    /// Without `envProcess`: the image is the program.
    fn of_image(name: &str, image: Image) -> Result<Self, ProviderError> {
        match image {
            Image::Executable(path) => Ok(Self {
                command: vec![utf8(&path)?],
                image_dir: None,
                image_not_run: None,
                mode: Mode::Watchdog,
            }),
            Image::Directory(_) => Err(ProviderError::invalid(format!(
                "image {name:?} is a directory: say in envProcess (--fprocess) which program in it \
                 to run"
            ))),
            Image::Broken(why) => Err(ProviderError::invalid(format!("image {name:?} {why}"))),
            Image::Elsewhere => Err(ProviderError::invalid(format!(
                "this provider runs local programs and pulls no images, and {name:?} is neither a \
                 directory nor a program here: name one as image, or set envProcess (--fprocess) \
                 to a command on this machine"
            ))),
        }
    }

    /// With `envProcess`: it is the command, and the image at most the place it runs in.
    fn of_command(
        image_name: &str,
        image: Image,
        command_line: &str,
        places: Places<'_>,
    ) -> Result<Self, ProviderError> {
        let words = provider_watchdog::split_command(command_line)
            .map_err(|error| ProviderError::invalid(format!("envProcess: {error}")))?;
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        let beside = match &image {
            Image::Directory(dir) => Some(dir.as_path()),
            Image::Executable(file) => file.parent(),
            Image::Broken(_) | Image::Elsewhere => None,
        };
        let Some(path) = find_command(&name, beside, places.search_path) else {
            return Err(not_found(&name, image_name, &image));
        };
        executable::check(&path, places.search_path).map_err(|why| {
            ProviderError::invalid(format!("the program {name:?} of envProcess {why}"))
        })?;

        let image_not_run = match &image {
            Image::Directory(_) => None,
            Image::Executable(file) if *file == path => None,
            Image::Executable(_) | Image::Broken(_) | Image::Elsewhere => Some(format!(
                "image {image_name} was neither pulled nor run: this provider runs local \
                 programs, here envProcess {command_line:?}"
            )),
        };
        let mut command = vec![utf8(&path)?];
        command.extend(words);
        Ok(Self {
            command,
            image_dir: match image {
                Image::Directory(dir) => Some(dir),
                Image::Executable(_) | Image::Broken(_) | Image::Elsewhere => None,
            },
            image_not_run,
            mode: Mode::Watchdog,
        })
    }

    /// Why at most one instance can run at a time, if so.
    pub(crate) fn single_instance(&self) -> Option<String> {
        match &self.mode {
            Mode::Http(HttpMode::Fixed { address, knob }) => Some(format!(
                "the program listens on the fixed port {} ({knob} in envVars), which only one \
                 instance can have: leave {knob} out and let the program listen on the port in \
                 its variable PORT, which then differs per instance",
                address.port()
            )),
            Mode::Http(HttpMode::Told) | Mode::Watchdog => None,
        }
    }
}

/// The directory that a deployment names beside its image.
fn working_directory(spec: &FunctionSpec) -> Result<Option<PathBuf>, ProviderError> {
    let Some(path) = spec.annotations.get(WORKING_DIRECTORY_ANNOTATION) else {
        return Ok(None);
    };
    let directory = Path::new(path);
    if directory.is_absolute() && directory.is_dir() {
        return Ok(Some(directory.to_owned()));
    }
    Err(ProviderError::invalid(format!(
        "annotation {WORKING_DIRECTORY_ANNOTATION} is {path:?}, which is no directory here: give \
         the absolute path of one, or leave it out"
    )))
}

impl Image {
    fn find(name: &str, places: Places<'_>) -> Result<Self, ProviderError> {
        let given = Path::new(name);
        if given
            .components()
            .any(|part| matches!(part, Component::ParentDir))
        {
            return Err(ProviderError::invalid(format!(
                "image {name:?} must not contain \"..\": name it below the functions directory or \
                 by its absolute path"
            )));
        }
        let path = match places.functions_dir {
            // Joining an absolute path gives that path.
            Some(dir) => dir.join(given),
            None => std::path::absolute(given).unwrap_or_else(|_| given.to_owned()),
        };
        let checked = executable::check(&path, places.search_path);
        if matches!(checked, Err(NotRunnable::Missing)) {
            // `faas-cli` adds this to an image without a tag that a stack file names.
            if let Some(untagged) = name.strip_suffix(":latest") {
                return Self::find(untagged, places);
            }
        }
        Ok(match checked {
            Ok(()) => Self::Executable(path),
            Err(NotRunnable::Directory) => Self::Directory(path),
            // An absolute path can mean nothing but a file here.
            Err(NotRunnable::Missing) if !given.is_absolute() => Self::Elsewhere,
            Err(why) => Self::Broken(why),
        })
    }
}

/// A path as it is, from the image's directory; a bare name in that directory, then along `PATH`.
fn find_command(name: &str, beside: Option<&Path>, search_path: &str) -> Option<PathBuf> {
    if name.starts_with('/') {
        return Some(PathBuf::from(name));
    }
    if name.contains('/') {
        return beside.map(|dir| dir.join(name));
    }
    beside
        .map(|dir| dir.join(name))
        .filter(|path| executable::is_executable(path))
        .or_else(|| executable::search(name, search_path))
        // There and not runnable: the check that follows says why.
        .or_else(|| {
            beside
                .map(|dir| dir.join(name))
                .filter(|path| path.exists())
        })
}

fn not_found(name: &str, image_name: &str, image: &Image) -> ProviderError {
    let tried = match image {
        Image::Directory(_) => format!("it is neither in the directory {image_name:?} nor in PATH"),
        Image::Executable(_) => {
            format!("it is neither beside the image {image_name:?} nor in PATH")
        }
        Image::Broken(_) | Image::Elsewhere if name.contains('/') => {
            format!("it is a relative path, and the image {image_name:?} is no directory here")
        }
        Image::Broken(_) | Image::Elsewhere => "it is not in PATH".to_owned(),
    };
    ProviderError::invalid(format!(
        "the program {name:?} of envProcess does not exist: {tried}; this provider runs local \
         programs and pulls no images, so set envProcess (--fprocess) to a command on this machine"
    ))
}

/// Commands and environments travel as JSON.
fn utf8(path: &Path) -> Result<String, ProviderError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        ProviderError::invalid("the program's path is not UTF-8: rename it or a directory above it")
    })
}

#[cfg(test)]
mod tests;
