//! The shipped rules with every duration divided by a factor, so that tests are faster.

use std::path::{Path, PathBuf};

/// The rule files that are shipped.
pub fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let entries = std::fs::read_dir(directory).expect("the directory").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    files.sort();
    files
}

/// Divides all durations (`30s`, `10m`, `1d`) and the horizon of `predict_linear`, which is in seconds without a unit.
/// Counts, rates per second and other numbers are not changed.
pub fn faster(rules: &str, factor: u32) -> String {
    let mut out = String::new();
    let mut previous = ' ';
    let mut rest = rules;
    while let Some(first) = rest.chars().next() {
        let is_inside_word = previous.is_ascii_alphanumeric() || previous == '_' || previous == '.';
        let length = if is_inside_word { None } else { duration(rest) };
        if let Some((milliseconds, length)) = length {
            out += &format!("{}ms", milliseconds / u64::from(factor));
            previous = 's';
            rest = &rest[length..];
        } else if let Some(horizon) = out.ends_with("ms], ").then(|| digits(rest)).filter(|it| !it.is_empty())
        {
            out += &(horizon.parse::<u64>().expect("digits") / u64::from(factor)).to_string();
            previous = '0';
            rest = &rest[horizon.len()..];
        } else {
            out.push(first);
            previous = first;
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

/// The duration in milliseconds, and the length of its text in bytes.
fn duration(text: &str) -> Option<(u64, usize)> {
    let digits = digits(text);
    let amount: u64 = digits.parse().ok()?;
    let unit = text[digits.len()..].chars().next()?;
    let milliseconds = match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let length = digits.len() + 1;
    let ends = !text[length..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    ends.then_some((amount * milliseconds, length))
}
