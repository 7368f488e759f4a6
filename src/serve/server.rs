//! HTTP/1.1 on any number of listeners, from one thread.
//!
//! [`run`] is given sockets and the moment of its end by its caller. Connections are bounded; a client that
//! is slow to send its request or to read the answer is let go.

pub use crate::serve::listen::bind;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::collect::schedule::LatestSnapshot;
use crate::serve::config::Timeouts;
use crate::serve::connection_limit::{ConnectionSlot, Connections};
use crate::serve::listen::Listeners;
use crate::serve::response_cache::ResponseCache;
use crate::serve::routes;
use crate::serve::security::rules::Security;
use crate::serve::tls_error_log::TlsErrorLog;

/// Of a request's head. A scraper's is below 1 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What TLS may hold back of an answer for one client.
const TLS_BUFFER_BYTES: usize = 8 * 1024;

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    pub exposition: Arc<LatestSnapshot>,
    pub telemetry_path: String,
    pub max_connections: usize,
    pub answers: ResponseCache,
    /// With `--web.config.file`.
    pub security: Option<Security>,
    pub timeouts: Timeouts,
}

/// Serves until `shutdown` resolves, then lets running requests end.
pub async fn run(listeners: Vec<TcpListener>, server: Server, shutdown: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let connections = Arc::new(Connections::new(server.max_connections, server.timeouts));
    let shutdown_timeout = server.timeouts.shutdown;
    let graceful = GracefulShutdown::new();
    let refusals = Arc::new(TlsErrorLog::default());
    let mut listeners = Listeners::new(listeners);
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            // Accepted first: nobody is let go for one who does not come.
            let (stream, peer) = listeners.accept(&connections).await;
            (stream, peer, connections.take().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, peer, place) = accepted => {
                let (server, watcher, place) = (Arc::clone(&server), graceful.watcher(), Arc::new(place));
                let refusals = Arc::clone(&refusals);
                tokio::spawn(async move {
                    let served = tokio::select! {
                        () = place.lost() => Err(ConnectionError::Idle),
                        () = place.overdue() => Err(ConnectionError::Overdue),
                        served = serve(stream, server, watcher, Arc::clone(&place)) => served,
                    };
                    if let Err(error) = served {
                        debug!(%peer, %error, "connection ended");
                        refusals.note(peer, &error);
                    }
                });
            }
        }
    }
    drop(listeners);
    if timeout(shutdown_timeout, graceful.shutdown()).await.is_err() {
        warn!("some requests did not end in time");
    }
}

/// One connection, through TLS where that is asked for.
async fn serve(
    stream: TcpStream,
    server: Arc<Server>,
    watcher: Watcher,
    place: Arc<ConnectionSlot>,
) -> Result<(), ConnectionError> {
    // Answers are written whole; nothing is to be waited for.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(server.timeouts.write));
    let stream = Box::pin(stream);
    let rules = server.security.as_ref().map(Security::rules);
    let Some(tls) = rules.as_ref().and_then(|rules| rules.tls.as_ref()) else {
        return Ok(speak(stream, server, watcher, place).await?);
    };
    let handshake = TlsAcceptor::from(Arc::clone(&tls.config))
        .accept_with(stream, |connection| connection.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
    let stream = timeout(server.timeouts.header, handshake).await.map_err(|_| ConnectionError::Slow)??;
    if !tls.admits(stream.get_ref().1.peer_certificates()) {
        return Err(ConnectionError::Name);
    }
    Ok(speak(Box::pin(stream), server, watcher, place).await?)
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("TLS: {0}")]
    Tls(#[from] io::Error),
    #[error("no TLS handshake in time")]
    Slow,
    #[error("it asked for nothing, and others wanted its place")]
    Idle,
    #[error("it reads its answer too slowly")]
    Overdue,
    #[error("the client's certificate has none of client_allowed_sans")]
    Name,
}

/// HTTP over any stream.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: Arc<Server>,
    watcher: Watcher,
    place: Arc<ConnectionSlot>,
) -> hyper::Result<()> {
    let header_timeout = server.timeouts.header;
    let service = service_fn(move |request| {
        place.touch();
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(routes::respond(&request, &server).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}
