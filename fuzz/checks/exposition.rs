//! The complete path: files of many processes and Docker's responses, through the pipeline, to both formats.
//!
//! An input is a list of records. Each record ends with the byte 0x1E, and its fields are separated by 0x1F:
//!
//! | record | fields |
//! |---|---|
//! | `pPID` | command, `state parent threads start flags`, `cgroup`, `status`; without the second the first is all of `stat` |
//! | `xPID` | the process exits |
//! | `d` | a list of containers in the format of the Docker API |
//! | `fFILE` | a digit and the content: a file of the cgroup of that digit's container |
//! | `n` | a collection; one more follows at the end |
//!
//! `%1` to `%9` in a field stand for ids of 64 equal digits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pstree_exporter::collect::pipeline::Pipeline;
use pstree_exporter::export::rendered::{Encoding, Format};
use pstree_exporter::export::renderer::Renderer;
use pstree_exporter::model::collection::{ApiStatus, NamesStatus};
use pstree_exporter::names::docker_list::decode_list;
use pstree_exporter::names::known_names::KnownNames;
use pstree_exporter::names::registry::Names;

use super::machine::{Machine, renderer};
use super::shown::{assert_harmless, assert_label};

#[path = "../../tests/support/exposition.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
#[allow(clippy::duplicate_mod, reason = "fuzzing has no other way to it, and the tests load both")]
mod reader;
use reader::Exposition;

const MOST_COLLECTIONS: usize = 4;
const MOST_PROCESSES: usize = 64;
const FILES: [&str; 6] =
    ["pids.current", "pids.max", "pids.peak", "pids.events", "cgroup.events", "cgroup.procs"];

/// One collection in both formats.
pub struct Page {
    pub text: String,
    pub openmetrics: String,
}

pub fn check(data: &[u8]) {
    collect(data);
}

/// Checks every collection. Returns the pages for other parsers.
pub fn collect(data: &[u8]) -> Vec<Page> {
    let mut run = Run::default();
    for record in data.split(|&byte| byte == 0x1e) {
        let mut fields = record.split(|&byte| byte == 0x1f);
        let (kind, key) = fields.next().unwrap_or_default().split_at_checked(1).unwrap_or_default();
        let key = std::str::from_utf8(key).unwrap_or_default();
        let mut field = || with_ids(fields.next().unwrap_or_default());
        match kind {
            b"p" => run.add(key, [field(), field(), field(), field()]),
            b"x" => run.remove(key),
            b"d" => run.ask_docker(&field()),
            b"f" => run.write_file(key, &field(), &field()),
            b"n" if run.pages.len() + 1 < MOST_COLLECTIONS => run.collect(),
            _ => {}
        }
    }
    run.collect();
    run.pages
}

fn with_ids(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    loop {
        match rest {
            [b'%', digit @ b'1'..=b'9', more @ ..] => {
                out.extend([*digit; 64]);
                rest = more;
            }
            [byte, more @ ..] => {
                out.push(*byte);
                rest = more;
            }
            [] => return out,
        }
    }
}

struct Run {
    machine: Machine,
    pids: BTreeSet<u32>,
    /// Created for the first collection.
    parts: Option<(Pipeline, KnownNames, Renderer)>,
    known: Names,
    skipped: f64,
    counters: BTreeMap<String, f64>,
    pages: Vec<Page>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            machine: Machine::new(),
            pids: BTreeSet::new(),
            parts: None,
            known: Names::default(),
            skipped: 0.0,
            counters: BTreeMap::new(),
            pages: Vec::new(),
        }
    }
}

fn pid_of(key: &str) -> Option<u32> {
    key.parse().ok().filter(|&pid| pid > 0 && !key.starts_with(['0', '+']))
}

