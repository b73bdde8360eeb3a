//! `auth_alone` asks for the credentials that are in its files.

use reqwest::Client;

use crate::program::Program;

#[tokio::test]
async fn only_who_has_the_credentials_is_let_in() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("basic-auth-user"), "admin\n").unwrap();
    std::fs::write(directory.path().join("basic-auth-password"), "correct\n").unwrap();
    let program = Program::start(
        env!("CARGO_BIN_EXE_auth_alone"),
        &[directory.path().to_str().unwrap()],
    );
    let client = Client::builder().no_proxy().build().unwrap();
    let whoami = || client.get(format!("{}/whoami", program.url));

    assert_eq!(whoami().send().await.unwrap().status(), 401);
    let wrong = whoami().basic_auth("admin", Some("wrong")).send().await;
    assert_eq!(wrong.unwrap().status(), 401);
    let right = whoami().basic_auth("admin", Some("correct")).send().await;
    assert_eq!(right.unwrap().text().await.unwrap(), "admin\n");

    // Others take over while it runs.
    std::fs::write(directory.path().join("basic-auth-password"), "another\n").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let changed = whoami().basic_auth("admin", Some("another")).send().await;
        if changed.unwrap().status() == 200 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "they never did");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let old = whoami().basic_auth("admin", Some("correct")).send().await;
    assert_eq!(old.unwrap().status(), 401);

    let open = client.get(format!("{}/healthz", program.url)).send().await;
    assert_eq!(open.unwrap().status(), 200);
}

#[test]
fn without_credentials_it_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_auth_alone"))
        .arg("127.0.0.1:0")
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("basic-auth-user"), "{message}");
}
