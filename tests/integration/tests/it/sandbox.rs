//! What a function may touch, on a kernel with Landlock.

use std::fs;

use serde_json::json;

use crate::support::{Place, Provider, image};

/// Tries what its input says, line by line, and tells how it went.
const TRIES: &str = r#"#!/bin/sh
while read what path; do
  case $what in
    write) (echo x > "$path") 2>/dev/null ;;
    read) (cat "$path" > /dev/null) 2>/dev/null ;;
    list) (ls "$path" > /dev/null) 2>/dev/null ;;
  esac && echo "$what yes" || echo "$what no"
done
"#;

/// Whether this kernel holds functions, as the provider says; it must say so where it does not.
fn enforced(provider: &Provider) -> bool {
    if provider.banner.contains("(Landlock)") {
        return true;
    }
    assert!(
        provider.banner.contains("NO SANDBOX"),
        "{}",
        provider.banner
    );
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    assert!(!modules.contains("landlock"), "{modules}");
    false
}

#[tokio::test]
async fn functions_reach_neither_state_nor_credentials_nor_foreign_directories() {
    let place = Place::new();
    place.script("app/tries", TRIES);
    fs::create_dir(place.path("secrets")).unwrap();
    fs::write(place.path("secrets/basic-auth-user"), "admin").unwrap();
    fs::write(place.path("secrets/basic-auth-password"), "secret").unwrap();
    let mut command = place.command();
    command
        .env("basic_auth", "true")
        .env("secret_mount_path", place.path("secrets"));
    let provider = Provider::start(command).await;
    if !enforced(&provider) {
        return;
    }
    let deployment = json!({"service": "it", "image": "app", "envProcess": "tries"});
    let reply = provider
        .client
        .post(format!("{}/system/functions", provider.url))
        .basic_auth("admin", Some("secret"))
        .json(&deployment)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status().as_u16(), 202);
    let root = place.text("");
    let tries = [
        ("write ./own", "yes"),
        ("write {}tmp/shared", "yes"),
        ("write {}outside", "no"),
        ("write {}functions/other", "no"),
        ("read {}state/state.redb", "no"),
        ("write {}state/state.redb", "no"),
        ("list {}state", "no"),
        ("list {}state/run", "no"),
        ("read {}secrets/basic-auth-password", "no"),
        ("read {}functions/app/tries", "yes"),
        ("read /etc/passwd", "yes"),
    ];
    let script: String = tries
        .iter()
        .map(|(it, _)| it.replace("{}", &root) + "\n")
        .collect();
    let said = provider.called("it", &script).await;
    for ((what, wanted), got) in tries.iter().zip(said.lines()) {
        assert!(got.ends_with(wanted), "{what}: {got}");
    }
    assert_eq!(said.lines().count(), tries.len());
    assert!(place.path("tmp/shared").exists());
    assert!(place.path("functions/app/own").exists());
}

#[tokio::test]
async fn the_sandbox_can_be_turned_off_and_that_is_said() {
    let place = Place::new();
    place.script("tries", TRIES);
    let mut command = place.command();
    command.arg("--no-sandbox");
    let provider = Provider::start(command).await;
    assert!(
        provider.banner.contains("NO SANDBOX (--no-sandbox)"),
        "{}",
        provider.banner
    );
    provider.deployed(image("it", "tries")).await;
    let said = provider
        .called("it", &format!("write {}\n", place.text("outside")))
        .await;
    assert_eq!(said, "write yes\n");
}

#[tokio::test]
async fn as_root_functions_can_be_another_users() {
    let place = Place::new();
    place.script(
        "who",
        "#!/bin/sh\nid -u\ncat \"$OPENFAAS_SECRETS_DIR/key\"\n",
    );
    let readable = std::process::Command::new("chmod")
        .args(["755", &place.text("")])
        .status();
    assert!(readable.unwrap().success());
    let mut command = place.command();
    command.args(["--run-as", "nobody"]);
    if !rustix::process::geteuid().is_root() {
        let (code, said) = crate::support::failing(command).await;
        assert_eq!(code, 2);
        assert!(said.contains("needs root"), "{said}");
        return;
    }
    let mut provider = Provider::start(command).await;
    assert!(
        provider.banner.contains("run as nobody"),
        "{}",
        provider.banner
    );
    let secret = json!({"name": "key", "value": "readable"});
    provider
        .system(reqwest::Method::POST, "secrets", secret)
        .await;
    provider
        .deployed(json!({"service": "who", "image": "who", "secrets": ["key"]}))
        .await;
    let said = provider.called("who", "").await;
    let (uid, secret) = said.split_once('\n').unwrap();
    assert_ne!(uid, "0");
    assert_eq!(secret, "readable");
    assert!(provider.end("-TERM").await.success());

    let as_root = place.start().await;
    assert!(as_root.banner.contains("ROOT"), "{}", as_root.banner);
}
