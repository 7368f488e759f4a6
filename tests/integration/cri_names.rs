//! Names, images and labels of pods from a scripted CRI API. Real containerd is in the system tests.

use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::kubernetes_names::{POD, id, names, node, owned};
use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};
use crate::support::{BINARY, Exporter};

/// What the API does with a request.
#[derive(Clone, Default)]
enum Behavior {
    /// Sends these responses: pods, containers.
    Answer { pods: Vec<u8>, containers: Vec<u8> },
    /// Announces a message and sends one byte of it at a time.
    Trickle,
    /// containerd without CRI, with one container of nerdctl in the namespace `default`.
    Containerd { id: String },
    /// `UNIMPLEMENTED`, as containerd without its CRI plugin.
    Unimplemented,
    /// Never answers.
    #[default]
    Hang,
}

struct ScriptedCri {
    path: PathBuf,
    behavior: Arc<Mutex<Behavior>>,
    methods: Arc<Mutex<Vec<String>>>,
}

impl ScriptedCri {
    fn start(behavior: Behavior) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pstree-cri-{}-{number}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("for tokio");
        let cri = Self {
            path,
            behavior: Arc::new(Mutex::new(behavior)),
            methods: Arc::new(Mutex::new(Vec::new())),
        };
        let (behavior, methods) = (Arc::clone(&cri.behavior), Arc::clone(&cri.methods));
        let serve = async move {
            let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (behavior, methods) = (Arc::clone(&behavior), Arc::clone(&methods));
                let service = service_fn(move |request: Request<Incoming>| {
                    let method = request.uri().path().to_owned();
                    let behavior = behavior.lock().expect("no panic").clone();
                    methods.lock().expect("no panic").push(method.clone());
                    let namespace = request.headers().get("containerd-namespace").cloned();
                    respond(behavior, method, namespace)
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                // An error means that the exporter has disconnected.
                tokio::spawn(async move { drop(connection.await) });
            }
        };
        std::thread::Builder::new()
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(serve);
            })
            .expect("a thread");
        cri
    }

    fn set(&self, behavior: Behavior) {
        *self.behavior.lock().expect("no panic") = behavior;
    }

    fn requests(&self) -> usize {
        self.methods.lock().expect("no panic").len()
    }

    fn flag(&self) -> String {
        format!("--cri.endpoint=unix://{}", self.path.display())
    }
}

