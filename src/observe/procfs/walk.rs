//! Reads processes from a procfs: lists the numbered directories and reads the `stat` of each process, into reused
//! buffers. Also reads other files of single processes.

use std::ffi::CStr;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use crate::model::process::{NsPids, ProcessKey, ProcessRecord, ProcessState, SkipReason, Skipped};
use crate::observe::cgroupfs::namespace_root::NamespaceRoot;
use crate::observe::procfs::parse;
use crate::observe::source::{SourceError, is_exhaustion};
use crate::resolve::process_files::ProcessFiles;

/// Enough for about 1,000 directory entries of procfs.
const DIRECTORY_BUFFER_BYTES: usize = 32 * 1024;
/// Limit on the size of a file. The files of procfs that are read here are shorter.
const MAX_FILE_BYTES: usize = 64 * 1024;
/// Limit on the arguments of a process. Longer ones are truncated.
const MAX_ARGUMENT_BYTES: usize = 4096;
/// Limit on the threads that are read for the state of a group whose leader exited, against hostile processes.
const MAX_THREADS_READ: usize = 8;

/// A procfs, opened once. Files are opened relative to its descriptor, so a new mount at the same path cannot mix two
/// procfs.
pub struct ProcSource {
    path: String,
    root: OwnedFd,
    directory_buffer: Box<[MaybeUninit<u8>]>,
    files: ProcFiles,
}

/// Reads the files of single processes into one reused buffer.
pub struct ProcFiles {
    root: OwnedFd,
    file_path: Vec<u8>,
    buffer: Vec<u8>,
    /// Completes the paths in cgroup files, into the other buffer.
    namespace_root: Option<NamespaceRoot>,
    completed: Vec<u8>,
    /// The error, if descriptors or memory were exhausted.
    exhausted: Option<Errno>,
}

