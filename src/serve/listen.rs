//! The sockets that are listened on, and what comes in on them.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::{debug, info, warn};

use crate::serve::connection_limit::Connections;

/// How many may wait to be accepted, as far as `net.core.somaxconn` allows. Those that do not fit come back after a
/// second at the earliest.
const BACKLOG: u32 = 4096;
/// What the kernel may hold of an answer that is not even sent (`TCP_NOTSENT_LOWAT`, tcp(7)). Without it a client that does
/// not read costs up to 4 MiB (`tcp_wmem`), which counts as the exporter's memory.
const MAX_UNSENT_BYTES: u32 = 64 * 1024;
/// How long to wait when accepting fails, as it does without descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

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

/// The first address of a name that can be bound; as with other exporters, IPv4 comes first.
async fn bind_first(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
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
        // IPv4, too, whatever net.ipv6.bindv6only says.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A port that was served a moment ago can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// All listeners of one server.
pub struct Listeners {
    all: Vec<TcpListener>,
    /// Whose turn it is: a flood on one of them does not starve the others.
    next: usize,
    has_failed: bool,
}

impl Listeners {
    #[must_use]
    pub fn new(all: Vec<TcpListener>) -> Self {
        for listener in &all {
            // Connections inherit it. Without it they work as well.
            let _ = SockRef::from(listener).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
        }
        Self { all, next: 0, has_failed: false }
    }

    /// The next connection on any of them.
    pub async fn accept(&mut self, connections: &Connections) -> (TcpStream, SocketAddr) {
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
                        info!("connections are accepted again");
                    }
                    return accepted;
                }
                Err(error) if is_of_the_peer(&error) => {
                    debug!(%error, "a connection was gone before it was accepted")
                }
                // No reason to stop: it may be had again.
                Err(error) => {
                    if !std::mem::replace(&mut self.has_failed, true) {
                        warn!(
                            %error,
                            "cannot accept connections; if descriptors are missing, raise LimitNOFILE or ulimit -n, or \
                             lower --web.max-connections"
                        );
                    }
                    connections.evict_idlest();
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

/// It came and went, or its packets were no good (`accept(2)`).
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}
