//! The BPF task iterator: a file that contains all processes of the machine.

use std::fs::File;
use std::io;

use aya::Ebpf;
use aya::programs::links::LinkError;
use aya::programs::{Iter, ProgramError};

use super::load::program;

/// The program `list_processes`. Keeps the other programs loaded.
pub struct TaskIterator {
    pub(super) ebpf: Ebpf,
}

impl TaskIterator {
    pub(super) const PROGRAM: &str = "list_processes";

    /// Starts a pass. The file contains one `struct process` per process.
    ///
    /// # Errors
    /// The error of the kernel, for example if file descriptors are exhausted.
    pub fn open(&mut self) -> io::Result<File> {
        let iterator: &mut Iter = program(&mut self.ebpf, Self::PROGRAM).map_err(program_error)?;
        let link = iterator.attach().map_err(program_error)?;
        match iterator.take_link(link).map_err(program_error)?.into_file() {
            Ok(file) => Ok(file),
            Err(LinkError::SyscallError(error)) => Err(error.io_error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

fn program_error(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}
