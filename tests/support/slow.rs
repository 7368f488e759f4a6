//! Clients that keep a connection open without completing a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::wait_for;

/// Clients that send a request head byte by byte and never complete it. Evicted clients reconnect.
pub struct SlowClients {
    stop: Arc<AtomicBool>,
    connected: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl SlowClients {
    /// Waits until all clients are connected.
    pub fn start(address: &str, number: usize) -> Self {
        raise_descriptors();
        let (stop, connected) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (address, flag, count) = (address.to_owned(), Arc::clone(&stop), Arc::clone(&connected));
        let thread = std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let client = |_| trickle(address.clone(), Arc::clone(&flag), Arc::clone(&count));
                futures_util::future::join_all((0..number).map(client)).await;
            });
        });
        let clients = Self { stop, connected, thread: Some(thread.expect("a thread can be made")) };
        wait_for("all slow clients are there", || {
            (clients.connected.load(Ordering::Relaxed) >= number).then_some(())
        });
        clients
    }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the clients end");
        }
    }
}

async fn trickle(address: String, stop: Arc<AtomicBool>, connected: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await else { continue };
        connected.fetch_add(1, Ordering::Relaxed);
        let head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
        for byte in head {
            let pause = tokio::time::timeout(Duration::from_millis(500), stream.read_u8()).await;
            // The server does not respond to an incomplete head, so anything that can be read is the end of the
            // connection.
            if pause.is_ok() || stop.load(Ordering::Relaxed) || stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    }
}

/// Raises the limit of file descriptors for many connections.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
}
