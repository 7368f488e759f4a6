//! The sockets to serve on: bound to the addresses of the flags, or passed by systemd.

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;

use crate::serve::bind;
use crate::serve::config::WebConfig;

/// The listeners that the flags select.
pub(super) async fn listeners(config: &WebConfig) -> anyhow::Result<Vec<TcpListener>> {
    if config.systemd_socket { from_systemd() } else { bind_all(&config.listen_addresses).await }
}

async fn bind_all(addresses: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = bind(address).await.with_context(|| {
            format!(
                "cannot listen on {address}; stop the program that uses it, or change --web.listen-address"
            )
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The sockets of `sd_listen_fds(3)`.
fn from_systemd() -> anyhow::Result<Vec<TcpListener>> {
    let mut inherited = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..inherited.len() {
        let listener = inherited.take_tcp_listener(index).context(
            "--web.systemd-socket: a socket from systemd is not a TCP listener; use ListenStream=",
        )?;
        if let Some(listener) = listener {
            listener.set_nonblocking(true)?;
            listeners.push(TcpListener::from_std(listener)?);
        }
    }
    if listeners.is_empty() {
        return Err(anyhow!(
            "--web.systemd-socket: systemd passed no socket; start the exporter with a .socket unit"
        ));
    }
    Ok(listeners)
}

/// The bound addresses, comma-separated: port 0 in a flag becomes a free port.
pub(super) fn bound_addresses(listeners: &[TcpListener]) -> String {
    let addresses: Vec<String> =
        listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.to_string())).collect();
    addresses.join(",")
}
