//! Files that are right, wrong, and changed while they are followed.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tempfile::TempDir;

use super::*;
use crate::Authenticator as _;

fn directory(user: &[u8], password: &[u8]) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(USER_FILE), user).unwrap();
    fs::write(directory.path().join(PASSWORD_FILE), password).unwrap();
    directory
}

fn lets_in(auth: &BasicAuth, user: &str, password: &str) -> bool {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&format!("Basic {pair}")).unwrap(),
    );
    auth.authenticate(&headers).is_ok()
}

fn words(error: &CredentialFilesError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn white_space_around_both_is_cut_off() {
    let directory = directory("\u{a0} admin \r\n".as_bytes(), b"\t s3 cr3t\n\n");
    let auth = CredentialFiles::in_directory(directory.path())
        .load()
        .unwrap();
    assert!(lets_in(&auth, "admin", "s3 cr3t"));
    assert!(!lets_in(&auth, "admin", "s3 cr3t\n"));
}

#[test]
fn several_pairs_are_held_at_once() {
    let (one, two) = (directory(b"a", b"1"), directory(b"b", b"2"));
    let auth = CredentialFiles::in_directory(one.path())
        .and_directory(two.path())
        .and_files(one.path().join(USER_FILE), two.path().join(PASSWORD_FILE))
        .load()
        .unwrap();
    assert!(lets_in(&auth, "a", "1"));
    assert!(lets_in(&auth, "b", "2"));
    assert!(lets_in(&auth, "a", "2"));
    assert!(!lets_in(&auth, "b", "1"));
}

#[test]
fn what_cannot_be_used_is_refused_and_names_the_file_but_never_its_content() {
    let empty_user = directory(b" \n", b"hunter2");
    let empty_password = directory(b"admin", b"");
    let colon = directory(b"ad:min", b"hunter2");
    let binary = directory(b"admin", b"hunter2\xff");
    let long = directory(b"admin", &[b'x'; 64 * 1024 + 1]);
    let missing = directory(b"admin", b"hunter2");
    fs::remove_file(missing.path().join(PASSWORD_FILE)).unwrap();
    let is_directory = directory(b"admin", b"hunter2");
    fs::remove_file(is_directory.path().join(USER_FILE)).unwrap();
    fs::create_dir(is_directory.path().join(USER_FILE)).unwrap();

    for (directory, file, reason) in [
        (&empty_user, USER_FILE, "the user is empty"),
        (&empty_password, PASSWORD_FILE, "the password is empty"),
        (&colon, USER_FILE, "contains ':'"),
        (&binary, PASSWORD_FILE, "does not hold UTF-8"),
        (&long, PASSWORD_FILE, "longer than 65536 bytes"),
        (&missing, PASSWORD_FILE, "No such file"),
        (&is_directory, USER_FILE, "Is a directory"),
    ] {
        let error = CredentialFiles::in_directory(directory.path())
            .load()
            .unwrap_err();
        let words = words(&error);
        let path = directory.path().join(file).display().to_string();
        assert!(words.contains(&path), "{words}");
        assert!(words.contains(reason), "{words}");
        assert!(!format!("{words}{error:?}").contains("hunter2"), "{words}");
    }
}

#[test]
fn an_empty_path_does_not_mean_the_present_directory() {
    let error = CredentialFiles::in_directory("").load().unwrap_err();
    assert!(
        matches!(error, CredentialFilesError::NoDirectory),
        "{error}"
    );
}

#[test]
fn a_change_counts_once_two_readings_agree() {
    let directory = directory(b"admin", b"old");
    let mut files = CredentialFiles::in_directory(directory.path());
    let auth = files.load().unwrap();

    fs::write(directory.path().join(PASSWORD_FILE), "half").unwrap();
    files.read_again(&auth);
    assert!(lets_in(&auth, "admin", "old") && !lets_in(&auth, "admin", "half"));
    fs::write(directory.path().join(PASSWORD_FILE), "half and the rest").unwrap();
    files.read_again(&auth);
    assert!(lets_in(&auth, "admin", "old") && !lets_in(&auth, "admin", "half"));
    files.read_again(&auth);
    assert!(lets_in(&auth, "admin", "half and the rest"));
    assert!(!lets_in(&auth, "admin", "old"));
    assert!(!lets_in(&auth, "admin", "half"));
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let directory = directory(b"admin", b"old");
    let path = directory.path().join(PASSWORD_FILE);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut files = CredentialFiles::in_directory(directory.path());
    let auth = files.load().unwrap();

    fs::write(&path, "new").unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    files.read_again(&auth);
    files.read_again(&auth);
    assert!(lets_in(&auth, "admin", "new") && !lets_in(&auth, "admin", "old"));
}

#[test]
fn an_emptied_or_vanished_file_opens_nothing_and_keeps_what_was_held() {
    let directory = directory(b"admin", b"s3cr3t");
    let path = directory.path().join(PASSWORD_FILE);
    let mut files = CredentialFiles::in_directory(directory.path());
    let auth = files.load().unwrap();
    let still_the_same = |auth: &BasicAuth| {
        lets_in(auth, "admin", "s3cr3t") && !lets_in(auth, "admin", "") && !lets_in(auth, "", "")
    };

    fs::write(&path, "").unwrap();
    files.read_again(&auth);
    files.read_again(&auth);
    assert!(still_the_same(&auth), "after it was emptied");
    fs::remove_file(&path).unwrap();
    files.read_again(&auth);
    files.read_again(&auth);
    assert!(still_the_same(&auth), "after it was removed");
    fs::remove_dir_all(directory.path()).unwrap();
    files.read_again(&auth);
    files.read_again(&auth);
    assert!(still_the_same(&auth), "after its directory was removed");

    fs::create_dir(directory.path()).unwrap();
    fs::write(directory.path().join(USER_FILE), "admin").unwrap();
    fs::write(&path, "new").unwrap();
    files.read_again(&auth);
    files.read_again(&auth);
    assert!(lets_in(&auth, "admin", "new") && !lets_in(&auth, "admin", "s3cr3t"));
}

#[test]
fn one_pair_in_trouble_does_not_hold_up_the_other() {
    let (one, two) = (directory(b"a", b"1"), directory(b"b", b"2"));
    let mut files = CredentialFiles::in_directory(one.path()).and_directory(two.path());
    let auth = files.load().unwrap();

    fs::remove_file(one.path().join(USER_FILE)).unwrap();
    fs::write(two.path().join(PASSWORD_FILE), "3").unwrap();
    files.read_again(&auth);
    files.read_again(&auth);
    assert!(lets_in(&auth, "a", "1"));
    assert!(lets_in(&auth, "b", "3") && !lets_in(&auth, "b", "2"));
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn trouble_is_logged_once_and_secrets_never() {
    let directory = directory(b"admin", b"hunter2");
    let path = directory.path().join(PASSWORD_FILE);
    let mut files = CredentialFiles::in_directory(directory.path());
    let auth = files.load().unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let logged = |word: &str| {
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(!log.contains("hunter"), "{log}");
        log.matches(word).count()
    };

    tracing::subscriber::with_default(subscriber, || {
        fs::write(&path, "").unwrap();
        for _ in 0..3 {
            files.read_again(&auth);
        }
        assert_eq!((logged("WARN"), logged("the password is empty")), (1, 1));
        fs::write(&path, "hunter3").unwrap();
        files.read_again(&auth);
        files.read_again(&auth);
        assert_eq!((logged("WARN"), logged("credentials replaced")), (1, 1));
        fs::remove_file(&path).unwrap();
        for _ in 0..3 {
            files.read_again(&auth);
        }
        assert_eq!((logged("WARN"), logged("No such file")), (2, 1));
    });
}

/// A directory as Kubernetes mounts a secret: the files are links through `..data`, which is a link
/// to a directory and is swapped by a rename.
fn mounted(root: &Path, generation: &str, user: &str, password: &str) {
    let next = root.join(format!("..{generation}"));
    fs::create_dir(&next).unwrap();
    fs::write(next.join(USER_FILE), user).unwrap();
    fs::write(next.join(PASSWORD_FILE), password).unwrap();
    symlink(next.file_name().unwrap(), root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    for file in [USER_FILE, PASSWORD_FILE] {
        if !root.join(file).is_symlink() {
            symlink(Path::new("..data").join(file), root.join(file)).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_swapped_directory_takes_over_within_five_seconds() {
    let root = TempDir::new().unwrap();
    mounted(root.path(), "1", "admin", "old");
    let mut files = CredentialFiles::in_directory(root.path());
    let auth = files.load().unwrap();
    let watch = tokio::spawn(files.watch(auth.clone()));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(lets_in(&auth, "admin", "old"));

    mounted(root.path(), "2", "root", "new");
    fs::remove_dir_all(root.path().join("..1")).unwrap();
    // The clock stands still but for sleeps, so this is exact on any machine.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(lets_in(&auth, "root", "new"));
    assert!(!lets_in(&auth, "admin", "old"));
    assert!(!lets_in(&auth, "root", "old") && !lets_in(&auth, "admin", "new"));
    watch.abort();
}
