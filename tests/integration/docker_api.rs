//! A scripted Docker API that answers, fails or hangs. No exported number depends on it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pstree_exporter::names::config::NameTimeouts;
use pstree_exporter::names::docker::sync_registry;
use pstree_exporter::names::registry::Registry;

use crate::support::exposition::Exposition;
use crate::support::fixture::{CONTAINER_ID, Fixture, Process};
use crate::support::scripted_docker::{ScriptedDocker, answer_well, json, list_of};
use crate::support::{BINARY, wait_for};

fn succeeded(metrics: &Exposition) -> bool {
    metrics.value("pstree_collector_success", &[("collector", "processes")]) == Some(1.0)
}

/// Divides every timeout by 20, for tests in which Docker times out.
const SHORT_TIMEOUTS: &str = "--debug.timeout-scale=0.05";

#[test]
fn names_come_from_the_docker_api() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| answer_well(path, stream, "web"));
    let exporter = fixture.exporter(&[&docker.flag(), "--docker.label=team"]);
    let metrics = exporter
        .scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then(|| metrics.clone()));
    let (info, _) = metrics.select("pstree_container_info", &[]).next().expect("one container");
    for (label, value) in [
        ("name", "web"),
        ("image", "img"),
        ("compose_project", "shop"),
        ("label_team", "red"),
        ("container_id", CONTAINER_ID),
    ] {
        assert_eq!(info[label], value, "{label}");
    }
    assert_eq!(metrics.value("pstree_docker_up", &[]), Some(1.0));
}

#[test]
fn without_a_daemon_the_short_id_is_shown() {
    let fixture = Fixture::with_container();
    let exporter = fixture.exporter(&["--docker.host=unix:///nonexistent/docker.sock"]);
    exporter.log_until(&["level=warn", "docker=unix:///nonexistent/docker.sock"]);
    let metrics = exporter.scrape_until("the container", |metrics| {
        (!metrics.container_names().is_empty()).then(|| metrics.clone())
    });
    assert_eq!(metrics.container_names(), [&CONTAINER_ID[..12]]);
    assert_eq!(metrics.select("pstree_docker_up", &[]).count(), 0, "Docker has never answered");
    assert_eq!(metrics.value("pstree_collector_success", &[("collector", "docker")]), None);
}

/// Docker answered before.
fn is_down(metrics: &Exposition) -> bool {
    metrics.value("pstree_docker_up", &[]) == Some(0.0)
}

/// The daemon fails as scripted. All numbers are exported.
fn assert_survives(
    what: &str,
    flags: &[&str],
    answer: impl Fn(&str, &mut UnixStream) -> std::io::Result<()> + Send + Sync + 'static,
) {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(answer);
    let exporter = fixture.exporter(&[&[&*docker.flag(), "--collection.interval=5s"], flags].concat());
    exporter.log_until(&["level=warn", "docker=unix://"]);
    let metrics = exporter
        .scrape_until(what, |metrics| (!metrics.container_names().is_empty()).then(|| metrics.clone()));
    assert_eq!(
        metrics.select("pstree_docker_up", &[]).count(),
        0,
        "{what}: Docker has never answered a list"
    );
    assert_eq!(metrics.container_names(), [&CONTAINER_ID[..12]], "{what}");
    assert!(succeeded(&metrics), "{what}");
    let resident = metrics.value("process_resident_memory_bytes", &[]).expect("always there");
    assert!(resident < 64.0 * 1024.0 * 1024.0, "{what}: {resident} bytes");
}

#[test]
fn a_daemon_that_never_answers() {
    assert_survives("never answers", &[SHORT_TIMEOUTS], |_, stream| stream.read(&mut [0]).map(drop));
}

#[test]
fn a_daemon_that_sends_an_endless_list() {
    assert_survives("an endless list", &[], |path, stream| {
        if !path.contains("/containers/json") {
            return answer_well(path, stream, "web");
        }
        write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        loop {
            stream.write_all(chunk.as_bytes())?;
        }
    });
}

