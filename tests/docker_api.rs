//! A Docker API that misbehaves: scripted, so that each fault is there on purpose. Numbers never depend on it.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::exposition::Exposition;
use support::fixture::{CONTAINER_ID, Fixture, Process};
use support::{wait_at_most, wait_for};

fn succeeded(metrics: &Exposition) -> bool {
    metrics.value("pstree_collector_success", &[("collector", "processes")]) == Some(1.0)
}

/// A Docker API of our own, which answers as a test says.
struct ScriptedDocker {
    path: PathBuf,
    /// Requests for the list of containers so far.
    lists: Arc<AtomicU32>,
}

impl ScriptedDocker {
    /// `answer` gets the path of each request, and the connection to write to.
    fn start(answer: impl Fn(&str, &mut UnixStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pstree-docker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let lists = Arc::new(AtomicU32::new(0));
        let (answer, counter) = (Arc::new(answer), Arc::clone(&lists));
        std::thread::Builder::new()
            .spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
                    let serve = move || {
                        let mut head = Vec::new();
                        let mut byte = [0];
                        while !head.ends_with(b"\r\n\r\n")
                            && stream.read(&mut byte).is_ok_and(|count| count == 1)
                        {
                            head.push(byte[0]);
                        }
                        let head = String::from_utf8_lossy(&head).into_owned();
                        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                        counter.fetch_add(u32::from(path.contains("/containers/json")), Ordering::Relaxed);
                        // An error means that the exporter has hung up.
                        let _ = answer(&path, &mut stream);
                    };
                    std::thread::Builder::new().spawn(serve).unwrap();
                }
            })
            .unwrap();
        Self { path, lists }
    }

    fn flag(&self) -> String {
        format!("--docker.host=unix://{}", self.path.display())
    }

    fn lists(&self) -> u32 {
        self.lists.load(Ordering::Relaxed)
    }
}

