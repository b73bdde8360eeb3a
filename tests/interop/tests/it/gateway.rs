//! A real OpenFaaS gateway in front of `faas-process`.
//!
//! Its version is of March 2021, the one that `faas-cli` of that year needs: it is MIT-licensed,
//! which later ones are not.

use std::fs;
use std::process::Command;

use crate::go;
use crate::provider::{PASSWORD, USER, beside_us};

/// Where it listens, whatever it is told, on every address.
pub(crate) const URL: &str = "http://127.0.0.1:8080";

/// Runs the command in its arguments with the gateway and its provider beside it. They are in a
/// network of their own, for the port. The gateway asks another program whether credentials are
/// right, which can be the provider.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
trap 'kill $(jobs -p); wait' EXIT
listens() {
    for _ in $(seq 400); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "nobody listens on port $1" >&2
    return 1
}

trusted_proxies=127.0.0.1 "$PROVIDER" --role provider --listen 127.0.0.1:8081 --basic-auth \
    --secret-mount-path "$DIRECTORY" --state-dir "$DIRECTORY/state" >/dev/null 2>&1 &
listens 8081

functions_provider_url=http://127.0.0.1:8081/ scale_from_zero=true direct_functions=false \
    basic_auth=true secret_mount_path="$DIRECTORY" \
    auth_proxy_url=http://127.0.0.1:8081/system/info auth_proxy_pass_body=false \
    faas_prometheus_host=127.0.0.1 faas_prometheus_port=9 \
    read_timeout=60s write_timeout=60s upstream_timeout=55s \
    max_idle_conns=1024 max_idle_conns_per_host=1024 \
    "$GATEWAY" >/dev/null 2>&1 &
listens 8080

"$@"
"#;

/// A command that runs the program named by its first argument beside a gateway. The directory is
/// for credentials and state.
pub(crate) fn beside(directory: &std::path::Path) -> Command {
    fs::write(directory.join("basic-auth-user"), USER).unwrap();
    fs::write(directory.join("basic-auth-password"), PASSWORD).unwrap();
    let gateway = go::build(
        "gateway",
        "github.com/openfaas/faas/gateway",
        "interop-gateway",
    );
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--net", "bash", "-c", SCRIPT, "bash"])
        .env("PROVIDER", beside_us("faas-process"))
        .env("GATEWAY", gateway)
        .env("DIRECTORY", directory);
    command
}
