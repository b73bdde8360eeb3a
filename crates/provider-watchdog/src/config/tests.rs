//! Tests of reading variables.

use super::*;

fn read(vars: &[(&str, &str)]) -> Result<WatchdogConfig, ConfigError> {
    WatchdogConfig::from_vars(|name| {
        vars.iter()
            .find(|(given, _)| *given == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

/// With a program, which most need.
fn with(vars: &[(&str, &str)]) -> WatchdogConfig {
    read(&[&[("fprocess", "cat")], vars].concat()).unwrap()
}

fn refused(vars: &[(&str, &str)]) -> String {
    let error = read(&[vars, &[("fprocess", "cat")]].concat()).unwrap_err();
    error.to_string()
}

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn what_is_not_set_is_as_in_of_watchdog() {
    let config = with(&[]);
    assert_eq!(config.mode, Mode::Streaming);
    assert_eq!((config.port, config.metrics_port), (8080, 8081));
    assert_eq!(config.read_timeout, Some(SECONDS(30)));
    assert_eq!(config.write_timeout, SECONDS(30));
    assert_eq!(config.healthcheck_interval, SECONDS(30));
    assert_eq!(config.first_byte_timeout, Some(SECONDS(30)));
    assert_eq!(config.exec_timeout, None);
    assert_eq!(config.max_inflight, None);
    assert!(config.prefix_logs && config.cgi_headers);
    assert!(!config.log_call_id && !config.combine_output && !config.buffer_request);
    assert_eq!(config.content_type, "application/octet-stream");
    assert_eq!(config.static_path, PathBuf::from("/home/app/public"));
    assert_eq!(config.lock_file, Some(PathBuf::from("/tmp/.lock")));
    assert_eq!(config.ready_path, None);
    assert!(config.warnings.is_empty());
    // Where it is ours: a line of up to 1 MiB stays whole.
    assert_eq!(config.log_buffer_size, 1024 * 1024);
}

#[test]
fn every_variable_is_read() {
    let config = with(&[
        ("mode", "http"),
        ("http_upstream_url", "http://localhost:5000"),
        ("port", "81"),
        ("metrics_port", "0"),
        ("read_timeout", "5"),
        ("write_timeout", "1m"),
        ("exec_timeout", "1h"),
        ("healthcheck_interval", "5s"),
        ("max_inflight", "7"),
        ("prefix_logs", "0"),
        ("log_buffer_size", "10"),
        ("log_callid", "1"),
        ("content_type", "text/html"),
        ("combine_output", "true"),
        ("cgi_headers", "false"),
        ("http_buffer_req_body", "1"),
        ("max_buffered_bytes", "9"),
        ("static_path", "/srv"),
        ("ready_path", "/ready?now"),
        ("TMPDIR", "/run/x"),
    ]);
    assert_eq!(config.mode, Mode::Http);
    assert_eq!(config.upstream.unwrap().port, 5000);
    assert_eq!((config.port, config.metrics_port), (81, 0));
    assert_eq!(config.read_timeout, Some(SECONDS(5)));
    assert_eq!(config.write_timeout, SECONDS(60));
    assert_eq!(config.exec_timeout, Some(SECONDS(3600)));
    assert_eq!(config.first_byte_timeout, None);
    assert_eq!(config.healthcheck_interval, SECONDS(5));
    assert_eq!(config.max_inflight, Some(7));
    assert!(!config.prefix_logs && config.log_call_id);
    assert_eq!(config.log_buffer_size, 10);
    assert_eq!(config.content_type, "text/html");
    assert!(config.combine_output && !config.cgi_headers && config.buffer_request);
    assert_eq!(config.max_buffered_bytes, 9);
    assert_eq!(config.static_path, PathBuf::from("/srv"));
    assert_eq!(config.ready_path.unwrap(), "/ready?now");
    assert_eq!(config.lock_file, Some(PathBuf::from("/run/x/.lock")));
}

#[test]
fn of_two_spellings_the_newer_one_wins() {
    let config = with(&[
        ("function_process", "env -0"),
        ("mode", "http"),
        ("upstream_url", "http://a:1"),
        ("http_upstream_url", "http://b:2"),
    ]);
    assert_eq!(config.command, ["env".to_owned(), "-0".to_owned()]);
    assert_eq!(config.upstream.unwrap().host, "b");
    assert!(with(&[("log_call_id", "true")]).log_call_id);
    assert!(with(&[("buffer_http", "true")]).buffer_request);
    assert!(with(&[("combined_output", "true")]).combine_output);
}

#[test]
fn zero_switches_a_limit_off() {
    let config = with(&[
        ("exec_timeout", "0"),
        ("read_timeout", "0s"),
        ("max_inflight", "0"),
        ("healthcheck_interval", "0"),
        ("log_buffer_size", "-1"),
        ("suppress_lock", "true"),
    ]);
    assert_eq!(config.exec_timeout, None);
    assert_eq!(config.first_byte_timeout, None);
    assert_eq!(config.read_timeout, None);
    assert_eq!(config.max_inflight, None);
    assert_eq!(config.healthcheck_interval, Duration::ZERO);
    assert!(config.log_buffer_size > 1024 * 1024);
    assert_eq!(config.lock_file, None);
}

#[test]
fn the_health_check_interval_follows_the_write_timeout() {
    let config = with(&[("write_timeout", "7s")]);
    assert_eq!(config.healthcheck_interval, SECONDS(7));
}

#[test]
fn an_empty_value_is_as_good_as_none() {
    for name in ["port", "mode", "exec_timeout", "prefix_logs", "ready_path"] {
        assert_eq!(
            format!("{:?}", with(&[(name, "")])),
            format!("{:?}", with(&[])),
            "{name}"
        );
    }
    let error = read(&[("fprocess", "")]).unwrap_err();
    assert!(error.to_string().contains("fprocess is not set"), "{error}");
}

#[test]
fn a_value_that_means_nothing_is_refused_with_what_would_be_right() {
    for (name, value, wanted) in [
        ("port", "http", "0 to 65535"),
        ("port", "65536", "0 to 65535"),
        ("port", "-1", "0 to 65535"),
        ("metrics_port", "x", "0 to 65535"),
        ("read_timeout", "-5", "1m30s"),
        ("write_timeout", "5 minutes", "1m30s"),
        ("write_timeout", "0", "over 0s"),
        ("exec_timeout", "1d", "1m30s"),
        ("healthcheck_interval", "x", "1m30s"),
        ("max_inflight", "-1", "how many"),
        ("prefix_logs", "yes", "true or false"),
        ("suppress_lock", "yes", "true or false"),
        ("log_buffer_size", "0", "at least 1"),
        ("log_buffer_size", "-2", "at least 1"),
        ("log_callid", "on", "true or false"),
        ("log_call_id", "on", "true or false"),
        ("content_type", "a\nb", "content type"),
        ("http_buffer_req_body", "2", "true or false"),
        ("buffer_http", "2", "true or false"),
        ("max_buffered_bytes", "1k", "number of bytes"),
        ("ready_path", "ready", "starts with /"),
        ("mode", "Streaming", "streaming"),
        ("mode", "inproc", "Go library"),
        ("mode", "afterburn", "mode=http"),
        ("jwt_auth", "true", "does not check tokens"),
        ("jwt_auth", "1", "does not check tokens"),
    ] {
        let error = refused(&[(name, value)]);
        assert!(error.starts_with(&format!("{name}={value:?}")), "{error}");
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_mode_without_what_it_needs_is_refused() {
    assert!(refused(&[("mode", "http")]).contains("upstream_url is not set"));
    let error = read(&[("mode", "streaming")]).unwrap_err().to_string();
    assert!(error.contains("fprocess is not set"), "{error}");
    assert!(read(&[("mode", "static")]).is_ok());
}

#[test]
fn a_command_that_needs_a_shell_is_refused_by_its_variable() {
    let error = read(&[("function_process", "sh -c 'x'")]).unwrap_err();
    assert!(error.to_string().contains("function_process"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("quote"), "{cause}");
}

#[test]
fn an_upstream_is_a_plain_http_address() {
    for (text, host, port, prefix) in [
        ("http://127.0.0.1:5000", "127.0.0.1", 5000, ""),
        ("http://127.0.0.1:5000/", "127.0.0.1", 5000, ""),
        ("http://localhost/a/b/", "localhost", 80, "/a/b"),
        ("http://[::1]:5000", "::1", 5000, ""),
    ] {
        let upstream: Upstream = text.parse().unwrap();
        assert_eq!(
            (
                upstream.host.as_str(),
                upstream.port,
                upstream.prefix.as_str()
            ),
            (host, port, prefix)
        );
    }
    for text in [
        "127.0.0.1:5000",
        "https://127.0.0.1:5000",
        "http://",
        "http://:80",
        "http://h:port",
        "http://h:99999",
        "http://user@h",
        "http://h/?q",
        "/path",
        "unix:/x",
    ] {
        assert!(text.parse::<Upstream>().is_err(), "{text}");
    }
}

#[test]
fn unsupported_variables_warn_unless_they_are_off() {
    let config = with(&[
        ("write_debug", "true"),
        ("read_debug", "false"),
        ("debug_headers", "anything"),
        ("marshal_request", "0"),
    ]);
    let warnings = config.warnings.join("\n");
    assert!(warnings.contains("write_debug") && warnings.contains("debug_headers"));
    assert_eq!(config.warnings.len(), 2, "{warnings}");
}

#[test]
fn an_environment_does_not_show_its_values() {
    let mut config = with(&[]);
    config.environment.set("TOKEN", "hunter2");
    let shown = format!("{config:?}");
    assert!(
        shown.contains("TOKEN") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert_eq!(config.environment.get("TOKEN").unwrap(), "hunter2");
}
