//! One connection: TLS if configured, then HTTP/1.1, with time limits for the client.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::serve::connection_limit::ConnectionSlot;
use crate::serve::routes;
use crate::serve::security::Security;
use crate::serve::server::Server;

/// Maximum size of the head of a request. Those of scrapers are below 1 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Encrypted bytes that TLS buffers for one connection.
const TLS_BUFFER_BYTES: usize = 8 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("TLS: {0}")]
    Tls(#[from] io::Error),
    #[error("the TLS handshake timed out")]
    HandshakeTimeout,
    #[error(
        "closed for another connection: the maximum is reached, and this one was idle for the longest time"
    )]
    Evicted,
    #[error("the client reads the response too slowly")]
    ResponseTimeout,
    #[error("the client certificate has none of the names in client_allowed_sans")]
    ClientName,
}

/// Serves a connection until it ends, its slot is evicted, or the client is too slow.
pub(crate) async fn serve(
    stream: TcpStream,
    server: Arc<Server>,
    watcher: Watcher,
    slot: ConnectionSlot,
) -> Result<(), ConnectionError> {
    let slot = Arc::new(slot);
    tokio::select! {
        () = slot.evicted() => Err(ConnectionError::Evicted),
        () = slot.response_timeout() => Err(ConnectionError::ResponseTimeout),
        result = serve_stream(stream, server, watcher, Arc::clone(&slot)) => result,
    }
}

async fn serve_stream(
    stream: TcpStream,
    server: Arc<Server>,
    watcher: Watcher,
    slot: Arc<ConnectionSlot>,
) -> Result<(), ConnectionError> {
    // Responses are written at once, so waiting for more data only delays them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(server.timeouts.write));
    let stream = Box::pin(stream);
    let policy = server.security.as_ref().map(Security::policy);
    let Some(tls) = policy.as_ref().and_then(|policy| policy.tls.as_ref()) else {
        return Ok(serve_http(stream, server, watcher, slot).await?);
    };
    let handshake = TlsAcceptor::from(Arc::clone(&tls.server_config))
        .accept_with(stream, |connection| connection.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
    let stream =
        timeout(server.timeouts.header, handshake).await.map_err(|_| ConnectionError::HandshakeTimeout)??;
    if !tls.allows_client(stream.get_ref().1.peer_certificates()) {
        return Err(ConnectionError::ClientName);
    }
    Ok(serve_http(Box::pin(stream), server, watcher, slot).await?)
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: Arc<Server>,
    watcher: Watcher,
    slot: Arc<ConnectionSlot>,
) -> hyper::Result<()> {
    let header_timeout = server.timeouts.header;
    let service = service_fn(move |request| {
        slot.touch();
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
