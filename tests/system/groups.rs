//! Cgroups as Docker's cgroupfs driver makes them, without Docker: faster, and for what it never does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::wait_for;

/// A container's cgroup in every hierarchy that tells containers apart; removed when dropped.
pub struct Group {
    /// The label `id`.
    pub id: String,
    directories: Vec<PathBuf>,
}

/// Where this machine's hierarchies are.
pub fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    // In this order: the exporter believes in the unified one, unless it finds a container in the other alone.
    ["unified", "pids"].map(|name| root.join(name)).into_iter().filter(|path| path.is_dir()).collect()
}

impl Group {
    /// `digits` are filled up to a container id.
    pub fn make(digits: &str) -> Self {
        let id = format!("/pstree-test/{digits:0>64}");
        let directories: Vec<_> = hierarchies().iter().map(|root| root.join(&id[1..])).collect();
        for directory in &directories {
            fs::create_dir_all(directory).expect("cgroups can be made");
        }
        Self { id, directories }
    }

    pub fn add(&self, pid: u32) {
        for directory in &self.directories {
            fs::write(directory.join("cgroup.procs"), pid.to_string()).expect("a process can be moved");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            if !std::thread::panicking() {
                wait_for("the cgroup is empty", || fs::remove_dir(directory).ok());
            }
            let _ = fs::remove_dir(directory.parent().expect("a parent"));
        }
    }
}
