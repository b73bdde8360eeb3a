//! Which limits are taken and what is said of them.

use provider_types::{FunctionName, FunctionRef, Namespace, Resources};

use super::*;

fn limited(memory: &str, cpu: &str) -> FunctionSpec {
    let name = FunctionName::new("f").unwrap();
    let mut spec = FunctionSpec::new(FunctionRef::new(name, Namespace::default()), "i");
    let quantity = |text: &str| (!text.is_empty()).then(|| Quantity::parse(text).unwrap());
    let mut limits = Resources::default();
    limits.memory = quantity(memory);
    limits.cpu = quantity(cpu);
    spec.limits = Some(limits);
    spec
}

fn watching() -> Limits {
    Limits::detect(LimitsChoice::Only(LimitsWay::Watch), "unused", 77).unwrap()
}

#[test]
fn zero_is_no_limit() {
    let bounds = Bounds::of(&limited("0", "0"), 9);
    assert_eq!((bounds.memory, bounds.millicores), (None, None));
    let bounds = Bounds::of(&limited("64Mi", "1m"), 9);
    assert_eq!(
        (bounds.memory, bounds.millicores),
        (Some(64 << 20), Some(1))
    );
    assert_eq!(bounds.processes, 9);
}

#[test]
fn a_limit_that_no_program_runs_under_is_refused_in_words() {
    let limits = watching();
    let error = limits.check(&limited("128m", "")).unwrap_err();
    let words = error.message();
    assert!(
        words.contains("\"128m\" is 1 byte,") && words.contains("128M"),
        "{words}"
    );
    limits.check(&limited("4Mi", "")).unwrap();
    limits.check(&limited("0", "1m")).unwrap();
}

#[test]
fn what_is_not_held_is_said() {
    let limits = watching();
    let spec = limited("64Mi", "500m");
    let warnings = limits.warnings(&spec);
    assert!(
        warnings.len() == 1 && warnings[0].contains("limits.cpu"),
        "{warnings:?}"
    );
    assert_eq!(
        limits.describe(&spec).unwrap(),
        "watch: memory 64Mi, 77 processes; not held: cpu 500m"
    );
    assert!(limits.warnings(&limited("64Mi", "")).is_empty());
    let status = limits.status();
    assert!(!status.cpu && status.to_string().contains("NOT CPU"));
}

#[test]
fn a_way_is_named_as_it_is_shown() {
    for way in [LimitsWay::CgroupV2, LimitsWay::CgroupV1, LimitsWay::Watch] {
        let choice: LimitsChoice = way.to_string().parse().unwrap();
        assert_eq!(choice, LimitsChoice::Only(way));
    }
    assert_eq!("auto".parse(), Ok(LimitsChoice::Auto));
    assert!(
        "cgroup"
            .parse::<LimitsChoice>()
            .unwrap_err()
            .contains("watch")
    );
}

#[test]
fn what_is_promised_of_cpu_is_the_request_else_the_limit() {
    let promised = |spec: &FunctionSpec| Bounds::of(spec, 9).promised;
    let mut spec = limited("", "500m");
    assert_eq!(promised(&spec), Some(500));
    let mut requests = Resources::default();
    requests.cpu = Some(Quantity::parse("200m").unwrap());
    spec.requests = Some(requests);
    assert_eq!(promised(&spec), Some(200));
    spec.limits = None;
    assert_eq!(promised(&spec), Some(200));
    spec.requests = None;
    assert_eq!(promised(&spec), None);
}
