//! `/proc/PID/status`: the pids in each namespace and the effective user.

use pstree_exporter::model::process::NsPids;
use pstree_exporter::observe::procfs::parse::{parse_effective_user, parse_ns_pids};

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pids: Option<Vec<u32>> =
        values(&text, "NSpid:").and_then(|values| values.iter().map(|value| number(value)).collect());
    let expected = pids.filter(|pids| !pids.is_empty()).map(|pids| NsPids {
        pid: pids[pids.len() - 1],
        level: pids.len() - 1,
        below: pids.get(1).copied(),
    });
    assert_eq!(parse_ns_pids(data), expected);

    let user = values(&text, "Uid:").and_then(|values| number(values.get(1)?));
    assert_eq!(parse_effective_user(data), user);
}

/// The values on the first line that begins with this key.
fn values<'a>(text: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let line = text.split('\n').find(|line| line.starts_with(key))?;
    Some(line[key.len()..].split_ascii_whitespace().collect())
}

fn number(text: &str) -> Option<u32> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}