#[test]
fn a_daemon_that_sends_a_list_byte_by_byte() {
    assert_survives("a list byte by byte", &[SHORT_TIMEOUTS], |path, stream| {
        if !path.contains("/containers/json") {
            return answer_well(path, stream, "web");
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
        loop {
            stream.write_all(b" ")?;
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_daemon_that_sends_invalid_json() {
    assert_survives("invalid JSON", &[], |path, stream| match path {
        _ if path.contains("/containers/json") => json(stream, "200 OK", "[{\"Id\": "),
        _ => answer_well(path, stream, "web"),
    });
}

#[test]
fn a_list_that_cannot_be_decoded_is_logged_as_such() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") => json(stream, "200 OK", "{}"),
        _ => answer_well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag()]);
    exporter.log_until(&["level=warn", "docker=unix://", "cannot be decoded"]);
}

#[test]
fn one_odd_entry_costs_no_other_container_its_name() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") => {
            let odd = [
                r#"{"Id":"1","Names":["/a"],"State":"configured"}"#,
                r#"{"Id":"2","Names":["/b"],"Ports":[{"Type":"quic"}],"NetworkSettings":null}"#,
                r#"{"Id":3,"Names":7}"#,
            ];
            let good = list_of("web");
            json(stream, "200 OK", &format!("[{},{}", odd.join(","), &good[1..]))
        }
        _ => answer_well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag()]);
    exporter.log_until(&["level=warn", "undecodable=1"]);
    let names = exporter
        .scrape_until("a name", |metrics| Some(metrics.container_names()).filter(|names| !names.is_empty()));
    assert_eq!(names, ["web"]);
}

#[test]
fn several_engines_name_their_containers() {
    let fixture = Fixture::with_container();
    // The other engine is asked first, and does not know the container.
    let other = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") => json(stream, "200 OK", "[]"),
        _ => answer_well(path, stream, "other"),
    });
    let docker = ScriptedDocker::start(|path, stream| answer_well(path, stream, "web"));
    let exporter = fixture.exporter(&[&other.flag(), &docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    let up = |metrics: &Exposition, engine: &ScriptedDocker| {
        let endpoint = format!("unix://{}", engine.path.display());
        metrics.value("pstree_docker_up", &[("endpoint", &endpoint)])
    };
    exporter.scrape_until("both are up", |metrics| {
        ([&other, &docker].map(|engine| up(metrics, engine)) == [Some(1.0); 2]).then_some(())
    });
    std::fs::remove_file(&other.path).expect("stop one of them");
    let metrics = exporter
        .scrape_until("one is down", |metrics| (up(metrics, &other) == Some(0.0)).then(|| metrics.clone()));
    assert_eq!(up(&metrics, &docker), Some(1.0));
    assert_eq!(metrics.container_names(), ["web"]);
}

/// Podman answers with an error to filters that it does not know.
#[test]
fn a_lookup_that_fails_costs_no_other_name() {
    let fixture = Fixture::with_container();
    // A container that the engine does not list, for which it is asked.
    let other = "7".repeat(64);
    let cgroup = format!("0::/docker/{other}\n");
    fixture.process(&Process { pid: 77, cgroup: &cgroup, ..Process::default() });
    let docker = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") && !path.contains("running") => {
            json(stream, "500 Internal Server Error", r#"{"message":"unknown filter"}"#)
        }
        _ => answer_well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    let metrics = exporter.scrape_until("both containers", |metrics| {
        (metrics.container_names().len() == 2).then(|| metrics.clone())
    });
    assert!(metrics.container_names().contains(&"web".to_owned()), "{:?}", metrics.container_names());
    for _ in 0..5 {
        let metrics = exporter.fresh_scrape();
        assert_eq!(metrics.value("pstree_docker_up", &[]), Some(1.0), "the engine answers otherwise");
    }
    // By pid, which is the name of no container.
    let tree = Command::new(BINARY)
        .args(["tree", &docker.flag(), "10"])
        .args(fixture.flags())
        .output()
        .expect("tree");
    let text = String::from_utf8_lossy(&tree.stdout);
    assert!(text.contains("web") && tree.stderr.is_empty(), "{tree:?}");
}

#[test]
fn a_long_name_can_be_typed_in_full() {
    let fixture = Fixture::with_container();
    let long = "x".repeat(300);
    let docker = ScriptedDocker::start({
        let name = format!("{long}a");
        move |path, stream| answer_well(path, stream, &name)
    });
    let tree = |selector: &str| {
        let mut command = Command::new(BINARY);
        command.args(["tree", &docker.flag(), selector]).args(fixture.flags()).output().expect("tree").status
    };
    assert!(tree(&format!("{long}a")).success());
    assert!(!tree(&format!("{long}b")).success(), "it differs after the limit");
}

/// It exited, but a process of it cannot end, for example because it waits for a disk.
#[test]
fn a_container_that_exited_and_has_processes_keeps_its_name() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") => {
            // The engine does not list it as running.
            let is_listed = path.contains(CONTAINER_ID) || path.contains("name");
            let list = list_of("web").replace("running", "exited");
            json(stream, "200 OK", if is_listed { &list } else { "[]" })
        }
        _ if path.contains(&format!("/containers/{CONTAINER_ID}/json")) => {
            json(stream, "200 OK", r#"{"State":{"Pid":0}}"#)
        }
        _ => answer_well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    let tree = Command::new(BINARY)
        .args(["tree", &docker.flag(), "web"])
        .args(fixture.flags())
        .output()
        .expect("tree");
    let text = String::from_utf8_lossy(&tree.stdout);
    assert!(tree.status.success() && text.contains("web"), "{tree:?}");
}

