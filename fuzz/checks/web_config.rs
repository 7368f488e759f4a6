//! The web configuration: YAML with any mistakes.

use std::io;

use pstree_exporter::serve::security::config_error::ReadFileError;
use pstree_exporter::serve::security::config_file::WebConfigFile;
use pstree_exporter::serve::security::tls_config::TlsConfig;

use super::shown::{assert_harmless, assert_one_line};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = match WebConfigFile::parse(text) {
        Ok(file) => file,
        Err(error) => {
            let error = error.to_string();
            assert_error(&error);
            if let Some((line, _)) = error.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
                let line: usize = line.parse().expect("a number of a line");
                let end = 1 + text.split(['\n', '\r']).count();
                assert!((1..=end).contains(&line), "line {line} of {end}");
            }
            return;
        }
    };
    if let Some(Err(error)) = file.http_server_config.as_ref().map(|part| part.headers()) {
        assert_error(&error.to_string());
    }
    if let Some(Err(error)) = file.rate_limit.as_ref().map(|part| part.interval()) {
        assert_error(&error.to_string());
    }
    if let Some(part) = &file.tls_server_config {
        // Random input never contains a key that matches a certificate, and files must not be read.
        let no_file =
            |_: &str| Err(ReadFileError { path: "file".into(), error: io::ErrorKind::NotFound.into() });
        assert_error(&TlsConfig::new(part, no_file).expect_err("TLS without a key").to_string());
    }
}

fn assert_error(error: &str) {
    assert_one_line(error);
    assert_harmless(error);
}
