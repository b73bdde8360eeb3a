//! What a function may touch: with Landlock its own, without it what its user may, and that is
//! said.

use std::fs;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
};
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

/// Whether the kernel holds functions, asked of the kernel and not of the provider.
fn has_landlock() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
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
    let held = has_landlock();
    let (banner, forbidden) = (&provider.banner, if held { "no" } else { "yes" });
    assert_eq!(banner.contains("(Landlock)"), held, "{banner}");
    assert_eq!(banner.contains("kernel has no Landlock"), !held, "{banner}");
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
        ("write {}outside", forbidden),
        ("write {}functions/other", forbidden),
        ("read {}state/state.redb", forbidden),
        ("write {}state/lock", forbidden),
        ("list {}state", forbidden),
        ("list {}state/run", forbidden),
        ("read {}secrets/basic-auth-password", forbidden),
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
