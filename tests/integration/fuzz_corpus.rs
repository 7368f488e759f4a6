//! Runs the fuzz checks on every input of the corpus and on every regression; see fuzz/README.md.

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The files in a directory below `fuzz/`, sorted.
fn inputs(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut inputs: Vec<_> = entries.map(|entry| entry.path()).collect();
    inputs.sort();
    inputs
}

/// The corpus, which must not be empty, and the regressions.
fn of_target(name: &str) -> Vec<PathBuf> {
    let corpus = inputs(&format!("corpus/{name}"));
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
    [corpus, inputs(&format!("regressions/{name}"))].concat()
}

fn replay(name: &str, check: fn(&[u8])) {
    for path in of_target(name) {
        let input = fs::read(&path).expect("a file");
        let held = catch_unwind(AssertUnwindSafe(|| check(&input)));
        assert!(held.is_ok(), "{} breaks what {name} states, see above", path.display());
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), checks::$name::check);
        })*

        /// Every target has a test here.
        #[test]
        fn every_corpus_is_replayed() {
            let names = [$(stringify!($name)),*];
            for directory in inputs("corpus").into_iter().chain(inputs("regressions")) {
                let name = directory.file_name().expect("a name").to_string_lossy().into_owned();
                assert!(names.contains(&&*name), "{} has no test here", directory.display());
            }
        }
    };
}

replays! { accept cgroup docker_json exposition request_path stat status web_config }

/// An independent parser of both formats: the Python in `PSTREE_PYTHON` has prometheus-client.
#[cfg(feature = "system-tests")]
#[test]
fn the_python_parser_reads_every_exposition() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let script = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
read = 0
for line in sys.stdin:
    for parse, body in zip((text, openmetrics), json.loads(line)):
        series = [(s.name, tuple(sorted(s.labels.items()))) for f in parse(body) for s in f.samples]
        assert series and len(series) == len(set(series)), 'a series twice'
        read += 1
print(read)
";
    let mut lines = String::new();
    let mut pages = 0;
    for path in of_target("exposition") {
        for page in checks::exposition::collect(&fs::read(path).expect("a file")) {
            pages += 1;
            lines += &format!("{}\n", serde_json::json!([page.text, page.openmetrics]));
        }
    }
    let python = std::env::var("PSTREE_PYTHON").expect("PSTREE_PYTHON has prometheus-client: run make test");
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a Python");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the parser refuses an exposition, see above");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", 2 * pages));
    assert!(pages > 0);
}
