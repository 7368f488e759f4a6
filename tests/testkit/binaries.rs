//! The exporter's binary in the forms that some tests require.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::BINARY;

/// The static release binary, as it is shipped; `make static` builds it.
pub fn static_binary() -> String {
    std::env::var("PSTREE_STATIC_BINARY")
        .expect("PSTREE_STATIC_BINARY is the path of the static binary: run make system")
}

/// A copy that every user can execute: other users may not be able to enter the build directory.
pub fn public_binary() -> String {
    let directory = std::env::temp_dir().join(format!("pstree-public-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a scratch directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("our own directory");
    let path = directory.join("pstree-exporter");
    if !path.exists() {
        fs::copy(BINARY, &path).expect("the binary is built");
    }
    path.display().to_string()
}
