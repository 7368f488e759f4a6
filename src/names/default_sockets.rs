//! The sockets that container engines and runtimes create by default.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::endpoint::Endpoint;

/// Docker's socket, and that of Podman's service (podman-system-service(1)). In a container, `/var/run` is often no link.
const DOCKER: [&str; 3] = ["var/run/docker.sock", "run/docker.sock", "run/podman/podman.sock"];
/// The same of a user, below `/run/user/<uid>`. Only that user and root may look there.
const ROOTLESS: [&str; 2] = ["docker.sock", "podman/podman.sock"];
const USERS: &str = "run/user";
/// containerd, CRI-O, k3s, k0s and MicroK8s.
const CRI: [&str; 5] = [
    "run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
];
/// Limit on the engines that are used at the same time.
const MAX_SOCKETS: usize = 32;

/// The sockets with the Docker API that exist below `root`: of Docker, of Podman, and of every user.
#[must_use]
pub(crate) fn docker(root: &Path) -> Vec<Endpoint> {
    let users = fs::read_dir(root.join(USERS)).into_iter().flatten().flatten();
    let mut users: Vec<PathBuf> = users.map(|entry| entry.path()).collect();
    users.sort();
    // A user could link the path to another socket.
    let is_socket =
        |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let of_users = users.iter().flat_map(|user| ROOTLESS.map(|socket| user.join(socket))).filter(is_socket);
    existing(DOCKER.iter().map(|path| root.join(path)).chain(of_users))
}

/// The sockets with the CRI API that exist below `root`.
#[must_use]
pub(crate) fn cri(root: &Path) -> Vec<Endpoint> {
    existing(CRI.iter().map(|path| root.join(path)))
}

/// Those that exist. A socket with two paths is one engine: the package podman-docker links one path to the other.
fn existing(paths: impl Iterator<Item = PathBuf>) -> Vec<Endpoint> {
    let mut targets = Vec::new();
    let found = paths.filter(|path| {
        let target = fs::canonicalize(path).ok().filter(|target| !targets.contains(target));
        target.map(|target| targets.push(target)).is_some()
    });
    found.take(MAX_SOCKETS).map(Endpoint::Unix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn finds_every_socket_once() {
        let root = std::env::temp_dir().join(format!("pstree-sockets-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        assert_eq!(docker(&root), []);
        let socket = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a scratch directory");
            drop(UnixListener::bind(&path).expect("a socket"));
            Endpoint::Unix(path)
        };
        let podman = socket("run/podman/podman.sock");
        let rootless = [socket("run/user/1000/docker.sock"), socket("run/user/1001/podman/podman.sock")];
        assert_eq!(docker(&root), [podman, rootless[0].clone(), rootless[1].clone()]);
        // The first path is kept.
        symlink(root.join("run/podman/podman.sock"), root.join("run/docker.sock")).expect("a link");
        let linked = Endpoint::Unix(root.join("run/docker.sock"));
        assert_eq!(docker(&root), [linked, rootless[0].clone(), rootless[1].clone()]);

        let crio = socket("run/crio/crio.sock");
        assert_eq!(cri(&root), [crio]);
        fs::remove_dir_all(&root).expect("remove");
    }
}
