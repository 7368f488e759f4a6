//! Cgroups that tests create themselves: containers without an engine, and limits for the exporter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::wait_for;

/// The mount points of this machine's hierarchies that identify containers.
pub fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    // In this order: the exporter uses the unified hierarchy unless it finds a container only in the other one.
    ["unified", "pids"].map(|name| root.join(name)).into_iter().filter(|path| path.is_dir()).collect()
}

/// Waits until the cgroup has no process left, and removes it. A panicking test does not wait.
pub fn remove_cgroup(path: &Path) {
    if std::thread::panicking() {
        let _ = fs::remove_dir(path);
        return;
    }
    wait_for("the cgroup is empty", || match fs::remove_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => None,
        _ => Some(()),
    });
}

/// A cgroup as Docker's cgroupfs driver creates it for a container, in every hierarchy. Removed when dropped.
///
/// Faster than a container of an engine, and usable for what engines do not do.
pub struct ContainerCgroup {
    /// The label `id`.
    pub id: String,
    directories: Vec<PathBuf>,
}

impl ContainerCgroup {
    /// `digits` are padded to the length of a container id.
    pub fn new(digits: &str) -> Self {
        let id = format!("/pstree-test/{digits:0>64}");
        let directories: Vec<_> = hierarchies().iter().map(|root| root.join(&id[1..])).collect();
        for directory in &directories {
            fs::create_dir_all(directory).expect("root may create cgroups");
        }
        Self { id, directories }
    }

    /// One in each hierarchy.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    pub fn add(&self, pid: u32) {
        for directory in &self.directories {
            fs::write(directory.join("cgroup.procs"), pid.to_string()).expect("root may move processes");
        }
    }
}

impl Drop for ContainerCgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            remove_cgroup(directory);
            let _ = fs::remove_dir(directory.parent().expect("a parent"));
        }
    }
}

/// A cgroup of one controller, to limit the exporter itself. Removed when dropped, so it is created before the
/// exporter.
pub struct LimitedCgroup(PathBuf);

impl LimitedCgroup {
    pub fn new(controller: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = root.join(controller);
        let root = if v1.join("cgroup.procs").exists() {
            v1
        } else {
            let enable = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
            enable.expect("the controller is available");
            root.to_owned()
        };
        let group = root.join(format!("pstree-own-{}", std::process::id()));
        fs::create_dir_all(&group).expect("root may create cgroups");
        Self(group)
    }

    /// The first of these files that exists: names differ between cgroup versions.
    pub fn file(&self, names: &[&str]) -> PathBuf {
        let mut files = names.iter().map(|name| self.0.join(name));
        files
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("none of {names:?} in {}", self.0.display()))
    }

    pub fn set(&self, names: &[&str], value: impl ToString) {
        let file = self.file(names);
        fs::write(&file, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// A command that runs `binary` in this cgroup; arguments can be added.
    pub fn command(&self, binary: &str) -> Command {
        let mut command = Command::new("sh");
        let join = format!("echo $$ >{}/cgroup.procs && exec {binary} \"$@\"", self.0.display());
        command.args(["-c", &join, "exporter"]).env_remove("DOCKER_HOST");
        command
    }
}

impl Drop for LimitedCgroup {
    fn drop(&mut self) {
        remove_cgroup(&self.0);
    }
}

/// A cgroup with a pids limit, for containers below it (`--cgroup-parent`). Removed when dropped, so it is created before
/// the engine. Engines also create it in the other hierarchies.
pub struct LimitedParent(String);

impl LimitedParent {
    pub fn new(name: &str, limit: u32) -> Self {
        let hierarchies = hierarchies();
        let root = hierarchies.last().expect("a hierarchy with the pids controller");
        let directory = root.join(name);
        fs::create_dir_all(&directory).expect("root may create cgroups");
        fs::write(directory.join("pids.max"), limit.to_string()).expect("the pids controller");
        Self(name.to_owned())
    }
}

impl Drop for LimitedParent {
    fn drop(&mut self) {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(&self.0)) {
            if directory.is_dir() {
                remove_cgroup(&directory);
            }
        }
    }
}
