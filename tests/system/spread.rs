//! Containers by their cgroups, as many and as large as wanted, without an engine.

use std::fs;
use std::path::PathBuf;

use crate::groups::hierarchies;
use crate::support::exposition::{Exposition, Labels};
use crate::support::wait_for;
use crate::support::workload::Workload;

/// Processes and cgroups go when dropped.
pub struct Spread {
    roots: Vec<PathBuf>,
    forest: Option<Workload>,
}

impl Spread {
    pub fn start(containers: usize, size: usize) -> Self {
        Self::start_from(0, containers, size)
    }

    /// Containers that are numbered from `first` on.
    pub fn start_from(first: usize, containers: usize, size: usize) -> Self {
        let roots: Vec<_> = hierarchies().iter().map(|root| root.join("pstree-spread")).collect();
        let mut spread = Self { roots, forest: None };
        for root in &spread.roots {
            fs::create_dir_all(root).expect("cgroups can be made");
        }
        let list: Vec<_> = spread.roots.iter().map(|root| root.display().to_string()).collect();
        let [first, containers, size] = [first, containers, size].map(|number| number.to_string());
        spread.forest = Some(Workload::start(&["spread", &list.join(","), &containers, &size, &first]));
        spread
    }

    /// One more container, of this process and what it starts.
    pub fn add(&self, pid: u32) {
        for root in &self.roots {
            let group = root.join(format!("{:f>64}", ""));
            fs::create_dir(&group).expect("cgroups can be made");
            fs::write(group.join("cgroup.procs"), pid.to_string()).expect("a process can be moved");
        }
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        drop(self.forest.take());
        for root in &self.roots {
            let groups = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
            for group in groups.filter(|path| path.is_dir()).chain([root.clone()]) {
                if std::thread::panicking() {
                    let _ = fs::remove_dir(&group);
                } else {
                    wait_for("the cgroup is empty", || fs::remove_dir(&group).ok());
                }
            }
        }
    }
}

/// Those of a [`Spread`], whatever else runs.
pub fn is_spread(labels: &Labels) -> bool {
    labels.get("id").is_some_and(|id| id.starts_with("/pstree-spread/"))
}

pub fn processes(metrics: &Exposition) -> f64 {
    let all = metrics.select("pstree_container_processes", &[]);
    all.filter(|(labels, _)| is_spread(labels)).map(|(_, value)| value).sum()
}