#[test]
fn a_daemon_that_answers_with_an_error() {
    assert_survives("500", &[], |_, stream| {
        json(stream, "500 Internal Server Error", r#"{"message":"broken"}"#)
    });
}

#[test]
fn names_stay_when_a_daemon_begins_to_fail() {
    let fixture = Fixture::with_container();
    let is_broken = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&is_broken);
    let docker = ScriptedDocker::start(move |path, stream| match path {
        // Pings are always answered. The list is not answered, and the event stream ends.
        _ if path.contains("/containers/json") && broken.load(Ordering::Relaxed) => {
            json(stream, "500 Oops", "{}")
        }
        _ if path.contains("/events") => json(stream, "200 OK", ""),
        _ => answer_well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    is_broken.store(true, Ordering::Relaxed);
    let metrics =
        exporter.scrape_until("Docker is down", |metrics| is_down(metrics).then(|| metrics.clone()));
    assert_eq!(metrics.container_names(), ["web"]);
}

#[test]
fn a_daemon_that_is_down_is_logged_once_and_again_when_it_is_back() {
    let fixture = Fixture::with_container();
    let (is_broken, refusals) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (broken, refused) = (Arc::clone(&is_broken), Arc::clone(&refusals));
    let docker = ScriptedDocker::start(move |path, stream| {
        if !broken.load(Ordering::Relaxed) {
            return answer_well(path, stream, "web");
        }
        refused.fetch_add(1, Ordering::Relaxed);
        json(stream, "500 Oops", "{}")
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    wait_for("several retries", || (refusals.load(Ordering::Relaxed) >= 3).then_some(()));
    is_broken.store(false, Ordering::Relaxed);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    let first_lines = exporter.first_lines.clone();
    let (_, log) = exporter.stop_and_log();
    let of_docker: Vec<_> = first_lines.iter().chain(&log).filter(|line| line.contains("docker=")).collect();
    let [down, up] = of_docker[..] else { panic!("not two lines: {of_docker:#?}") };
    assert!(
        down.contains("level=warn") && down.contains("--docker.host") && down.contains("--no-docker"),
        "{down}"
    );
    assert!(up.contains("level=info"), "{up}");
}

#[test]
fn a_container_whose_values_are_null_is_shown_by_its_id() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") => json(
            stream,
            "200 OK",
            &format!(
                r#"[{{"Id":"{CONTAINER_ID}","Names":null,"Image":null,"Labels":null,"State":null}},{{"Id":null}}]"#
            ),
        ),
        _ => answer_well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    let metrics = exporter.scrape_until("the container by its id", |metrics| {
        (!metrics.container_names().is_empty()).then(|| metrics.clone())
    });
    assert_eq!(metrics.container_names(), [&CONTAINER_ID[..12]]);
}

#[test]
fn names_are_kept_up_to_date_although_every_event_stream_ends_at_once() {
    let fixture = Fixture::with_container();
    let is_renamed = Arc::new(AtomicBool::new(false));
    let renamed = Arc::clone(&is_renamed);
    let docker = ScriptedDocker::start(move |path, stream| {
        if path.contains("/events") {
            return json(stream, "200 OK", "");
        }
        answer_well(path, stream, if renamed.load(Ordering::Relaxed) { "after" } else { "before" })
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter
        .scrape_until("the first name", |metrics| (metrics.container_names() == ["before"]).then_some(()));
    is_renamed.store(true, Ordering::Relaxed);
    let metrics = exporter.scrape_until("the second name", |metrics| {
        (metrics.container_names() == ["after"]).then(|| metrics.clone())
    });
    assert_eq!(metrics.value("pstree_docker_up", &[]), Some(1.0));
}

#[test]
fn containers_are_listed_again_although_the_event_stream_is_silent() {
    let docker = Arc::new(ScriptedDocker::start(|path, stream| answer_well(path, stream, "web")));
    let endpoint = format!("unix://{}", docker.path.display()).parse().expect("an address");
    // Only the intervals are short; the timeouts for responses are long.
    let interval = Duration::from_millis(20);
    let timeouts = NameTimeouts {
        first_relist: interval,
        relist_interval: interval,
        ping: Duration::from_secs(60),
        list: Duration::from_secs(60),
        ..NameTimeouts::default()
    };
    let registry = Arc::new(Registry::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let names = sync_registry(endpoint, false, Arc::from([]), Arc::clone(&registry), timeouts);
        let lists = async {
            while docker.lists() < 5 {
                tokio::time::sleep(interval).await;
            }
        };
        tokio::select! {
            () = names => {}
            () = lists => {}
            () = tokio::time::sleep(crate::support::PATIENCE) => panic!("{} lists", docker.lists()),
        }
    });
    assert_eq!(docker.streams(), 1, "all by one stream");
    assert_eq!(registry.read().0.engines[0].directory[CONTAINER_ID].name, "web");
}

#[test]
fn a_new_container_waits_for_its_name_and_never_shows_two() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let known = Arc::new(AtomicBool::new(false));
    let is_known = Arc::clone(&known);
    let docker = ScriptedDocker::start(move |path, stream| match path {
        _ if path.contains("/containers/json") && !is_known.load(Ordering::Relaxed) => {
            json(stream, "200 OK", "[]")
        }
        _ if path.contains("/events") => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            while !is_known.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            let event = "{\"Type\":\"container\",\"Action\":\"start\"}\n";
            write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
            stream.read(&mut [0]).map(drop)
        }
        _ => answer_well(path, stream, "late"),
    });
    // A new container waits 20 s for its name, so that this test can observe the wait on slow machines.
    let exporter =
        fixture.exporter(&[&docker.flag(), "--collection.interval=100ms", "--debug.timeout-scale=10"]);
    exporter.scrape_until("Docker", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
    fixture.member(10, 1, 200);
    let metrics = exporter.scrape_until("the container", |metrics| {
        (metrics.sum("pstree_containers", &[]) == 1.0).then(|| metrics.clone())
    });
    assert_eq!(metrics.container_names(), [""; 0], "shown before it has a name");
    known.store(true, Ordering::Relaxed);
    let names = exporter
        .scrape_until("a name", |metrics| Some(metrics.container_names()).filter(|names| !names.is_empty()));
    assert_eq!(names, ["late"]);
}

#[test]
fn a_name_stays_while_docker_is_down() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| answer_well(path, stream, "web"));
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    drop(docker);
    let metrics =
        exporter.scrape_until("Docker is down", |metrics| is_down(metrics).then(|| metrics.clone()));
    assert_eq!(metrics.container_names(), ["web"]);
    exporter.log_until(&["level=warn", "docker=unix://"]);
}
