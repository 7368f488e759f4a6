//! Many containers of any size without an engine: cgroups with real processes.

use std::fs;
use std::path::PathBuf;

use crate::support::exposition::{Exposition, Labels};
use crate::support::workload::Workload;
use crate::testkit::cgroups::{hierarchies, remove_cgroup};

/// Processes and cgroups are removed when dropped.
pub struct SyntheticContainers {
    roots: Vec<PathBuf>,
    forest: Option<Workload>,
}

impl SyntheticContainers {
    /// Containers with `size` processes each: one parent and its children.
    pub fn start(containers: usize, size: usize) -> Self {
        Self::start_from(0, containers, size)
    }

    /// Containers with ids counted from `first`.
    pub fn start_from(first: usize, containers: usize, size: usize) -> Self {
        let roots: Vec<_> = hierarchies().iter().map(|root| root.join("pstree-synthetic")).collect();
        let mut all = Self { roots, forest: None };
        for root in &all.roots {
            fs::create_dir_all(root).expect("root may create cgroups");
        }
        let list: Vec<_> = all.roots.iter().map(|root| root.display().to_string()).collect();
        let [first, containers, size] = [first, containers, size].map(|number| number.to_string());
        all.forest = Some(Workload::start(&["spread", &list.join(","), &containers, &size, &first]));
        all
    }

    /// Adds one container with this process and what it starts later.
    pub fn add(&self, pid: u32) {
        for root in &self.roots {
            let group = root.join(format!("{:f>64}", ""));
            fs::create_dir(&group).expect("root may create cgroups");
            fs::write(group.join("cgroup.procs"), pid.to_string()).expect("root may move processes");
        }
    }
}

impl Drop for SyntheticContainers {
    fn drop(&mut self) {
        drop(self.forest.take());
        for root in &self.roots {
            let groups = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
            groups.filter(|path| path.is_dir()).for_each(|path| remove_cgroup(&path));
            remove_cgroup(root);
        }
    }
}

/// Whether a series belongs to one of [`SyntheticContainers`].
pub fn is_synthetic(labels: &Labels) -> bool {
    labels.get("id").is_some_and(|id| id.starts_with("/pstree-synthetic/"))
}

/// The number of processes in synthetic containers only.
pub fn processes(metrics: &Exposition) -> f64 {
    let all = metrics.select("pstree_container_processes", &[]);
    all.filter(|(labels, _)| is_synthetic(labels)).map(|(_, value)| value).sum()
}
