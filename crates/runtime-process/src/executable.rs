//! Whether a file can be run, and what is wrong with it where it cannot, before anything is
//! started: the kernel itself says only "no such file" for a missing interpreter.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

/// Why a file cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotRunnable {
    #[error("does not exist")]
    Missing,
    #[error("cannot be reached: permission denied")]
    Unreachable,
    #[error("is a directory, not a program")]
    Directory,
    #[error("is not a regular file")]
    Special,
    #[error("is not executable (try chmod +x)")]
    NotExecutable,
    #[error("is empty")]
    Empty,
    #[error(
        "has no interpreter: it is neither a binary nor a script that starts with a #! line \
         (try adding #!/bin/sh as its first line)"
    )]
    NoInterpreter,
    #[error("has no interpreter: {0} does not exist, which it names {1}")]
    MissingInterpreter(String, &'static str),
    #[error(
        "is built for another kind of machine than this one ({})",
        std::env::consts::ARCH
    )]
    OtherMachine,
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
}

/// Checks a program. `search_path` is where `#!/usr/bin/env NAME` looks for NAME.
pub(crate) fn check(program: &Path, search_path: &str) -> Result<(), NotRunnable> {
    check_knowing(program, search_path, other_formats_are_registered())
}

/// The same, told whether the kernel was taught formats about which we know nothing.
fn check_knowing(
    program: &Path,
    search_path: &str,
    other_formats: bool,
) -> Result<(), NotRunnable> {
    let found = fs::metadata(program).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => NotRunnable::Missing,
        std::io::ErrorKind::PermissionDenied => NotRunnable::Unreachable,
        other => NotRunnable::Unreadable(other),
    })?;
    if found.is_dir() {
        return Err(NotRunnable::Directory);
    }
    if !found.is_file() {
        return Err(NotRunnable::Special);
    }
    if !is_executable(program) {
        return Err(NotRunnable::NotExecutable);
    }
    match File::open(program) {
        Ok(mut file) => check_content(&mut file, search_path, other_formats),
        // A program may be executable and not readable.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(NotRunnable::Unreadable(error.kind())),
    }
}

/// Whether this is a regular file that we may execute.
pub(crate) fn is_executable(program: &Path) -> bool {
    fs::metadata(program)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        && rustix::fs::accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

/// The first program of that name along a search path (`PATH`).
pub(crate) fn search(name: &str, search_path: &str) -> Option<PathBuf> {
    search_path
        .split(':')
        // An empty entry means the current directory, which is nobody's intention here.
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(name))
        .find(|candidate| is_executable(candidate))
}

fn check_content(
    file: &mut File,
    search_path: &str,
    other_formats: bool,
) -> Result<(), NotRunnable> {
    let mut head = Vec::with_capacity(512);
    file.take(512)
        .read_to_end(&mut head)
        .map_err(|error| NotRunnable::Unreadable(error.kind()))?;
    if head.is_empty() {
        return Err(NotRunnable::Empty);
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        return check_script(line, search_path);
    }
    if other_formats {
        return Ok(());
    }
    if head.starts_with(b"\x7fELF") {
        return check_elf(file, &head);
    }
    Err(NotRunnable::NoInterpreter)
}

/// `#! INTERPRETER [ARGUMENT]`, cut by the kernel at the first line's end.
fn check_script(line: &[u8], search_path: &str) -> Result<(), NotRunnable> {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    // A script saved with CRLF names an interpreter that ends in a carriage return.
    if text.ends_with('\r') {
        return Err(NotRunnable::MissingInterpreter(
            format!("{:?}", text.trim_start_matches([' ', '\t'])),
            "in its #! line (save it with Unix line ends)",
        ));
    }
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let Some(interpreter) = words.next() else {
        return Err(NotRunnable::NoInterpreter);
    };
    if !Path::new(interpreter).is_file() {
        return Err(NotRunnable::MissingInterpreter(
            interpreter.to_owned(),
            "in its #! line",
        ));
    }
    if interpreter.ends_with("/env") {
        let named = words.find(|word| !word.starts_with('-') && !word.contains('='));
        if let Some(name) = named.filter(|name| !name.contains('/'))
            && search(name, search_path).is_none()
        {
            return Err(NotRunnable::MissingInterpreter(
                name.to_owned(),
                "in its #! line and which is not in PATH",
            ));
        }
    }
    Ok(())
}

