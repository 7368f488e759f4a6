//! | path | response |
//! |---|---|
//! | `/` | all containers; `?sort=` selects the order |
//! | `/containers/{name-or-id}` | a container and its forest; `?fold=0`, `?zombies=1`, `?sort=age`, `cpu` or `memory` |
//! | `/api/v1/containers` | all containers as JSON |
//! | `/api/v1/containers/{name-or-id}/tree` | a container and its forest as JSON |
//! | `/assets/…` | style, script and icon of the pages |
//! | `--web.telemetry-path` (`/metrics`) | the metrics; `?collect[]=` selects collectors; 503 before the first collection |
//! | `/-/healthy` | 200 while the server runs |
//! | `/-/ready` | 200 while the snapshot is recent; else 503 with the reason |
//! | anything else | 404 |
//!
//! Only GET and HEAD without a body are allowed; otherwise the status is 405 or 400. Below `/api/`, errors are JSON, too.
//! Every response is made from the latest snapshot: no request starts a collection, or waits for one.

use std::sync::Arc;

use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, TRANSFER_ENCODING, VARY,
};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::export::rendered::{Encoding, LatestSnapshot, RenderedSnapshot};
use crate::model::snapshot::ContainerSummary;
use crate::serve::negotiation;
use crate::serve::pages::PageSettings;
use crate::serve::render_thread::RenderError;
use crate::serve::responses::{FullResponse, asset, denied, html, json, json_error, retry_later, text};
use crate::serve::server::Server;
use crate::view::html::container_list::Order;
use crate::view::html::container_page::ViewOptions;
use crate::view::html::page;
use crate::view::select::{self, NotFound};

/// Age of a snapshot, in collection intervals, above which the exporter is not ready.
const MAX_AGE_IN_INTERVALS: u32 = 3;

const NO_SNAPSHOT: &str = "the first collection is not finished; retry in a moment";

/// Responds to a request, after checking that it is authorized.
pub async fn respond<B>(request: &Request<B>, server: &Server) -> FullResponse {
    let Some(security) = &server.security else { return respond_authorized(request, server).await };
    let policy = security.policy();
    let mut response = match security.authorize(&policy, request.headers()).await {
        Ok(()) => respond_authorized(request, server).await,
        Err(reason) => denied(reason),
    };
    for (name, value) in &policy.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn respond_authorized<B>(request: &Request<B>, server: &Server) -> FullResponse {
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = error(path, StatusCode::METHOD_NOT_ALLOWED, "method not allowed; use GET or HEAD");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if has_body(request.headers()) {
        // The body is not read, so the connection is closed: otherwise it would be parsed as the next request.
        let mut response = error(path, StatusCode::BAD_REQUEST, "requests must not have a body");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let query = request.uri().query().unwrap_or_default();
    let response = match path {
        path if path == &*server.telemetry_path => metrics(server, request.headers(), query).await,
        "/" => list_page(server, query).await,
        "/-/healthy" => Ok(text(StatusCode::OK, "healthy")),
        "/-/ready" => Ok(ready(&server.latest)),
        "/assets/page.css" => Ok(asset(page::STYLE, "text/css; charset=utf-8")),
        "/assets/page.js" => Ok(asset(page::SCRIPT, "text/javascript; charset=utf-8")),
        "/assets/icon.svg" => Ok(asset(page::ICON, "image/svg+xml")),
        path => {
            if let Some(path) = path.strip_prefix("/api/") {
                api(server, path).await
            } else if let Some(name) = path.strip_prefix("/containers/") {
                container_page(server, name, query).await
            } else {
                Ok(text(StatusCode::NOT_FOUND, "not found; / has links to all pages"))
            }
        }
    };
    let mut response = response.unwrap_or_else(|reason| not_rendered(path, reason));
    if request.method() == Method::HEAD {
        // hyper sends no body, but computes the length from it.
        let length = hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Full::default();
    }
    response
}

/// An error as JSON below `/api/`, else as text.
fn error(path: &str, status: StatusCode, message: &str) -> FullResponse {
    match path.starts_with("/api/") {
        true => json_error(status, message, &[]),
        false => text(status, message),
    }
}

fn not_rendered(path: &str, reason: RenderError) -> FullResponse {
    let message = reason.to_string();
    match reason {
        RenderError::Busy => retry_later(error(path, StatusCode::SERVICE_UNAVAILABLE, &message)),
        RenderError::Failed => error(path, StatusCode::INTERNAL_SERVER_ERROR, &message),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

async fn metrics(server: &Server, headers: &HeaderMap, query: &str) -> Result<FullResponse, RenderError> {
    let Some(snapshot) = server.latest.current() else {
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, NO_SNAPSHOT));
    };
    let format = negotiation::format(&joined(headers, &ACCEPT));
    let gzip = negotiation::accepts_gzip(&joined(headers, &ACCEPT_ENCODING));
    let encoding = Encoding { format, gzip };
    let body = match snapshot.collectors.select(selected_collectors(query)) {
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, &error.to_string())),
        // Not kept, so it is limited like a page.
        Ok(Some(selected)) => {
            let permit = server.render_thread.page_permit()?;
            permit.run(move || snapshot.body_of(encoding, selected)).await?
        }
        Ok(None) => match snapshot.encoded(encoding) {
            Some(body) => body,
            None => server.render_thread.run_metrics(move || snapshot.body(encoding)).await?,
        },
    };
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// The values of the parameters `collect[]`, as node_exporter has them. Brackets can be encoded.
fn selected_collectors(query: &str) -> impl Iterator<Item = String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    query.split('&').filter_map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name) == "collect[]").then(|| decoded(value))
    })
}

