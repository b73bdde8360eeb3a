//! The values of the golden files, as `tests/interop/go/samples.go` has them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provider_types::Timestamp;
use provider_types::wire::*;

/// What is done with every sample.
pub(crate) trait Visit {
    /// `name` is that of the golden file, `go` that of the type in the Go program.
    fn visit<T: Wire + PartialEq + Debug>(&mut self, name: &str, go: &str, value: T);
}

pub(crate) const HOSTILE: &str =
    "<b>&\"'/\\\u{2028}\u{2029}\0\u{1}\u{1f}\u{8}\u{c}\n\r\t\u{7f}é\u{1f600}\u{fffd}";

fn created() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_795_359_845, 120_000_000)
}

fn map<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    BTreeMap::from(entries.map(|(key, value)| (key.to_owned(), value.to_owned())))
}

fn list<const N: usize>(entries: [&str; N]) -> Vec<String> {
    Vec::from(entries.map(str::to_owned))
}

/// A value with the fields that are named, since structs of another crate cannot be written out.
macro_rules! with {
    ($value:expr, $($field:ident: $to:expr),* $(,)?) => {{
        let mut value = $value;
        $(value.$field = $to.into();)*
        value
    }};
}

pub(crate) fn each(v: &mut impl Visit) {
    deployments(v);
    statuses(v);
    requests(v);
    infos(v);
    stores(v);
    queue(v);
    events(v);
    v.visit("strings", "Strings", every_character());
    v.visit("times", "Times", times());
}

fn deployments(v: &mut impl Visit) {
    let go = "FunctionDeployment";
    v.visit("deployment_zero", go, FunctionDeployment::default());
    let empty = with!(FunctionDeployment::new("f", "i"),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        limits: FunctionResources::default(),
        requests: FunctionResources::default(),
    );
    v.visit("deployment_empty_maps", go, empty);
    let full = with!(FunctionDeployment::new("figlet", "ghcr.io/openfaas/figlet:latest"),
        namespace: "staging",
        env_process: "sh -c 'a && b > c'",
        env_vars: map([("Z", "last"), ("A", "a=b=c"), ("<&>", HOSTILE), ("é", ""), ("", "empty")]),
        constraints: list(["node.role == worker", ""]),
        secrets: list(["api-key", "b"]),
        labels: map([("com.openfaas.scale.min", "2"), ("a<b", "c&d")]),
        annotations: map([("topic", "a,b"), ("json", "{\n  \"k\": 1\n}")]),
        limits: with!(FunctionResources::new("128Mi", "1000m"),
            nvidia_gpu: "1", amd_gpu: "2", intel_gpu: "3"),
        requests: FunctionResources::new("", "0.50"),
        read_only_root_filesystem: true,
    );
    v.visit("deployment_full", go, full);
}

fn statuses(v: &mut impl Visit) {
    let go = "FunctionStatus";
    let bare = with!(FunctionStatus::default(), name: "f", image: "i");
    let spaced = with!(bare.clone(), namespace: "openfaas-fn");
    v.visit("status_bare", go, spaced);
    let full = with!(FunctionStatus::default(),
        name: "figlet",
        image: "ghcr.io/openfaas/figlet:latest",
        namespace: "staging",
        env_process: "figlet",
        env_vars: map([("A", HOSTILE)]),
        constraints: list(["a"]),
        secrets: list(["s"]),
        labels: map([("faas_function", "figlet")]),
        annotations: map([("a", "<>")]),
        limits: FunctionResources::new("1Gi", ""),
        requests: FunctionResources::default(),
        read_only_root_filesystem: true,
        invocation_count: 1_234_567.5,
        replicas: u64::MAX,
        available_replicas: 1_u64,
        created_at: created(),
        usage: FunctionUsage::new(250.0, 12_582_912.0),
    );
    v.visit("status_full", go, full);
    let unused = with!(bare, invocation_count: -0.0, usage: FunctionUsage::default());
    v.visit("status_zero_usage", go, unused);

    let a = with!(FunctionStatus::default(), name: "a", replicas: 1_u64);
    let b = with!(FunctionStatus::default(), name: "b", created_at: created());
    let go = "FunctionStatusList";
    v.visit("status_list", go, vec![a, b]);
    v.visit("status_list_empty", go, Vec::<FunctionStatus>::new());
    v.visit("usage_floats", "FunctionUsageList", floats());
}

fn requests(v: &mut impl Visit) {
    let go = "ScaleServiceRequest";
    v.visit("scale_zero", go, ScaleServiceRequest::default());
    let scale = with!(ScaleServiceRequest::new("f", u64::MAX), namespace: "staging");
    v.visit("scale", go, scale);
    let go = "DeleteFunctionRequest";
    v.visit("delete_zero", go, DeleteFunctionRequest::default());
    let delete = with!(DeleteFunctionRequest::new("f"), namespace: "staging");
    v.visit("delete", go, delete);
}

fn infos(v: &mut impl Visit) {
    let go = "ProviderInfo";
    let info = ProviderInfo::new("p", "o", VersionInfo::new("1.2.3", "abc"));
    v.visit("info", go, info.clone());
    let unversioned = with!(info.clone(), version: None);
    v.visit("info_null_version", go, unversioned);
    let version = with!(VersionInfo::new("1.2.3", "abc"), commit_message: "Merge <a> & b");
    v.visit("info_commit", go, ProviderInfo::new("", "", version));
    let go = "GatewayInfo";
    v.visit("gateway_zero", go, GatewayInfo::default());
    let gateway = GatewayInfo::new(info, VersionInfo::new("4.5.6", "def"), "x86_64");
    v.visit("gateway", go, gateway);
}

