//! HTTP/1.1 on any number of listeners, from one thread.
//!
//! [`run`] is given sockets and the moment of its end by its caller. Connections are bounded; a client that
//! is slow to send its request or to read the answer is let go.

pub mod answers;
mod connections;
pub mod descriptors;
pub mod negotiation;
pub mod page;
pub mod routes;
pub mod security;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::collector::Exposition;
use answers::Answers;
use connections::{Connections, Place};
use security::Security;

/// From the first byte that could be sent to the end of the head; idle connections end by it, too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that takes nothing for this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests that are under way may take at the end.
const GRACE: Duration = Duration::from_secs(4);
/// Of a request's head. A scraper's is below 1 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How many may wait to be accepted, as far as `net.core.somaxconn` allows. Those that do not fit come back after a
/// second at the earliest.
const BACKLOG: u32 = 4096;
/// How long to wait when accepting fails, as it does without descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    pub exposition: Arc<Exposition>,
    pub telemetry_path: String,
    pub max_connections: usize,
    pub answers: Answers,
    /// With `--web.config.file`.
    pub security: Option<Security>,
}

/// Binds an address of the flag: `host:port`, or `:port` for all addresses, IPv6 and IPv4.
///
/// # Errors
/// Of the system: the port is taken, or not ours to take; or of the address.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return bind_first(address).await;
    };
    match bind_first(&format!("[::]:{port}")).await {
        // A machine without IPv6.
        Err(error) if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            bind_first(&format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}

/// The first address of a name that can be bound.
async fn bind_first(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // A port that was served a moment ago can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown` resolves, then lets running requests end.
pub async fn run(listeners: Vec<TcpListener>, server: Server, shutdown: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let connections = Arc::new(Connections::new(server.max_connections));
    let graceful = GracefulShutdown::new();
    let mut has_failed = false;
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            // Accepted first: nobody is let go for one who does not come.
            let (stream, peer) = accept(&listeners, &connections, &mut has_failed).await;
            (stream, peer, connections.take().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, peer, place) = accepted => {
                let (server, watcher, place) = (Arc::clone(&server), graceful.watcher(), Arc::new(place));
                tokio::spawn(async move {
                    let served = tokio::select! {
                        () = place.lost() => Err(ConnectionError::Idle),
                        served = serve(stream, server, watcher, Arc::clone(&place)) => served,
                    };
                    if let Err(error) = served {
                        debug!(%peer, %error, "connection ended");
                    }
                });
            }
        }
    }
    drop(listeners);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        warn!("some requests did not end in time");
    }
}

/// The next connection on any listener. `has_failed` is whether the last attempt has, for want of something.
async fn accept(
    listeners: &[TcpListener],
    connections: &Connections,
    has_failed: &mut bool,
) -> (TcpStream, SocketAddr) {
    loop {
        let next = std::future::poll_fn(|cx| {
            let ready = listeners.iter().map(|listener| listener.poll_accept(cx));
            ready.into_iter().find(|poll| poll.is_ready()).unwrap_or(std::task::Poll::Pending)
        });
        match next.await {
            Ok(accepted) => {
                if std::mem::take(has_failed) {
                    info!("connections are accepted again");
                }
                return accepted;
            }
            Err(error) if is_of_the_peer(&error) => {
                debug!(%error, "a connection was gone before it was accepted")
            }
            // No reason to stop: it may be had again.
            Err(error) => {
                if !std::mem::replace(has_failed, true) {
                    warn!(
                        %error,
                        "cannot accept connections; if descriptors are missing, raise LimitNOFILE or ulimit -n, or \
                         lower --web.max-connections"
                    );
                }
                connections.let_one_go();
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// It came and went, or its packets were no good (`accept(2)`).
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}

/// One connection, through TLS where that is asked for.
async fn serve(
    stream: TcpStream,
    server: Arc<Server>,
    watcher: Watcher,
    place: Arc<Place>,
) -> Result<(), ConnectionError> {
    // Answers are written whole; nothing is to be waited for.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = Box::pin(stream);
    let rules = server.security.as_ref().map(Security::rules);
    let Some(tls) = rules.as_ref().and_then(|rules| rules.tls.as_ref()) else {
        return Ok(speak(stream, server, watcher, place).await?);
    };
    let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
    let stream = timeout(HEADER_TIMEOUT, handshake).await.map_err(|_| ConnectionError::Slow)??;
    if !tls.admits(stream.get_ref().1.peer_certificates()) {
        return Err(ConnectionError::Name);
    }
    Ok(speak(Box::pin(stream), server, watcher, place).await?)
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("TLS: {0}")]
    Tls(#[from] io::Error),
    #[error("no TLS handshake in time")]
    Slow,
    #[error("it asked for nothing, and others wanted its place")]
    Idle,
    #[error("the client's certificate has none of client_allowed_sans")]
    Name,
}

/// HTTP over any stream.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: Arc<Server>,
    watcher: Watcher,
    place: Arc<Place>,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        place.touch();
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(routes::respond(&request, &server).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}
