//! HTTP/1.1 on any number of listeners, on one thread.
//!
//! The caller of [`run`] binds the sockets and decides when to shut down. The number of connections is limited, and a
//! client that sends its request or reads the response too slowly is disconnected.

use std::sync::Arc;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::export::rendered::LatestSnapshot;
use crate::serve::config::Timeouts;
use crate::serve::connection;
use crate::serve::connection_limit::ConnectionLimit;
use crate::serve::listen::Listeners;
use crate::serve::pages::Pages;
use crate::serve::render_thread::RenderThread;
use crate::serve::security::Security;
use crate::serve::tls_error_log::TlsErrorLog;

/// What all connections share.
pub struct Server {
    pub latest: Arc<LatestSnapshot>,
    /// Path of the metrics.
    pub telemetry_path: Arc<str>,
    pub max_connections: usize,
    pub render_thread: Arc<RenderThread>,
    pub pages: Pages,
    /// `None` without `--web.config.file`.
    pub security: Option<Security>,
    pub timeouts: Timeouts,
}

/// Serves until `shutdown` resolves, then waits for running requests.
pub(crate) async fn run(listeners: Vec<TcpListener>, server: Server, shutdown: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let timeouts = server.timeouts;
    let limit = Arc::new(ConnectionLimit::new(server.max_connections, timeouts));
    let graceful = GracefulShutdown::new();
    let tls_errors = Arc::new(TlsErrorLog::default());
    let mut listeners = Listeners::new(listeners);
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            // The slot is acquired after accepting, so that no connection is evicted before another one exists.
            let (stream, peer) = listeners.accept(&limit).await;
            (stream, peer, limit.acquire().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, peer, slot) = accepted => {
                let (server, watcher) = (Arc::clone(&server), graceful.watcher());
                let tls_errors = Arc::clone(&tls_errors);
                tokio::spawn(async move {
                    if let Err(error) = connection::serve(stream, server, watcher, slot).await {
                        debug!(%peer, %error, "connection closed");
                        tls_errors.log(peer, &error);
                    }
                });
            }
        }
    }
    drop(listeners);
    if timeout(timeouts.shutdown, graceful.shutdown()).await.is_err() {
        warn!("shutdown timed out; some requests were aborted");
    }
}
