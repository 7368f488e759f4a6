//! Listening sockets: binding addresses, and accepting connections on all of them.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::{debug, info, warn};

use crate::serve::connection_limit::ConnectionLimit;

/// Connections that wait to be accepted, limited by `net.core.somaxconn`. A client that does not fit retries after a
/// second or later.
const BACKLOG: u32 = 4096;
/// Unsent bytes of a response that the kernel buffers (`TCP_NOTSENT_LOWAT`, tcp(7)). Without it, a client that does not
/// read costs up to 4 MiB (`tcp_wmem`), which count as memory of the exporter.
const MAX_UNSENT_BYTES: u32 = 64 * 1024;
/// Time until accepting is retried after an error, such as running out of file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Binds `host:port`, or `:port` for all IPv6 and IPv4 addresses.
///
/// # Errors
/// If the address cannot be resolved, the port is in use, or binding it is not permitted.
pub(crate) async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return bind_first(address).await;
    };
    match bind_first(&format!("[::]:{port}")).await {
        // The machine has no IPv6.
        Err(error) if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            bind_first(&format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}

/// Binds the first possible address of a host name. As in other exporters, IPv4 is preferred.
async fn bind_first(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    for address in addresses {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // Accept IPv4, too, independent of net.ipv6.bindv6only.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // The port can be bound again right after a restart.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// All listeners of one server.
pub(crate) struct Listeners {
    all: Vec<TcpListener>,
    /// The listener to poll first, so that a flood on one listener does not block the others.
    next: usize,
    has_failed: bool,
}

impl Listeners {
    #[must_use]
    pub(crate) fn new(all: Vec<TcpListener>) -> Self {
        for listener in &all {
            // Connections inherit the option. It is not required.
            let _ = SockRef::from(listener).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
        }
        Self { all, next: 0, has_failed: false }
    }

    /// Accepts the next connection on any listener. Evicts one if the process is out of file descriptors.
    pub(crate) async fn accept(&mut self, limit: &ConnectionLimit) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = std::future::poll_fn(|cx| {
                let count = self.all.len();
                for index in (self.next..count).chain(0..self.next) {
                    if let Poll::Ready(accepted) = self.all[index].poll_accept(cx) {
                        self.next = (index + 1) % count;
                        return Poll::Ready(accepted);
                    }
                }
                Poll::Pending
            });
            match accepted.await {
                Ok(accepted) => {
                    if std::mem::take(&mut self.has_failed) {
                        info!("accepting connections again");
                    }
                    return accepted;
                }
                Err(error) if is_peer_error(&error) => {
                    debug!(%error, "connection closed before it was accepted");
                }
                // The cause, such as a lack of file descriptors, can end.
                Err(error) => {
                    if !std::mem::replace(&mut self.has_failed, true) {
                        warn!(
                            %error,
                            "cannot accept connections; if file descriptors are exhausted, raise LimitNOFILE or \
                             ulimit -n, or lower --web.max-connections"
                        );
                    }
                    limit.evict_idlest();
                    tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                }
            }
        }
    }
}

/// Whether the error affects only the connection that was to be accepted (`accept(2)`).
fn is_peer_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}
