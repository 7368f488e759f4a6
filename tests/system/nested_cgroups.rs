//! Cgroups that a container nests so deeply that the kernel cannot report their path.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};

use crate::support::{Exporter, wait_for};
use crate::testkit::cgroups::{ContainerCgroup, hierarchies};

/// Each has the longest possible name: together they exceed PATH_MAX.
const LEVELS: usize = 18;

/// Cgroups below one another, outermost first. Removed when dropped.
struct Nest(Vec<OwnedFd>);

fn name() -> String {
    "n".repeat(250)
}

impl Nest {
    fn below(group: &PathBuf) -> Self {
        let open = |at: &OwnedFd, path: &str| {
            openat(at, path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a directory")
        };
        let outermost = openat(CWD, group, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let mut all = vec![outermost.expect("a directory")];
        for _ in 0..LEVELS {
            let last = all.last().expect("one at least");
            mkdirat(last, name(), Mode::RWXU).expect("root may create cgroups");
            all.push(open(last, &name()));
        }
        Self(all)
    }

    fn add(&self, pid: u32) {
        let procs = openat(
            self.0.last().expect("one at least"),
            "cgroup.procs",
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let written =
            rustix::io::write(procs.expect("the kernel provides it").as_fd(), pid.to_string().as_bytes());
        written.expect("root may move processes");
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        self.0.pop();
        while let Some(last) = self.0.pop() {
            let remove = || unlinkat(&last, name(), AtFlags::REMOVEDIR).ok();
            if std::thread::panicking() {
                remove();
            } else {
                wait_for("the cgroup is empty", remove);
            }
        }
    }
}

/// A shell that starts three children when it reads a line, and kills them when it is dropped.
struct Parent(Child);

impl Parent {
    fn start() -> Self {
        let script = "read go; for i in 1 2 3; do sleep 1000 & done; trap 'kill $(jobs -p)' TERM; wait";
        let child = Command::new("bash").args(["-c", script]).stdin(Stdio::piped()).spawn();
        Self(child.expect("bash is installed"))
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn processes_in_deeply_nested_cgroups_are_counted() {
    for source in ["proc", "bpf"] {
        let group = ContainerCgroup::new("d1");
        let flags = ["--no-docker", "--collection.interval=100ms"];
        let exporter = Exporter::start(&[&flags[..], &[&format!("--collection.source={source}")]].concat());
        let nests: Vec<Nest> =
            hierarchies().iter().map(|root| Nest::below(&root.join(&group.id[1..]))).collect();
        let mut parent = Parent::start();
        group.add(parent.0.id());
        let label = [("id", group.id.as_str())];
        let processes = |count: f64| {
            exporter.scrape_until(&format!("{count} processes with {source}"), |metrics| {
                (metrics.value("pstree_container_processes", &label) == Some(count)).then(|| metrics.clone())
            })
        };
        processes(1.0);
        nests.iter().for_each(|nest| nest.add(parent.0.id()));
        parent.0.stdin.take().expect("it is piped").write_all(b"go\n").expect("it reads");
        let metrics = processes(4.0);
        let malformed = [("reason", "malformed")];
        assert_eq!(metrics.value("pstree_collection_skipped_processes_total", &malformed), Some(0.0));
        // The result does not change in later collections.
        for _ in 0..10 {
            exporter.fresh_scrape();
        }
        processes(4.0);
        drop(parent);
        drop(nests);
        drop(exporter);
    }
}
