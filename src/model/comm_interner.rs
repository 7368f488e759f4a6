//! Maps commands to small numbers, so that each distinct command is made printable only once.

use std::collections::HashMap;

use super::process::{Comm, ProcessRecord};
use super::text::comm_text;

/// The id of a displayed command. Two commands that are displayed as the same text have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommId(u32);

impl CommId {
    /// The number, for keys that are packed into integers.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

/// All known commands, and the command of each process of the last collection.
#[derive(Debug, Default)]
pub struct CommInterner {
    /// Both maps use a seeded hasher, because containers choose the keys.
    by_comm: HashMap<Comm, CommId>,
    by_text: HashMap<Box<str>, CommId>,
    texts: Vec<Box<str>>,
    /// Command ids by index in the process table.
    ids: Vec<CommId>,
    previous_ids: Vec<CommId>,
}

impl CommInterner {
    /// Maximum number of commands kept between collections. If the table exceeds it, the table is cleared.
    const MAX_KEPT: usize = 16_384;

    /// Finds the command of every record. `previous_index` returns the index of the same process in `previous`, the
    /// records of the last call. A process with an unchanged command requires no lookup.
    pub fn intern_all(
        &mut self,
        records: &[ProcessRecord],
        previous: &[ProcessRecord],
        previous_index: impl Fn(usize) -> Option<usize>,
    ) {
        std::mem::swap(&mut self.ids, &mut self.previous_ids);
        self.ids.clear();
        let is_reset = self.by_comm.len() > Self::MAX_KEPT;
        if is_reset {
            self.by_comm.clear();
            self.by_text.clear();
            self.texts.clear();
        }
        for (index, record) in records.iter().enumerate() {
            let known = previous_index(index)
                .filter(|&at| !is_reset && previous[at].comm == record.comm)
                .and_then(|at| self.previous_ids.get(at).copied());
            let id = known.unwrap_or_else(|| self.intern(record.comm));
            self.ids.push(id);
        }
    }

    /// The id of one command.
    pub fn intern(&mut self, comm: Comm) -> CommId {
        if let Some(&id) = self.by_comm.get(&comm) {
            return id;
        }
        let text = comm_text(comm.as_bytes());
        let id = match self.by_text.get(&*text) {
            Some(&id) => id,
            None => {
                let id = CommId(self.texts.len() as u32);
                self.texts.push(text.as_ref().into());
                self.by_text.insert(text.into(), id);
                id
            }
        };
        self.by_comm.insert(comm, id);
        id
    }

    /// The command of a process of the last collection, by index in the process table.
    #[must_use]
    pub fn id_at(&self, index: usize) -> CommId {
        self.ids[index]
    }

    /// The displayed text of a command.
    #[must_use]
    pub fn text(&self, id: CommId) -> &str {
        &self.texts[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Membership, ProcessKey, ProcessState};
    use crate::model::usage::Usage;

    fn record(comm: &[u8]) -> ProcessRecord {
        ProcessRecord {
            key: ProcessKey { start_time: 1, pid: 1 },
            parent_pid: 0,
            threads: 1,
            state: ProcessState::Sleeping,
            kernel_thread: false,
            comm: Comm::new(comm),
            membership: Membership::HOST,
            leader_exited: false,
            has_terminal: false,
            ns_pid: 0,
            usage: Usage::default(),
        }
    }

    #[test]
    fn commands_that_look_the_same_share_an_id_and_a_renamed_process_changes_its_own() {
        let mut interner = CommInterner::default();
        let first = [record(b"a;b"), record(b"a:b"), record(b"sh")];
        interner.intern_all(&first, &[], |_| None);
        assert_eq!(interner.id_at(0), interner.id_at(1));
        let second = [record(b"sh"), record(b"nginx")];
        interner.intern_all(&second, &first, |index| Some(index + 1));
        assert_eq!([0, 1].map(|index| interner.text(interner.id_at(index))), ["sh", "nginx"]);
    }
}
