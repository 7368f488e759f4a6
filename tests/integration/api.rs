//! Pages and JSON of the real binary on fixtures made of files.

use crate::support::fixture::{Fixture, Process};
use crate::support::http::Response;
use crate::support::{Exporter, wait_for};
use serde_json::{Value, json};

const WEB: &str = "0::/lxc.payload.web\n";
const HOSTILE: &str = "0::/lxc.payload.<script>alert(1)<%2Fscript>&\"\n";

fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.write("proc/uptime", "5000.00 1000.00\n");
    fixture.process(&Process::default());
    let of = |pid, parent, comm, inner_pids| Process {
        pid,
        parent,
        comm,
        inner_pids,
        start: 300,
        cgroup: WEB,
        ..Process::default()
    };
    fixture.process(&Process {
        arguments: b"nginx\0-g\0password=hunter2\0",
        ..of(100, 1, &b"nginx"[..], "100\t1")
    });
    fixture.process(&Process { threads: 4, state: 'R', ..of(101, 100, b"nginx", "101\t7") });
    fixture.process(&of(110, 1, b"sh", "110\t20"));
    fixture.process(&Process { state: 'Z', ..of(111, 110, b"curl", "111\t21") });
    fixture.process(&Process {
        pid: 200,
        parent: 1,
        comm: b"</b><script>",
        cgroup: HOSTILE,
        ..Process::default()
    });
    fixture
}

/// Collects once.
fn serve(fixture: &Fixture, more: &[&str]) -> Exporter {
    let exporter = fixture.exporter(&[&["--no-docker", "--collection.interval=1h"], more].concat());
    exporter.scrape();
    exporter
}

/// Fifty seconds to read all command lines, for tests in which no read blocks.
const PATIENT: &str = "--debug.timeout-scale=100";

