//! User names by user id, as `ps` shows them.

use rustc_hash::FxHashMap;

use crate::model::text::label_value;

/// The user names of one file system, by user ids as the exporter reads them.
#[derive(Debug, Default)]
pub struct UserNames {
    names: FxHashMap<u32, String>,
    ids: IdMap,
}

impl UserNames {
    /// Parses `passwd(5)`: lines of `name:password:uid:…`. If several lines have the same user id, the first one
    /// wins. Malformed lines are ignored. `ids` leads to the user ids in the file.
    #[must_use]
    pub fn parse(passwd: &[u8], ids: IdMap) -> Self {
        let mut names = FxHashMap::default();
        for line in passwd.split(|&b| b == b'\n') {
            let mut fields = line.split(|&b| b == b':');
            let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { continue };
            if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
                names.entry(id).or_insert_with(|| label_value(&String::from_utf8_lossy(name)));
            }
        }
        Self { names, ids }
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a user id, or the number itself if it has no name.
    #[must_use]
    pub fn name(&self, id: u32) -> String {
        let name = self.ids.inside(id).and_then(|inside| self.names.get(&inside));
        name.cloned().unwrap_or_else(|| id.to_string())
    }
}

/// How the user ids of the exporter's user namespace are numbered in another one. By default, the same.
#[derive(Debug, Default)]
pub struct IdMap(Option<Vec<IdRange>>);

#[derive(Debug)]
struct IdRange {
    inside: u32,
    outside: u32,
    length: u32,
}

impl IdMap {
    /// Parses `/proc/PID/uid_map` of a process in another user namespace (`user_namespaces(7)`): lines of
    /// `inside outside length`. Malformed lines are ignored.
    #[must_use]
    pub fn parse(uid_map: &[u8]) -> Self {
        let range = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
            Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, length: numbers.next()?? })
        };
        Self(Some(String::from_utf8_lossy(uid_map).lines().filter_map(range).collect()))
    }

    /// The number of a user id in the other namespace; `None` if it has none there.
    fn inside(&self, id: u32) -> Option<u32> {
        let Some(ranges) = &self.0 else { return Some(id) };
        ranges.iter().find_map(|range| {
            let offset = id.checked_sub(range.outside).filter(|&offset| offset < range.length)?;
            range.inside.checked_add(offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_first_valid_line_and_are_sanitized() {
        let users = UserNames::parse(
            b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::\nbad\x1b[31m:x:7:\n:::\nx:y:-1:\nwww-data:x:33:33",
            IdMap::default(),
        );
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(33), "www-data");
        assert_eq!(users.name(7), "bad\u{fffd}[31m");
        assert_eq!(users.name(4711), "4711");
    }

    #[test]
    fn names_in_a_user_namespace_are_those_of_its_own_ids() {
        let map =
            b"         0     100000      1000\n      5000       2000         1\nx y z\n4294967295 9000 2\n";
        let users =
            UserNames::parse(b"root:x:0:\nweb:x:33:\nguest:x:5000:\nnobody:x:65534:", IdMap::parse(map));
        assert_eq!([100_000, 100_033, 2000].map(|id| users.name(id)), ["root", "web", "guest"]);
        for unmapped in [0, 33, 5000, 65_534, 100_999, 101_000, 2001, 9001, u32::MAX] {
            assert_eq!(users.name(unmapped), unmapped.to_string());
        }
        // A namespace that has no ids yet.
        assert_eq!(UserNames::parse(b"root:x:0:", IdMap::parse(b"")).name(0), "0");
    }
}
