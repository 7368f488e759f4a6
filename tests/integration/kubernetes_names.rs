//! Names of pods and their containers, from the names of files in the kubelet's log directories.

use std::process::Command;

use crate::support::exposition::Exposition;
use crate::support::fixture::{Fixture, Process};
use crate::support::{BINARY, Exporter};

pub const POD: &str = "6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e";

pub fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A pod with the containers `a` and `b` and a pause container `c`, of which only `a` has a link; and a container `d` of
/// another pod, whose directory is missing.
pub fn node() -> Fixture {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let pods = [POD, POD, POD, "7b4ce4a0-ba47-11ea-b2a7-0cc47ac5979e"];
    for (pid, (digit, pod)) in (10..).zip("abcd".chars().zip(pods)) {
        let comm: &[u8] = if digit == 'c' { b"pause" } else { b"nginx" };
        let cgroup = format!("0::/kubepods/burstable/pod{pod}/{}\n", id(digit));
        fixture.process(&Process { pid, comm, cgroup: &cgroup, ..Process::default() });
    }
    link(&fixture, &format!("web-0_default_app-{}.log", id('a')));
    fixture.write(&format!("log/pods/default_web-0_{POD}/app/0.log"), "");
    fixture
}

fn link(fixture: &Fixture, name: &str) {
    fixture.write(&format!("log/containers/{name}"), "");
}

fn logs(fixture: &Fixture) -> String {
    format!("--path.kubernetes-logs={}", fixture.path("log/containers").display())
}

fn exporter(fixture: &Fixture, more: &[&str]) -> Exporter {
    let logs = logs(fixture);
    fixture.exporter(&[&["--no-docker", "--collection.interval=100ms", &logs], more].concat())
}

/// The labels `name`, `namespace`, `pod` and `container` of a container.
pub fn names(metrics: &Exposition, digit: char) -> Option<[String; 4]> {
    let id = id(digit);
    let label = [("container_id", id.as_str())];
    let (labels, _) = metrics.select("pstree_container_info", &label).next()?;
    Some(["name", "namespace", "pod", "container"].map(|label| labels[label].clone()))
}

pub fn owned(names: [&str; 4]) -> Option<[String; 4]> {
    Some(names.map(str::to_owned))
}

#[test]
fn containers_are_named_by_namespace_pod_and_container() {
    let fixture = node();
    let exporter = exporter(&fixture, &[]);
    let first = exporter.scrape();
    assert_eq!(names(&first, 'a'), owned(["default/web-0/app", "default", "web-0", "app"]));
    assert_eq!(names(&first, 'c'), owned(["default/web-0/POD", "default", "web-0", "POD"]));
    // `b` may get a name, so its series wait for it.
    assert_eq!(names(&first, 'b'), None);
    link(&fixture, &format!("web-0_default_sidecar-{}.log", id('b')));
    exporter.scrape_until("the name of b", |metrics| {
        let expected = owned(["default/web-0/sidecar", "default", "web-0", "sidecar"]);
        let found = names(metrics, 'b');
        assert!(found.is_none() || found == expected, "{found:?}");
        (found == expected).then_some(())
    });
    // Without a name, it is shown by its id.
    exporter.scrape_until("d", |metrics| {
        (names(metrics, 'd') == owned(["dddddddddddd", "", "", ""])).then_some(())
    });
}

