//! | path | answer |
//! |---|---|
//! | `/` | all containers; `?sort=` orders them |
//! | `/containers/{name-or-id}` | a container and its forest; `?fold=0`, `?zombies=1`, `?sort=age` |
//! | `/api/v1/containers` | all containers as JSON |
//! | `/api/v1/containers/{name-or-id}/tree` | a container and its forest as JSON |
//! | `/assets/…` | style, script and icon of the pages |
//! | `--web.telemetry-path` (`/metrics`) | the exposition; 503 before the first collection |
//! | `/-/healthy` | 200 while the server runs |
//! | `/-/ready` | 200 while the snapshot is young enough; else 503 with the reason |
//! | anything else | 404 |
//!
//! GET and HEAD only, without a body; 405 and 400 otherwise. Below `/api/` errors are JSON, too. Everything is
//! made from the latest publication: no request walks, or waits for a walk.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    TRANSFER_ENCODING, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::export::rendered::{Encoding, LatestSnapshot, RenderedSnapshot};
use crate::serve::negotiation;
use crate::serve::server::Server;
use crate::view::html::{container_list, container_page, page};
use crate::view::json;
use crate::view::select::{self, NotFound};

/// A snapshot older than this many intervals is no longer ready to be trusted.
const MAX_AGE_IN_INTERVALS: u32 = 3;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

const NOT_YET: &str = "the first collection is not finished yet";