fn json_of(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

#[test]
fn containers_as_json() {
    let fixture = machine();
    let exporter = serve(&fixture, &[]);
    let list = json_of(&exporter.get("/api/v1/containers", &[]));
    assert!(list["taken_at"].as_f64() > Some(1.7e9));
    let names: Vec<&str> =
        list["containers"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["<script>alert(1)<%2Fscript>&\"", "web"]);
    let web = &list["containers"][1];
    let mut expected = json!({
        "id": "/lxc.payload.web", "name": "web", "container_id": "web", "image": "", "runtime": "lxc",
        "compose_project": "", "compose_service": "", "pod_uid": "", "namespace": "", "pod": "", "container": "",
        "processes": 4, "threads": 6, "zombies": 1, "depth": 2, "max_children": 1,
        "roots": {"init": 1, "exec": 1, "adopted": 0}, "terminal_sessions": 0,
        "pids_current": null, "pids_limit": null, "pids_headroom": null, "paused": null,
        "forks_per_second": null, "observed_starts_per_second": null,
    });
    expected["container_id"] = web["container_id"].clone();
    assert_eq!(*web, expected);
}

#[test]
fn a_tree_as_json() {
    let fixture = machine();
    let exporter = serve(&fixture, &[]);
    let tree = json_of(&exporter.get("/api/v1/containers/web/tree", &[]));
    assert_eq!(tree["container"]["name"], "web");
    let start = 1_700_000_003.0;
    let child = |pid, host_pid, command, state, threads| {
        json!({"pid": pid, "host_pid": host_pid, "command": command, "state": state, "threads": threads,
               "cpu_seconds": 0.03, "resident_bytes": 819_200, "start_time": start, "children": []})
    };
    let root = |pid, host_pid, command, kind, children| {
        json!({"pid": pid, "host_pid": host_pid, "command": command, "state": "sleeping", "threads": 1,
               "cpu_seconds": 0.03, "resident_bytes": 819_200, "start_time": start, "kind": kind, "children": [children]})
    };
    let mut expected = json!([
        root(1, 100, "nginx", "init", child(7, 101, "nginx", "running", 4)),
        root(20, 110, "sh", "exec", child(21, 111, "curl", "zombie", 0)),
    ]);
    expected[1]["terminal"] = json!(false);
    assert_eq!(tree["roots"], expected);
    // Also by the path of its cgroup.
    let by_id = exporter.get("/api/v1/containers/%2Flxc.payload.web/tree", &[]);
    assert_eq!(json_of(&by_id), tree);
}

#[test]
fn arguments_are_shown_only_with_the_flag_and_environments_never() {
    let fixture = machine();
    fixture.write("proc/100/environ", "SECRET=s3cret\0");
    let closed = serve(&fixture, &[]);
    let open = serve(&fixture, &["--web.arguments", PATIENT]);
    for path in ["/api/v1/containers/web/tree", "/containers/web"] {
        assert!(!closed.get(path, &[]).text().contains("hunter2"), "{path}");
        let shown = open.get(path, &[]).text();
        assert!(shown.contains("password=hunter2") && !shown.contains("s3cret"), "{path}: {shown}");
    }
    let tree = json_of(&open.get("/api/v1/containers/web/tree", &[]));
    assert_eq!(tree["roots"][0]["arguments"], json!(["nginx", "-g", "password=hunter2"]));
}

#[test]
fn long_arguments_are_left_out_of_a_page_from_4_mib_on() {
    let fixture = machine();
    for number in 0..600 {
        // All arguments differ, so rows are not folded. In HTML, each character takes six bytes.
        let arguments = [format!("nginx\0{number}").as_bytes(), &[b'"'; 4000]].concat();
        let process =
            Process { pid: 1000 + number, parent: 100, start: 400, cgroup: WEB, ..Process::default() };
        fixture.process(&Process { comm: b"nginx", arguments: &arguments, ..process });
    }
    let exporter = serve(&fixture, &["--web.arguments", PATIENT]);
    let page = exporter.get("/containers/web", &[]).text();
    assert!(page.contains("Arguments are missing from here on"), "{} bytes", page.len());
    assert!((4 << 20..5 << 20).contains(&page.len()), "{} bytes", page.len());
    assert!(page.contains("<td class=\"n\">1599</td>"), "every row is there");
}

#[test]
fn a_command_line_that_blocks_delays_neither_scrapes_nor_the_arguments_of_others() {
    let fixture = machine();
    for pid in [110, 111] {
        let fifo = fixture.path(&format!("proc/{pid}/cmdline"));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is installed");
        assert!(made.success());
    }
    let flags = ["--no-docker", "--collection.interval=100ms", "--web.arguments", "--debug.timeout-scale=4"];
    let exporter = fixture.exporter(&flags);
    exporter.scrape();
    // Each blocked process occupies one of four threads. Trees are rendered again after each collection.
    for _ in 0..3 {
        let tree = wait_for("the arguments of others", || {
            let tree = json_of(&exporter.get("/api/v1/containers/web/tree", &[]));
            (tree["roots"][0]["arguments"] == json!(["nginx", "-g", "password=hunter2"])).then_some(tree)
        });
        assert_eq!(tree["roots"][1]["command"], "sh");
        assert_eq!(tree["roots"][1]["arguments"], Value::Null);
        exporter.fresh_scrape();
    }
}

#[test]
fn a_long_name_that_does_not_exist_gets_a_short_answer() {
    let fixture = machine();
    for number in 0..300 {
        let cgroup = format!("0::/lxc.payload.container-with-a-name-{number}\n");
        fixture.process(&Process { pid: 1000 + number, parent: 1, cgroup: &cgroup, ..Process::default() });
    }
    let exporter = serve(&fixture, &[]);
    let path = format!("/api/v1/containers/{}/tree", "container-with-".repeat(1000));
    let response = exporter.get(&path, &[]);
    assert_eq!(response.status, 404);
    assert!(response.body.len() < 1000, "{} bytes", response.body.len());
}

#[test]
fn errors_below_api_are_json() {
    let fixture = machine();
    let exporter = serve(&fixture, &[]);
    let missing = exporter.get("/api/v1/containers/wbe/tree", &[]);
    assert_eq!(missing.status, 404);
    let missing = json_of(&missing);
    assert!(missing["error"].as_str().unwrap().contains("\"wbe\""), "{missing}");
    assert_eq!(missing["nearest"], json!(["web"]));
    for path in [
        "/api/",
        "/api/v1",
        "/api/v2/containers",
        "/api/v1/containers/",
        "/api/v1/containers/web",
        "/api/v1/containers/a/b/tree",
        "/api/v1/containers//tree",
        "/api/v1/containers/%00%ff/tree",
    ] {
        let response = exporter.get(path, &[]);
        assert_eq!(response.status, 404, "{path}");
        assert!(json_of(&response)["error"].is_string(), "{path}");
    }
    let posted = crate::support::http::request(&exporter.address, "POST", "/api/v1/containers", &[]);
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    assert!(json_of(&posted)["error"].is_string());
    let with_body = exporter.get("/api/v1/containers", &[("Content-Length", "2")]);
    assert_eq!(with_body.status, 400);
    assert!(json_of(&with_body)["error"].is_string());
}

#[test]
fn an_ambiguous_beginning_of_an_id_is_rejected() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    for (pid, last) in [(10, 'a'), (11, 'b')] {
        let cgroup = format!("0::/docker/{}{last}\n", "c0ffee1".repeat(9));
        fixture.process(&Process { pid, parent: 1, cgroup: &cgroup, ..Process::default() });
    }
    let exporter = serve(&fixture, &[]);
    let ambiguous = exporter.get("/api/v1/containers/c0ffee1c/tree", &[]);
    assert_eq!(ambiguous.status, 400);
    assert!(json_of(&ambiguous)["error"].as_str().unwrap().contains("more digits"));
    let whole = format!("/api/v1/containers/{}a/tree", "c0ffee1".repeat(9));
    assert_eq!(exporter.get(&whole, &[]).status, 200);
    assert_eq!(
        exporter.get("/api/v1/containers/c0f/tree", &[]).status,
        404,
        "too short to be meant as an id"
    );
}

