//! Names of Kubernetes containers, from the names of log files. No file is opened, and no socket or token is required.
//!
//! The kubelet creates a link `<pod>_<namespace>_<container>-<container id>.log` in `/var/log/containers` for every
//! container, and a directory `<namespace>_<pod>_<pod uid>` in `/var/log/pods` for every pod
//! (pkg/kubelet/kuberuntime/legacy.go and helpers.go). The second is for pods whose links are truncated: a file name
//! has at most 255 bytes, and the container id is at the end.

use std::fs;
use std::path::Path;

use super::config::LogDirectories;
use super::kubernetes::KubernetesNames;
use crate::model::container_metadata::PodContainer;

/// Limit on the entries that are read from a directory, more than a node has.
const MAX_ENTRIES: usize = 20_000;

/// Reads the names of all containers. `None` if neither directory can be read.
#[must_use]
pub fn read_names(directories: &LogDirectories) -> Option<KubernetesNames> {
    let mut names = KubernetesNames::default();
    let has_containers = for_each_file_name(&directories.containers, |name| {
        if let Some((id, name)) = parse_link(name) {
            names.add_container(id, name);
        }
    });
    let has_pods = for_each_file_name(&directories.pods, |name| {
        if let Some([namespace, pod, uid]) = parse_pod_directory(name) {
            names.add_pod(uid, namespace, pod);
        }
    });
    (has_containers || has_pods).then_some(names)
}

/// Calls `with` for every name in a directory that is valid UTF-8. Returns whether it can be read.
fn for_each_file_name(directory: &Path, mut with: impl FnMut(&str)) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    for entry in entries.flatten().take(MAX_ENTRIES) {
        entry.file_name().to_str().into_iter().for_each(&mut with);
    }
    true
}

/// Parses `<pod>_<namespace>_<container>-<container id>.log`.
fn parse_link(name: &str) -> Option<(&str, PodContainer)> {
    let (names, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
    let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let [pod, namespace, container] = three_parts(names)?;
    (is_id && [pod, namespace, container].into_iter().all(is_kubernetes_name)).then(|| {
        let name = PodContainer {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
            ..PodContainer::default()
        };
        (id, name)
    })
}

/// Parses `<namespace>_<pod>_<pod uid>` into these three.
fn parse_pod_directory(name: &str) -> Option<[&str; 3]> {
    let [namespace, pod, uid] = three_parts(name)?;
    let is_uid = !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (is_uid && [namespace, pod].into_iter().all(is_kubernetes_name)).then_some([namespace, pod, uid])
}

/// The three parts between the underscores; `None` if there are more or fewer.
fn three_parts(name: &str) -> Option<[&str; 3]> {
    let mut parts = name.split('_');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

/// Whether this can be the name of a pod, namespace or container (RFC 1123 subdomain).
fn is_kubernetes_name(name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let is_outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.iter().all(|&b| is_inner(b)) && is_outer(bytes.first()) && is_outer(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";

    #[test]
    fn a_link_has_pod_namespace_container_and_id() {
        let link = format!("web-0_default_app-{ID}.log");
        let (id, name) = parse_link(&link).expect("a link of the kubelet");
        assert_eq!(id, ID);
        assert_eq!((&*name.namespace, &*name.pod, &*name.container), ("default", "web-0", "app"));
        let dots = format!("kube-proxy.node-1_kube-system_kube-proxy-{ID}.log");
        assert_eq!(parse_link(&dots).expect("a link").1.pod, "kube-proxy.node-1");
    }

    #[test]
    fn other_files_name_no_container() {
        let short = &ID[1..];
        for name in [
            String::new(),
            "..".to_owned(),
            ".log".to_owned(),
            "syslog".to_owned(),
            format!("web-0_default_app-{ID}"),
            format!("web-0_default_app-{short}.log"),
            format!("web-0_default_app-{short}g.log"),
            format!("web-0_default_app-{}.log", ID.to_uppercase()),
            format!("web-0_app-{ID}.log"),
            format!("web-0_default_x_app-{ID}.log"),
            format!("_default_app-{ID}.log"),
            format!("../../etc_default_app-{ID}.log"),
            format!("web-0_default_a\npp-{ID}.log"),
            format!("web-0_default_app\u{202e}-{ID}.log"),
            format!("WEB_default_app-{ID}.log"),
            // Truncated by the kubelet.
            format!("{}_default_app-b43d92bf1e5c.log", "x".repeat(230)),
        ] {
            assert_eq!(parse_link(&name), None, "{name:?}");
        }
    }

    #[test]
    fn a_pod_directory_has_namespace_pod_and_uid() {
        let uid = "6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";
        let directory = format!("default_web-0_{uid}");
        assert_eq!(parse_pod_directory(&directory), Some(["default", "web-0", uid]));
        for name in ["default_web-0", "default_web-0_", "default_web-0_x/y", "_web_1", "a_b_c_1"] {
            assert_eq!(parse_pod_directory(name), None, "{name}");
        }
    }
}
