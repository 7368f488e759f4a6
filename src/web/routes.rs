//! | path | answer |
//! |---|---|
//! | `/` | a page with the version and links |
//! | `--web.telemetry-path` (`/metrics`) | the exposition; 503 before the first collection |
//! | `/-/healthy` | 200 while the server runs |
//! | `/-/ready` | 200 while the snapshot is young enough; else 503 with the reason |
//! | anything else | 404 |
//!
//! GET and HEAD only, without a body; 405 and 400 otherwise. Pure but for reading the latest publication and the clock.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::{negotiation, page};
use crate::collector::Exposition;
use crate::metrics::published::Encoding;

/// A snapshot older than this many intervals is no longer ready to be trusted.
const MAX_AGE_IN_INTERVALS: u32 = 3;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers one request.
pub fn respond<B>(
    request: &Request<B>,
    exposition: &Exposition,
    telemetry_path: &str,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if has_body(request.headers()) {
        // Whatever stands behind the head, it is not to be taken for another request.
        let mut response = text(StatusCode::BAD_REQUEST, "a request has no body here\n");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let mut response = match request.uri().path() {
        path if path == telemetry_path => metrics(request.headers(), exposition),
        "/" => landing_page(telemetry_path),
        "/-/healthy" => text(StatusCode::OK, "healthy\n"),
        "/-/ready" => ready(exposition),
        _ => text(StatusCode::NOT_FOUND, "not found; the metrics are linked from /\n"),
    };
    if request.method() == Method::HEAD {
        // hyper sends no body, but would have known its length only from one.
        let length = hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Full::default();
    }
    response
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn metrics(headers: &HeaderMap, exposition: &Exposition) -> Response<Full<Bytes>> {
    let Some(published) = exposition.current() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the first collection is not finished yet\n");
    };
    let format = negotiation::format(&joined(headers, &ACCEPT));
    let gzip = negotiation::accepts_gzip(&joined(headers, &ACCEPT_ENCODING));
    let mut response = Response::new(Full::new(published.body(Encoding { format, gzip })));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A header that was sent in several lines means one list (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn ready(exposition: &Exposition) -> Response<Full<Bytes>> {
    let Some(published) = exposition.current() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the first collection is not finished yet\n");
    };
    let age = published.taken_at.elapsed();
    if age > published.interval * MAX_AGE_IN_INTERVALS {
        let reason = format!("the snapshot is {:.0} s old; the log says why\n", age.as_secs_f64());
        return text(StatusCode::SERVICE_UNAVAILABLE, &reason);
    }
    text(StatusCode::OK, "ready\n")
}

fn landing_page(telemetry_path: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(page::landing(telemetry_path)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::CONTENT_SECURITY_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
