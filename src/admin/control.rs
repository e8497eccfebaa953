//! What an operator asks and orders: JSON and orders for tools, a page for people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::guard::{self, Token};
use super::page::Page;
use crate::house::House;
use crate::status::Status;

pub(super) fn router(house: Arc<House>, token: &Token) -> Router {
    let page = Page::new(token.clone());
    let page = get(async move |State(house): State<Arc<House>>| page.show(&house.status()));
    Router::new()
        .route("/", page)
        .route("/status", get(status))
        .route("/drain", post(drain))
        .route("/reload", post(reload))
        .route("/quit", post(quit))
        .with_state(house)
        .layer(middleware::from_fn_with_state(token.clone(), guard::admit))
}

async fn status(State(house): State<Arc<House>>) -> Json<Status> {
    Json(house.status())
}

/// Not ready from now on, while every session is served, also a new one. It has no end of its own: `/quit` or a
/// signal ends the process, and only then the deadline begins.
async fn drain(State(house): State<Arc<House>>) -> Response {
    if house.begin_drain() {
        (StatusCode::ACCEPTED, "draining: not ready, still serving\n").into_response()
    } else {
        (StatusCode::OK, "draining already\n").into_response()
    }
}

/// Reads the configuration again, and answers with what that changed or with what is wrong.
async fn reload(State(house): State<Arc<House>>) -> Response {
    match house.reload().await {
        Some(Ok(changes)) => Json(changes).into_response(),
        Some(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the process is ending\n").into_response(),
    }
}

/// Drains and ends the process. The answer does not wait for it.
async fn quit(State(house): State<Arc<House>>) -> Response {
    tracing::info!("told to quit");
    house.quit.notify_one();
    (StatusCode::ACCEPTED, "ending\n").into_response()
}
