//! A separate containerd with its CRI plugin, as on a node of Kubernetes, with its own data and socket. Pods use the
//! network of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::support::{wait_for, workload};
use crate::testkit::child::KillOnDrop;
use crate::testkit::cri_api::{
    CONTAINER, ContainerConfig, ContainerId, ContainerMetadata, CreateContainer, Empty, ImageSpec,
    Int64Value, LinuxContainerConfig, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, NODE, NamespaceOption, PodSandboxConfig, PodSandboxId,
    PodSandboxMetadata, RunPodSandbox,
};

/// The image of all containers, also of the sandbox: the programs `pause` and `workload`.
const IMAGE: &str = "localhost/pstree-pod:1";
const REMOVE_CONTAINERD: &str = include_str!("remove-containerd.sh");

pub struct Containerd {
    directory: PathBuf,
    daemon: KillOnDrop,
    cleaner: Child,
}

/// A pod that runs.
pub struct Pod {
    pub uid: String,
    sandbox: String,
    config: PodSandboxConfig,
}

/// What a container of a pod runs, and as which user.
#[derive(Default)]
pub struct Program<'a> {
    pub command: &'a [&'a str],
    pub user: i64,
    /// Directories or files of the host, and their paths in the container. Read-only.
    pub mounts: &'a [(&'a str, &'a str)],
}

impl Containerd {
    pub fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-containerd-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        let cleaner = Command::new("sh")
            .args(["-c", REMOVE_CONTAINERD, "sh"])
            .arg(&directory)
            .arg(uid_prefix())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let at = |name: &str| directory.join(name).display().to_string();
        // The root user of a machine may lack the capability to lower oom_score_adj.
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n[grpc]\n  address = \"{}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{IMAGE}\"\n  \
             restrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
        );
        fs::write(directory.join("config.toml"), config).expect("a scratch file");
        let log = fs::File::create(directory.join("log")).expect("a scratch file");
        let daemon = Command::new("containerd")
            .args(["--config", &at("config.toml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("containerd is installed");
        let containerd = Self { directory, daemon: KillOnDrop(daemon), cleaner };
        wait_for("containerd answers", || {
            containerd.ctr(&["version"]).output().ok()?.status.success().then_some(())
        });
        containerd.import_image();
        containerd
    }

    /// The address, as `--cri.endpoint` takes it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        command
    }

    /// Creates an image of two programs, as `docker save` writes it.
    fn import_image(&self) {
        let root = self.directory.join("image");
        fs::create_dir_all(root.join("layer/bin")).expect("a scratch directory");
        let at = |name: &str| root.join(name).display().to_string();
        fs::write(root.join("pause.c"), "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
            .expect("a scratch file");
        run(Command::new("cc").args(["-O2", "-static", "-o", &at("layer/bin/pause"), &at("pause.c")]));
        fs::copy(workload::binary(), root.join("layer/bin/workload")).expect("the workload is compiled");
        run(Command::new("tar").args(["cf", &at("layer.tar"), "-C", &at("layer"), "."]));
        let digest = run(Command::new("sha256sum").arg(at("layer.tar")));
        let digest = digest.split(' ').next().expect("a digest");
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{"Entrypoint":["/bin/pause"]}},
                "rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
        );
        fs::write(root.join("config.json"), config).expect("a scratch file");
        let manifest =
            format!(r#"[{{"Config":"config.json","RepoTags":["{IMAGE}"],"Layers":["layer.tar"]}}]"#);
        fs::write(root.join("manifest.json"), manifest).expect("a scratch file");
        let files = ["manifest.json", "config.json", "layer.tar"];
        run(Command::new("tar")
            .args(["cf", &at("image.tar"), "-C", &root.display().to_string()])
            .args(files));
        run(&mut self.ctr(&["images", "import", "--snapshotter=native", &at("image.tar")]));
    }

    /// Runs an empty pod in the namespace `default`, with its own pid namespaces.
    pub fn run_pod(&self, name: &str) -> Pod {
        self.run_pod_in(name, CONTAINER)
    }

    /// Runs an empty pod whose containers see the processes of the host.
    pub fn run_host_pid_pod(&self, name: &str) -> Pod {
        self.run_pod_in(name, NODE)
    }

    fn run_pod_in(&self, name: &str, pid: i32) -> Pod {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let uid = format!("{}{number:012}", uid_prefix());
        let namespace_options = Some(NamespaceOption { network: NODE, pid });
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: uid.clone(),
                namespace: "default".to_owned(),
            }),
            labels: [("team".to_owned(), "red".to_owned())].into(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/kubepods/besteffort/pod{uid}"),
                security_context: Some(LinuxSandboxSecurityContext { namespace_options }),
            }),
        };
        let sandbox: PodSandboxId =
            self.call("RunPodSandbox", RunPodSandbox { config: Some(config.clone()) });
        Pod { uid, sandbox: sandbox.id, config }
    }

    /// Runs a container in a pod, and returns its id.
    pub fn run_container(&self, pod: &Pod, name: &str, program: &Program<'_>) -> String {
        let pod_options = pod.config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        let namespace_options = pod_options.and_then(|context| context.namespace_options.clone());
        let mounts = program.mounts.iter().map(|(host, container)| Mount {
            host_path: (*host).to_owned(),
            container_path: (*container).to_owned(),
            readonly: true,
        });
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(ImageSpec { image: IMAGE.to_owned() }),
            command: program.command.iter().map(|&word| word.to_owned()).collect(),
            mounts: mounts.collect(),
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options,
                    run_as_user: Some(Int64Value { value: program.user }),
                }),
            }),
        };
        let request = CreateContainer {
            pod_sandbox_id: pod.sandbox.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let container: ContainerId = self.call("CreateContainer", request);
        let Empty {} = self.call("StartContainer", container.clone());
        container.id
    }

    pub fn remove_pod(&self, pod: &Pod) {
        let id = PodSandboxId { id: pod.sandbox.clone() };
        let Empty {} = self.call("StopPodSandbox", id.clone());
        let Empty {} = self.call("RemovePodSandbox", id);
    }

    /// Calls a method of the CRI API.
    fn call<Response: prost::Message + Default + 'static>(
        &self,
        method: &str,
        request: impl prost::Message + 'static,
    ) -> Response {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let socket = self.socket();
        let response = runtime.block_on(async {
            let connector = tower::service_fn(move |_| {
                let socket = socket.clone();
                async move {
                    Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(socket).await?))
                }
            });
            let channel = Endpoint::from_static("http://localhost")
                .connect_with_connector(connector)
                .await
                .expect("connect");
            let mut client = Grpc::new(channel);
            client.ready().await.expect("a connection");
            let path =
                PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}")).expect("a path");
            client.unary(tonic::Request::new(request), path, ProstCodec::default()).await
        });
        response.unwrap_or_else(|error| panic!("{method}: {error}")).into_inner()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of containerd's log:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        drop(self.cleaner.stdin.take());
        let _ = self.cleaner.wait();
        let _ = self.daemon.0.wait();
    }
}

/// The beginning of the uids of all pods of this process.
fn uid_prefix() -> String {
    format!("{:08x}-0000-4000-8000-", std::process::id())
}

/// The directory of a cgroup in the hierarchy with the pids controller.
pub fn pids_directory(cgroup: &str) -> PathBuf {
    let v1 = Path::new("/sys/fs/cgroup/pids");
    let hierarchy = if v1.is_dir() { v1 } else { Path::new("/sys/fs/cgroup") };
    hierarchy.join(cgroup.trim_start_matches('/'))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
