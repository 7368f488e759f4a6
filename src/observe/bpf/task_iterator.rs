//! The BPF task iterator: a file whose content is all processes of the machine.

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

    /// Begins a pass: the file yields records of `struct process`, and then ends.
    ///
    /// # Errors
    /// The kernel's, such as when no descriptor is left.
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
