//! The pages in a real Chromium, with real containers. `tests/browser/pages.mjs` simulates the user.

use std::path::Path;
use std::process::Command;

use crate::support::{Exporter, wait_for};
use crate::testkit::engine::Engine;

#[test]
fn the_pages_work_in_a_browser() {
    let engine = Engine::shared();
    engine.run_workload("calm", &[], &["fan", "2"]);
    engine.run_workload("careless", &[], &["zombies", "3"]);
    engine.run(
        "busy",
        &[
            "--",
            "/bin/sh",
            "-c",
            "/bin/workload chain 12 & /bin/workload threads 9 & /bin/workload fan 30 & wait",
        ],
    );
    let hex: String = "<script>alert(1)".bytes().take(15).map(|byte| format!("{byte:02x}")).collect();
    engine.run_workload("hostile", &["--init"], &["name", &hex]);
    let exporter = Exporter::start(&[&engine.flag(), "--collection.interval=500ms"]);
    wait_for("all containers with their names", || {
        let list = exporter.get("/", &[]).text();
        ["calm", "careless", "busy", "hostile"]
            .iter()
            .all(|name| list.contains(&format!(">{name}<")))
            .then_some(())
    });
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&out).expect("a scratch directory");
    let run = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/pages.mjs"))
        .env("PAGES", format!("http://{}", exporter.address))
        .env("OUT", &out)
        .env("DOCKER_HOST", engine.address())
        .output()
        .expect("node is installed");
    let output = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&output));
}
