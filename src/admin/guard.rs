//! Who may ask and order at the control address.
//!
//! Orders are POST requests: an application that can be tricked into fetching an address only ever sends GET. A
//! browser beside us can send POST too, for any site that it shows, and a site can make a name of its own point here.
//! So whatever comes from another site is turned away, and an order that a browser may have sent has to bring the
//! token of our own page. Tools bring none: whoever runs one beside us may give orders as it is.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERER, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::chance;

/// A form of ours has nothing but the token.
const FORM_SIZE: usize = 1024;
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// What a browser sends along with a POST request, one of them at least, and no tool does.
const OF_BROWSERS: [HeaderName; 3] = [ORIGIN, REFERER, FETCH_SITE];

/// On every answer of both listeners: it is of this moment, for whoever asked, and nothing but what it says it is.
const EVERYWHERE: [(HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];
/// On those of control too. A referrer of our own is kept: without one, browsers say of our forms that they come from nowhere.
const OF_CONTROL: [(HeaderName, HeaderValue); 3] = [
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];
/// For what is no page.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What our own page knows and no other site does; another one in each process.
#[derive(Clone)]
pub(super) struct Token(Arc<str>);

impl Token {
    pub(super) fn new() -> Self {
        Self(format!("{:032x}", u128::from_ne_bytes(chance::bytes())).into())
    }

    /// For the forms of our own page.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether a form brings it.
    fn is_in(&self, form: &[u8]) -> bool {
        let mut fields = form.split(|letter| *letter == b'&');
        let brought = fields.find_map(|field| field.strip_prefix(b"token="));
        brought.is_some_and(|brought| verify_slices_are_equal(brought, self.0.as_bytes()).is_ok())
    }
}

/// Lets a request through that may come through.
pub(super) async fn admit(State(token): State<Token>, request: Request, next: Next) -> Response {
    let mut answer = match foreign(request.method(), request.headers()) {
        Some(reason) => forbidden(reason),
        None if is_order_of_a_browser(&request) => order(&token, request, next).await,
        None => next.run(request).await,
    };
    let headers = answer.headers_mut();
    headers.extend(EVERYWHERE.into_iter().chain(OF_CONTROL));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    answer
}

/// For the listener where everybody may ask, and nobody can order.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    answer.headers_mut().extend(EVERYWHERE);
    answer
}

/// An order from a browser leads back to the page, which tells what came of it; the end of the process leads nowhere.
async fn order(token: &Token, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(form) = to_bytes(body, FORM_SIZE).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "a form of our page is shorter\n").into_response();
    };
    if !token.is_in(&form) {
        return forbidden("the order does not come from the page that is shown now: load it again\n");
    }
    let ends = head.uri.path() == "/quit";
    let answer = next.run(Request::from_parts(head, Body::empty())).await;
    let is_known = !matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
    if is_known && !ends { Redirect::to("/").into_response() } else { answer }
}

fn forbidden(reason: &'static str) -> Response {
    (StatusCode::FORBIDDEN, reason).into_response()
}

fn is_order_of_a_browser(request: &Request) -> bool {
    request.method() == Method::POST && is_of_a_browser(request.headers())
}

fn is_of_a_browser(headers: &HeaderMap) -> bool {
    OF_BROWSERS.iter().any(|name| headers.contains_key(name))
}

/// Why a request is taken for one of another site, if it is.
fn foreign(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, others) = (hosts.next(), hosts.next());
    let Some(host) = host else {
        return is_of_a_browser(headers).then_some("no browser leaves the host out\n");
    };
    if others.is_some() || !is_of_this_machine(host.as_bytes()) {
        return Some("the host must be localhost or an address\n");
    }
    let own = |origin: &HeaderValue| origin.as_bytes().strip_prefix(b"http://") == Some(host.as_bytes());
    let is_foreign = !headers.get(ORIGIN).is_none_or(own) || !is_fetched_by_us(method, headers);
    is_foreign.then_some("the request comes from another site\n")
}

