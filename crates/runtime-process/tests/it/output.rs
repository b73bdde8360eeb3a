//! Log lines.

use futures_util::StreamExt as _;
use provider_types::{LogChunk, LogOutput, Runtime as _};

use crate::support::{Bench, PATIENCE, call, function, with};

async fn lines_of(bench: &mut Bench, body: &str, variables: &[(&str, &str)]) -> Vec<LogChunk> {
    let image = bench.script("writes", body);
    let it = bench.up(with(function(&image), variables)).await;
    let lines = bench.runtime.logs(&it.id).await.unwrap();
    assert!(bench.runtime.logs(&it.id).await.is_err(), "taken twice");
    call(&it.endpoint, "").await;
    bench.runtime.stop(&it.id, PATIENCE).await.unwrap();
    tokio::time::timeout(PATIENCE, lines.collect())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_a_program_writes_becomes_lines_as_it_is() {
    let mut bench = Bench::new();
    let body = "#!/bin/sh\nprintf 'one\\ntwo \\377\\nlast' >&2\n";
    let lines = lines_of(&mut bench, body, &[("prefix_logs", "false")]).await;
    let lines: Vec<&[u8]> = lines
        .iter()
        .filter(|it| it.output == LogOutput::Stderr)
        .flat_map(|it| it.lines.split(|byte| *byte == b'\n'))
        .collect();
    for wanted in [&b"one"[..], b"two \xff", b"last"] {
        assert!(lines.contains(&wanted), "{lines:?}");
    }
}

#[tokio::test]
async fn a_line_of_a_mebibyte_stays_whole() {
    let mut bench = Bench::new();
    let body = "#!/bin/sh\nhead -c 1048576 /dev/zero | tr '\\0' x >&2\necho >&2\n";
    let lines = lines_of(&mut bench, body, &[("prefix_logs", "false")]).await;
    let longest = lines
        .iter()
        .flat_map(|it| it.lines.split(|byte| *byte == b'\n'))
        .map(<[u8]>::len)
        .max();
    assert_eq!(longest, Some(1024 * 1024));
}