impl Run {
    fn add(&mut self, key: &str, [comm, numbers, cgroup, status]: [Vec<u8>; 4]) {
        let Some(pid) = pid_of(key).filter(|_| self.pids.len() < MOST_PROCESSES) else { return };
        let numbers = String::from_utf8_lossy(&numbers).into_owned();
        let mut stat = comm;
        if !numbers.is_empty() {
            let mut numbers = numbers.split(' ');
            let mut next = |usual: &str| numbers.next().unwrap_or(usual).to_owned();
            let (state, parent, threads, start, flags) =
                (next("S"), next("1"), next("1"), next("9"), next("0"));
            stat = [format!("{pid} (").as_bytes(), &stat].concat();
            let tail = format!(
                ") {state} {parent} 1 1 0 -1 {flags} 1 0 0 0 1 2 0 0 20 0 {threads} 0 {start} 1000 200 0\n"
            );
            stat.extend(tail.into_bytes());
        }
        for (file, content) in [("stat", stat), ("cgroup", cgroup), ("status", status)] {
            self.machine.write(&format!("proc/{pid}/{file}"), &content);
        }
        self.pids.insert(pid);
    }

    fn remove(&mut self, key: &str) {
        if let Some(pid) = pid_of(key).filter(|pid| self.pids.remove(pid)) {
            self.machine.remove_process(pid);
        }
    }

    fn ask_docker(&mut self, body: &[u8]) {
        if let Ok(list) = decode_list(body, &["team".to_owned()]) {
            self.known = Names::of_engine(list.directory);
        }
    }

    fn write_file(&mut self, file: &str, digit: &[u8], content: &[u8]) {
        if let (true, [digit @ b'1'..=b'9']) = (FILES.contains(&file), digit) {
            let id = String::from_utf8_lossy(&[*digit; 64]).into_owned();
            self.machine.write(&format!("cgroup/docker/{id}/{file}"), content);
        }
    }

    fn collect(&mut self) {
        if self.pids.is_empty() {
            return;
        }
        let (pipeline, names, renderer) =
            self.parts.get_or_insert_with(|| (self.machine.pipeline(), KnownNames::default(), renderer()));
        let snapshot = pipeline.collect().expect("a collection of what is there");
        let status = ApiStatus { up: Some(true), duration: 0.0, last_success: Some(1.0) };
        let apis =
            NamesStatus { docker: vec![("unix:///docker.sock".into(), status)], ..NamesStatus::default() };
        let at = (Instant::now(), Duration::from_secs(3600));
        let named = names.join(&snapshot, &self.known, None).snapshot;
        let published = renderer.render(named, &pipeline.status(), &apis, None, at);
        let body = |format| {
            let bytes = published.body(Encoding { format, gzip: false });
            String::from_utf8(bytes.into()).expect("UTF-8")
        };
        let page = Page { text: body(Format::Text), openmetrics: body(Format::OpenMetrics) };
        self.check(&page);
        self.pages.push(page);
    }

    fn check(&mut self, page: &Page) {
        // This parser rejects duplicate series.
        let metrics = Exposition::parse(&page.text);
        let other = Exposition::parse(page.openmetrics.strip_suffix("# EOF\n").expect("an end"));
        assert_eq!(metrics.samples, other.samples, "both formats say the same");

        let all = |name| metrics.sum(name, &[]);
        let skipped = all("pstree_collection_skipped_processes_total");
        let shown = all("pstree_container_processes") + all("pstree_host_processes");
        assert_eq!(shown + skipped - self.skipped, self.pids.len() as f64, "every process, once");
        self.skipped = skipped;

        for (labels, processes) in metrics.select("pstree_container_processes", &[]) {
            let id = &[("id", labels["id"].as_str())][..];
            for parts in ["processes_by_state", "processes_by_depth", "tree_node_processes"] {
                assert_eq!(
                    metrics.sum(&format!("pstree_container_{parts}"), id),
                    processes,
                    "{parts} of {id:?}"
                );
            }
        }
        for (name, labels, value) in &metrics.samples {
            for (label, text) in labels {
                // An id is never truncated, because it identifies the container.
                if label == "id" { assert_harmless(text) } else { assert_label(text) }
            }
            assert!(value.is_finite() && *value >= 0.0, "{name} {value}");
        }
        self.compare_counters(&metrics);
    }

    fn compare_counters(&mut self, metrics: &Exposition) {
        let counters = metrics.samples.iter().filter(|(name, ..)| name.ends_with("_total"));
        let now: BTreeMap<String, f64> =
            counters.map(|(name, labels, value)| (format!("{name}{labels:?}"), *value)).collect();
        for (series, value) in &now {
            let before = self.counters.get(series).copied().unwrap_or_default();
            assert!(*value >= before, "{series} fell from {before} to {value}");
        }
        self.counters = now;
    }
}
