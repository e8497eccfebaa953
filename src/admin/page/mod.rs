//! The page at `/`: what `/status` tells, for people.
//!
//! One answer holds all of it, style and script too, so that nothing has to be fetched from anywhere. The script
//! only asks for the page again; without it, the browser does. What is shown is escaped by `maud`, which makes markup
//! from nothing but its own templates.

mod concerns;
mod marks;
mod parts;
mod view;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::guard::Token;
use crate::status::Status;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Everything about the page that does not change.
#[derive(Clone)]
pub(super) struct Page {
    token: Token,
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new(token: Token) -> Self {
        Self { token, policy: policy() }
    }

    pub(super) fn show(&self, status: &Status) -> Response {
        let text = view::page(status, self.token.text()).into_string();
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        ([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, self.policy.clone())], text).into_response()
    }
}

/// Nothing may run or be fetched but what we wrote ourselves.
fn policy() -> HeaderValue {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("it is made of letters and signs")
}

fn hash(source: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(digest(&SHA256, source.as_bytes())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
