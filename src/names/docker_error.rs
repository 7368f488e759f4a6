//! Why the Docker API did not answer.

use std::error::Error;
use std::io;

use bollard::errors::Error as RequestError;
use hyper::StatusCode;
use serde::Deserialize;

use crate::model::text::label_value;

/// How to fix a missing socket.
pub(crate) const NO_SOCKET: &str = "start Docker or Podman's API service, mount its socket into this container, or set \
                                    --docker.host; use --no-docker to disable container name lookup";

/// A failed request. The message is one line: the innermost cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    /// The socket does not exist, or no process listens on it.
    #[error("{0}")]
    NotRunning(io::Error),
    /// The socket exists, but this user is not permitted to connect to it.
    #[error("{0}")]
    PermissionDenied(io::Error),
    #[error("no answer within the timeout")]
    TimedOut,
    /// Any other error of the connection.
    #[error("{0}")]
    Connection(io::Error),
    /// An error response, or a response that is not that of a Docker API.
    #[error("{0}")]
    Response(String),
    /// A response that is not valid JSON, or not of the expected type.
    #[error("{0}")]
    Undecodable(serde_json::Error),
}

impl DockerError {
    /// How to fix it.
    #[must_use]
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NotRunning(_) => NO_SOCKET,
            Self::PermissionDenied(_) => {
                "add this user to the group of the socket (equivalent to root access), or use a proxy that allows \
                 only GET requests; use --no-docker to disable container name lookup"
            }
            Self::TimedOut | Self::Connection(_) | Self::Response(_) => {
                "check whether `docker ps` works, and --docker.host; use --no-docker to disable container name lookup"
            }
            Self::Undecodable(_) => {
                "check whether --docker.host is a Docker API; use --no-docker to disable container name lookup"
            }
        }
    }

    /// An error response. The API sends `{"message": "…"}`.
    pub(super) fn from_status(status: StatusCode, body: &[u8]) -> Self {
        let message = serde_json::from_slice(body).ok().map(|Message { message }| label_value(&message));
        Self::Response(format!("{status}: {}", message.unwrap_or_default()))
    }
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

impl From<io::Error> for DockerError {
    fn from(error: io::Error) -> Self {
        RequestError::from(error).into()
    }
}

impl From<RequestError> for DockerError {
    fn from(error: RequestError) -> Self {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut};
        if matches!(error, RequestError::RequestTimeoutError) {
            return Self::TimedOut;
        }
        let (kind, message) = innermost(&error);
        let cause = |kind| io::Error::new(kind, message.clone());
        match kind {
            Some(kind @ (NotFound | ConnectionRefused)) => Self::NotRunning(cause(kind)),
            Some(PermissionDenied) => Self::PermissionDenied(cause(PermissionDenied)),
            Some(TimedOut) => Self::TimedOut,
            Some(kind) => Self::Connection(cause(kind)),
            None => Self::Response(message),
        }
    }
}

/// The kind of the innermost I/O error that says more than "other", and the text of the innermost cause.
fn innermost(error: &RequestError) -> (Option<io::ErrorKind>, String) {
    // This error is transparent: its `source` is that of the I/O error.
    let mut cause: &(dyn Error + 'static) = match error {
        RequestError::IOError { err } => err,
        other => other,
    };
    let mut kind = None;
    loop {
        let mut inner = cause.source();
        if let Some(io_error) = cause.downcast_ref::<io::Error>() {
            if io_error.kind() != io::ErrorKind::Other || kind.is_none() {
                kind = Some(io_error.kind());
            }
            // `source` of an I/O error skips the error that it wraps.
            inner = io_error.get_ref().map(|inner| inner as &(dyn Error + 'static)).or(inner);
        }
        match inner {
            Some(inner) => cause = inner,
            None => return (kind, cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn of(errno: Errno) -> DockerError {
        RequestError::from(io::Error::from(errno)).into()
    }

    #[test]
    fn errors_are_classified_by_kind_not_by_text() {
        assert!(matches!(of(Errno::NOENT), DockerError::NotRunning(_)));
        assert!(matches!(of(Errno::CONNREFUSED), DockerError::NotRunning(_)));
        assert!(matches!(of(Errno::ACCESS), DockerError::PermissionDenied(_)));
        assert!(matches!(of(Errno::TIMEDOUT), DockerError::TimedOut));
        assert!(matches!(of(Errno::CONNRESET), DockerError::Connection(_)));
        assert!(matches!(RequestError::RequestTimeoutError.into(), DockerError::TimedOut));
        let misleading = io::Error::other("Permission denied");
        assert!(matches!(RequestError::from(misleading).into(), DockerError::Connection(_)));
        assert!(of(Errno::NOENT).to_string().contains("No such file"));
    }

    #[test]
    fn the_cause_inside_another_io_error_is_found() {
        let nested = io::Error::other(io::Error::from(Errno::ACCESS));
        assert!(matches!(RequestError::from(nested).into(), DockerError::PermissionDenied(_)));
    }
}
