//! A machine made of plain files, and the parts of the exporter that read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pstree_exporter::collect::config::{Bounds, CollectorConfig, SourceFlag};
use pstree_exporter::collect::pipeline::Pipeline;
use pstree_exporter::export::renderer::Renderer;

/// Low limits, so that small inputs reach them.
const BOUNDS: Bounds = Bounds {
    commands_per_container: 5,
    max_containers: 3,
    nodes_per_container: 4,
    nodes_per_host: 8,
    new_nodes_per_hour: 5,
    event_cgroups: 16,
};

/// Directories `proc` and `cgroup`, removed when dropped.
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// A machine without processes.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pstree-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Cargo's directory for tests, if it is set.
        let parent =
            option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, |it| Path::new(it).to_owned());
        let machine = Self { root: parent.join(name) };
        machine.write("proc/stat", b"cpu 1 2 3\nbtime 1700000000\n");
        machine.write("proc/uptime", b"5000.00 1000.00\n");
        machine.write("cgroup/cgroup.controllers", b"pids\n");
        machine
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a scratch directory");
        fs::write(path, content).expect("a scratch file");
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn remove_process(&self, pid: u32) {
        fs::remove_dir_all(self.root.join(format!("proc/{pid}"))).expect("it was there");
    }

    pub fn pipeline(&self) -> Pipeline {
        let config = CollectorConfig {
            procfs: self.root.join("proc"),
            cgroupfs: self.root.join("cgroup"),
            interval: Duration::from_secs(3600),
            source: SourceFlag::Proc,
            bounds: BOUNDS,
            usage: true,
            units: false,
            container_name: None,
        };
        Pipeline::new(&config).expect("a procfs with a process")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A renderer with the Docker label `team`.
pub fn renderer() -> Renderer {
    Renderer::new(vec!["label_team".into()], Default::default(), [("hidepid", false), ("namespace", false)])
}
