//! What the log source holds and what it dropped, written as it was read for this scrape.

use provider_types::LogReading;

use super::text;

/// Adds the series of the log source to a text of series.
pub(super) fn write(out: &mut String, reading: &LogReading) {
    let none = String::new;
    text::write(
        out,
        (
            "provider_log_bytes",
            "gauge",
            "Bytes of log lines that are kept.",
        ),
        [(none(), reading.bytes)],
    );
    text::write(
        out,
        (
            "provider_log_segments",
            "gauge",
            "Files that log lines are kept in.",
        ),
        [(none(), reading.segments)],
    );
    let dropped = &reading.dropped;
    let reasons = [
        ("not_taken", dropped.not_taken),
        ("no_room", dropped.no_room),
        ("write_failed", dropped.failed),
    ];
    text::write(
        out,
        (
            "provider_log_dropped_lines_total",
            "counter",
            "Log lines that were not kept: not taken in time, no room while they waited, not \
             written.",
        ),
        reasons.map(|(reason, lines)| (format!("{{reason=\"{reason}\"}}"), lines)),
    );
    if reading.functions.is_empty() {
        return;
    }
    let functions = || reading.functions.iter();
    text::write(
        out,
        (
            "provider_function_log_bytes",
            "gauge",
            "Bytes of a function's log lines that are kept.",
        ),
        functions().map(|it| (text::labels(&it.function), it.bytes)),
    );
    text::write(
        out,
        (
            "provider_function_log_lines_total",
            "counter",
            "Log lines of a function that were kept.",
        ),
        functions().map(|it| (text::labels(&it.function), it.lines)),
    );
    text::write(
        out,
        (
            "provider_function_log_dropped_lines_total",
            "counter",
            "Log lines of a function that were not kept.",
        ),
        functions().map(|it| (text::labels(&it.function), it.dropped)),
    );
}