#[test]
fn before_the_first_collection_the_status_is_503() {
    let fixture = machine();
    // The first collection waits for Docker's first answer, here as long as the socket exists.
    let socket = fixture.path("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let docker = format!("--docker.host=unix://{}", socket.display());
    let exporter = fixture.exporter(&[&docker, "--debug.timeout-scale=100"]);
    let early = exporter.get("/api/v1/containers", &[]);
    assert_eq!(early.status, 503);
    assert!(json_of(&early)["error"].is_string());
    assert_eq!(exporter.get("/", &[]).status, 503);
    drop(listener);
    wait_for("the first collection", || (exporter.get("/", &[]).status == 200).then_some(()));
}

#[test]
fn deep_trees_many_zombies_and_hostile_names_on_pages_and_in_json() {
    let fixture = machine();
    let deep = "0::/lxc.payload.deep\n";
    for pid in 10_000..15_000 {
        fixture.process(&Process { pid, parent: pid - 1, comm: b"deep", cgroup: deep, ..Process::default() });
    }
    let dead = "0::/lxc.payload.dead\n";
    fixture.process(&Process {
        pid: 20_000,
        parent: 1,
        comm: b"careless",
        cgroup: dead,
        ..Process::default()
    });
    for pid in 20_001..30_001 {
        let zombie =
            Process { pid, parent: 20_000, comm: b"dead", state: 'Z', cgroup: dead, ..Process::default() };
        fixture.process(&zombie);
    }
    for (pid, comm) in (300..).zip([&b"a\nb"[..], b"\xff", b"\x1b[31m\x9b", "\u{202e}x\u{85}".as_bytes()]) {
        fixture.process(&Process { pid, parent: 100, comm, start: 500, cgroup: WEB, ..Process::default() });
    }
    let exporter = serve(&fixture, &[]);
    let get = |path: &str| exporter.get(path, &[]).text();
    assert!(get("/containers/dead").contains("10000*[<b>dead</b>]"));
    let page = get("/containers/deep");
    assert!(
        page.contains("<dd class=\"bad\">5000</dd>") && page.contains("3000 more rows"),
        "{:.3000}",
        page
    );
    assert!(page.len() < 2_000_000, "{}", page.len());
    let tree = get("/api/v1/containers/deep/tree");
    assert_eq!(tree.matches("\"children\":[").count(), 5000);
    assert!(tree.contains("\"depth\":5000"));
    let is_unsafe = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    for path in ["/", "/containers/web", "/api/v1/containers", "/api/v1/containers/web/tree"] {
        assert!(!get(path).contains(is_unsafe), "{path}");
    }
}

#[test]
fn pages_escape_what_containers_choose() {
    let fixture = machine();
    let exporter = serve(&fixture, &[]);
    let list = exporter.get("/", &[]);
    let href = list
        .text()
        .split("href=\"")
        .find(|it| it.starts_with("/containers/%3Cscript"))
        .map(|it| it.split('"').next().unwrap().to_owned());
    let hostile = exporter.get(&href.expect("a link"), &[]);
    for page in [&list, &hostile, &exporter.get("/containers/%3Cscript%3E", &[])] {
        let text = page.text();
        assert!(!text.contains("<script>") && !text.contains("</b><script"), "{text}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(hostile.status, 200);
    assert!(hostile.text().contains("&lt;/b&gt;&lt;script&gt;"));
}

#[test]
fn pages_load_nothing_from_elsewhere() {
    let fixture = machine();
    let exporter = serve(&fixture, &[]);
    for path in ["/", "/containers/web", "/containers/web?fold=0&zombies=1&sort=age", "/?sort=-name"] {
        let page = exporter.get(path, &[]);
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        let text = page.text();
        let mut values = text.split("=\"").skip(1).map(|it| it.split('"').next().unwrap_or_default());
        assert_eq!(values.find(|value| value.contains("//")), None, "{path}");
    }
    for (path, content_type) in [
        ("/assets/page.css?abc", "text/css; charset=utf-8"),
        ("/assets/page.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let asset = exporter.get(path, &[]);
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(content_type)), "{path}");
    }
}

#[test]
fn the_list_is_sorted_as_requested_and_by_default_the_worst_first() {
    let fixture = machine();
    fixture.process(&Process {
        pid: 300,
        parent: 1,
        comm: b"calm",
        cgroup: "0::/lxc.payload.a\n",
        ..Process::default()
    });
    let exporter = serve(&fixture, &[]);
    let order = |path: &str| -> Vec<String> {
        let text = exporter.get(path, &[]).text();
        let links = text.split("href=\"/containers/").skip(1);
        links.map(|it| it.split('"').next().unwrap().chars().take(4).collect()).collect()
    };
    assert_eq!(order("/"), ["web", "%3Cs", "a"]);
    assert_eq!(order("/?sort=name"), ["%3Cs", "a", "web"]);
    assert_eq!(order("/?sort=-name"), ["web", "a", "%3Cs"]);
    assert_eq!(order("/?sort=processes"), ["web", "%3Cs", "a"]);
    assert_eq!(order("/?sort=nonsense"), order("/"));
}

#[test]
fn a_page_folds_processes_that_look_alike_and_limits_its_rows() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    fixture.process(&Process { pid: 100, parent: 1, comm: b"main", cgroup: WEB, ..Process::default() });
    for pid in 1000..6000 {
        fixture.process(&Process { pid, parent: 100, comm: b"alike", cgroup: WEB, ..Process::default() });
        let name = format!("n{pid}");
        let other = Process {
            pid: pid + 5000,
            parent: 100,
            comm: name.as_bytes(),
            cgroup: WEB,
            ..Process::default()
        };
        fixture.process(&other);
    }
    let exporter = serve(&fixture, &[]);
    let page = exporter.get("/containers/web", &[]).text();
    assert!(page.contains("5000*[<b>alike</b>]"));
    assert_eq!(page.matches("<tr id=").count(), 2000);
    assert!(page.contains("3002 more rows"), "{}", page.len());
    let tree = json_of(&exporter.get("/api/v1/containers/web/tree", &[]));
    assert_eq!(tree["roots"][0]["children"].as_array().unwrap().len(), 10_000);
}

#[test]
fn a_tree_is_made_from_the_last_collection_and_causes_no_new_one() {
    let fixture = machine();
    let exporter = serve(&fixture, &[]);
    let before = exporter.get("/api/v1/containers/web/tree", &[]).body;
    // The tree is cached. The page is rendered now, from the same collection.
    fixture.process(&Process { pid: 102, parent: 100, comm: b"late", cgroup: WEB, ..Process::default() });
    assert_eq!(exporter.get("/api/v1/containers/web/tree", &[]).body, before);
    let unfolded = exporter.get("/containers/web?fold=0", &[]).text();
    assert!(unfolded.contains("curl") && !unfolded.contains("late"), "{unfolded}");
    assert_eq!(exporter.scrape().value("pstree_collections_total", &[]), Some(1.0));
    let often = fixture.exporter(&["--no-docker", "--collection.interval=100ms"]);
    wait_for("the new process", || {
        often.get("/api/v1/containers/web/tree", &[]).text().contains("late").then_some(())
    });
}
