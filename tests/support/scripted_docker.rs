//! A Docker API that answers, fails or hangs as a test defines it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::fixture::CONTAINER_ID;

/// A Docker API whose responses a test defines.
pub struct ScriptedDocker {
    pub path: PathBuf,
    /// Number of requests for the list of containers.
    lists: Arc<AtomicU32>,
    /// Number of requests for the event stream.
    streams: Arc<AtomicU32>,
}

impl ScriptedDocker {
    /// `answer` receives the path of each request and the connection to write to.
    pub fn start(
        answer: impl Fn(&str, &mut UnixStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pstree-docker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let (lists, streams) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (answer, counters) = (Arc::new(answer), [Arc::clone(&lists), Arc::clone(&streams)]);
        std::thread::Builder::new()
            .spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let (answer, [lists, streams]) = (Arc::clone(&answer), counters.clone());
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
                        lists.fetch_add(u32::from(path.contains("/containers/json")), Ordering::Relaxed);
                        streams.fetch_add(u32::from(path.contains("/events")), Ordering::Relaxed);
                        // An error means that the exporter has disconnected.
                        let _ = answer(&path, &mut stream);
                    };
                    std::thread::Builder::new().spawn(serve).unwrap();
                }
            })
            .unwrap();
        Self { path, lists, streams }
    }

    pub fn flag(&self) -> String {
        format!("--docker.host=unix://{}", self.path.display())
    }

    pub fn lists(&self) -> u32 {
        self.lists.load(Ordering::Relaxed)
    }

    pub fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }
}

impl Drop for ScriptedDocker {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

pub fn json(stream: &mut UnixStream, status: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn list_of(name: &str) -> String {
    format!(
        r#"[{{"Id":"{CONTAINER_ID}","Names":["/{name}"],"Image":"img","State":"running","Labels":{{"com.docker.compose.project":"shop","team":"red"}}}}]"#
    )
}

const VERSION: &str = r#"{"ApiVersion":"1.41","Version":"20.10"}"#;

/// A daemon that works, with one container.
pub fn answer_well(path: &str, stream: &mut UnixStream, name: &str) -> std::io::Result<()> {
    match path {
        _ if path.contains("/containers/json") => json(stream, "200 OK", &list_of(name)),
        _ if path.contains("/version") => json(stream, "200 OK", VERSION),
        _ if path.contains("/events") => silent_stream(stream),
        _ => json(stream, "200 OK", "OK"),
    }
}

/// Sends a head, then nothing until the other side disconnects.
fn silent_stream(stream: &mut UnixStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    stream.read(&mut [0]).map(drop)
}
