//! Who gets what of a host.

use provider_types::{Namespace, Resources};

use super::*;

const GIB: u64 = 1 << 30;

fn resources(memory: &str, cpu: &str) -> Option<Resources> {
    let quantity = |text: &str| (!text.is_empty()).then(|| Quantity::parse(text).unwrap());
    let mut resources = Resources::default();
    resources.memory = quantity(memory);
    resources.cpu = quantity(cpu);
    Some(resources).filter(|it| !it.is_empty())
}

fn spec(name: &str, requests: (&str, &str), limits: (&str, &str)) -> FunctionSpec {
    let function = FunctionRef::parse_dotted(name, &Namespace::default()).unwrap();
    let mut spec = FunctionSpec::new(function, "i");
    spec.requests = resources(requests.0, requests.1);
    spec.limits = resources(limits.0, limits.1);
    spec
}

fn needs(memory: &str) -> FunctionSpec {
    spec("f", (memory, ""), ("", ""))
}

/// 8 GiB and two cores.
fn ledger() -> Ledger {
    Ledger::new(Host::new(8 * GIB, 2000))
}

fn promise(ledger: &Ledger, name: &str, memory: &str, replicas: u64) -> Result<(), ProviderError> {
    let spec = spec(name, (memory, ""), ("", ""));
    let claim = Claim::of(&spec, replicas);
    ledger.promise(&spec.function, claim).map(Promise::keep)
}

#[test]
fn a_limit_stands_for_a_request_that_is_not_made() {
    let claim = Claim::of(&spec("f", ("1Gi", ""), ("2Gi", "500m")), 3);
    assert_eq!(claim.memory(), u128::from(3 * GIB));
    assert_eq!(claim.millicores(), 1500);
    assert!(Claim::of(&spec("f", ("", ""), ("", "")), 3).is_nothing());
}

#[test]
fn what_no_replica_can_have_or_what_contradicts_itself_is_refused() {
    let refused = |requests, limits| {
        let error = ledger().check(&spec("f", requests, limits)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    };
    let words = refused(("2Gi", ""), ("1Gi", ""));
    assert!(words.contains("2Gi") && words.contains("1Gi"), "{words}");
    let words = refused(("", ""), ("1Ti", ""));
    assert!(
        words.contains("limits.memory is 1Ti") && words.contains("8 GiB"),
        "{words}"
    );
    let words = refused(("", "2500m"), ("", ""));
    assert!(
        words.contains("requests.cpu is 2500m") && words.contains("2 cores"),
        "{words}"
    );
    // 0 is no limit.
    let fine = spec("f", ("1Gi", "1"), ("0", "0"));
    ledger().check(&fine).unwrap();
    let unknown = Ledger::new(Host::default());
    unknown.check(&spec("f", ("", ""), ("1Ti", ""))).unwrap();
}

#[test]
fn the_sum_over_replicas_and_functions_is_bounded_and_the_refusal_has_the_numbers() {
    let ledger = ledger();
    promise(&ledger, "a", "1Gi", 3).unwrap();
    let error = promise(&ledger, "b", "2Gi", 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(
        error.message(),
        "function: b.openfaas-fn: 3 replicas of memory of 2 GiB each need 6 GiB, and this host has \
         8 GiB, of which 3 GiB are promised to other functions and 5 GiB are left"
    );
    promise(&ledger, "b", "2Gi", 2).unwrap();
    let error = promise(&ledger, "b", "2Gi", 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    ledger.forget(&needs("1").function);
    ledger.forget(&spec("a", ("", ""), ("", "")).function);
    promise(&ledger, "b", "2Gi", 4).unwrap();
}

#[test]
fn a_promise_that_is_not_kept_is_void_and_a_smaller_one_is_always_kept() {
    let ledger = ledger();
    let big = needs("6Gi");
    drop(ledger.promise(&big.function, Claim::of(&big, 1)).unwrap());
    promise(&ledger, "g", "8Gi", 1).unwrap();
    // What is there by its state, as after a restart on a smaller host.
    ledger.record(&big.function, Claim::of(&big, 1));
    promise(&ledger, "f", "5Gi", 1).unwrap();
    let error = promise(&ledger, "f", "5632Mi", 1).unwrap_err();
    assert!(error.message().contains("5.5 GiB"), "{error}");
}

#[test]
fn room_is_what_others_leave() {
    let ledger = ledger();
    promise(&ledger, "a", "1Gi", 3).unwrap();
    promise(&ledger, "f", "1Gi", 2).unwrap();
    let spec = needs("1Gi");
    assert_eq!(ledger.room(&spec.function, Claim::of(&spec, 0)), 5);
    let nothing = needs("");
    let claim = Claim::of(&nothing, 1);
    assert_eq!(ledger.room(&nothing.function, claim), u64::MAX);
    let unknown = Ledger::new(Host::default());
    assert_eq!(unknown.room(&spec.function, Claim::of(&spec, 1)), u64::MAX);
}

#[test]
fn amounts_are_short() {
    let shown = |cpu, of| Amount { cpu, of }.to_string();
    assert_eq!(shown(false, 25_213_607_936), "23.4 GiB");
    assert_eq!(shown(false, 512 << 20), "512 MiB");
    assert_eq!(shown(false, 0), "0 bytes");
    assert_eq!(shown(true, 2500), "2.5 cores");
    assert_eq!(shown(true, 2050), "2.05 cores");
    assert_eq!(shown(true, 100), "0.1 cores");
}

#[test]
fn what_was_promised_beyond_the_host_is_said_with_both_numbers() {
    let ledger = ledger();
    let record = |name: &str, memory: &str, cpu: &str| {
        let spec = spec(name, (memory, cpu), ("", ""));
        ledger.record(&spec.function, Claim::of(&spec, 2));
    };
    record("f", "4Gi", "500m");
    assert_eq!(ledger.excess(), None);
    record("g", "1Gi", "");
    assert_eq!(
        ledger.excess().unwrap(),
        "10 GiB of memory where the host has 8 GiB"
    );
    record("h", "", "1");
    assert_eq!(
        ledger.excess().unwrap(),
        "10 GiB of memory where the host has 8 GiB, and 3 cores of CPU where the host has 2 cores"
    );
}
