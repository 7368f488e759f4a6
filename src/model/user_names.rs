//! User names by user id, as `ps` shows them.

use rustc_hash::FxHashMap;

use crate::model::text::label_value;

/// User names by user id.
#[derive(Debug, Default)]
pub struct UserNames(FxHashMap<u32, String>);

impl UserNames {
    /// Parses `passwd(5)`: lines of `name:password:uid:…`. If several lines have the same user id, the first one
    /// wins. Malformed lines are ignored.
    #[must_use]
    pub fn parse(passwd: &[u8]) -> Self {
        let mut names = FxHashMap::default();
        for line in passwd.split(|&b| b == b'\n') {
            let mut fields = line.split(|&b| b == b':');
            let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { continue };
            if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
                names.entry(id).or_insert_with(|| label_value(&String::from_utf8_lossy(name)));
            }
        }
        Self(names)
    }

    /// The name of a user id, or the number itself if it has no name.
    #[must_use]
    pub fn name(&self, id: u32) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_first_valid_line_and_are_sanitized() {
        let users = UserNames::parse(
            b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::\nbad\x1b[31m:x:7:\n:::\nx:y:-1:\nwww-data:x:33:33",
        );
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(33), "www-data");
        assert_eq!(users.name(7), "bad\u{fffd}[31m");
        assert_eq!(users.name(4711), "4711");
    }
}
