//! What functions use of CPU and memory, written as it was read for this scrape: nothing is kept.

use provider_types::FunctionUsageReading;

use super::text;

/// Adds the two series of each function to a text of series.
pub(super) fn write(out: &mut String, readings: &[FunctionUsageReading]) {
    if readings.is_empty() {
        return;
    }
    let readings = || readings.iter();
    text::write(
        out,
        (
            "provider_function_cpu_seconds_total",
            "counter",
            "CPU time that all replicas of a function have used, ended ones included.",
        ),
        readings().map(|it| (text::labels(&it.function), it.cpu.as_secs_f64())),
    );
    text::write(
        out,
        (
            "provider_function_memory_bytes",
            "gauge",
            "Memory that all replicas of a function hold.",
        ),
        readings().map(|it| (text::labels(&it.function), it.memory_bytes)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use provider_types::{FunctionRef, Namespace};

    #[test]
    fn each_function_has_a_sample_of_both_series() {
        let reading = |name: &str, bytes, cpu| {
            let function = FunctionRef::parse_dotted(name, &Namespace::default()).unwrap();
            FunctionUsageReading::new(function, bytes, Duration::from_millis(cpu))
        };
        let mut text = String::new();
        write(&mut text, &[]);
        assert_eq!(text, "");
        write(
            &mut text,
            &[reading("a", 4096, 1500), reading("b.dev", 0, 0)],
        );
        for line in [
            "# TYPE provider_function_cpu_seconds_total counter",
            "provider_function_cpu_seconds_total{function=\"a\",namespace=\"openfaas-fn\"} 1.5",
            "# TYPE provider_function_memory_bytes gauge",
            "provider_function_memory_bytes{function=\"a\",namespace=\"openfaas-fn\"} 4096",
            "provider_function_memory_bytes{function=\"b\",namespace=\"dev\"} 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