/// By the browser's own word (Fetch Metadata). Another site may have a link to the page, and nothing else.
fn is_fetched_by_us(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|told| told == value);
    match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => true,
        Some(_) => method == Method::GET && is(&FETCH_MODE, "navigate") && is(&FETCH_DEST, "document"),
    }
}

/// `localhost` or an address, with a port or without, and not a letter more.
fn is_of_this_machine(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = host.parse::<SocketAddr>().is_ok()
        || host.parse::<Ipv4Addr>().is_ok()
        || bare.is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok());
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let has_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    is_address || name.eq_ignore_ascii_case("localhost") && has_port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned_away(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers.iter().map(|(name, value)| {
            (name.parse().expect("a header's name"), value.parse().expect("a header's value"))
        });
        foreign(&method, &pairs.collect()).is_some()
    }

    #[test]
    fn requests_of_tools_and_of_our_own_page_come_through() {
        assert!(!turned_away(Method::POST, &[]));
        for host in ["localhost:9901", "127.0.0.1:9901", "[::1]:9901", "LOCALHOST", "127.0.0.1", "[::1]"] {
            assert!(!turned_away(Method::POST, &[("host", host)]), "{host}");
        }
        let own = [("host", "127.0.0.1:9901"), ("origin", "http://127.0.0.1:9901")];
        assert!(!turned_away(Method::POST, &own));
        for site in ["same-origin", "none"] {
            assert!(
                !turned_away(Method::GET, &[("host", "localhost:9901"), ("sec-fetch-site", site)]),
                "{site}"
            );
        }
    }

    #[test]
    fn requests_of_other_sites_do_not() {
        for origin in ["https://evil.example", "http://127.0.0.1:8080", "null", "http://localhost:9901"] {
            let headers = [("host", "127.0.0.1:9901"), ("origin", origin)];
            assert!(turned_away(Method::POST, &headers), "{origin}");
        }
        for site in ["cross-site", "same-site", "what-comes-next"] {
            let headers = [("host", "127.0.0.1:9901"), ("sec-fetch-site", site)];
            assert!(turned_away(Method::GET, &headers), "{site}");
        }
    }

    #[test]
    fn another_site_may_have_a_link_to_the_page_and_neither_a_frame_nor_a_form() {
        let arriving = |method, mode, dest| {
            let site = [("host", "localhost:9901"), ("sec-fetch-site", "cross-site")];
            let way = [("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            turned_away(method, &[site, way].concat())
        };
        assert!(!arriving(Method::GET, "navigate", "document"));
        assert!(arriving(Method::GET, "navigate", "iframe"));
        assert!(arriving(Method::GET, "no-cors", "script"));
        assert!(arriving(Method::POST, "navigate", "document"));
    }

    #[test]
    fn a_name_that_was_made_to_point_here_does_not_help() {
        let rebound = [("host", "evil.example:9901"), ("origin", "http://evil.example:9901")];
        assert!(turned_away(Method::GET, &rebound));
        for host in [
            "127.0.0.1.evil.example",
            "[::1].evil.example",
            "localhost.evil.example",
            "evil.example@localhost",
            "localhost:80:80",
            "localhost:x",
            "::1",
            "",
        ] {
            assert!(turned_away(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(turned_away(Method::GET, &[("host", "localhost"), ("host", "evil.example")]));
        assert!(turned_away(Method::POST, &[("referer", "http://evil.example/")]), "without a host");
    }

    #[test]
    fn a_token_is_long_differs_and_is_found_in_a_form() {
        let (token, other) = (Token::new(), Token::new());
        assert_eq!(token.text().len(), 32);
        assert!(token.is_in(format!("a=b&token={}", token.text()).as_bytes()));
        for form in [String::new(), "token=".to_owned(), format!("token={}", other.text())] {
            assert!(!token.is_in(form.as_bytes()), "{form}");
        }
    }
}