/// Machine and dynamic loader of an ELF binary of our own word size and byte order; others are
/// left to the kernel.
fn check_elf(file: &mut File, head: &[u8]) -> Result<(), NotRunnable> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const LOADER: u32 = 3;

    let ours = head.get(4) == Some(&CLASS_64)
        && head.get(5) == Some(&LITTLE_ENDIAN)
        && cfg!(all(target_pointer_width = "64", target_endian = "little"));
    if !ours {
        return Ok(());
    }
    let machine = match std::env::consts::ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        "riscv64" => 243,
        _ => return Ok(()),
    };
    if number::<2>(head, 18) != Some(machine) {
        return Err(NotRunnable::OtherMachine);
    }
    let (Some(table), Some(size), Some(count)) = (
        number::<8>(head, 32),
        number::<2>(head, 54),
        number::<2>(head, 56),
    ) else {
        return Ok(());
    };
    for index in 0..count {
        let header = read_at(file, table.saturating_add(index * size), 56);
        if number::<4>(&header, 0) != Some(u64::from(LOADER)) {
            continue;
        }
        let (Some(offset), Some(length)) = (number::<8>(&header, 8), number::<8>(&header, 32))
        else {
            continue;
        };
        let name = read_at(file, offset, length.min(4096));
        let name = name.strip_suffix(b"\0").unwrap_or(&name);
        let loader = Path::new(std::ffi::OsStr::from_bytes(name));
        if !loader.is_file() {
            return Err(NotRunnable::MissingInterpreter(
                loader.display().to_string(),
                "as its dynamic loader",
            ));
        }
    }
    Ok(())
}

/// A little-endian number of `N` bytes.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at + N)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
    )
}

/// Up to `length` bytes at an offset; fewer, or none, where the file ends or cannot be read.
fn read_at(file: &mut File, offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(offset)).is_ok() {
        // What was read so far is what there is; a short header is refused by its reader.
        let _ = file.take(length).read_to_end(&mut bytes);
    }
    bytes
}

/// Whether the kernel was taught other formats (binfmt_misc: Wasm, jar, foreign machines).
fn other_formats_are_registered() -> bool {
    fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name() != "register" && entry.file_name() != "status")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn checked(content: &[u8], mode: u32) -> Result<(), String> {
        let (_dir, path) = file(content, mode);
        check_knowing(&path, "/usr/bin:/bin", false).map_err(|error| error.to_string())
    }

    #[test]
    fn programs_pass() {
        assert_eq!(check(Path::new("/bin/sh"), ""), Ok(()));
        assert_eq!(checked(b"#!/bin/sh\necho hi\n", 0o755), Ok(()));
        assert_eq!(checked(b"#! /usr/bin/env -S sh -e\n", 0o755), Ok(()));
    }

    #[test]
    fn what_cannot_run_is_refused_with_its_cause() {
        let said = |content: &[u8], mode| checked(content, mode).unwrap_err();
        assert!(said(b"#!/bin/sh\n", 0o644).contains("not executable"));
        assert!(said(b"", 0o755).contains("empty"));
        assert!(said(b"echo hi\n", 0o755).contains("no interpreter"));
        assert!(said(b"#!/no/such/shell -e\n", 0o755).contains("/no/such/shell does not exist"));
        assert!(said(b"#!/usr/bin/env no-such-thing\n", 0o755).contains("no-such-thing"));
        assert!(said(b"#!/bin/sh\r\necho\r\n", 0o755).contains("Unix line ends"));
        let directory = check(Path::new("/tmp"), "").unwrap_err();
        assert_eq!(directory, NotRunnable::Directory);
        assert_eq!(check(Path::new("/dev/null"), ""), Err(NotRunnable::Special));
        assert_eq!(check(Path::new("/bin/sh/x"), ""), Err(NotRunnable::Missing));
    }

    #[test]
    fn a_binary_of_another_machine_or_without_its_loader_is_refused() {
        let mut binary = fs::read("/proc/self/exe").unwrap();
        assert_eq!(checked(&binary, 0o755), Ok(()));
        let loader = b"/ld-linux";
        if let Some(at) = binary.windows(loader.len()).position(|part| part == loader) {
            binary[at + 1] = b'X';
            let said = checked(&binary, 0o755).unwrap_err();
            assert!(said.contains("dynamic loader"), "{said}");
        }
        binary[18] = 0xfe;
        let said = checked(&binary, 0o755).unwrap_err();
        assert!(said.contains("another kind of machine"), "{said}");
        // Cut short anywhere, it is looked at without harm.
        for length in [5, 19, 40, 64, 100] {
            let _ = checked(&binary[..length], 0o755);
        }
    }

    #[test]
    fn the_search_path_is_followed_in_order() {
        assert!(search("sh", "/no/such:/usr/bin:/bin").is_some());
        assert_eq!(search("sh", ""), None);
        assert_eq!(search("no-such-program", "/usr/bin:/bin"), None);
    }
}
