//! If the source provides cgroup ids, files are read only for unknown ids, and a path is not used before the id is
//! confirmed.

use std::sync::Arc;
use std::time::Duration;

use pstree_exporter::model::container_table::ContainerTable;
use pstree_exporter::model::process::{
    Comm, Membership, NsPids, ProcessKey, ProcessRecord, ProcessState, SkipReason,
};
use pstree_exporter::model::process_table::ProcessTable;
use pstree_exporter::model::usage::Usage;
use pstree_exporter::resolve::cgroup_owners::Owner;
use pstree_exporter::resolve::process_files::{KernelFields, ProcessFiles};
use pstree_exporter::resolve::resolver::ContainerResolver;

const WEB: &str = "/docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// One cgroup file for all processes, and how often it was read.
struct Files {
    cgroup: String,
    reads: usize,
}

impl ProcessFiles for Files {
    fn cgroup(&mut self, _: u32) -> Result<&[u8], SkipReason> {
        self.reads += 1;
        Ok(self.cgroup.as_bytes())
    }

    fn ns_pids(&mut self, _: u32) -> Option<NsPids> {
        panic!("the kernel has told it")
    }

    fn pid_namespace(&mut self, _: u32) -> Result<u64, SkipReason> {
        panic!("the kernel has told it")
    }
}

struct Machine {
    resolver: ContainerResolver,
    containers: ContainerTable,
    table: Arc<ProcessTable>,
    files: Files,
    interval: Duration,
    now: Duration,
}

impl Machine {
    fn new(cgroup: String) -> Self {
        Self::at_interval(Duration::from_secs(5), cgroup)
    }

    fn at_interval(interval: Duration, cgroup: String) -> Self {
        Self {
            resolver: ContainerResolver::new(None, interval),
            containers: ContainerTable::new(100),
            table: Arc::default(),
            files: Files { cgroup, reads: 0 },
            interval,
            now: Duration::ZERO,
        }
    }

    /// Collects processes in one cgroup. Returns their memberships and how many files were read.
    fn collect(&mut self, pids: &[u32], cgroup_id: u64) -> (Vec<Membership>, usize) {
        let before = self.files.reads;
        self.now += self.interval;
        self.containers.begin(self.now);
        self.resolver.begin(self.interval);
        let mut records = Vec::new();
        for &pid in pids {
            let record = ProcessRecord {
                key: ProcessKey { start_time: 1, pid },
                parent_pid: 1,
                threads: 1,
                state: ProcessState::Sleeping,
                kernel_thread: false,
                comm: Comm::default(),
                membership: Membership::HOST,
                leader_exited: false,
                has_terminal: false,
                ns_pid: 1,
                usage: Usage::default(),
            };
            let ns_pids = NsPids { pid: 1, level: 1, below: Some(1) };
            let fields = KernelFields { cgroup_id, ns_pids, pid_namespace: 7 };
            let (files, containers) = (&mut self.files, &mut self.containers);
            let resolved = self.resolver.resolve(record, Some(&fields), files, containers, &mut records);
            resolved.expect("the file can be read");
        }
        self.resolver.finish(&mut self.files, &mut self.containers, &mut records);
        self.containers.note_present();
        let found = records.iter().map(|record| record.membership).collect();
        self.table = Arc::new(ProcessTable { records, ..ProcessTable::default() });
        self.resolver.end(Arc::clone(&self.table));
        (found, self.files.reads - before)
    }

    fn learn_sightings(&mut self) {
        for (id, sighting) in self.resolver.unconfirmed_cgroups.drain() {
            self.resolver.cgroups.learn(id, sighting.owner);
        }
    }
}

#[test]
fn a_known_container_costs_no_read() {
    let mut machine = Machine::new(format!("0::{WEB}/inside\n"));
    let (found, reads) = machine.collect(&[10], 5);
    assert_eq!((found.len(), found[0].slot().is_some(), reads), (1, true, 1));
    let sighting = &machine.resolver.unconfirmed_cgroups[&5];
    assert_eq!(&*sighting.path, format!("{WEB}/inside"));
    assert!(matches!(&sighting.owner, Owner::Container(container) if &*container.path == WEB));
    // The id is not confirmed, so the file is read again.
    assert_eq!(machine.collect(&[10, 11], 5).1, 1);
    machine.collect(&[10, 11], 5);
    let (_, reads) = machine.collect(&[10, 11, 12], 5);
    assert_eq!(reads, 1);
    machine.learn_sightings();
    let (found, reads) = machine.collect(&[10, 11, 12, 13, 14], 5);
    assert_eq!(reads, 0);
    assert!(found.iter().all(|&membership| membership == found[0]));
}

#[test]
fn a_container_that_comes_back_gets_a_slot_by_its_id_alone() {
    let mut machine = Machine::new(format!("0::{WEB}\n"));
    machine.collect(&[10], 5);
    machine.learn_sightings();
    machine.collect(&[], 5);
    assert_eq!(machine.containers.present().count(), 0);
    let (found, reads) = machine.collect(&[20], 5);
    assert_eq!(reads, 0);
    let entry = machine.containers.get(found[0].slot().expect("in it"));
    assert_eq!(&*entry.expect("a used slot").container.path, WEB);
}