/// The value of a header. Several lines with the same name are one list (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn ready(latest: &LatestSnapshot) -> FullResponse {
    let Some(snapshot) = latest.current() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, NO_SNAPSHOT);
    };
    if is_stale(&snapshot) {
        let age = snapshot.collected_at.elapsed().as_secs_f64();
        let reason = format!("the snapshot is {age:.0} s old; see the log for the reason");
        return text(StatusCode::SERVICE_UNAVAILABLE, &reason);
    }
    text(StatusCode::OK, "ready")
}

fn is_stale(snapshot: &RenderedSnapshot) -> bool {
    snapshot.collected_at.elapsed() > snapshot.interval * MAX_AGE_IN_INTERVALS
}

/// Paths below `/api/`.
async fn api(server: &Server, path: &str) -> Result<FullResponse, RenderError> {
    let name = path.strip_prefix("v1/containers/").and_then(|rest| rest.strip_suffix("/tree"));
    let name = name.filter(|name| !name.contains('/'));
    if name.is_none() && path != "v1/containers" {
        let message = "not found; use /api/v1/containers or /api/v1/containers/{name-or-id}/tree";
        return Ok(json_error(StatusCode::NOT_FOUND, message, &[]));
    }
    let Some(snapshot) = server.latest.current() else {
        return Ok(json_error(StatusCode::SERVICE_UNAVAILABLE, NO_SNAPSHOT, &[]));
    };
    let Some(name) = name else {
        return Ok(json(server.pages.containers_json(&snapshot).await?));
    };
    match find(server, &snapshot, name).await? {
        Ok(index) => Ok(json(server.pages.tree_json(&snapshot, index).await?)),
        Err(error) => Ok(json_error(status_of(&error), &error.to_string(), error.nearest())),
    }
}

async fn list_page(server: &Server, query: &str) -> Result<FullResponse, RenderError> {
    let Some(snapshot) = server.latest.current() else {
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, NO_SNAPSHOT));
    };
    let settings = page_settings(server, &snapshot);
    let page = server.pages.list_page(&snapshot, Order::parse(query), &settings).await?;
    Ok(html(StatusCode::OK, page))
}

async fn container_page(server: &Server, name: &str, query: &str) -> Result<FullResponse, RenderError> {
    let Some(snapshot) = server.latest.current() else {
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, NO_SNAPSHOT));
    };
    let settings = page_settings(server, &snapshot);
    match find(server, &snapshot, name).await? {
        Ok(index) => {
            let options = ViewOptions::parse(query);
            let page = server.pages.container_page(&snapshot, index, options, &settings).await?;
            Ok(html(StatusCode::OK, page))
        }
        Err(error) => {
            let context = settings.context(&snapshot);
            let page = page::not_found(&error, &snapshot.snapshot, &context);
            Ok(html(status_of(&error), page))
        }
    }
}

/// The index of a container. A name that no container has is compared with all names, which takes milliseconds, so the
/// render thread does it.
async fn find(
    server: &Server,
    snapshot: &Arc<RenderedSnapshot>,
    encoded_name: &str,
) -> Result<Result<usize, NotFound>, RenderError> {
    let name = percent_decode_str(encoded_name).decode_utf8_lossy().into_owned();
    let has_name = |container: &ContainerSummary| {
        let ids = &container.container;
        !name.is_empty() && [&*container.name, &ids.container_id, &ids.id].contains(&&*name)
    };
    if let Some(index) = snapshot.snapshot.containers.iter().position(has_name) {
        return Ok(Ok(index));
    }
    let snapshot = Arc::clone(snapshot);
    let permit = server.render_thread.page_permit()?;
    permit.run(move || select::one(&snapshot.snapshot, &name)).await
}

fn status_of(error: &NotFound) -> StatusCode {
    if error.is_ambiguous() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND }
}

fn page_settings(server: &Server, snapshot: &RenderedSnapshot) -> PageSettings {
    PageSettings { telemetry_path: Arc::clone(&server.telemetry_path), is_stale: is_stale(snapshot) }
}
