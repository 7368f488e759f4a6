//! A gRPC client for the unix socket of a container runtime, with limits on size and time.

use std::error::Error;
use std::io;

use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint as Transport};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::endpoint::Endpoint;
use crate::model::text::sanitize;

/// Limit on the size of a response, more than a node has.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
/// The header in which containerd expects its namespace.
const NAMESPACE: &str = "containerd-namespace";

/// Why a runtime did not answer. The message is one line, without control characters.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrpcError {
    #[error("no answer within the timeout")]
    TimedOut,
    #[error("the runtime does not have this API")]
    Unimplemented,
    #[error("not found")]
    NotFound,
    #[error("{0}")]
    Other(String),
}

impl From<Status> for GrpcError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Unimplemented,
            Code::NotFound => Self::NotFound,
            code => {
                let mut cause: Option<&dyn Error> = status.source();
                while let Some(inner) = cause.and_then(Error::source) {
                    cause = Some(inner);
                }
                let text = match cause {
                    Some(cause) => cause.to_string(),
                    None => format!("{code}: {}", status.message()),
                };
                Self::Other(sanitize(text.as_bytes()).into_owned())
            }
        }
    }
}

/// A client that connects at its first request.
#[derive(Clone)]
pub(super) struct Client(Channel);

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let endpoint = endpoint.clone();
        let connector = service_fn(move |_| {
            let endpoint = endpoint.clone();
            async move {
                let Endpoint::Unix(path) = endpoint else {
                    return Err(io::Error::from(io::ErrorKind::Unsupported));
                };
                Ok(TokioIo::new(UnixStream::connect(path).await?))
            }
        });
        // Only used for the header :authority.
        Self(Transport::from_static("http://localhost").connect_with_connector_lazy(connector))
    }

    /// Calls a method, in a namespace of containerd if there is one. The caller limits the time.
    ///
    /// # Errors
    /// If the runtime cannot be reached, or answers with an error.
    pub(super) async fn call<Response: prost::Message + Default + 'static>(
        &self,
        method: &'static str,
        message: impl prost::Message + 'static,
        namespace: Option<&str>,
    ) -> Result<Response, GrpcError> {
        let mut client = Grpc::new(self.0.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES);
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let mut request = Request::new(message);
        if let Some(namespace) = namespace {
            let namespace = AsciiMetadataValue::try_from(namespace)
                .map_err(|_| GrpcError::Other("a namespace that is not ASCII".to_owned()))?;
            request.metadata_mut().insert(NAMESPACE, namespace);
        }
        let path = PathAndQuery::from_static(method);
        Ok(client.unary(request, path, ProstCodec::default()).await?.into_inner())
    }
}