#[test]
fn pages_and_json_take_the_pod_as_the_tree_command_does() {
    let fixture = node();
    // The container `b` waits for its name for longer than this part runs.
    let exporter = exporter(&fixture, &["--debug.timeout-scale=100"]);
    exporter.scrape();
    let get = |name: &str| {
        let page = exporter.get(&format!("/containers/{name}"), &[]);
        let json = exporter.get(&format!("/api/v1/containers/{name}/tree"), &[]);
        assert_eq!(page.status, json.status, "{name}");
        (page.status, page.text(), json.text())
    };
    // Without `b`, the pod has one container besides its sandbox.
    for name in ["web-0", "default%2Fweb-0", "web-0%2Fapp", "default%2Fweb-0%2Fapp"] {
        let (status, page, json) = get(name);
        assert_eq!(status, 200, "{name}");
        assert!(page.contains("<h1>default/web-0/app</h1>"), "{name}: {page}");
        assert!(json.contains("\"default/web-0/app\""), "{name}: {json}");
    }
    assert!(get("web-0%2FPOD").1.contains("<h1>default/web-0/POD</h1>"));
    link(&fixture, &format!("web-0_default_sidecar-{}.log", id('b')));
    exporter.scrape_until("the name of b", |metrics| names(metrics, 'b'));
    let (status, page, json) = get("web-0");
    assert_eq!(status, 400);
    for name in ["default/web-0/app", "default/web-0/sidecar"] {
        let link = format!("<a href=\"/containers/{}\">{name}</a>", name.replace('/', "%2F"));
        assert!(page.contains(&link) && json.contains(name), "{page} {json}");
    }
    assert!(page.contains("<h1>Several containers</h1>"), "{page}");
    assert!(!page.contains("web-0%2FPOD"), "{page}");
    assert_eq!(get("web-1").0, 404);
}

#[test]
fn a_container_whose_link_is_truncated_is_named_by_its_pod() {
    let fixture = node();
    let exporter = exporter(&fixture, &["--debug.timeout-scale=0.1"]);
    let expected = owned(["default/web-0/bbbbbbbbbbbb", "default", "web-0", ""]);
    exporter.scrape_until("b", |metrics| (names(metrics, 'b') == expected).then_some(()));
}

#[test]
fn hostile_file_names_name_no_container() {
    let fixture = node();
    for name in [
        format!("web-0_default_\u{202e}app-{}.log", id('b')),
        format!("web-0_default_a\npp-{}.log", id('b')),
        format!("web-0_default_app\"}} 1-{}.log", id('b')),
        format!(".._.._..-{}.log", id('b')),
        format!("{}_x_y-{}.log", "x".repeat(180), &id('b')[1..]),
        "x".repeat(255),
        "-.log".to_owned(),
    ] {
        link(&fixture, &name);
    }
    let exporter = exporter(&fixture, &["--debug.timeout-scale=0.1"]);
    exporter.scrape_until("b", |metrics| {
        let found = names(metrics, 'b')?;
        assert_eq!(Some(found), owned(["default/web-0/bbbbbbbbbbbb", "default", "web-0", ""]));
        Some(())
    });
    assert_eq!(names(&exporter.fresh_scrape(), 'a').expect("its own")[0], "default/web-0/app");
}

#[test]
fn names_stay_when_the_directories_vanish_and_can_be_disabled() {
    let fixture = node();
    let exporter_with = exporter(&fixture, &[]);
    assert_eq!(names(&exporter_with.scrape(), 'a').expect("exported")[0], "default/web-0/app");
    fixture.remove("log");
    // It asks again, for `b`, and finds nothing.
    exporter_with.scrape_until("b", |metrics| names(metrics, 'b').map(|_| ()));
    assert_eq!(names(&exporter_with.fresh_scrape(), 'a').expect("exported")[0], "default/web-0/app");

    let fixture = node();
    let without = exporter(&fixture, &["--names.kubernetes=off"]).scrape();
    assert_eq!(names(&without, 'a'), owned(["aaaaaaaaaaaa", "", "", ""]));
}

#[test]
fn the_tree_command_selects_pods_and_their_containers() {
    let fixture = node();
    let tree = |selector: &str| {
        let output = Command::new(BINARY)
            .args(["tree", "--no-docker", &logs(&fixture), selector])
            .args(fixture.flags())
            .env_remove("DOCKER_HOST")
            .output()
            .expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).expect("text")
    };
    for selector in ["web-0/app", "default/web-0/app"] {
        let text = tree(selector);
        assert!(text.starts_with("default/web-0/app: 1 process"), "{text}");
        assert!(!text.contains("POD"), "{text}");
    }
    for selector in ["web-0", "default/web-0"] {
        let text = tree(selector);
        for name in ["default/web-0/app: ", "default/web-0/POD: ", "default/web-0/bbbbbbbbbbbb: "] {
            assert!(text.contains(name), "{selector}: {text}");
        }
        assert!(!text.contains("dddddddddddd"), "{text}");
    }
    assert!(tree("web-1").contains("similar names: web-0"), "{}", tree("web-1"));
}