impl Drop for ScriptedCri {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

type Body =
    StreamBody<std::pin::Pin<Box<dyn stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

async fn respond(
    behavior: Behavior,
    method: String,
    namespace: Option<HeaderValue>,
) -> Result<Response<Body>, Infallible> {
    let trailers = |status: &'static str| {
        Frame::trailers(HeaderMap::from_iter([(
            "grpc-status".parse().expect("a name"),
            HeaderValue::from_static(status),
        )]))
    };
    let body: Body = match behavior {
        Behavior::Answer { pods, containers } => {
            let message = match method.as_str() {
                "/runtime.v1.RuntimeService/ListPodSandbox" => pods,
                "/runtime.v1.RuntimeService/ListContainers" => containers,
                other => panic!("{other} is not in the API"),
            };
            StreamBody::new(Box::pin(stream::iter([Ok(framed(&message)), Ok(trailers("0"))])))
        }
        Behavior::Containerd { id } => {
            let is_default = namespace.is_some_and(|it| it == "default");
            let namespaces = [field(1, field(1, "moby")), field(1, field(1, "default"))].concat();
            let label = field(2, [field(1, "nerdctl/name"), field(2, "shop")].concat());
            let container = field(1, [field(1, &id), label, field(3, "docker.io/library/nginx:1")].concat());
            let message = match method.as_str() {
                "/containerd.services.namespaces.v1.Namespaces/List" => Ok(namespaces),
                "/containerd.services.containers.v1.Containers/Get" if is_default => Ok(container),
                "/containerd.services.containers.v1.Containers/Get" => Err("5"),
                _ => Err("12"),
            };
            let frames = match message {
                Ok(message) => vec![Ok(framed(&message)), Ok(trailers("0"))],
                Err(status) => vec![Ok(trailers(status))],
            };
            StreamBody::new(Box::pin(stream::iter(frames)))
        }
        Behavior::Trickle => StreamBody::new(Box::pin(stream::unfold(0_u32, |sent| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let bytes: &[u8] = if sent == 0 { &[0, 0, 0x0f, 0xff, 0xff] } else { &[10] };
            Some((Ok(Frame::data(Bytes::from_static(bytes))), sent + 1))
        }))),
        Behavior::Unimplemented => StreamBody::new(Box::pin(stream::iter([Ok(trailers("12"))]))),
        Behavior::Hang => std::future::pending().await,
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// A message as gRPC sends it: not compressed, with its length.
fn framed(message: &[u8]) -> Frame<Bytes> {
    let length = u32::try_from(message.len()).expect("a short message");
    Frame::data([&[0], &length.to_be_bytes()[..], message].concat().into())
}

/// A field of a Protocol Buffers message: a string, a message, or an entry of a map.
fn field(number: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut varint = Vec::new();
    let mut key = u32::from(number) << 3 | 2;
    let mut push = |mut value: u32| {
        while value >= 0x80 {
            varint.push((value & 0x7f | 0x80) as u8);
            value >>= 7;
        }
        varint.push(value as u8);
    };
    push(std::mem::take(&mut key));
    push(u32::try_from(value.len()).expect("short"));
    [&varint, value].concat()
}

fn pod(sandbox: &str, uid: &str, name: &str, labels: &[(&str, &str)]) -> Vec<u8> {
    let metadata = [field(1, name), field(2, uid), field(3, "default")].concat();
    let mut pod = [field(1, sandbox), field(2, metadata)].concat();
    for (key, value) in labels {
        pod.extend(field(5, [field(1, key), field(2, value)].concat()));
    }
    field(1, pod)
}

fn container(id: &str, sandbox: &str, name: &str, image: &[u8]) -> Vec<u8> {
    let label = field(8, [field(1, "io.kubernetes.container.name"), field(2, name)].concat());
    field(1, [field(1, id), field(2, sandbox), field(3, field(1, name)), field(4, image), label].concat())
}

/// A pod with the containers `a` and `b` and the sandbox `c`, as in [`node`].
fn answer() -> Behavior {
    let image = [field(1, "sha256:0123"), field(18, "nginx:1.27")].concat();
    Behavior::Answer {
        pods: pod(&id('c'), POD, "web-0", &[("team", "red"), ("secret", "x")]),
        containers: [
            container(&id('a'), &id('c'), "app", &image),
            container(&id('b'), &id('c'), "log", &field(1, "busybox")),
        ]
        .concat(),
    }
}

fn exporter(fixture: &Fixture, more: &[&str]) -> Exporter {
    let flags =
        ["--no-docker", "--names.kubernetes=cri", "--collection.interval=100ms", "--docker.label=team"];
    fixture.exporter(&[&flags, more].concat())
}

fn label(metrics: &Exposition, digit: char, name: &str) -> String {
    let id = id(digit);
    let by_id = [("container_id", id.as_str())];
    let (labels, _) = metrics.select("pstree_container_info", &by_id).next().expect("exported");
    labels[name].clone()
}

fn is_up(metrics: &Exposition) -> Option<f64> {
    metrics.value("pstree_collector_success", &[("collector", "cri")])
}

#[test]
fn names_images_and_allowed_labels_come_from_the_cri_api() {
    let (fixture, cri) = (node(), ScriptedCri::start(answer()));
    let exporter = exporter(&fixture, &[&cri.flag()]);
    let metrics = exporter.scrape();
    assert_eq!(names(&metrics, 'a'), owned(["default/web-0/app", "default", "web-0", "app"]));
    assert_eq!(names(&metrics, 'b'), owned(["default/web-0/log", "default", "web-0", "log"]));
    assert_eq!(names(&metrics, 'c'), owned(["default/web-0/POD", "default", "web-0", "POD"]));
    assert_eq!(label(&metrics, 'a', "image"), "nginx:1.27", "as in the specification of the pod");
    assert_eq!(label(&metrics, 'b', "image"), "busybox");
    assert_eq!(label(&metrics, 'a', "label_team"), "red");
    assert_eq!(is_up(&metrics), Some(1.0));
    // Of another pod, which the runtime does not know. It waits for its name first.
    let metrics = exporter.scrape_until("d", |metrics| names(metrics, 'd').map(|_| metrics.clone()));
    assert_eq!(names(&metrics, 'd'), owned(["dddddddddddd", "", "", ""]));
}

#[test]
fn the_runtime_is_asked_again_only_while_a_container_has_no_name() {
    let (fixture, cri) = (node(), ScriptedCri::start(answer()));
    // All containers have names.
    fixture.remove("proc/13");
    let exporter = exporter(&fixture, &[&cri.flag(), "--debug.timeout-scale=0.1"]);
    exporter.scrape_until("a name", |metrics| names(metrics, 'a').map(|_| ()));
    let before = cri.requests();
    for _ in 0..5 {
        exporter.fresh_scrape();
    }
    // One more list of two requests, if a collection without names caused it.
    assert!(cri.requests() <= before + 2, "{before} requests became {}", cri.requests());

    let Behavior::Answer { pods, containers } = answer() else { unreachable!("it answers") };
    let uid = "7b4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";
    cri.set(Behavior::Answer {
        pods: [pods, pod(&id('e'), uid, "web-1", &[])].concat(),
        containers: [containers, container(&id('d'), &id('e'), "app", b"")].concat(),
    });
    let cgroup = format!("0::/kubepods/burstable/pod{uid}/{}\n", id('d'));
    fixture.process(&Process { pid: 13, cgroup: &cgroup, ..Default::default() });
    let found = exporter.scrape_until("d", |metrics| names(metrics, 'd'));
    assert_eq!(found[0], "default/web-1/app");
}

#[test]
fn a_runtime_that_goes_away_costs_no_known_name() {
    let (fixture, cri) = (node(), ScriptedCri::start(answer()));
    let exporter = exporter(&fixture, &[&cri.flag(), "--debug.timeout-scale=0.1"]);
    exporter.scrape_until("a name", |metrics| names(metrics, 'a').map(|_| ()));
    for behavior in [Behavior::Hang, Behavior::Trickle, Behavior::Unimplemented] {
        cri.set(behavior);
        // It is asked because `d` has no name.
        let metrics = exporter
            .scrape_until("it is down", |metrics| (is_up(metrics) == Some(0.0)).then(|| metrics.clone()));
        assert_eq!(names(&metrics, 'a').expect("exported")[0], "default/web-0/app");
        assert_eq!(metrics.value("pstree_collector_success", &[("collector", "processes")]), Some(1.0));
        cri.set(answer());
        exporter.scrape_until("it is up", |metrics| (is_up(metrics) == Some(1.0)).then_some(()));
    }
}

#[test]
fn a_runtime_that_never_answers_is_logged_and_has_no_sample() {
    for (behavior, mention) in [
        (Behavior::Unimplemented, "does not have this API"),
        (Behavior::Hang, "no answer within the timeout"),
    ] {
        let (fixture, cri) = (node(), ScriptedCri::start(behavior));
        let exporter = exporter(&fixture, &[&cri.flag(), "--debug.timeout-scale=0.1"]);
        exporter.log_until(&["level=warn", "cri=unix://", mention, "--names.kubernetes=logs"]);
        let metrics = exporter.scrape_until("a", |metrics| names(metrics, 'a').map(|_| metrics.clone()));
        assert_eq!(names(&metrics, 'a'), owned(["aaaaaaaaaaaa", "", "", ""]));
        assert_eq!(is_up(&metrics), None);
    }
}

#[test]
fn names_from_the_runtime_contain_no_control_characters_and_are_bounded() {
    let long = "x".repeat(100_000);
    let hostile = "a\n\u{1b}[31m\u{202e}\"";
    let cri = ScriptedCri::start(Behavior::Answer {
        pods: pod(&id('c'), POD, hostile, &[("team", &long)]),
        containers: container(&id('a'), &id('c'), &long, &field(1, &long)),
    });
    let fixture = node();
    let metrics = exporter(&fixture, &[&cri.flag()]).scrape();
    let [name, _, pod, container] = names(&metrics, 'a').expect("exported");
    assert!(pod.starts_with("a\u{fffd}\u{fffd}[31m\u{fffd}"), "{pod:?}");
    for value in [name, container, label(&metrics, 'a', "image"), label(&metrics, 'a', "label_team")] {
        assert_eq!(value.chars().count(), 128, "{value}");
    }
}

#[test]
fn containers_of_nerdctl_have_the_names_that_containerd_stores() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let cgroup = format!("0::/default/{}\n", id('a'));
    fixture.process(&Process { pid: 10, cgroup: &cgroup, ..Process::default() });
    let containerd = ScriptedCri::start(Behavior::Containerd { id: id('a') });
    let exporter = exporter(&fixture, &[&containerd.flag()]);
    let metrics = exporter.scrape_until("a name", |metrics| names(metrics, 'a').map(|_| metrics.clone()));
    assert_eq!(names(&metrics, 'a'), owned(["shop", "", "", ""]));
    assert_eq!(label(&metrics, 'a', "image"), "docker.io/library/nginx:1");
    let tree = Command::new(BINARY)
        .args(["tree", "--no-docker", &containerd.flag(), "shop"])
        .args(fixture.flags())
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&tree.stdout).starts_with("shop: 1 process"), "{tree:?}");
}

#[test]
fn the_tree_command_selects_pods_by_their_names_in_the_runtime() {
    let (fixture, cri) = (node(), ScriptedCri::start(answer()));
    let output = Command::new(BINARY)
        .args(["tree", "--no-docker", "--names.kubernetes=cri", &cri.flag(), "web-0/log"])
        .args(fixture.flags())
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("default/web-0/log: 1 process"), "{text}");
}
