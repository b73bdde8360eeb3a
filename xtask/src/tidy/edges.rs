//! Who may know whom.
//!
//! Adding an edge is the most far-reaching change there is here, so every crate's are listed.

use std::collections::BTreeSet;

use crate::metadata::{Metadata, Package};

/// What one of our crates may depend on.
struct Rule {
    krate: &'static str,
    /// Our own crates that it may name.
    ours: &'static [&'static str],
    /// What must not be anywhere in its tree.
    never: &'static [&'static str],
}

/// A crate that knows nothing of HTTP and runs on no particular runtime.
const NO_HTTP_NO_RUNTIME: &[&str] = &[
    "http", "hyper", "axum", "tower", "tokio", "reqwest", "tonic", "kube",
];
/// A crate that speaks no HTTP.
const NO_HTTP: &[&str] = &["http", "hyper", "axum", "tower", "reqwest", "tonic", "kube"];
/// A crate that speaks HTTP by itself: no framework above it, and no client beside it.
const NO_FRAMEWORK: &[&str] = &["axum", "reqwest", "tonic", "kube"];
/// A client and nothing else.
const NO_SERVER: &[&str] = &["axum", "tonic", "kube"];
/// Clients of other systems have no place on the data path.
const NO_CLIENT: &[&str] = &["reqwest", "tonic", "kube"];

const RULES: [Rule; 14] = [
    Rule {
        krate: "provider-types",
        ours: &[],
        never: NO_HTTP_NO_RUNTIME,
    },
    Rule {
        krate: "provider-auth",
        ours: &["provider-types"],
        never: NO_FRAMEWORK,
    },
    Rule {
        krate: "provider-logs",
        ours: &["provider-types"],
        never: NO_FRAMEWORK,
    },
    Rule {
        krate: "provider-http1",
        ours: &[],
        never: &["axum", "tower", "hyper", "reqwest", "tonic", "kube"],
    },
    Rule {
        krate: "provider-proxy",
        ours: &["provider-types", "provider-http1"],
        never: NO_FRAMEWORK,
    },
    Rule {
        krate: "provider-route",
        ours: &["provider-types"],
        never: NO_HTTP,
    },
    Rule {
        krate: "provider-http",
        ours: &[
            "provider-types",
            "provider-auth",
            "provider-logs",
            "provider-http1",
            "provider-proxy",
        ],
        never: NO_CLIENT,
    },
    Rule {
        krate: "provider-engine",
        ours: &["provider-types", "provider-route"],
        never: NO_HTTP,
    },
    Rule {
        krate: "provider-stack",
        ours: &["provider-types"],
        never: NO_HTTP,
    },
    Rule {
        krate: "provider-client",
        ours: &["provider-types"],
        never: NO_SERVER,
    },
    // It must not be able to cheat: no server of ours, and no framework that ours could share a
    // mistake with.
    Rule {
        krate: "provider-conformance",
        ours: &["provider-types", "provider-client"],
        never: NO_SERVER,
    },
    // It stands for a back-end that knows nothing of us.
    Rule {
        krate: "faulty-provider",
        ours: &["provider-conformance"],
        never: &["axum", "hyper", "tower", "reqwest", "tonic", "kube"],
    },
    Rule {
        krate: "provider-watchdog",
        ours: &[],
        never: NO_FRAMEWORK,
    },
    // The watchdog in it speaks HTTP.
    Rule {
        krate: "runtime-process",
        ours: &["provider-types", "provider-watchdog"],
        never: NO_FRAMEWORK,
    },
];

/// Crates that another one here already does the job of, or that need a C tool chain.
const NOT_BY_US: [&str; 11] = [
    "libc",
    "nix",
    "chrono",
    "lazy_static",
    "once_cell",
    "dashmap",
    "parking_lot",
    "futures",
    "openssl",
    "native-tls",
    "hyper-tls",
];

pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let members = metadata.members();
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut problems = Vec::new();
    for member in &members {
        for name in member
            .dependencies
            .iter()
            .map(|dependency| &dependency.name)
        {
            if NOT_BY_US.contains(&name.as_str()) {
                problems.push(format!(
                    "{} depends on {name}; the workspace does without it",
                    member.name
                ));
            }
        }
        if member
            .folder()
            .parent()
            .is_some_and(|parent| parent.ends_with("crates"))
        {
            match RULES.iter().find(|rule| rule.krate == member.name) {
                Some(rule) => problems.extend(broken(metadata, member, rule, &ours)),
                None => problems.push(format!(
                    "{} has no rule in xtask/src/tidy/edges.rs: state which crates it may know",
                    member.name
                )),
            }
        }
    }
    problems
}

fn broken(
    metadata: &Metadata,
    member: &Package,
    rule: &Rule,
    ours: &BTreeSet<&str>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for name in member.direct_dependencies() {
        if ours.contains(name) && !rule.ours.contains(&name) {
            let may = match rule.ours {
                [] => "none of our crates".to_owned(),
                some => some.join(", "),
            };
            problems.push(format!("{} knows {name}; it may know {may}", member.name));
        }
    }
    let tree = metadata.tree(member);
    for never in rule.never {
        if let Some(by) = tree.get(never) {
            problems.push(format!(
                "{never} is in the tree of {}, through {by}; it must not be",
                member.name
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of provider-types and provider-route, with the given dependencies of the former.
    fn workspace(types_knows: &[&str]) -> Metadata {
        let package = |name: &str, dependencies: &[&str]| {
            let dependencies: Vec<_> = dependencies
                .iter()
                .map(|name| serde_json::json!({ "name": name, "kind": null }))
                .collect();
            serde_json::json!({
                "id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": null,
                "manifest_path": format!("/x/crates/{name}/Cargo.toml"),
                "dependencies": dependencies,
            })
        };
        let node = |name: &str, dependencies: &[&str]| {
            let deps: Vec<_> = dependencies
                .iter()
                .map(|name| serde_json::json!({ "pkg": name, "dep_kinds": [{ "kind": null }] }))
                .collect();
            serde_json::json!({ "id": name, "deps": deps })
        };
        serde_json::from_value(serde_json::json!({
            "workspace_members": ["provider-types", "provider-route"],
            "packages": [
                package("provider-types", types_knows),
                package("provider-route", &["provider-types"]),
                package("serde", &[]),
                package("sneaky", &["hyper"]),
                package("hyper", &[]),
            ],
            "resolve": { "nodes": [
                node("provider-types", types_knows),
                node("provider-route", &["provider-types"]),
                node("sneaky", &["hyper"]),
            ] },
        }))
        .unwrap()
    }

    #[test]
    fn the_allowed_edges_are_allowed() {
        assert_eq!(check(&workspace(&["serde"])), Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_nobody_listed_is_a_problem() {
        let problems = check(&workspace(&["provider-route"]));
        assert_eq!(
            problems,
            ["provider-types knows provider-route; it may know none of our crates"]
        );
    }

    #[test]
    fn what_must_not_be_in_a_tree_is_found_at_any_depth() {
        let problems = check(&workspace(&["sneaky"]));
        assert_eq!(
            problems,
            [
                "hyper is in the tree of provider-route, through sneaky; it must not be",
                "hyper is in the tree of provider-types, through sneaky; it must not be",
            ]
        );
    }

    #[test]
    fn a_library_that_the_workspace_does_without_is_a_problem() {
        let problems = check(&workspace(&["libc"]));
        assert_eq!(
            problems,
            ["provider-types depends on libc; the workspace does without it"]
        );
    }
}
