//! The address of a Docker or CRI API, and a transport for Docker that limits the size of responses.
//!
//! bollard's own transports read bodies of any size, and cannot be constructed while the socket does not exist. This one
//! opens a connection for each request, and closes it after too many bytes.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use bollard::{BollardRequest, Docker};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::docker_error::DockerError;

/// Maximum size of a response. A list of 2,000 containers with many labels is smaller; an event stream that reaches the
/// limit is reopened.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// The address of an API, in the notation of `DOCKER_HOST`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Unix(PathBuf),
    /// `host:port`, unencrypted.
    Tcp(String),
}

/// An address that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    #[error("\"{0}\" is not a Docker address; use unix:///path/to/docker.sock or tcp://host:port")]
    Malformed(String),
    #[error(
        "\"{0}\" requires TLS or SSH, which is not supported; use a unix socket, or tcp:// to a proxy on this machine"
    )]
    Encrypted(String),
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        let malformed = || EndpointError::Malformed(address.to_owned());
        match address.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp" | "http", authority)) => {
                let authority = authority.trim_end_matches('/');
                let with_port =
                    if has_port(authority) { authority.to_owned() } else { format!("{authority}:2375") };
                let parsed: Uri = format!("http://{with_port}/").parse().map_err(|_| malformed())?;
                let is_plain = parsed.host().is_some_and(|host| !host.is_empty())
                    && parsed.port_u16().is_some()
                    && parsed.path() == "/";
                if is_plain { Ok(Self::Tcp(with_port)) } else { Err(malformed()) }
            }
            Some(("https" | "ssh", _)) => Err(EndpointError::Encrypted(address.to_owned())),
            _ => Err(malformed()),
        }
    }
}

fn has_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_some_and(|(host, _)| !host.is_empty() && (!host.starts_with('[') || host.ends_with(']')))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

impl Endpoint {
    /// A client for this endpoint. It connects at the first request, and waits for the head of a response for `timeout`,
    /// in whole seconds and at least one.
    ///
    /// # Errors
    /// bollard's constructor is fallible; with this transport it does not fail.
    pub(crate) fn client(&self, timeout: Duration) -> Result<Docker, bollard::errors::Error> {
        let endpoint = self.clone();
        let transport = move |request| {
            let endpoint = endpoint.clone();
            async move { endpoint.send(request).await.map_err(bollard::errors::Error::from) }
        };
        // The host is used only for the Host header.
        Docker::connect_with_custom_transport(
            transport,
            Some("http://localhost"),
            timeout.as_secs().max(1),
            bollard::API_DEFAULT_VERSION,
        )
    }

    /// Whether the directory of the socket does not exist any more.
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Unix(path) => path.parent().is_some_and(|it| !std::fs::exists(it).unwrap_or(true)),
            Self::Tcp(_) => false,
        }
    }

    /// The slice of the user to whom the socket belongs, if it is in this user's runtime directory: their containers are
    /// in cgroups below it.
    #[must_use]
    pub(crate) fn user_slice(&self) -> Option<String> {
        let Self::Unix(path) = self else { return None };
        let user = path.strip_prefix("/run/user").ok()?.components().next()?.as_os_str().to_str()?;
        Some(format!("/user-{user}.slice/"))
    }

    /// The body of the response to a GET request.
    ///
    /// # Errors
    /// If the connection fails, or the response has another status than 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, DockerError> {
        let request = Request::get(path).body(Either::Left(Full::default())).map_err(io::Error::other)?;
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        if status == StatusCode::OK { Ok(body) } else { Err(DockerError::from_status(status, &body)) }
    }

    async fn send(&self, request: BollardRequest) -> io::Result<Response<Incoming>> {
        match self {
            Self::Tcp(authority) => exchange(TcpStream::connect(authority).await?, request).await,
            Self::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
        }
    }
}

/// Sends one request over one connection, which is closed after the body of the response.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: BollardRequest,
) -> io::Result<Response<Incoming>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));

    let io = TokioIo::new(LimitedStream { stream, remaining: MAX_RESPONSE_BYTES });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
    // The task ends when the response is read or dropped. The reader of the body also gets its errors.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(io::Error::other)
}

/// A stream that fails after too many bytes were read.
struct LimitedStream<S> {
    stream: S,
    remaining: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        match self.remaining.checked_sub(buf.filled().len() - before) {
            Some(remaining) => self.remaining = remaining,
            None => return Poll::Ready(Err(io::Error::other("the response is larger than 16 MiB"))),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_addresses_in_the_notation_of_docker_host() {
        assert_eq!("unix:///run/x.sock".parse(), Ok(Endpoint::Unix("/run/x.sock".into())));
        assert_eq!("tcp://127.0.0.1:2375".parse(), Ok(Endpoint::Tcp("127.0.0.1:2375".into())));
        assert_eq!("tcp://proxy".parse(), Ok(Endpoint::Tcp("proxy:2375".into())));
        assert_eq!("tcp://[::1]:2375/".parse(), Ok(Endpoint::Tcp("[::1]:2375".into())));
        assert_eq!("tcp://[::1]".parse(), Ok(Endpoint::Tcp("[::1]:2375".into())));
        for wrong in ["", "/run/x.sock", "unix://x.sock", "tcp://", "tcp://a:b", "tcp://a:1/x", "ftp://a"] {
            assert!(matches!(wrong.parse::<Endpoint>(), Err(EndpointError::Malformed(_))), "{wrong}");
        }
        assert!(matches!("ssh://a".parse::<Endpoint>(), Err(EndpointError::Encrypted(_))));
    }
}
