//! Responses with the headers that each kind of content has.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use crate::serve::security::Denied;
use crate::view::html::page;
use crate::view::json;

pub(crate) type FullResponse = Response<Full<Bytes>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One line of text.
pub(crate) fn text(status: StatusCode, message: &str) -> FullResponse {
    with_body(status, TEXT, format!("{message}\n"))
}

/// A page. It loads and runs nothing but the files of this server.
pub(crate) fn html(status: StatusCode, page: impl Into<Bytes>) -> FullResponse {
    let mut response = with_body(status, HTML, page);
    let policy = HeaderValue::from_static(page::CONTENT_SECURITY_POLICY);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub(crate) fn json(document: Bytes) -> FullResponse {
    with_body(StatusCode::OK, JSON, document)
}

/// An error as JSON; `nearest` are names that may have been meant.
pub(crate) fn json_error(status: StatusCode, message: &str, nearest: &[String]) -> FullResponse {
    with_body(status, JSON, json::error(message, nearest))
}

/// A static file. Pages request it with the revision in its URL, so a browser may cache it.
pub(crate) fn asset(content: &'static str, content_type: &'static str) -> FullResponse {
    let mut response = with_body(StatusCode::OK, HeaderValue::from_static(content_type), content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
    response
}

/// A request that is not authorized.
pub(crate) fn denied(reason: Denied) -> FullResponse {
    let status = match reason {
        Denied::Unauthorized => StatusCode::UNAUTHORIZED,
        Denied::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Denied::Busy => StatusCode::SERVICE_UNAVAILABLE,
    };
    let response = text(status, &reason.to_string());
    if reason != Denied::Unauthorized {
        return retry_later(response);
    }
    let mut response = response;
    let challenge = HeaderValue::from_static("Basic realm=\"pstree-exporter\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Asks the client to retry after a second.
pub(crate) fn retry_later(mut response: FullResponse) -> FullResponse {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn with_body(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> FullResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
