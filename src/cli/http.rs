//! A small HTTP client for our own servers: one request, one answer.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::config::domain::ListenAddress;
use crate::net::dial::{self, Place};

/// For the whole of it: the slowest answer, that of `/livez` about a stuck worker, takes two seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// A status of ten thousand routes, in octets.
const ANSWER_SIZE: usize = 16 * 1024 * 1024;

/// What the server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Answer {
    /// Whether one of our own says that all is well, and no other server that happens to be there.
    pub(super) fn is_ok(&self) -> bool {
        self.status == StatusCode::OK && self.body == "ok\n"
    }

    /// What it says, or its status where it says nothing.
    pub(super) fn reason(&self) -> String {
        match self.body.trim_end() {
            "" => self.status.to_string(),
            body => body.to_owned(),
        }
    }
}

/// Whether anybody listens there.
pub(super) async fn is_there(address: &ListenAddress) -> bool {
    timeout(PATIENCE, dial::connect(&place(address))).await.is_ok_and(|connected| connected.is_ok())
}

/// Asks; the error is a line for people.
pub(super) async fn ask(method: Method, address: &ListenAddress, path: &str) -> Result<Answer, String> {
    let answer = timeout(PATIENCE, exchange(method, address, path)).await;
    answer.unwrap_or_else(|_| Err(format!("{address}: no answer within {PATIENCE:?}")))
}

async fn exchange(method: Method, address: &ListenAddress, path: &str) -> Result<Answer, String> {
    let broken = |error: hyper::Error| format!("{address}: {error}");
    let connected = dial::connect(&place(address)).await;
    let (stream, _) = connected.map_err(|failure| format!("{}; does attache run there?", failure.trouble))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host(address))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("our own requests are well formed");
    // What becomes of the connection shows in the answer.
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_SIZE).collect().await;
    let body = body.map_err(|error| format!("{address}: {error}"))?.to_bytes();
    connection.abort();
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

fn place(address: &ListenAddress) -> Place {
    match address {
        ListenAddress::Tcp(address) => Place::Tcp(*address),
        ListenAddress::Unix(path) => Place::Unix(path.clone()),
    }
}

fn host(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(_) => "localhost".to_owned(),
    }
}
