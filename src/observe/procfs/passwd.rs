//! Reads user names from the root directory of a process.
//!
//! A container controls its files: `etc/passwd` may be a pipe, a device, a link to any path, endless, or in a file system
//! that never answers.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustc_hash::FxHashMap;
use rustix::fs::{FileType, FsWord, Mode, OFlags, ResolveFlags};

use crate::model::process::ProcessKey;
use crate::model::user_names::{IdMap, UserNames};
use crate::observe::procfs::parse::parse_namespace_link;
use crate::observe::procfs::reader_pool::{ReadTimeouts, ReaderPool};
use crate::observe::procfs::walk::ProcFiles;
use crate::observe::source::SourceError;

/// Longer files are read up to this size.
const MAX_BYTES: u64 = 1 << 20;
/// Containers whose file system never answers block one thread each.
const THREADS: usize = 4;

/// Threads that read user names.
#[derive(Debug)]
pub struct UserNameReaders(ReaderPool);

impl UserNameReaders {
    /// Starts the threads.
    ///
    /// # Errors
    /// As [`ReaderPool::start`].
    pub fn start(procfs: &Path, timeouts: ReadTimeouts) -> Result<Self, SourceError> {
        ReaderPool::start("user names", procfs, THREADS, timeouts).map(Self)
    }

    /// The user names in the root directory of each process, together at most `max` names. Processes whose root directory
    /// is not accessible, has no names, or cannot be read in time are missing.
    pub async fn read(
        &self,
        keys: impl Iterator<Item = ProcessKey>,
        max: usize,
    ) -> FxHashMap<ProcessKey, UserNames> {
        let mut names = FxHashMap::default();
        let mut left = max;
        let accept = |key, found: UserNames| match left.checked_sub(found.len()) {
            Some(rest) => {
                left = rest;
                names.insert(key, found);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        };
        self.0.read(keys, read_user_names, accept).await;
        names
    }
}

/// Reads `etc/passwd` below the root directory of a process. Other sources of user names, such as LDAP, need the C
/// library's plugins, which a static binary does not have.
fn read_user_names(files: &mut ProcFiles, key: ProcessKey) -> Option<UserNames> {
    let process = files.open_directory(key)?;
    let ids = id_map(files, &process)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(&process, c"root", flags, Mode::empty()).ok()?;
    Some(UserNames::parse(&read_passwd(&root)?, ids))
}

/// The complete lines in the first part of the file.
fn read_passwd(root: &OwnedFd) -> Option<Vec<u8>> {
    // Links are resolved as the process itself would. With O_PATH, nothing is opened yet: no device, and no pipe.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(root, c"etc/passwd", flags, Mode::empty(), inside).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found).ok()?.st_mode);
    if kind != FileType::RegularFile || is_of_kernel(&found) {
        return None;
    }
    // Does not wait for the owner of a lease (`fcntl(2)`).
    let flags = OFlags::NONBLOCK.bits() as i32;
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 == MAX_BYTES {
        let last_line = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        bytes.truncate(last_line);
    }
    Some(bytes)
}

/// Whether a file is in a file system of the kernel, where to read some regular files consumes what they contain, for
/// example `/proc/kmsg` and `trace_pipe`. Links lead there from a container.
fn is_of_kernel(file: &OwnedFd) -> bool {
    // statfs(2)
    const SYSFS: FsWord = 0x6265_6572;
    const DEBUGFS: FsWord = 0x6462_6720;
    const TRACEFS: FsWord = 0x7472_6163;
    const SECURITYFS: FsWord = 0x7363_6673;
    let kernel = [rustix::fs::PROC_SUPER_MAGIC, SYSFS, DEBUGFS, TRACEFS, SECURITYFS];
    rustix::fs::fstatfs(file).map_or(true, |found| kernel.contains(&found.f_type))
}

/// How user ids that the exporter reads are numbered in the user namespace of a process (`user_namespaces(7)`). `None` if
/// that cannot be determined.
fn id_map(files: &ProcFiles, process: &OwnedFd) -> Option<IdMap> {
    let namespace = |directory: &OwnedFd, link: &CStr| {
        let target = rustix::fs::readlinkat(directory, link, Vec::new()).ok()?;
        parse_namespace_link(target.as_bytes())
    };
    // For a process in the reader's own namespace, `uid_map` shows another relation: to the parent namespace.
    if namespace(process, c"ns/user")? == namespace(files.root(), c"self/ns/user")? {
        return Some(IdMap::default());
    }
    let file =
        rustix::fs::openat(process, c"uid_map", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    File::from(file).take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(IdMap::parse(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_recognized() {
        let open = |path: &str| OwnedFd::from(File::open(path).expect(path));
        assert!(is_of_kernel(&open("/proc/self/status")));
        assert!(!is_of_kernel(&open("/proc/self/exe")), "the program itself, through a link");
    }
}
