//! A parser of the Prometheus text format 0.0.4 that shares no code with the encoders.

use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

/// Samples in the order of the text.
#[derive(Clone, Debug)]
pub struct Exposition {
    pub samples: Vec<(String, Labels, f64)>,
    pub text: String,
}

impl Exposition {
    /// Panics if the text is malformed or a series is duplicated.
    pub fn parse(text: &str) -> Self {
        let mut samples = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, labels, value) = parse_sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
            assert!(seen.insert((name.clone(), labels.clone())), "series twice: {line}");
            samples.push((name, labels, value));
        }
        Self { samples, text: text.to_owned() }
    }

    /// All samples of a family that have these labels.
    pub fn select<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.samples.iter().filter_map(move |(sample, has, value)| {
            let matches =
                labels.iter().all(|&(label, wanted)| has.get(label).is_some_and(|got| got == wanted));
            (sample == name && matches).then_some((has, *value))
        })
    }

    /// The only sample with these labels; `None` if there is none. Panics if there are several.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.select(name, labels);
        let first = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "more than one {name} with {labels:?}");
        first
    }

    /// The sum of all samples with these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.select(name, labels).map(|(_, value)| value).sum()
    }

    /// The names of all containers.
    pub fn container_names(&self) -> Vec<String> {
        self.select("pstree_container_info", &[]).map(|(labels, _)| labels["name"].clone()).collect()
    }
}

fn parse_sample(line: &str) -> Option<(String, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some((series.to_owned(), Labels::new(), value));
    };
    let mut rest = rest.strip_suffix('}')?;
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (_, '\\') => text.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (end, '"') => break end,
                (_, other) => text.push(other),
            }
        };
        if labels.insert(label.to_owned(), text).is_some() {
            return None;
        }
        rest = quoted[end + 1..].strip_prefix(',').unwrap_or(&quoted[end + 1..]);
    }
    Some((name.to_owned(), labels, value))
}
