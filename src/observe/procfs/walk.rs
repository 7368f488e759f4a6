//! The walk over a procfs: `readdir`, then open, read and close of each `stat`, into buffers that are kept.

use std::ffi::CStr;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use crate::model::process::{NsPids, ProcessKey, ProcessRecord, ProcessState, SkipReason, Skipped};
use crate::observe::procfs::parse;
use crate::observe::source::{SourceError, is_exhaustion};
use crate::resolve::process_files::ProcessFiles;

/// Holds about 1,000 directory entries of procfs.
const DIRECTORY_BUFFER_BYTES: usize = 32 * 1024;
/// Grows to this for a file that does not fit the buffer; what is longer is no file of procfs that we read.
const MAX_FILE_BYTES: usize = 64 * 1024;
/// Of a command line; a tree shows less.
const MAX_ARGUMENT_BYTES: usize = 4096;
/// Threads looked at for the state of a group whose leader has exited: a bound for a hostile process.
const MAX_THREADS_READ: usize = 8;

/// A procfs, opened once: files are found relative to its descriptor, so a mount that changes underneath
/// cannot mix two of them.
pub struct ProcSource {
    path: String,
    root: OwnedFd,
    directory_buffer: Box<[MaybeUninit<u8>]>,
    files: ProcFiles,
}

/// The files of single processes, read into one reused buffer.
pub struct ProcFiles {
    root: OwnedFd,
    file_path: Vec<u8>,
    buffer: Vec<u8>,
    /// Set where not one process, but reading as a whole has failed.
    exhausted: Option<Errno>,
}