fn stores(v: &mut impl Visit) {
    let go = "FunctionNamespace";
    v.visit("namespace_zero", go, FunctionNamespace::default());
    v.visit("namespace_empty_maps", go, FunctionNamespace::new("n"));
    let namespace = with!(FunctionNamespace::new("n"),
        annotations: map([("openfaas", "1")]),
        labels: map([("openfaas", "1")]),
    );
    v.visit("namespace", go, namespace);

    let go = "Secret";
    v.visit("secret_listed", go, Secret::new("s", "n"));
    v.visit("secret_empty", go, Secret::new("s", ""));
    let secret = with!(Secret::new("s", "n"),
        value: HOSTILE,
        raw_value: [0, 0xff, 0xfe, 1, b'<'],
    );
    v.visit("secret", go, secret);

    let go = "Message";
    v.visit("message_zero", go, Message::default());
    let message = Message::new("f", "n", "f-1", created(), HOSTILE);
    v.visit("message", go, message);
}

fn queue(v: &mut impl Visit) {
    let go = "QueueRequest";
    v.visit("queue_zero", go, QueueRequest::default());
    let empty = with!(QueueRequest::new("POST", "f"), callback_url: CallbackUrl::default());
    v.visit("queue_empty", go, empty);
    let full = with!(QueueRequest::new("PUT", "f.n"),
        header: [
            ("X-Call-Id".to_owned(), list(["1", "2"])),
            ("A".to_owned(), Vec::new()),
            ("B".to_owned(), list(["<&>"])),
        ],
        host: "gw:8080",
        body: b"hi\0\xff",
        path: "/x/<y>",
        query_string: "a=1&b=%2F",
        queue_name: "slow",
        annotations: map([("topic", "t")]),
        labels: map([("l", "1")]),
        environment: map([("E", "2")]),
        callback_url: CallbackUrl::parse("https://user:pass@cb:8080/p%2Fq?x=1&y#frag"),
    );
    v.visit("queue_full", go, full);
}

fn events(v: &mut impl Visit) {
    let go = "FunctionUsageEvent";
    v.visit("usage_event_zero", go, FunctionUsageEvent::default());
    let usage = with!(FunctionUsageEvent::default(),
        namespace: "n",
        function_name: "f",
        started: created(),
        duration: 1_500_000_000_i64,
        memory_bytes: -1_i64,
    );
    v.visit("usage_event", go, usage);

    let go = "APIAccessEvent";
    v.visit("access_event_zero", go, ApiAccessEvent::default());
    let actor = with!(Actor::default(), sub: "s", name: "n", issuer: "i", fed_issuer: "f");
    let access = with!(ApiAccessEvent::default(),
        actor: actor,
        path: "/system/functions",
        method: "GET",
        actions: Vec::new(),
        response_code: 200_i64,
        custom_message: "<m>",
        namespace: "n",
        time: created(),
    );
    v.visit("access_event", go, access);

    let go = "PrometheusAlert";
    v.visit("alert_zero", go, PrometheusAlert::default());
    let labels = with!(AlertLabels::default(),
        alertname: "APIHighInvocationRate", function_name: "f.n");
    let alert = with!(Alert::default(), status: "firing", labels: labels);
    let alerts = with!(PrometheusAlert::default(),
        status: "firing", receiver: "scale-up", alerts: [alert]);
    v.visit("alert", go, alerts);
}

fn floats() -> Vec<FunctionUsage> {
    #[rustfmt::skip]
    let values = [
        0.0, -0.0, 1.0, -1.0, 0.1, 1.0 / 3.0, 100.0, 1e6, 123_456_789.125, 1e20, 1e21, -1e21,
        1.5e21, 1e22, 1e100, 1e-5, 1e-6, 9.9e-7, 1e-7, -1e-7, 1.5e-9, 1e-10, 1e-100,
        9_007_199_254_740_993.0, f64::MAX, 5e-324, 5e-324, 2.2250738585072014e-308, 4.35, 0.3,
    ];
    let usage = |value: f64| FunctionUsage::new(value, -value);
    values.into_iter().map(usage).collect()
}

fn every_character() -> Vec<String> {
    let ranges = [
        '\0'..='\u{24f}',
        '\u{2020}'..='\u{2030}',
        '\u{d7fe}'..='\u{d7ff}',
        '\u{e000}'..='\u{e001}',
        '\u{fff8}'..='\u{ffff}',
        '\u{1f600}'..='\u{1f601}',
        '\u{10fffe}'..='\u{10ffff}',
    ];
    let mut all: Vec<String> = ranges.into_iter().flatten().map(String::from).collect();
    all.push(HOSTILE.repeat(2));
    all.extend(list(["</script>", "plain", ""]));
    all
}

fn times() -> Vec<Option<SystemTime>> {
    let time = |text: &str| Some(Timestamp::parse(text).unwrap().system_time());
    vec![
        None,
        time("1970-01-01T00:00:00Z"),
        time("1969-12-31T23:59:59.999999999Z"),
        time("1969-12-31T23:59:59.000000001Z"),
        Some(created()),
        Some(created() + Duration::from_nanos(3)),
        Some(created() + Duration::from_micros(3)),
        time("2024-02-29T23:59:59Z"),
        time("1900-03-01T00:00:00Z"),
        time("2000-02-29T00:00:00Z"),
        time("2100-03-01T00:00:00Z"),
        time("0000-01-01T00:00:00Z"),
        time("0001-01-01T00:00:00.000000001Z"),
        time("9999-12-31T23:59:59.999999999Z"),
    ]
}
