//! What kubelets and scrapers ask. Nothing here changes anything, and no request reaches a database.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::guard;
use crate::house::House;

pub(super) fn router(house: Arc<House>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/startupz", get(startupz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(house)
        .layer(middleware::from_fn(guard::mark))
}

async fn livez(State(house): State<Arc<House>>) -> Response {
    let stuck = !house.is_alive().await;
    answer(stuck.then(|| "a worker does not answer".to_owned()).as_slice())
}

async fn startupz(State(house): State<Arc<House>>) -> Response {
    answer(&house.missing_credentials())
}

async fn readyz(State(house): State<Arc<House>>) -> Response {
    answer(&house.waiting_for())
}

/// `ok`, or what is missing, one a line.
fn answer(missing: &[String]) -> Response {
    match missing {
        [] => "ok\n".into_response(),
        missing => (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response(),
    }
}

async fn metrics(State(house): State<Arc<House>>, headers: HeaderMap) -> Response {
    for route in house.routes().iter() {
        route.refresh_metrics();
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let exposition = house.metrics.exposition(accept);
    ([(CONTENT_TYPE, exposition.content_type)], exposition.text).into_response()
}