impl ProcSource {
    /// Opens the procfs at `path` (the flag `--path.procfs`).
    ///
    /// # Errors
    /// If it is missing, not a directory, or has no process.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let path_text = path.display().to_string();
        let open =
            || rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let unreadable = |errno: Errno| SourceError::Unreadable {
            path: path_text.clone(),
            source: errno.into(),
            remedy: "set --path.procfs to a mounted procfs",
        };
        let mut source = Self {
            root: open().map_err(unreadable)?,
            files: ProcFiles {
                root: open().map_err(unreadable)?,
                file_path: Vec::with_capacity(64),
                buffer: vec![0; 4096],
                namespace_root: None,
                completed: Vec::new(),
                exhausted: None,
            },
            directory_buffer: vec![MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES].into_boxed_slice(),
            path: path_text,
        };
        let mut is_empty = true;
        source.for_each_pid(|_, _| {
            is_empty = false;
            Ok(ControlFlow::Break(()))
        })?;
        if is_empty { Err(SourceError::NoProcesses { path: source.path }) } else { Ok(source) }
    }

    /// Completes the paths in cgroup files with this root of the exporter's cgroup namespace.
    #[must_use]
    pub fn with_namespace_root(mut self, root: Option<NamespaceRoot>) -> Self {
        self.files.namespace_root = root;
        self
    }

    /// The files of single processes, for use outside of a walk.
    pub fn files(&mut self) -> &mut ProcFiles {
        &mut self.files
    }

    /// Calls `visit` with every process. `visit` can read more files of the process or return a reason to skip it.
    /// Returns how many processes were skipped.
    ///
    /// # Errors
    /// If the procfs cannot be read or has no process, or if descriptors or memory are exhausted. An error of a single
    /// process only skips that process.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(ProcessRecord, &mut ProcFiles) -> Result<(), SkipReason>,
    ) -> Result<Skipped, SourceError> {
        let mut skipped = Skipped::default();
        let mut is_empty = true;
        self.for_each_pid(|pid, files| {
            is_empty = false;
            let outcome = match files.stat(pid) {
                Ok(record) => visit(record, files),
                Err(ReadError::Process(reason)) => Err(reason),
                Err(ReadError::Exhausted(errno)) => return Err(errno),
            };
            files.check_exhaustion()?;
            if let Err(reason) = outcome {
                skipped.count(reason);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if is_empty { Err(SourceError::NoProcesses { path: self.path.clone() }) } else { Ok(skipped) }
    }

    /// Lists the numbered directories and calls `visit` with each pid, until `visit` breaks.
    fn for_each_pid(
        &mut self,
        mut visit: impl FnMut(u32, &mut ProcFiles) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<(), SourceError> {
        let unreadable = |errno: Errno| SourceError::Unreadable {
            path: self.path.clone(),
            source: errno.into(),
            remedy: "check that it is still mounted, and raise ulimit -n if file descriptors are exhausted",
        };
        rustix::fs::seek(&self.root, SeekFrom::Start(0)).map_err(unreadable)?;
        let mut directory = RawDir::new(self.root.as_fd(), &mut self.directory_buffer);
        while let Some(entry) = directory.next() {
            let entry = entry.map_err(unreadable)?;
            let Some(pid) = parse_pid(entry.file_name()) else {
                continue;
            };
            if visit(pid, &mut self.files).map_err(unreadable)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Parses the name of a numbered directory. The kernel makes no names with a leading zero.
fn parse_pid(name: &CStr) -> Option<u32> {
    let name = name.to_bytes();
    if name.first() == Some(&b'0') {
        return None;
    }
    parse::parse_number(name)?.try_into().ok()
}

pub(crate) enum ReadError {
    /// This process must be skipped.
    Process(SkipReason),
    /// Descriptors or memory are exhausted: no file can be read.
    Exhausted(Errno),
}

/// What an errno means for the walk. Files of an exiting process vanish before `open` (ENOENT) or `read` (ESRCH).
fn read_error(errno: Errno) -> ReadError {
    match errno {
        Errno::NOENT | Errno::SRCH => ReadError::Process(SkipReason::Vanished),
        Errno::ACCESS | Errno::PERM => ReadError::Process(SkipReason::Denied),
        errno if is_exhaustion(errno) => ReadError::Exhausted(errno),
        _ => ReadError::Process(SkipReason::Malformed),
    }
}

impl ProcFiles {
    /// Begins a walk.
    pub(crate) fn begin(&mut self) {
        if let Some(root) = &mut self.namespace_root {
            root.confirm();
        }
    }

    /// The root of the exporter's cgroup namespace, if paths are completed with it.
    pub(crate) fn namespace_root(&self) -> Option<&NamespaceRoot> {
        self.namespace_root.as_ref()
    }

    /// Reads one process, as a walk does.
    pub(crate) fn stat(&mut self, pid: u32) -> Result<ProcessRecord, ReadError> {
        let bytes = self.read_file(format_args!("{pid}/stat")).map_err(read_error)?;
        let mut record = parse::parse_stat(pid, bytes).ok_or(ReadError::Process(SkipReason::Malformed))?;
        if record.leader_exited
            && let Some(state) = self.live_thread_state(pid)
        {
            record.state = state;
        }
        Ok(record)
    }

    /// The error, if descriptors or memory were exhausted since the last call.
    pub(crate) fn check_exhaustion(&mut self) -> Result<(), Errno> {
        self.exhausted.take().map_or(Ok(()), Err)
    }

    /// The most active state among the first live threads of a group whose leader exited.
    pub(crate) fn live_thread_state(&mut self, pid: u32) -> Option<ProcessState> {
        self.set_path(format_args!("{pid}/task"));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tasks = rustix::fs::openat(&self.root, path_of(&self.file_path), flags, Mode::empty()).ok()?;
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut directory = RawDir::new(tasks, &mut buffer);
        let mut busiest: Option<ProcessState> = None;
        let mut remaining = MAX_THREADS_READ;
        while let Some(Ok(entry)) = directory.next() {
            let Some(tid) = parse_pid(entry.file_name()).filter(|&tid| tid != pid) else {
                continue;
            };
            let state =
                self.read_file(format_args!("{pid}/task/{tid}/stat")).ok().and_then(parse::parse_state);
            let live = state.filter(|state| !matches!(state, ProcessState::Zombie | ProcessState::Dead));
            busiest = match (busiest, live) {
                (Some(busiest), Some(live)) => Some(busiest.min(live)),
                (busiest, live) => busiest.or(live),
            };
            remaining -= 1;
            if remaining == 0 || busiest == Some(ProcessState::Running) {
                break;
            }
        }
        busiest
    }

    /// The pids in all namespaces and the effective user id, from one file (`status`). Only trees need the latter.
    pub fn identity(&mut self, pid: u32) -> Option<(NsPids, u32)> {
        let status = self.read_file(format_args!("{pid}/status")).ok()?;
        Some((parse::parse_ns_pids(status)?, parse::parse_effective_user(status)?))
    }

    /// Whether this process, not a later one with its pid, is still listed. True if that cannot be determined.
    pub fn is_listed(&mut self, key: ProcessKey) -> bool {
        match self.read_file(format_args!("{}/stat", key.pid)) {
            Ok(stat) => parse::parse_stat(key.pid, stat)
                // BPF and procfs may round the start time to neighbouring ticks.
                .is_none_or(|record| record.key.start_time.abs_diff(key.start_time) <= 1),
            Err(errno) => !matches!(errno, Errno::NOENT | Errno::SRCH),
        }
    }

    /// The procfs.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Opens the directory of a process, which stays that of this process. `None` if the process exited.
    pub(crate) fn open_directory(&mut self, key: ProcessKey) -> Option<OwnedFd> {
        self.set_path(format_args!("{}", key.pid));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(&self.root, path_of(&self.file_path), flags, Mode::empty()).ok()?;
        self.is_listed(key).then_some(directory)
    }

    /// The first bytes of `/proc/PID/cmdline` (`proc_pid_cmdline(5)`), separated by NUL, and `…` if there may be more.
    /// `None` if there are none, or if the process exited.
    ///
    /// Can block forever on a lock of the process's memory, so a walk must not call it.
    pub fn arguments(&mut self, key: ProcessKey) -> Option<Box<[u8]>> {
        self.set_path(format_args!("{}/cmdline", key.pid));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.root, path_of(&self.file_path), flags, Mode::empty()).ok()?;
        let mut buffer = [0; MAX_ARGUMENT_BYTES];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)).ok()?;
        let is_same_process = self.stat(key.pid).is_ok_and(|record| record.key == key);
        let ellipsis = if length == buffer.len() { "…".as_bytes() } else { b"" };
        (is_same_process && length > 0).then(|| [&buffer[..length], ellipsis].concat().into())
    }

    fn set_path(&mut self, path: std::fmt::Arguments<'_>) {
        self.file_path.clear();
        // Writing to a vector cannot fail.
        let _ = self.file_path.write_fmt(path);
        self.file_path.push(0);
    }

    /// Reads a complete file, by its path below the procfs. procfs fills the buffer, so a read that leaves space in it
    /// reached the end: no second read, which would return 0, is necessary.
    fn read_file(&mut self, path: std::fmt::Arguments<'_>) -> Result<&[u8], Errno> {
        self.set_path(path);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.root, path_of(&self.file_path), flags, Mode::empty())?;
        let mut length = 0;
        loop {
            let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut self.buffer[length..]))?;
            length += count;
            if length < self.buffer.len() {
                return Ok(&self.buffer[..length]);
            }
            if length >= MAX_FILE_BYTES {
                return Err(Errno::FBIG);
            }
            self.buffer.resize(2 * length, 0);
        }
    }
}

