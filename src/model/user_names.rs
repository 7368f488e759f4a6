//! Names of users, from the passwd file where we run, as `ps` shows them.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use rustc_hash::FxHashMap;

use crate::model::text::label_value;
use crate::observe::procfs::parse::parse_number;

const PASSWD: &str = "/etc/passwd";
/// Of any machine; what is longer is read up to here.
const MAX_BYTES: u64 = 1 << 20;

/// Names by user id.
#[derive(Debug, Default)]
pub struct Users(FxHashMap<u32, String>);

impl Users {
    /// Reads the file; no names where there is none. No library is asked: a static binary has none of those
    /// that know further sources.
    #[must_use]
    pub fn read() -> Self {
        let mut bytes = Vec::new();
        // Inside a container the file is the container's: it may be a pipe, or without end.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        if let Ok(file) = OpenOptions::new().read(true).custom_flags(nonblocking).open(PASSWD) {
            let _ = file.take(MAX_BYTES).read_to_end(&mut bytes);
        }
        Self::parse(&bytes)
    }

    /// `passwd(5)`: `name:password:uid:…`. The first name of an id counts.
    #[must_use]
    pub fn parse(passwd: &[u8]) -> Self {
        let mut names = FxHashMap::default();
        for line in passwd.split(|&b| b == b'\n') {
            let mut fields = line.split(|&b| b == b':');
            let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(parse_number)) else {
                continue;
            };
            if let Ok(id) = u32::try_from(id) {
                names.entry(id).or_insert_with(|| label_value(&String::from_utf8_lossy(name)));
            }
        }
        Self(names)
    }

    /// The name, else the number.
    #[must_use]
    pub fn name(&self, id: u32) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file_and_harmless() {
        let users = Users::parse(
            b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::\nbad\x1b[31m:x:7:\n:::\nx:y:-1:\nwww-data:x:33:33",
        );
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(33), "www-data");
        assert_eq!(users.name(7), "bad\u{fffd}[31m");
        assert_eq!(users.name(4711), "4711");
    }
}
