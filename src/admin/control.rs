//! What an operator asks and orders.
//!
//! Orders are POST requests: an application that can be tricked into fetching an address only ever sends GET.
//! A web page in a browser beside us could send POST, and could make a name of its own point here, so requests
//! that come from another site are turned away.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::house::House;
use crate::status::Status;

pub(super) fn router(house: Arc<House>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/drain", post(drain))
        .route("/reload", post(reload))
        .route("/quit", post(quit))
        .with_state(house)
        .layer(middleware::from_fn(same_site))
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

async fn same_site(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        None => next.run(request).await,
        Some(reason) => (StatusCode::FORBIDDEN, reason).into_response(),
    }
}

/// Why a request is taken for one of another site, if it is.
fn foreign(headers: &HeaderMap) -> Option<&'static str> {
    // No browser leaves the host out.
    let host = headers.get(HOST)?;
    if !is_of_this_machine(host.as_bytes()) {
        return Some("the host must be localhost or an address\n");
    }
    let origin = headers.get(ORIGIN)?;
    let own = origin.as_bytes().strip_prefix(b"http://") == Some(host.as_bytes());
    (!own).then_some("the request comes from another site\n")
}

fn is_of_this_machine(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned_away(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers.iter().map(|(name, value)| {
            (name.parse().expect("a header's name"), value.parse().expect("a header's value"))
        });
        foreign(&pairs.collect()).is_some()
    }

    #[test]
    fn requests_of_tools_and_of_our_own_page_come_through() {
        assert!(!turned_away(&[]));
        for host in ["localhost:9901", "127.0.0.1:9901", "[::1]:9901", "localhost"] {
            assert!(!turned_away(&[("host", host)]), "{host}");
        }
        assert!(!turned_away(&[("host", "127.0.0.1:9901"), ("origin", "http://127.0.0.1:9901")]));
    }

    #[test]
    fn requests_of_other_sites_do_not() {
        for origin in ["https://evil.example", "http://127.0.0.1:8080", "null", "http://localhost:9901"] {
            assert!(turned_away(&[("host", "127.0.0.1:9901"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_here_does_not_help() {
        let rebound = [("host", "evil.example:9901"), ("origin", "http://evil.example:9901")];
        assert!(turned_away(&rebound));
        assert!(turned_away(&[("host", "127.0.0.1.evil.example")]));
    }
}
