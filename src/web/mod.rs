//! HTTP/1.1 on any number of listeners, from one thread.
//!
//! [`run`] is given sockets and the moment of its end by its caller. Connections are bounded; a client that
//! is slow to send its request or to read the answer is let go.

pub mod answers;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::collector::Exposition;
use answers::Answers;
use security::Security;

/// From the first byte that could be sent to the end of the head; idle connections end by it, too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that takes nothing for this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests that are under way may take at the end.
const GRACE: Duration = Duration::from_secs(4);
/// Of a request's head. A scraper's is below 1 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
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
        return TcpListener::bind(address).await;
    };
    match TcpListener::bind(format!("[::]:{port}")).await {
        // A machine without IPv6.
        Err(error) if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}

/// Serves until `shutdown` resolves, then lets running requests end.
pub async fn run(listeners: Vec<TcpListener>, server: Server, shutdown: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let permits = Arc::new(Semaphore::new(server.max_connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            // Holding a place before accepting leaves the rest to wait in the kernel's queue.
            let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
            Some((permit, accept(&listeners).await))
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some((permit, (stream, peer))) = accepted => {
                let (server, watcher) = (Arc::clone(&server), graceful.watcher());
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, server, watcher).await {
                        debug!(%peer, %error, "connection ended");
                    }
                    drop(permit);
                });
            }
        }
    }
    drop(listeners);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        warn!("some requests did not end in time");
    }
}

/// The next connection on any listener.
async fn accept(listeners: &[TcpListener]) -> (TcpStream, SocketAddr) {
    loop {
        let next = std::future::poll_fn(|cx| {
            let ready = listeners.iter().map(|listener| listener.poll_accept(cx));
            ready.into_iter().find(|poll| poll.is_ready()).unwrap_or(std::task::Poll::Pending)
        });
        match next.await {
            Ok(accepted) => return accepted,
            // Without descriptors, or a peer that gave up; neither is a reason to stop.
            Err(error) => {
                debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// One connection, through TLS where that is asked for.
async fn serve(stream: TcpStream, server: Arc<Server>, watcher: Watcher) -> Result<(), ConnectionError> {
    // Answers are written whole; nothing is to be waited for.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = Box::pin(stream);
    let rules = server.security.as_ref().map(Security::rules);
    let Some(tls) = rules.as_ref().and_then(|rules| rules.tls.as_ref()) else {
        return Ok(speak(stream, server, watcher).await?);
    };
    let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
    let stream = timeout(HEADER_TIMEOUT, handshake).await.map_err(|_| ConnectionError::Slow)??;
    if !tls.admits(stream.get_ref().1.peer_certificates()) {
        return Err(ConnectionError::Name);
    }
    Ok(speak(Box::pin(stream), server, watcher).await?)
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
    #[error("the client's certificate has none of client_allowed_sans")]
    Name,
}

/// HTTP over any stream.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: Arc<Server>,
    watcher: Watcher,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
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