impl Drop for ScriptedDocker {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn json(stream: &mut UnixStream, status: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn list_of(name: &str) -> String {
    format!(
        r#"[{{"Id":"{CONTAINER_ID}","Names":["/{name}"],"Image":"img","State":"running","Labels":{{"com.docker.compose.project":"shop","team":"red"}}}}]"#
    )
}

const VERSION: &str = r#"{"ApiVersion":"1.41","Version":"20.10"}"#;

/// A daemon that works, with one container.
fn well(path: &str, stream: &mut UnixStream, name: &str) -> std::io::Result<()> {
    match path {
        _ if path.contains("/containers/json") => json(stream, "200 OK", &list_of(name)),
        _ if path.contains("/version") => json(stream, "200 OK", VERSION),
        _ if path.contains("/events") => silent_stream(stream),
        _ => json(stream, "200 OK", "OK"),
    }
}

/// Sends a head, then nothing until the other side hangs up.
fn silent_stream(stream: &mut UnixStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    stream.read(&mut [0]).map(drop)
}

#[test]
fn names_come_from_the_docker_api() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| well(path, stream, "web"));
    let exporter = fixture.exporter(&[&docker.flag(), "--docker.label=team"]);
    let metrics = exporter.scrape();
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
fn without_a_daemon_the_short_id_is_shown_at_once() {
    let fixture = Fixture::with_container();
    let exporter = fixture.exporter(&["--docker.host=unix:///nonexistent/docker.sock"]);
    let metrics = exporter.scrape();
    assert_eq!(metrics.container_names(), [&CONTAINER_ID[..12]]);
    assert_eq!(metrics.value("pstree_docker_up", &[]), Some(0.0));
    exporter.log_line("does not answer");
}

/// Whatever the daemon does instead of answering: numbers come, and `pstree_docker_up` is 0 within 5 s.
fn assert_survives(
    what: &str,
    answer: impl Fn(&str, &mut UnixStream) -> std::io::Result<()> + Send + Sync + 'static,
) {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(answer);
    let begun = Instant::now();
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=5s"]);
    let metrics = wait_at_most(Duration::from_secs(5), what, || {
        let response = exporter.get("/metrics", &[]);
        let metrics = (response.status == 200).then(|| Exposition::parse(&response.text()))?;
        (metrics.value("pstree_docker_up", &[]) == Some(0.0) && !metrics.container_names().is_empty())
            .then_some(metrics)
    });
    assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
    assert_eq!(metrics.container_names(), [&CONTAINER_ID[..12]], "{what}");
    assert!(succeeded(&metrics), "{what}");
    let resident = metrics.value("process_resident_memory_bytes", &[]).unwrap();
    assert!(resident < 64.0 * 1024.0 * 1024.0, "{what}: {resident} bytes");
}

#[test]
fn row_21_a_socket_that_never_answers() {
    assert_survives("never answers", |_, stream| stream.read(&mut [0]).map(drop));
}

#[test]
fn row_21_an_endless_body() {
    assert_survives("an endless list", |path, stream| {
        if !path.contains("/containers/json") {
            return well(path, stream, "web");
        }
        write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        loop {
            stream.write_all(chunk.as_bytes())?;
        }
    });
}

#[test]
fn row_21_a_body_that_trickles() {
    assert_survives("a trickled list", |path, stream| {
        if path.contains("/events") {
            return silent_stream(stream);
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
        loop {
            stream.write_all(b" ")?;
            std::thread::park_timeout(Duration::from_millis(100));
        }
    });
}

#[test]
fn row_21_invalid_json() {
    assert_survives("invalid JSON", |path, stream| match path {
        _ if path.contains("/containers/json") => json(stream, "200 OK", "[{\"Id\": "),
        _ => well(path, stream, "web"),
    });
}

#[test]
fn row_21_an_error_500() {
    assert_survives("500", |_, stream| json(stream, "500 Internal Server Error", r#"{"message":"broken"}"#));
}

#[test]
fn row_21_a_daemon_that_breaks_later() {
    let fixture = Fixture::with_container();
    let is_broken = Arc::new(AtomicU32::new(0));
    let broken = Arc::clone(&is_broken);
    let docker = ScriptedDocker::start(move |path, stream| match path {
        // Pings are answered all the time; the list is not, nor does the event stream stay.
        _ if path.contains("/containers/json") && broken.load(Ordering::Relaxed) == 1 => {
            json(stream, "500 Oops", "{}")
        }
        _ if path.contains("/events") => json(stream, "200 OK", ""),
        _ => well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    is_broken.store(1, Ordering::Relaxed);
    let metrics = wait_at_most(Duration::from_secs(5), "Docker is down", || {
        Some(exporter.scrape()).filter(|metrics| metrics.value("pstree_docker_up", &[]) == Some(0.0))
    });
    assert_eq!(metrics.container_names(), ["web"]);
}

#[test]
fn a_daemon_that_is_away_is_logged_once_until_it_is_back() {
    let fixture = Fixture::with_container();
    let (is_broken, refusals) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicU32::new(0)));
    let (broken, refused) = (Arc::clone(&is_broken), Arc::clone(&refusals));
    let docker = ScriptedDocker::start(move |path, stream| {
        if broken.load(Ordering::Relaxed) == 0 {
            return well(path, stream, "web");
        }
        refused.fetch_add(1, Ordering::Relaxed);
        json(stream, "500 Oops", "{}")
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    wait_for("it was asked often", || (refusals.load(Ordering::Relaxed) >= 6).then_some(()));
    is_broken.store(0, Ordering::Relaxed);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    let log = exporter.log_so_far();
    let of_docker: Vec<_> =
        log.iter().chain(&exporter.first_lines).filter(|line| line.contains("docker=")).collect();
    assert_eq!(of_docker.len(), 2, "{log:#?}");
    assert!(
        of_docker.iter().any(|line| line.contains("--docker.host") && line.contains("--no-docker")),
        "{log:#?}"
    );
    assert!(of_docker.iter().any(|line| line.contains("container names come from")), "{log:#?}");
}

#[test]
fn row_21_nulls_everywhere() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| match path {
        _ if path.contains("/containers/json") => json(
            stream,
            "200 OK",
            &format!(
                r#"[{{"Id":"{CONTAINER_ID}","Names":null,"Image":null,"Labels":null,"State":null}},{{"Id":null}}]"#
            ),
        ),
        _ => well(path, stream, "web"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    let metrics = exporter.scrape_until("the container by its id", |metrics| {
        (!metrics.container_names().is_empty()).then(|| metrics.clone())
    });
    assert_eq!(metrics.container_names(), [&CONTAINER_ID[..12]]);
}

#[test]
fn row_23_an_event_stream_that_ends_or_is_silent_does_not_stop_names() {
    let fixture = Fixture::with_container();
    let lists = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&lists);
    // Renamed after the second list, without an event; every event stream ends at once.
    let docker = ScriptedDocker::start(move |path, stream| {
        if path.contains("/events") {
            return json(stream, "200 OK", "");
        }
        let count = if path.contains("/containers/json") { seen.fetch_add(1, Ordering::Relaxed) } else { 0 };
        well(path, stream, if count < 2 { "before" } else { "after" })
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter
        .scrape_until("the first name", |metrics| (metrics.container_names() == ["before"]).then_some(()));
    exporter
        .scrape_until("the second name", |metrics| (metrics.container_names() == ["after"]).then_some(()));
    assert_eq!(exporter.scrape().value("pstree_docker_up", &[]), Some(1.0));
}

#[test]
fn row_23_a_silent_stream_is_relisted() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| well(path, stream, "web"));
    let _exporter = fixture.exporter(&[&docker.flag()]);
    // The first list, the one that covers the gap before the stream was open, and then one from time to time.
    wait_at_most(Duration::from_secs(60), "a third list", || (docker.lists() >= 3).then_some(()));
}

#[test]
fn a_new_container_waits_for_its_name_and_never_shows_two() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    let known = Arc::new(AtomicU32::new(0));
    let is_known = Arc::clone(&known);
    let docker = ScriptedDocker::start(move |path, stream| match path {
        _ if path.contains("/containers/json") && is_known.load(Ordering::Relaxed) == 0 => {
            json(stream, "200 OK", "[]")
        }
        _ if path.contains("/events") => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            while is_known.load(Ordering::Relaxed) == 0 {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            let event = "{\"Type\":\"container\",\"Action\":\"start\"}\n";
            write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
            stream.read(&mut [0]).map(drop)
        }
        _ => well(path, stream, "late"),
    });
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("Docker", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(1.0)).then_some(())
    });
    fixture.member(10, 1, 200);
    exporter.scrape_until("the container", |metrics| {
        (metrics.sum("pstree_containers", &[]) == 1.0).then_some(())
    });
    assert_eq!(exporter.scrape().container_names(), [""; 0], "shown before it has a name");
    known.store(1, Ordering::Relaxed);
    let names = exporter
        .scrape_until("a name", |metrics| Some(metrics.container_names()).filter(|names| !names.is_empty()));
    assert_eq!(names, ["late"]);
}

#[test]
fn a_name_stays_while_docker_is_away() {
    let fixture = Fixture::with_container();
    let docker = ScriptedDocker::start(|path, stream| well(path, stream, "web"));
    let exporter = fixture.exporter(&[&docker.flag(), "--collection.interval=100ms"]);
    exporter.scrape_until("the name", |metrics| (metrics.container_names() == ["web"]).then_some(()));
    drop(docker);
    let metrics = exporter.scrape_until("Docker is down", |metrics| {
        (metrics.value("pstree_docker_up", &[]) == Some(0.0)).then(|| metrics.clone())
    });
    assert_eq!(metrics.container_names(), ["web"]);
    exporter.log_line("does not answer");
}
