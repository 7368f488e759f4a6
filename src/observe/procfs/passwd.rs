//! Reads the user names of the file system that the exporter runs in.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use crate::model::user_names::UserNames;

const PASSWD: &str = "/etc/passwd";
/// Longer files are read up to this size.
const MAX_BYTES: u64 = 1 << 20;

/// Reads `/etc/passwd`. Returns no names if the file is missing or unreadable. Other sources of user names, such as
/// LDAP, need the C library's plugins, which a static binary does not have.
#[must_use]
pub fn read_user_names() -> UserNames {
    let mut bytes = Vec::new();
    // Inside a container, the container controls this file: it may be a pipe or endless.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    if let Ok(file) = OpenOptions::new().read(true).custom_flags(nonblocking).open(PASSWD) {
        let _ = file.take(MAX_BYTES).read_to_end(&mut bytes);
    }
    UserNames::parse(&bytes)
}
