//! The events of the BPF programs by cgroup and command.

use std::io;

use aya::maps::{Array, HashMap, MapData, MapError};

use super::counters::map_error;
use crate::model::command_counts::CommandCounts;
use crate::model::process::Comm;

/// `struct command_key` of the BPF program: cgroup id, generation, command.
const KEY_BYTES: usize = 32;
/// `struct command_counts` of the BPF program, as numbers.
type Value = [u64; 6];

/// The maps of the BPF programs.
pub struct CommandCounters {
    commands: HashMap<MapData, [u8; KEY_BYTES], Value>,
    generation: Array<MapData, u64>,
    /// The generation that the programs use.
    current: u64,
    finished: Vec<[u8; KEY_BYTES]>,
}

impl CommandCounters {
    pub(super) fn new(
        commands: HashMap<MapData, [u8; KEY_BYTES], Value>,
        generation: Array<MapData, u64>,
    ) -> Self {
        Self { commands, generation, current: 0, finished: Vec::new() }
    }

    /// Begins a new generation. The programs that still count in the old one end within microseconds.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn begin_generation(&mut self) -> io::Result<()> {
        self.generation.set(0, self.current + 1, 0).map_err(map_error)?;
        self.current += 1;
        Ok(())
    }

    /// Removes the entries of old generations and calls `show` with each: the id of the cgroup, the command, and its
    /// events. The command is empty for the commands above the limit of a cgroup.
    ///
    /// # Errors
    /// The error of the kernel. Entries that were not passed to `show` stay in the map.
    pub fn drain(&mut self, mut show: impl FnMut(u64, Comm, CommandCounts)) -> io::Result<()> {
        self.finished.clear();
        for key in self.commands.keys() {
            let key = key.map_err(map_error)?;
            if parse_key(&key).1 != self.current {
                self.finished.push(key);
            }
        }
        for key in &self.finished {
            let (cgroup_id, _, comm) = parse_key(key);
            match self.commands.get(key, 0) {
                Ok(value) => {
                    self.commands.remove(key).map_err(map_error)?;
                    show(cgroup_id, comm, parse_value(&value));
                }
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(map_error(error)),
            }
        }
        Ok(())
    }
}

/// Cgroup id, generation and command.
fn parse_key(key: &[u8; KEY_BYTES]) -> (u64, u64, Comm) {
    let (numbers, comm) = key.split_at(16);
    let mut ids = [0; 2];
    for (id, bytes) in ids.iter_mut().zip(numbers.as_chunks().0) {
        *id = u64::from_ne_bytes(*bytes);
    }
    (ids[0], ids[1], Comm::from_padded(comm))
}

fn parse_value(value: &Value) -> CommandCounts {
    let &[forks, execs, failure, signal, oom_kills, _] = value;
    CommandCounts { forks, execs, exits: [failure, signal, oom_kills] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_in_the_order_of_the_structures() {
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&4711_u64.to_ne_bytes());
        key[8..16].copy_from_slice(&3_u64.to_ne_bytes());
        key[16..20].copy_from_slice(b"date");
        assert_eq!(parse_key(&key), (4711, 3, Comm::new(b"date")));
        let counts = CommandCounts { forks: 1, execs: 2, exits: [3, 4, 5] };
        assert_eq!(parse_value(&[1, 2, 3, 4, 5, 64]), counts);
    }
}
