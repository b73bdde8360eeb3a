//! Secrets in memory: a tmpfs that the runtime mounts, which takes root; for others, what is said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use provider_types::{FunctionSpec, Runtime as _};
use runtime_process::{SandboxStatus, SecretsStatus};
use rustix::mount::{UnmountFlags, unmount};

use crate::support::{Bench, call, function, named};

const TMPFS: u64 = 0x0102_1994;

/// The type of the file system that holds a path (`statfs(2)`).
fn file_system(path: &Path) -> u64 {
    u64::try_from(rustix::fs::statfs(path).unwrap().f_type).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A directory to mount on. Where it is in memory by itself nothing is mounted.
struct Place {
    parent: tempfile::TempDir,
    dir: PathBuf,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let dir = parent.path().canonicalize().unwrap().join("memory");
        Self { parent, dir }
    }

    fn in_memory(&self) -> bool {
        file_system(self.parent.path()) == TMPFS
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Also after a test that failed.
        while unmount(&self.dir, UnmountFlags::DETACH).is_ok() {}
    }
}

/// A runtime that is to use it.
fn bench(dir: &Path) -> Bench {
    Bench::with(|config| config.secrets_dir = Some(dir.to_owned()))
}

/// A function that says where its secrets are, and what is in the file that it is asked for.
fn tells(bench: &Bench) -> FunctionSpec {
    let body = "#!/bin/sh\nread file\necho $OPENFAAS_SECRETS_DIR\ncat $file 2>&1\n";
    function(&bench.script("tells", body))
}

#[tokio::test]
async fn secrets_lie_in_memory_where_that_is_asked_for_and_we_may() {
    let place = Place::new();
    let dir = &place.dir;
    let probed = SecretsStatus::probe(Some(dir));
    assert!(!dir.exists(), "a look changes nothing");
    let (mut bench, beside) = (bench(dir), bench(dir));
    assert_eq!(bench.runtime.secrets(), probed);
    let spec = tells(&bench);
    let other = bench.start_with(spec.clone(), &[("key", "theirs")]).await;
    let it = bench.start_with(spec, &[("key", "old")]).await;
    bench.ready(&it.id).await;
    let (_, said) = call(&it.endpoint, "/dev/null").await;
    let own = PathBuf::from(said.trim());
    assert_eq!((mode(&own), mode(&own.join("key"))), (0o700, 0o400));
    if !rustix::process::geteuid().is_root() && !place.in_memory() {
        let SecretsStatus::Disk { lacks: Some(why) } = probed else {
            panic!("{probed:?}");
        };
        assert!(why.contains("tmpfs"), "{why}");
        assert!(own.starts_with(bench.runtime.place()));
        return;
    }
    assert_eq!(probed, SecretsStatus::Memory(dir.clone()));
    assert_eq!(own, dir.join("0").join(it.id.as_str()));
    assert_eq!(file_system(&own), TMPFS);

    let theirs = dir.join("0").join(other.id.as_str()).join("key");
    let (_, said) = call(&it.endpoint, theirs.to_str().unwrap()).await;
    let held = bench.runtime.sandbox() == SandboxStatus::Enforced;
    assert_eq!(said.ends_with("theirs"), !held, "{said}");

    let new = named(&[("key", "new")]);
    let refreshed = bench.runtime.refresh_secrets(&it.function, &new).await;
    refreshed.unwrap();
    let (_, said) = call(&it.endpoint, own.join("key").to_str().unwrap()).await;
    assert!(said.ends_with("new"), "{said}");
    bench.runtime.remove(&it.id).await.unwrap();
    assert!(!own.exists() && theirs.exists());
    drop((bench, beside));
    assert!(!theirs.exists(), "it outlives its runtime");
    if !place.in_memory() {
        unmount(dir, UnmountFlags::empty()).unwrap();
        assert_ne!(file_system(dir), TMPFS, "one tmpfs for each runtime");
    }
}

#[tokio::test]
async fn runtimes_share_a_directory_and_clear_it_of_those_that_were_killed() {
    // In memory for any user.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let dir = memory.path();
    let (first, second) = (bench(dir), bench(dir));
    assert_eq!(
        first.runtime.secrets(),
        SecretsStatus::Memory(dir.to_owned())
    );
    let left = dir.join("0/left-1");
    fs::create_dir(&left).unwrap();
    let third = bench(dir);
    assert!(left.exists(), "that of a runtime that lives");
    assert!(dir.join("2").is_dir() && !dir.join("3").exists());
    drop(first);
    fs::create_dir(&left).unwrap();
    let fourth = bench(dir);
    assert!(!left.exists());
    assert!(!dir.join("3").exists(), "a free place is taken");
    drop((second, third, fourth));
}
