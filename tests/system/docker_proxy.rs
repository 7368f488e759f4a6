//! The proxy in `deploy/docker-proxy` in front of a real engine: it forwards the requests of the exporter and rejects all
//! others, in every spelling.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use crate::support::{Exporter, wait_for};
use crate::testkit::child::KillOnDrop;
use crate::testkit::engine::{Engine, IMAGE};
use crate::testkit::prometheus::free_address;

/// A group that is not root's.
const GROUP: u32 = 65534;

/// HAProxy with the shipped configuration, on its own socket.
struct Proxy {
    directory: PathBuf,
    _haproxy: KillOnDrop,
}

impl Proxy {
    fn start(engine: &Engine) -> Self {
        let directory = std::env::temp_dir().join(format!("pstree-proxy-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        let socket = directory.join("docker.sock");
        let proxy = Self { _haproxy: haproxy(engine, &format!("unix@{}", socket.display())), directory };
        wait_for("the proxy listens", || std::os::unix::net::UnixStream::connect(&socket).ok());
        proxy
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    fn flag(&self) -> String {
        format!("--docker.host=unix://{}", self.socket().display())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The stream of all events since the engine was started, through the proxy.
struct Events {
    _curl: KillOnDrop,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Events {
    fn follow(proxy: &Proxy) -> Self {
        let mut curl = Command::new("curl")
            .args(["--silent", "--no-buffer", "--max-time", "600", "--unix-socket"])
            .arg(proxy.socket())
            .arg("http://docker/events?since=1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let lines = BufReader::new(curl.stdout.take().expect("stdout is piped")).lines();
        Self { _curl: KillOnDrop(curl), lines }
    }

    /// Reads the stream until an event of this kind.
    fn wait_for(&mut self, kind: &str) {
        let action = format!("\"Action\":\"{kind}\"");
        let is_there = self.lines.by_ref().map_while(Result::ok).any(|line| line.contains(&action));
        assert!(is_there, "the stream ended before {kind}");
    }
}

fn haproxy(engine: &Engine, listen: &str) -> KillOnDrop {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/docker-proxy/haproxy.cfg");
    let haproxy = Command::new("haproxy")
        .arg("-f")
        .arg(file)
        .env("DOCKER_SOCKET", engine.socket())
        .env("DOCKER_PROXY", listen)
        .env("DOCKER_PROXY_GID", GROUP.to_string())
        .spawn();
    KillOnDrop(haproxy.expect("haproxy is installed"))
}

/// The status of the response to a request. The path is sent unchanged.
fn status(socket: &str, arguments: &[&str], path: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "10"])
        .args(["--path-as-is", "--unix-socket", socket])
        .args(arguments)
        .arg(format!("http://docker{path}"))
        .output()
        .expect("curl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn names_and_renames_are_read_through_the_proxy() {
    let mut engine = Engine::start(&[]);
    engine.run("before", &["--", "/bin/sleep", "1000"]);
    let proxy = Proxy::start(&engine);
    let socket = fs::metadata(proxy.socket()).expect("a socket");
    assert_eq!((socket.permissions().mode() & 0o777, socket.gid()), (0o660, GROUP));

    // The proxy forwards the stream of events without a delay and does not end it.
    let mut events = Events::follow(&proxy);
    events.wait_for("start");
    let exporter = Exporter::start(&[&proxy.flag(), "--collection.interval=250ms"]);
    for (old, new) in [("before", "between"), ("between", "after")] {
        exporter.scrape_until(old, |metrics| (metrics.container_names() == [old]).then_some(()));
        engine.docker(&["rename", old, new]);
        exporter.scrape_until(new, |metrics| (metrics.container_names() == [new]).then_some(()));
        events.wait_for("rename");
    }
    assert_eq!(exporter.scrape().value("pstree_docker_up", &[]), Some(1.0));
    let metrics = exporter.scrape();
    let (info, _) = metrics.select("pstree_container_info", &[]).next().expect("one container");
    assert_eq!(info["image"], IMAGE);

    // The proxy does not hide that Docker does not run.
    engine.docker(&["rm", "--force", "after"]);
    engine.down();
    exporter.scrape_until("Docker is away", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(0.0)).then_some(())
    });
}

#[test]
fn names_are_read_through_the_proxy_over_tcp() {
    let engine = Engine::shared();
    engine.run("web", &["--", "/bin/sleep", "1000"]);
    let address = free_address();
    let _haproxy = haproxy(&engine, &address);
    let exporter =
        Exporter::start(&[&format!("--docker.host=tcp://{address}"), "--collection.interval=250ms"]);
    exporter.scrape_until("its name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
}

#[test]
fn all_other_requests_are_rejected() {
    let engine = Engine::shared();
    engine.run("web", &["--", "/bin/sleep", "1000"]);
    let proxy = Proxy::start(&engine);
    let (docker, proxy) = (engine.socket(), proxy.socket().display().to_string());

    for path in
        ["/_ping", "/version", "/v1.41/version", "/containers/json", "/v1.41/containers/json?all=true"]
    {
        assert_eq!(status(&proxy, &[], path), "200", "GET {path}");
    }
    assert_eq!(status(&proxy, &["--head"], "/_ping"), "200", "HEAD");
    let reads = [
        "/containers/web/json",
        "/v1.41/containers/web/json",
        "/containers/web/archive?path=/bin",
        "/containers/web/logs?stdout=1",
        "/containers/web/top",
        "/containers/web/export",
        "/images/json",
        "/images/pstree-test/json",
        "/info",
        "/networks",
        "/volumes",
        "/containers/json/../web/json",
        "/containers/json/%2e%2e/web/json",
        "/containers/json%2f..%2fweb/json",
        "/v1.41/../containers/web/json",
        "/v1.41/_ping/../containers/web/json",
        "//containers/web/json",
        "/containers//json",
        "/containers/web/json?/containers/json",
        "/containers/web/json%3f/containers/json",
        "/containers/web/json;/containers/json",
        "/containers/web/json%0a/containers/json",
        "/CONTAINERS/JSON",
        "/containers/json/",
        "/v1/containers/json",
    ];
    for path in reads {
        assert_eq!(status(&proxy, &[], path), "403", "GET {path}");
        assert_ne!(status(&docker, &[], path), "403", "the engine itself rejected it: {path}");
    }
    let writes: [(&str, &str); 12] = [
        ("POST", "/containers/create"),
        ("POST", "/v1.41/containers/create?name=new"),
        ("POST", "/containers/web/exec"),
        ("POST", "/containers/web/stop"),
        ("POST", "/containers/web/attach?stream=1&stdin=1"),
        ("POST", "/images/create?fromImage=x"),
        ("POST", "/containers/json"),
        ("POST", "/events"),
        ("DELETE", "/containers/web?force=1"),
        ("DELETE", "/v1.41/containers/json"),
        ("PUT", "/containers/web/archive?path=/"),
        ("OPTIONS", "/_ping"),
    ];
    for (method, path) in writes {
        assert_eq!(status(&proxy, &["--request", method], path), "403", "{method} {path}");
    }
    // No other protocol on a path that is forwarded, and no request inside another one.
    for headers in [
        &["--header", "Upgrade: tcp", "--header", "Connection: Upgrade"][..],
        &["--header", "Upgrade: h2c", "--header", "Connection: Upgrade, HTTP2-Settings"],
        &["--request", "GET", "--data", "POST /containers/web/stop HTTP/1.1"],
        &["--request", "GET", "--header", "Transfer-Encoding: chunked", "--data", "x"],
        &["--header", "X-HTTP-Method-Override: DELETE", "--request", "POST"],
    ] {
        assert_eq!(status(&proxy, headers, "/containers/json"), "403", "{headers:?}");
    }
    assert_eq!(engine.docker(&["ps", "--all", "--format={{.Names}} {{.State}}"]), "web running");
}