#[test]
fn the_host_costs_no_read_on_cgroup_v2_alone() {
    let mut v2 = Machine::new("0::/user.slice\n".into());
    v2.collect(&[10, 11], 6);
    v2.learn_sightings();
    assert_eq!(v2.collect(&[10, 11, 12], 6), (vec![Membership::HOST; 3], 0));

    // In cgroup v1 a process can be in a container, independent of cgroup v2.
    let mut hybrid = Machine::new("8:pids:/\n0::/user.slice\n".into());
    hybrid.collect(&[10, 11], 6);
    hybrid.learn_sightings();
    assert_eq!(hybrid.collect(&[10, 11, 12], 6), (vec![Membership::HOST; 3], 3));
}

#[test]
fn a_systemd_unit_is_known_by_its_id_and_not_certain_as_long_as_a_container_is_possible() {
    let cgroup = "/system.slice/nginx.service";
    let with_units = |cgroup: String| {
        let mut machine = Machine::new(cgroup);
        machine.resolver = ContainerResolver::new(None, machine.interval).with_units(true);
        machine
    };
    let mut v2 = with_units(format!("0::{cgroup}/worker\n"));
    let unit = v2.collect(&[10, 11], 6).0[0];
    assert!(unit.is_on_host() && unit.slot().is_some());
    v2.learn_sightings();
    assert_eq!(v2.collect(&[10, 11, 12], 6), (vec![unit; 3], 0));
    // A runtime starts the first process of a container in its own unit.
    v2.files.cgroup = format!("0::{WEB}\n");
    let (found, reads) = v2.collect(&[10], 7);
    assert!(!found[0].is_on_host() && reads == 1, "{found:?}");

    let mut hybrid = with_units(format!("8:pids:{cgroup}\n1:name=systemd:{cgroup}\n0::{cgroup}\n"));
    let unit = hybrid.collect(&[10], 6).0[0];
    hybrid.learn_sightings();
    assert_eq!(hybrid.collect(&[10], 6), (vec![unit], 1), "it can be in a container in cgroup v1");
    assert!(!hybrid.resolver.has_v1_only_containers());
    for _ in 0..20 {
        hybrid.files.cgroup = format!("1:name=systemd:{cgroup}\n0::/\n");
        assert_eq!(hybrid.collect(&[10], 1).0, [unit], "only cgroup v1 has the unit");
        hybrid.learn_sightings();
    }
    assert!(!hybrid.resolver.has_v1_only_containers(), "BPF finds all containers");
}

#[test]
fn a_v1_only_container_is_detected() {
    // A runtime without CPU time may take up to ten seconds to move a process.
    for (interval, enough) in [(100, 100), (999, 11), (1_000, 10), (5_000, 3), (60_000, 3)] {
        let cgroup = format!("8:pids:{WEB}\n0::/\n");
        let mut machine = Machine::at_interval(Duration::from_millis(interval), cgroup);
        for collection in 1..=enough {
            let (found, reads) = machine.collect(&[10], 1);
            assert!(found[0].slot().is_some());
            assert_eq!(reads, 1, "until it is settled");
            assert!(machine.resolver.unconfirmed_cgroups.is_empty(), "the root is no container");
            assert_eq!(machine.resolver.has_v1_only_containers(), collection == enough);
        }
    }
}

#[test]
fn a_cgroup_that_the_kernel_does_not_show_is_the_parents() {
    let mut machine = Machine::new(format!("0::{WEB}\n"));
    let parent = machine.collect(&[1], 5).0[0];
    assert!(parent.slot().is_some());
    // As on Linux 6.1 with a path longer than PATH_MAX.
    machine.files.cgroup = String::new();
    assert_eq!(machine.collect(&[1, 12], 6).0, [parent; 2]);
    // The parent has exited.
    assert_eq!(machine.collect(&[12], 6).0, [parent]);
}

#[test]
fn a_container_that_is_being_moved_is_not_v1_only() {
    let mut machine = Machine::new(format!("8:pids:{WEB}\n0::/\n"));
    machine.collect(&[10], 1);
    machine.collect(&[10], 1);
    machine.files.cgroup = format!("8:pids:{WEB}\n0::{WEB}\n");
    machine.collect(&[10], 5);
    machine.learn_sightings();
    assert_eq!(machine.collect(&[10, 11], 5).1, 0);
    assert!(!machine.resolver.has_v1_only_containers());
    assert!(
        matches!(machine.resolver.cgroups.owner(5), Some(Owner::Container(container)) if &*container.path == WEB)
    );
}

#[test]
fn a_process_that_moves_is_found_by_its_new_cgroup_id_at_once() {
    let mut machine = Machine::new(format!("0::{WEB}\n"));
    let web = machine.collect(&[10], 5).0[0];
    machine.learn_sightings();
    let database = WEB.replace('a', "b");
    machine.files.cgroup = format!("0::{database}\n");
    let (found, _) = machine.collect(&[10], 6);
    assert!(found[0].slot().is_some() && found[0] != web);
    machine.learn_sightings();
    // It moves back. Both cgroups are known, so no file is read.
    assert_eq!(machine.collect(&[10], 5), (vec![web], 0));
    machine.files.cgroup = "0::/user.slice\n".into();
    assert_eq!(machine.collect(&[10], 7), (vec![Membership::HOST], 1));
}
