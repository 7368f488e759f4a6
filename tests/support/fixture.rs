//! Fixtures: procfs and cgroupfs trees made of plain files, which replace a machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Exporter;

/// The container of [`Fixture::with_container`].
pub const CONTAINER_ID: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";

/// A directory with `proc` and `cgroup`, removed when dropped.
pub struct Fixture {
    root: PathBuf,
}

/// A directory in memory if there is space for the largest fixture, because a busy disk takes a minute to write its
/// small files.
fn scratch() -> &'static Path {
    const ROOM: u64 = 1 << 30;
    let memory = Path::new("/dev/shm");
    match rustix::fs::statvfs(memory) {
        Ok(it) if it.f_bavail * it.f_frsize >= ROOM => memory,
        _ => Path::new(env!("CARGO_TARGET_TMPDIR")),
    }
}

/// The content of `cgroup` for a member of the container.
pub fn container_cgroup() -> String {
    format!("0::/docker/{CONTAINER_ID}\n")
}

/// One process. The default values are those of an ordinary sleeping process.
#[derive(Clone, Debug)]
pub struct Process<'a> {
    pub pid: u32,
    pub parent: u32,
    pub comm: &'a [u8],
    pub state: char,
    pub threads: u32,
    /// Clock ticks since boot.
    pub start: u64,
    pub flags: u64,
    pub cpu_ticks: u64,
    pub resident_pages: u64,
    /// The content of `cgroup`.
    pub cgroup: &'a str,
    /// The values of `NSpid`; only the pid if empty.
    pub inner_pids: &'a str,
    /// Effective user id.
    pub user: u32,
    /// Separated by NUL; no file if empty.
    pub arguments: &'a [u8],
}

impl Default for Process<'_> {
    fn default() -> Self {
        Self {
            pid: 1,
            parent: 0,
            comm: b"init",
            state: 'S',
            threads: 1,
            start: 100,
            flags: 0x0040_0000,
            cpu_ticks: 3,
            resident_pages: 200,
            cgroup: "0::/init.scope\n",
            inner_pids: "",
            user: 0,
            arguments: b"",
        }
    }
}

impl Process<'_> {
    pub fn stat(&self) -> Vec<u8> {
        let Self { pid, parent, state, threads, start, flags, cpu_ticks, resident_pages, .. } = self;
        // In user mode, all but one tick.
        let user_ticks = cpu_ticks.saturating_sub(1);
        let system_ticks = cpu_ticks - user_ticks;
        let mut stat = format!("{pid} (").into_bytes();
        stat.extend_from_slice(self.comm);
        let tail = format!(
            ") {state} {parent} {pid} {pid} 0 -1 {flags} 100 0 0 0 {user_ticks} {system_ticks} 0 0 20 0 {threads} 0 {start} 1000000 \
             {resident_pages} \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        stat.extend_from_slice(tail.as_bytes());
        stat
    }
}

impl Fixture {
    /// An empty machine that booted at Unix time 1700000000.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pstree-fixture-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let fixture = Self { root: scratch().join(name) };
        fixture.write("proc/stat", "cpu  1 2 3 4 5 6 7 8 9 10\nbtime 1700000000\nprocesses 1\n");
        fixture.write("proc/sys/kernel/pid_max", "4194304\n");
        fixture.write("proc/sys/kernel/threads-max", "127000\n");
        fs::create_dir_all(fixture.root.join("cgroup")).expect("a scratch directory");
        fixture
    }

    /// A machine with an init, and a container of one process, pid 10.
    pub fn with_container() -> Self {
        let fixture = Self::new();
        fixture.process(&Process::default());
        fixture.member(10, 1, 200);
        fixture
    }

    /// A process named `worker` in the container.
    pub fn member(&self, pid: u32, parent: u32, start: u64) {
        let cgroup = container_cgroup();
        self.process(&Process { pid, parent, start, comm: b"worker", cgroup: &cgroup, ..Process::default() });
    }

    /// Replaces the file atomically: an exporter that reads it at the same time gets either the old or the new content.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        let directory = path.parent().expect("a parent");
        fs::create_dir_all(directory).expect("a scratch directory");
        let unfinished = directory.join(".unfinished");
        fs::write(&unfinished, content).expect("a scratch file");
        fs::rename(&unfinished, path).expect("a scratch file");
    }

    pub fn process(&self, process: &Process<'_>) -> &Self {
        let pid = process.pid;
        self.write(&format!("proc/{pid}/stat"), process.stat());
        self.write(&format!("proc/{pid}/cgroup"), process.cgroup);
        let inner =
            if process.inner_pids.is_empty() { pid.to_string() } else { process.inner_pids.to_owned() };
        let user = process.user;
        let status = format!("Name:\tx\nPid:\t{pid}\nUid:\t0\t{user}\t0\t0\nNSpid:\t{inner}\n");
        self.write(&format!("proc/{pid}/status"), status);
        if !process.arguments.is_empty() {
            self.write(&format!("proc/{pid}/cmdline"), process.arguments);
        }
        self
    }

    /// Sets the pid namespace of a process.
    pub fn namespace(&self, pid: u32, inode: u64) -> &Self {
        let directory = self.root.join(format!("proc/{pid}/ns"));
        fs::create_dir_all(&directory).expect("a scratch directory");
        symlink(format!("pid:[{inode}]"), directory.join("pid")).expect("a scratch link");
        self
    }

    /// Sets the user namespace of a process. That of the exporter is 1.
    pub fn user_namespace(&self, pid: u32, inode: u64) -> &Self {
        for (process, inode) in [("self".to_owned(), 1), (pid.to_string(), inode)] {
            let link = self.root.join(format!("proc/{process}/ns/user"));
            fs::create_dir_all(link.parent().expect("a parent")).expect("a scratch directory");
            if !link.is_symlink() {
                symlink(format!("user:[{inode}]"), link).expect("a scratch link");
            }
        }
        self
    }

    /// Gives a process a root directory with these user names, and the user namespace of the exporter.
    pub fn passwd(&self, pid: u32, names: &str) -> &Self {
        self.write(&format!("proc/{pid}/root/etc/passwd"), names);
        self.user_namespace(pid, 1)
    }

    pub fn remove(&self, path: &str) {
        let path = self.root.join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it was there");
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Starts an exporter that reads this fixture.
    pub fn exporter(&self, more: &[&str]) -> Exporter {
        let flags = self.flags();
        let arguments: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Exporter::start(&arguments)
    }

    /// Flags that make an exporter read this fixture instead of the machine.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--path.procfs={}", self.root.join("proc").display()),
            format!("--path.cgroupfs={}", self.root.join("cgroup").display()),
        ]
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
