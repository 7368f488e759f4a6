//! An untrusted request: its first line and its headers, as in HTTP/1.1.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use pstree_exporter::collect::collector::Collector;
use pstree_exporter::collect::schedule::{Collection, Schedule};
use pstree_exporter::export::rendered::LatestSnapshot;
use pstree_exporter::names::registry::Registry;
use pstree_exporter::serve::config::Timeouts;
use pstree_exporter::serve::security::Security;
use pstree_exporter::serve::{Pages, RenderThread, Server, respond};

use super::machine::{Machine, renderer};
use super::shown::is_harmful;

const CREDENTIALS: &str = "user:password";

/// The elements that pages use.
const ELEMENTS: [&str; 35] = [
    "a", "b", "body", "dd", "div", "dl", "dt", "footer", "h1", "h2", "head", "header", "html", "link",
    "main", "meta", "nav", "noscript", "p", "script", "span", "style", "table", "tbody", "td", "th", "thead",
    "title", "tr", "ul", "li", "path", "svg", "rect", "circle",
];

pub fn check(data: &[u8]) {
    let Some(request) = parse(data) else { return };
    let Site { open, guarded, runtime } = site();
    let response = runtime.block_on(respond(&request, open));
    let status = response.status().as_u16();
    assert!([200, 400, 404, 405, 503].contains(&status), "{status}");
    let kind = response.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
    let is_packed = response.headers().contains_key("content-encoding");
    let body = runtime.block_on(response.into_body().collect()).expect("in memory").to_bytes();
    if request.method() == Method::HEAD {
        assert!(body.is_empty());
    } else if !is_packed {
        let text = std::str::from_utf8(&body).expect("UTF-8");
        assert!(!text.contains(|c: char| c != '\n' && is_harmful(c)), "{text:?}");
        match kind.split(';').next() {
            Some("application/json") => check_json(&body),
            Some("text/html") => check_html(text),
            _ => {}
        }
        if request.uri().path().starts_with("/api/") {
            assert_eq!(kind, "application/json", "whoever asks for JSON gets JSON");
        }
    }
    if let Some(authorization) = request.headers().get(AUTHORIZATION) {
        let is_right = is_right(authorization.as_bytes());
        let guarded = runtime.block_on(respond(&request, guarded)).status().as_u16();
        assert_eq!(guarded, if is_right { status } else { 401 }, "{authorization:?}");
    }
}

/// Parses `METHOD target`, then lines of `name: value`. `None` if hyper rejects it as invalid HTTP.
fn parse(data: &[u8]) -> Option<Request<()>> {
    let mut lines = data.split(|&byte| byte == b'\n');
    let (method, target) = {
        let line = lines.next()?;
        line.split_at(line.iter().position(|&byte| byte == b' ')?)
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(&target[1..]).ok()?;
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// Whether it is `Basic` with the correct user and password, in canonical base64.
fn is_right(authorization: &[u8]) -> bool {
    let (scheme, rest) = authorization.split_at(authorization.len().min(6));
    scheme.eq_ignore_ascii_case(b"basic ") && rest.trim_ascii() == STANDARD.encode(CREDENTIALS).as_bytes()
}

fn check_json(body: &[u8]) {
    let value: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    assert!(value.is_object(), "{value}");
}

/// Every tag is a known one, and the only script is the exporter's own file.
fn check_html(page: &str) {
    let elements: BTreeSet<&str> = ELEMENTS.into();
    for (at, _) in page.match_indices('<') {
        let tag = page[at + 1..].split_once('>').expect("a tag has an end").0;
        if tag == "!doctype html" {
            continue;
        }
        let name = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
        assert!(elements.contains(name), "<{tag}>");
        // Untrusted text is inside quotes; outside, there are only names of attributes.
        let outside: String = tag.split('"').step_by(2).collect();
        assert!(
            outside.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" =-/".contains(&byte)),
            "<{tag}>"
        );
        assert!(!outside.contains(" on"), "<{tag}>");
        assert!(
            name != "script" || tag == "/script" || tag.starts_with("script src=\"/assets/page.js?"),
            "<{tag}>"
        );
    }
}

struct Site {
    open: &'static Server,
    /// A server that requires a user and a password.
    guarded: &'static Server,
    runtime: tokio::runtime::Runtime,
}

fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let machine = machine();
        let hash = bcrypt::hash("password", 4).expect("a hash");
        machine.write("web.yaml", format!("basic_auth_users:\n  user: {hash}\n").as_bytes());
        let exposition = Arc::new(LatestSnapshot::default());
        let collector = Collector::new(machine.pipeline(), Arc::new(Registry::default()));
        let schedule = Schedule::new(collector, Duration::from_secs(7 * 86_400));
        let Collection { snapshot, status, names, collected_at, interval } =
            schedule.once().expect("a collection");
        exposition.replace(renderer().render(snapshot, &status, &names, None, (collected_at, interval)));
        let render_thread = Arc::new(RenderThread::start().expect("a thread"));
        let server = |security| Server {
            latest: Arc::clone(&exposition),
            telemetry_path: "/metrics".into(),
            max_connections: 1,
            render_thread: Arc::clone(&render_thread),
            pages: Pages::new(Arc::clone(&render_thread), None),
            security,
            timeouts: Timeouts::default(),
        };
        let interval = Timeouts::default().reload_interval;
        let security = Security::start(&machine.path("web.yaml"), interval).expect("a good file");
        Site {
            open: Box::leak(Box::new(server(None))),
            guarded: Box::leak(Box::new(server(Some(security)))),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        }
    })
}

/// A host, a container, a container with hostile names, and two containers with the same name.
fn machine() -> Machine {
    let machine = Machine::new();
    let cgroups = [
        "/init.scope".to_owned(),
        format!("/docker/{}", "a".repeat(64)),
        "/lxc.payload.<script>alert(1)<\\x2Fscript>&\"\u{202e}".to_owned(),
    ];
    let commands: [&[u8]; 3] = [b"init", b"</b><script>\"'", b"\x1b[2J\xff\n"];
    for pid in 1..=9_usize {
        let (cgroup, command) = (&cgroups[pid % 3], commands[pid % 3]);
        let state = if pid > 6 { 'Z' } else { 'S' };
        let tail =
            format!(") {state} {} 1 1 0 -1 0 1 0 0 0 1 2 0 0 20 0 1 0 9 1000 200 0\n", pid.saturating_sub(3));
        machine.write(&format!("proc/{pid}/stat"), &[b"1 (", command, tail.as_bytes()].concat());
        machine.write(&format!("proc/{pid}/cgroup"), format!("0::{cgroup}\n").as_bytes());
        machine.write(&format!("proc/{pid}/status"), format!("NSpid:\t{pid}\t{pid}\n").as_bytes());
    }
    machine
}
