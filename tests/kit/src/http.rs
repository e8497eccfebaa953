//! Just enough HTTP to ask a health or control address of a process under test.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

/// Long enough for a loaded machine; a healthy answer takes a millisecond.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }

    /// The first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

pub fn get(addr: impl ToSocketAddrs, path: &str) -> io::Result<Response> {
    request(addr, "GET", path, "")
}

pub fn post(addr: impl ToSocketAddrs, path: &str, body: &str) -> io::Result<Response> {
    request(addr, "POST", path, body)
}

pub fn request(addr: impl ToSocketAddrs, method: &str, path: &str, body: &str) -> io::Result<Response> {
    let addr = addr.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // One write: a scripted server may look at the first packet only.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> io::Result<Response> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| malformed(&text))?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(|| malformed(&text))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    let mut response = Response { status, headers, body: body.to_string() };
    if response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        response.body = unchunked(body).ok_or_else(|| malformed(&text))?;
    }
    Ok(response)
}

fn unchunked(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

fn malformed(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {text:?}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn a_request_and_both_kinds_of_answer() {
        let server = Script::serve(|mut peer| {
            let request = String::from_utf8_lossy(&peer.read_some()?).into_owned();
            let answer = if request.starts_with("GET /plain HTTP/1.1\r\n") {
                "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}"
            } else {
                assert!(
                    request.starts_with("POST /chunked ") && request.ends_with("\r\n\r\nbody"),
                    "{request}"
                );
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n"
            };
            peer.send(answer.as_bytes())
        });
        let plain = get(server.addr(), "/plain").unwrap();
        assert_eq!((plain.status, plain.body.as_str(), plain.header("x-a")), (503, "{}", Some("b")));
        let chunked = post(server.addr(), "/chunked", "body").unwrap();
        assert_eq!(chunked.json()["a"], 1);
        assert_eq!(server.errors(), Vec::<String>::new());
    }
}