impl ProcSource {
    /// Opens the procfs at `path` (the flag `--path.procfs`).
    ///
    /// # Errors
    /// When it is missing, no directory, or shows no process.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let shown = path.display().to_string();
        let open =
            || rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let unreadable = |errno: Errno| SourceError::Unreadable {
            path: shown.clone(),
            source: errno.into(),
            remedy: "give --path.procfs a mounted procfs",
        };
        let mut source = Self {
            root: open().map_err(unreadable)?,
            files: ProcFiles {
                root: open().map_err(unreadable)?,
                file_path: Vec::with_capacity(64),
                buffer: vec![0; 4096],
                exhausted: None,
            },
            directory_buffer: vec![MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES].into_boxed_slice(),
            path: shown,
        };
        let mut is_empty = true;
        source.each_pid(|_, _| {
            is_empty = false;
            Ok(ControlFlow::Break(()))
        })?;
        if is_empty { Err(SourceError::NoProcesses { path: source.path }) } else { Ok(source) }
    }

    /// The descriptor and files for what is asked outside a walk.
    pub fn files(&mut self) -> &mut ProcFiles {
        &mut self.files
    }

    /// Shows every process to `visit`, which may ask for more of its files at once, while its pid is still
    /// its own, or leave it out by a reason. Returns what was left out.
    ///
    /// # Errors
    /// Only where the procfs as a whole cannot be read, has no process in it, or we have run out of
    /// descriptors or memory; what concerns one process costs that process only.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(ProcessRecord, &mut ProcFiles) -> Result<(), SkipReason>,
    ) -> Result<Skipped, SourceError> {
        let mut skipped = Skipped::default();
        let mut is_empty = true;
        self.each_pid(|pid, files| {
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

    /// Lists the processes from the beginning.
    fn each_pid(
        &mut self,
        mut visit: impl FnMut(u32, &mut ProcFiles) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<(), SourceError> {
        let unreadable = |errno: Errno| SourceError::Unreadable {
            path: self.path.clone(),
            source: errno.into(),
            remedy: "is it still mounted, and are there descriptors left (ulimit -n)?",
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

/// A numbered directory. Names with a leading zero are none of the kernel's.
fn parse_pid(name: &CStr) -> Option<u32> {
    let name = name.to_bytes();
    if name.first() == Some(&b'0') {
        return None;
    }
    parse::parse_number(name)?.try_into().ok()
}

pub(crate) enum ReadError {
    /// This process cannot be shown.
    Process(SkipReason),
    /// We cannot read anything any more: not the fault of the process.
    Exhausted(Errno),
}

/// Files of an exiting process are gone at `open` (ENOENT) or at `read` (ESRCH).
fn classify(errno: Errno) -> ReadError {
    match errno {
        Errno::NOENT | Errno::SRCH => ReadError::Process(SkipReason::Vanished),
        Errno::ACCESS | Errno::PERM => ReadError::Process(SkipReason::Denied),
        errno if is_exhaustion(errno) => ReadError::Exhausted(errno),
        _ => ReadError::Process(SkipReason::Malformed),
    }
}

impl ProcFiles {
    /// One process, as a walk would show it.
    pub(crate) fn stat(&mut self, pid: u32) -> Result<ProcessRecord, ReadError> {
        let bytes = self.read(format_args!("{pid}/stat")).map_err(classify)?;
        let mut record = parse::parse_stat(pid, bytes).ok_or(ReadError::Process(SkipReason::Malformed))?;
        if record.leader_exited
            && let Some(state) = self.live_thread_state(pid)
        {
            record.state = state;
        }
        Ok(record)
    }

    /// Whether not one process, but reading as a whole has failed since this was last asked.
    pub(crate) fn check_exhaustion(&mut self) -> Result<(), Errno> {
        self.exhausted.take().map_or(Ok(()), Err)
    }

    /// The busiest state among the first live threads of a group whose leader has exited.
    pub(crate) fn live_thread_state(&mut self, pid: u32) -> Option<ProcessState> {
        self.set_path(format_args!("{pid}/task"));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tasks = rustix::fs::openat(&self.root, path_of(&self.file_path), flags, Mode::empty()).ok()?;
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut directory = RawDir::new(tasks, &mut buffer);
        let mut busiest: Option<ProcessState> = None;
        let mut left = MAX_THREADS_READ;
        while let Some(Ok(entry)) = directory.next() {
            let Some(tid) = parse_pid(entry.file_name()).filter(|&tid| tid != pid) else {
                continue;
            };
            let state = self.read(format_args!("{pid}/task/{tid}/stat")).ok().and_then(parse::parse_state);
            let alive = state.filter(|state| !matches!(state, ProcessState::Zombie | ProcessState::Dead));
            busiest = match (busiest, alive) {
                (Some(busiest), Some(alive)) => Some(busiest.min(alive)),
                (busiest, alive) => busiest.or(alive),
            };
            left -= 1;
            if left == 0 || busiest == Some(ProcessState::Running) {
                break;
            }
        }
        busiest
    }

    /// What only a tree shows: the pids inside and the effective user, out of one file.
    pub fn identity(&mut self, pid: u32) -> Option<(NsPids, u32)> {
        let status = self.read(format_args!("{pid}/status")).ok()?;
        Some((parse::parse_ns_pids(status)?, parse::parse_effective_user(status)?))
    }

    /// Whether a process, and no later one of its pid, is still listed. Where that cannot be told it is.
    pub fn is_listed(&mut self, key: ProcessKey) -> bool {
        match self.read(format_args!("{}/stat", key.pid)) {
            Ok(stat) => parse::parse_stat(key.pid, stat)
                // The kernel's own list may round to the neighbouring tick.
                .is_none_or(|record| record.key.start_time.abs_diff(key.start_time) <= 1),
            Err(errno) => !matches!(errno, Errno::NOENT | Errno::SRCH),
        }
    }

    /// The first bytes of `/proc/PID/cmdline` (`proc_pid_cmdline(5)`), separated by NUL, with `…` where more may
    /// follow. Can wait for a lock
    /// on the other process's memory without end, so no walk asks for it. `None` where the process is gone,
    /// or its pid another one's.
    pub fn arguments(&mut self, key: ProcessKey) -> Option<Box<[u8]>> {
        self.set_path(format_args!("{}/cmdline", key.pid));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.root, path_of(&self.file_path), flags, Mode::empty()).ok()?;
        let mut buffer = [0; MAX_ARGUMENT_BYTES];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)).ok()?;
        let is_the_same = self.stat(key.pid).is_ok_and(|record| record.key == key);
        let mark = if length == buffer.len() { "…".as_bytes() } else { b"" };
        (is_the_same && length > 0).then(|| [&buffer[..length], mark].concat().into())
    }

    fn set_path(&mut self, path: std::fmt::Arguments<'_>) {
        self.file_path.clear();
        // Writing to a vector cannot fail.
        let _ = self.file_path.write_fmt(path);
        self.file_path.push(0);
    }

    /// Reads a whole file relative to the procfs. A read that leaves room in the buffer has met the end:
    /// procfs fills what it is given, so the second read that would return 0 is saved.
    fn read(&mut self, path: std::fmt::Arguments<'_>) -> Result<&[u8], Errno> {
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

/// The path that [`ProcFiles::set_path`] left, which ends with its only NUL.
fn path_of(file_path: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(file_path).unwrap_or_default()
}

impl ProcessFiles for ProcFiles {
    fn cgroup(&mut self, pid: u32) -> Result<&[u8], SkipReason> {
        let length = match self.read(format_args!("{pid}/cgroup")) {
            Ok(bytes) => bytes.len(),
            // Some kernels (6.1) show nothing of a path that is longer than PATH_MAX, others (6.18) its beginning.
            Err(Errno::NAMETOOLONG) => 0,
            Err(errno) => {
                return Err(match classify(errno) {
                    ReadError::Process(reason) => reason,
                    ReadError::Exhausted(errno) => {
                        self.exhausted = Some(errno);
                        SkipReason::Denied
                    }
                });
            }
        };
        Ok(&self.buffer[..length])
    }

    fn ns_pids(&mut self, pid: u32) -> Option<NsPids> {
        parse::parse_ns_pids(self.read(format_args!("{pid}/status")).ok()?)
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
