//! Commands in new namespaces. Without root, they run in a new user namespace, in which they may mount.

use std::process::Command;

/// A shell that runs `script` in a new mount namespace and the namespaces of `flags` (`unshare(1)`). In the script, `"$@"`
/// are the arguments that are added to the command.
pub fn unshared(flags: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--kill-child"]).args(flags);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", &format!("set -e; {script}"), "sh"]).env_remove("DOCKER_HOST");
    command
}
