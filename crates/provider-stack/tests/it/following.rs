//! What happens when files change.

use std::error::Error as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provider_stack::{Follower, News};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::backend::Backend;
use crate::files::{Files, HEAD};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than it takes to notice a change, by far.
const A_WHILE: Duration = Duration::from_secs(1);

/// How long it takes until something is tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(5);

/// A stack that is followed.
struct Following {
    news: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Following {
    async fn start(files: &Files, backend: &Arc<Backend>) -> Self {
        let follower = Follower::new(
            vec![files.path("stack.yaml")],
            files.options.clone(),
            backend.applier(),
        )
        .unwrap();
        let (sender, news) = mpsc::unbounded_channel();
        let directory = format!("{}/", files.directory().display());
        let task = tokio::spawn(async move {
            let tell = |news| {
                let _ = sender.send(shown(&news).replace(&directory, ""));
            };
            follower.run(tell).await.unwrap();
        });
        Self { news, task }
    }

    async fn next(&mut self) -> String {
        timeout(PATIENCE, self.news.recv())
            .await
            .expect("no news")
            .unwrap()
    }

    /// Waits for that to be told; anything else may be told before.
    async fn until(&mut self, wanted: &str) {
        while self.next().await != wanted {}
    }

    async fn nothing(&mut self) {
        let news = timeout(A_WHILE, self.news.recv()).await;
        assert!(news.is_err(), "{news:?}");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn shown(news: &News) -> String {
    match news {
        News::Applied(steps) => {
            let steps: Vec<_> = steps
                .iter()
                .map(|step| match &step.outcome {
                    Ok(change) => format!("{} {change}", step.function.name),
                    Err(problem) => format!("{problem}: {}", problem.source().unwrap()),
                })
                .collect();
            steps.join(", ")
        }
        News::Warning(problem) => format!("warning {problem}"),
        News::Broken(error) => format!("broken {error}"),
        News::NotFollowed(why) => format!("not followed {why}"),
        News::Mended => "mended".to_owned(),
        _ => "something new".to_owned(),
    }
}

/// Two programs, each in a directory of its own.
fn two() -> (Files, Arc<Backend>) {
    let files = Files::new();
    files.write("a/run.sh", "one");
    files.write("b/run.sh", "one");
    files.functions(TWO);
    (files, Arc::default())
}

const TWO: &str = "  a:\n    image: a:1\n    handler: ./a\n    fprocess: ./run.sh\n  b:\n    image: \
                   b:1\n    handler: ./b\n    fprocess: ./run.sh\n";

/// As most editors save: a new file takes the place of the old one.
fn renamed_over(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_function_whose_program_changed_is_deployed_anew() {
    let (files, backend) = two();
    let mut following = Following::start(&files, &backend).await;
    assert_eq!(following.next().await, "a deployed, b deployed");

    files.write("a/run.sh", "two");
    assert_eq!(following.next().await, "a updated");
    renamed_over(&files.path("b/run.sh"), "two");
    following.until("b updated").await;
    // What is beside the program, and what is new below it.
    files.write("a/lib/part.py", "x");
    following.until("a updated").await;
    files.write("a/lib/part.py", "xy");
    following.until("a updated").await;
    fs::remove_file(files.path("a/lib/part.py")).unwrap();
    following.until("a updated").await;
    // One that may be executed only now.
    fs::set_permissions(files.path("b/run.sh"), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(following.next().await, "b updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_elsewhere_brings_another_program() {
    let (files, backend) = two();
    files.write("c/bin/tool", "one");
    files.write("d/bin/tool", "two");
    let link = |target: &str, name: &str| {
        let new = files.path("new-link");
        symlink(target, &new).unwrap();
        fs::rename(&new, files.path(name)).unwrap();
    };
    link("a", "handler");
    link("c", "release");
    link("release", "current");
    files.functions(
        "  a:\n    image: a:1\n    handler: ./handler\n  b:\n    image: ./current/bin/tool\n",
    );
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    link("b", "handler");
    assert_eq!(following.next().await, "a updated");
    link("d", "release");
    assert_eq!(following.next().await, "b updated");
    link("c", "current");
    assert_eq!(following.next().await, "b updated");
    // One among the files of a program.
    link("../shared/part.py", "b/part.py");
    assert_eq!(following.next().await, "a updated");
    files.write("shared/part.py", "x");
    assert_eq!(following.next().await, "a updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tools_and_editors_write_does_not_count() {
    let (files, backend) = two();
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    for name in [
        ".git/index",
        "node_modules/x/index.js",
        "target/debug/x",
        "__pycache__/x.pyc",
        ".run.sh.swp",
        "run.sh~",
        "4913",
    ] {
        files.write(&format!("a/{name}"), "x");
    }
    files.write("unrelated", "x");
    following.nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_below_what_does_not_count_is_followed_by_its_name() {
    let files = Files::new();
    files.write("target/debug/tool", "one");
    files.functions("  a:\n    image: a:1\n    handler: .\n    fprocess: ./target/debug/tool -v\n");
    let mut following = Following::start(&files, &Arc::default()).await;
    following.until("a deployed").await;
    files.write("target/debug/other", "x");
    following.nothing().await;
    renamed_over(&files.path("target/debug/tool"), "two");
    following.until("a updated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_kept_to_and_a_broken_edit_keeps_what_runs() {
    let (files, backend) = two();
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    backend.asked();

    files.functions(&TWO.replace("image: b:1", "image: [b]"));
    assert_eq!(
        following.next().await,
        "broken stack.yaml:10:12: image of function b is to be a text, not a list"
    );
    // An editor that empties the file before it writes it.
    fs::write(files.path("stack.yaml"), "").unwrap();
    assert!(following.next().await.contains("provider is missing"));
    assert!(backend.asked().is_empty());

    let (a, _) = TWO.split_once("  b:").unwrap();
    let more = format!("{HEAD}{a}    environment: {{X: y}}\n  c:\n    image: c:1\n");
    renamed_over(&files.path("stack.yaml"), &more);
    following.until("a updated, b removed, c deployed").await;
    // And so it is after the file was away.
    fs::remove_file(files.path("stack.yaml")).unwrap();
    assert!(following.next().await.contains("cannot be read"));
    files.write("stack.yaml", &more);
    assert_eq!(following.next().await, "mended");
    files.write("stack.yaml", &more.replace("c:1", "c:2"));
    following.until("c updated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_files_and_secrets_are_followed() {
    let files = Files::new();
    files.write("env/dev.yml", "environment: {X: one}\n");
    files.write(".secrets/key", "one");
    files.functions(
        "  a:\n    image: a:1\n    environment_file: [env/dev.yml]\n  b:\n    image: b:1\n    \
         secrets: [key]\n",
    );
    let backend = Arc::<Backend>::default();
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    files.write("env/dev.yml", "environment: {X: two}\n");
    following.until("a updated").await;
    renamed_over(&files.path(".secrets/key"), "two");
    following.until("b updated").await;
    assert_eq!(backend.secret("key").unwrap(), b"two");
    // A file of which nothing reaches the function.
    files.write("env/dev.yml", "# the same\nenvironment: {X: two}\n");
    following.nothing().await;

    fs::remove_dir_all(files.path("env")).unwrap();
    assert!(
        following
            .next()
            .await
            .contains("stack.yaml:7:24: environment_file")
    );
    files.write("env/dev.yml", "environment: {X: three}\n");
    following.until("a updated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_tried_again_when_its_program_comes() {
    let (files, backend) = two();
    fs::remove_file(files.path("a/run.sh")).unwrap();
    backend.refuse(Some("a"));
    let mut following = Following::start(&files, &backend).await;
    let failed =
        "stack.yaml:5:3: function a.openfaas-fn could not be deployed: no such program, b deployed";
    assert_eq!(following.next().await, failed);
    backend.refuse(None);
    files.write("a/run.sh", "x");
    following.until("a deployed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_done_for_now_is_tried_again_by_itself() {
    let (files, backend) = two();
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    backend.be_busy(2);
    files.write("a/run.sh", "two");
    let failed = "stack.yaml:5:3: function a.openfaas-fn could not be deployed: another version \
                  takes over";
    assert_eq!(following.next().await, failed);
    assert_eq!(following.next().await, "a updated");
    // What is wrong for good waits for a file.
    backend.refuse(Some("b"));
    files.write("b/run.sh", "two");
    assert!(following.next().await.contains("no such program"));
    backend.refuse(None);
    timeout(TRIED_AGAIN + A_WHILE, following.news.recv())
        .await
        .expect_err("it was tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_yet_is_waited_for() {
    let files = Files::new();
    let program = files.path("bin/tool");
    let function = format!(
        "  a:\n    image: a:1\n    fprocess: {}\n",
        program.display()
    );
    files.functions(&function);
    let backend = Arc::<Backend>::default();
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed").await;
    files.write("bin/tool", "x");
    following.until("a updated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_writes_beside_its_program_is_not_deployed_without_end() {
    let (files, backend) = two();
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    let mut times = 0;
    let why = loop {
        // What the program does each time it is started.
        files.write("a/counter", &format!("{times}"));
        let news = following.next().await;
        if news != "a updated" {
            break news;
        }
        times += 1;
        assert!(times < 20, "deployed without end");
    };
    assert!(
        why.starts_with("not followed a.openfaas-fn is deployed again and again, as a/counter"),
        "{why}"
    );
    // Late, and not never.
    following.until("a updated").await;
    files.write("a/counter", "last");
    // Others do not wait.
    files.write("b/run.sh", "two");
    following.until("b updated").await;
    following.until("a updated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_own_files_are_no_program() {
    let (mut files, backend) = two();
    files.options.programs.as_mut().unwrap().ignored = vec![files.path("a/state")];
    files.write("a/state/db", "x");
    let mut following = Following::start(&files, &backend).await;
    following.until("a deployed, b deployed").await;
    files.write("a/state/db", "xy");
    following.nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_is_told_once_and_again_when_it_is_new() {
    let (files, backend) = two();
    files.functions("  a:\n    image: a:1\n    imagine: x\n");
    let mut following = Following::start(&files, &backend).await;
    assert!(following.next().await.contains("imagine is not known"));
    assert_eq!(following.next().await, "a deployed");
    files.functions("  a:\n    image: a:2\n    imagine: x\n");
    assert_eq!(following.next().await, "a updated");
    files.functions("  a:\n    image: a:2\n    environ: x\n");
    assert!(following.next().await.contains("environ is not known"));
}

#[test]
fn nothing_is_left_when_it_is_given_up() {
    let (files, backend) = two();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut following = Following::start(&files, &backend).await;
        following.until("a deployed, b deployed").await;
    });
    // Waits for blocking threads.
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        sender.send(()).unwrap();
    });
    done.recv_timeout(PATIENCE).expect("a thread still waits");
}