/// Answers one request of somebody who may ask.
pub async fn respond<B>(request: &Request<B>, server: &Server) -> Response<Full<Bytes>> {
    let Some(security) = &server.security else { return answer(request, server).await };
    let rules = security.rules();
    let mut response = match security.admit(&rules, request.headers()).await {
        Ok(()) => answer(request, server).await,
        Err(status) => refusal(status),
    };
    for (name, value) in &rules.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let message = match status {
        StatusCode::UNAUTHORIZED => "a user and a password are wanted\n",
        StatusCode::TOO_MANY_REQUESTS => "too many requests; see rate_limit in --web.config.file\n",
        _ => "too many passwords are being checked; come again in a second\n",
    };
    let mut response = text(status, message);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"pstree-exporter\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    } else {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn answer<B>(request: &Request<B>, server: &Server) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response =
            failure(request, StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if has_body(request.headers()) {
        // Whatever stands behind the head, it is not to be taken for another request.
        let mut response = failure(request, StatusCode::BAD_REQUEST, "a request has no body here");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let query = request.uri().query().unwrap_or_default();
    let mut response = match request.uri().path() {
        path if path == server.telemetry_path => metrics(request.headers(), &server.exposition),
        "/" => list_page(server, query).await,
        "/-/healthy" => text(StatusCode::OK, "healthy\n"),
        "/-/ready" => ready(&server.exposition),
        "/assets/page.css" => asset(page::STYLE, "text/css; charset=utf-8"),
        "/assets/page.js" => asset(page::SCRIPT, "text/javascript; charset=utf-8"),
        "/assets/icon.svg" => asset(page::ICON, "image/svg+xml"),
        path => {
            if let Some(path) = path.strip_prefix("/api/") {
                api(server, path).await
            } else if let Some(name) = path.strip_prefix("/containers/") {
                container_page(server, name, query).await
            } else {
                text(StatusCode::NOT_FOUND, "not found; everything is linked from /\n")
            }
        }
    };
    if request.method() == Method::HEAD {
        // hyper sends no body, but would have known its length only from one.
        let length = hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Full::default();
    }
    response
}

/// As whoever asks expects it.
fn failure<B>(request: &Request<B>, status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    match request.uri().path().starts_with("/api/") {
        true => body(status, JSON, json::error(message, &[])),
        false => text(status, &format!("{message}\n")),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn metrics(headers: &HeaderMap, exposition: &LatestSnapshot) -> Response<Full<Bytes>> {
    let Some(published) = exposition.current() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, &format!("{NOT_YET}\n"));
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

fn ready(exposition: &LatestSnapshot) -> Response<Full<Bytes>> {
    let Some(published) = exposition.current() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, &format!("{NOT_YET}\n"));
    };
    if is_stale(&published) {
        let age = published.collected_at.elapsed().as_secs_f64();
        let reason = format!("the snapshot is {age:.0} s old; the log says why\n");
        return text(StatusCode::SERVICE_UNAVAILABLE, &reason);
    }
    text(StatusCode::OK, "ready\n")
}

fn is_stale(published: &RenderedSnapshot) -> bool {
    published.collected_at.elapsed() > published.interval * MAX_AGE_IN_INTERVALS
}

/// Below `/api/`.
async fn api(server: &Server, path: &str) -> Response<Full<Bytes>> {
    let name = path.strip_prefix("v1/containers/").and_then(|rest| rest.strip_suffix("/tree"));
    let name = name.filter(|name| !name.contains('/'));
    if name.is_none() && path != "v1/containers" {
        let known = "there is /api/v1/containers and /api/v1/containers/{name-or-id}/tree";
        return body(StatusCode::NOT_FOUND, JSON, json::error(known, &[]));
    }
    let Some(published) = server.exposition.current() else {
        return body(StatusCode::SERVICE_UNAVAILABLE, JSON, json::error(NOT_YET, &[]));
    };
    let Some(name) = name else {
        return body(StatusCode::OK, JSON, server.answers.containers(&published).await);
    };
    match find(&published, name) {
        Ok(index) => body(StatusCode::OK, JSON, server.answers.tree(&published, index).await),
        Err(error) => body(status_of(&error), JSON, json::error(&error.to_string(), error.nearest())),
    }
}

async fn list_page(server: &Server, query: &str) -> Response<Full<Bytes>> {
    let Some(published) = server.exposition.current() else { return not_yet() };
    let order = container_list::Order::parse(query);
    html(StatusCode::OK, server.answers.list(&published, order, &context(server, &published)).await)
}

async fn container_page(server: &Server, name: &str, query: &str) -> Response<Full<Bytes>> {
    let Some(published) = server.exposition.current() else { return not_yet() };
    let context = context(server, &published);
    match find(&published, name) {
        Ok(index) => {
            let options = container_page::ViewOptions::parse(query);
            html(StatusCode::OK, server.answers.page(&published, index, options, &context).await)
        }
        Err(error) => {
            let page = page::not_found(&error.to_string(), error.nearest(), &published.snapshot, &context);
            html(status_of(&error), page)
        }
    }
}

fn find(published: &RenderedSnapshot, encoded_name: &str) -> Result<usize, NotFound> {
    let name = percent_decode_str(encoded_name).decode_utf8_lossy();
    select::by_name_or_id(&published.snapshot, &name)
}

fn status_of(error: &NotFound) -> StatusCode {
    match error {
        NotFound::Ambiguous { .. } => StatusCode::BAD_REQUEST,
        NotFound::Unknown { .. } | NotFound::OnHost { .. } => StatusCode::NOT_FOUND,
    }
}

fn context<'a>(server: &'a Server, published: &Arc<RenderedSnapshot>) -> page::PageContext<'a> {
    page::PageContext {
        telemetry_path: &server.telemetry_path,
        interval: published.interval.as_secs_f64(),
        is_stale: is_stale(published),
    }
}

fn not_yet() -> Response<Full<Bytes>> {
    text(StatusCode::SERVICE_UNAVAILABLE, &format!("{NOT_YET}; look again in a moment\n"))
}

fn html(status: StatusCode, page: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = body(status, HTML, page);
    let policy = HeaderValue::from_static(page::CONTENT_SECURITY_POLICY);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Pages name them with the revision, so they may be kept.
fn asset(content: &'static str, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = body(StatusCode::OK, HeaderValue::from_static(content_type), content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
    response
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    body(status, TEXT, message.to_owned())
}

fn body(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
