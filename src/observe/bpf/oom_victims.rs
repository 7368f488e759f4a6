//! The processes that the kernel's OOM killer ended.

use std::io;

use aya::maps::{MapData, MapError, Queue};

use super::counters::map_error;
use crate::model::process::Comm;

const MAX_PATH: usize = 8;
const COMM_BYTES: usize = 16;
/// Size of `struct oom_victim` of the BPF program.
const VICTIM_BYTES: usize = 8 * (2 + MAX_PATH) + COMM_BYTES * (1 + MAX_PATH);

/// A process that the OOM killer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomVictim {
    pub cgroup_id: u64,
    pub comm: Comm,
    /// In nanoseconds.
    pub lifetime: u64,
    /// The cgroups and commands of up to eight ancestors, the parent first. Also those outside the container.
    pub ancestors: [(u64, Comm); MAX_PATH],
}

/// The queue of the BPF programs.
pub struct OomVictims(pub(super) Queue<MapData, [u8; VICTIM_BYTES]>);

impl OomVictims {
    /// Removes the oldest victim from the queue.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn pop(&mut self) -> io::Result<Option<OomVictim>> {
        match self.0.pop(0) {
            Ok(bytes) => Ok(Some(parse(&bytes))),
            Err(MapError::ElementNotFound) => Ok(None),
            Err(error) => Err(map_error(error)),
        }
    }
}

fn parse(bytes: &[u8; VICTIM_BYTES]) -> OomVictim {
    let (numbers, comms) = bytes.split_at(8 * (2 + MAX_PATH));
    let numbers = numbers.as_chunks().0;
    let number = |index: usize| numbers.get(index).map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    let comm = |index: usize| Comm::from_padded(comms.get(COMM_BYTES * index..).unwrap_or_default());
    OomVictim {
        cgroup_id: number(0),
        lifetime: number(1),
        comm: comm(0),
        ancestors: std::array::from_fn(|level| (number(2 + level), comm(1 + level))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_the_order_of_the_structure() {
        let mut bytes = [0; VICTIM_BYTES];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[8..16].copy_from_slice(&9_000_000_000_u64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&8_u64.to_ne_bytes());
        bytes[80..87].copy_from_slice(b"python3");
        bytes[96..104].copy_from_slice(b"gunicorn");
        let victim = parse(&bytes);
        assert_eq!(
            (victim.cgroup_id, victim.lifetime, victim.comm),
            (7, 9_000_000_000, Comm::new(b"python3"))
        );
        assert_eq!(victim.ancestors[0], (8, Comm::new(b"gunicorn")));
        assert_eq!(victim.ancestors[1], (0, Comm::new(b"")));
    }
}