/// The path set by [`ProcFiles::set_path`], which ends with its only NUL.
fn path_of(file_path: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(file_path).unwrap_or_default()
}

impl ProcessFiles for ProcFiles {
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason> {
        let length = match self.read_file(format_args!("{pid}/cgroup")) {
            Ok(bytes) => bytes.len(),
            // For a path longer than PATH_MAX, Linux 6.1 returns nothing and Linux 6.18 its beginning.
            Err(Errno::NAMETOOLONG) => 0,
            Err(errno) => {
                return Err(match read_error(errno) {
                    ReadError::Process(reason) => reason,
                    ReadError::Exhausted(errno) => {
                        self.exhausted = Some(errno);
                        SkipReason::Denied
                    }
                });
            }
        };
        let file = &self.buffer[..length];
        let Some(root) = &self.namespace_root else { return Ok(file) };
        self.completed.clear();
        root.complete(file, &mut self.completed);
        Ok(&self.completed)
    }

    fn ns_pids(&mut self, pid: u32) -> Option<NsPids> {
        parse::parse_ns_pids(self.read_file(format_args!("{pid}/status")).ok()?)
    }

    fn pid_namespace(&mut self, pid: u32) -> Result<u64, SkipReason> {
        self.set_path(format_args!("{pid}/ns/pid"));
        let mut target = [MaybeUninit::<u8>::uninit(); 64];
        match rustix::fs::readlinkat_raw(&self.root, path_of(&self.file_path), &mut target) {
            Ok((target, _)) => parse::parse_namespace_link(target).ok_or(SkipReason::Malformed),
            Err(Errno::ACCESS | Errno::PERM) => Err(SkipReason::Denied),
            Err(_) => Err(SkipReason::Vanished),
        }
    }
}
