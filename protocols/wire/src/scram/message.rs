//! The server's messages, parsed strictly (RFC 5802, section 7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fault::Fault;

/// The fewest iterations that are accepted: what RFC 7677 names as the minimum and PostgreSQL uses by
/// default. A server that asks for fewer may be after a proof that is cheap to guess from.
pub const MIN_ITERATIONS: u32 = 4096;
/// The most iterations that are accepted: about half a second of one core, and 60 times what OWASP's
/// and PostgreSQL's advice come to today. Without a bound a hostile server could occupy a worker.
pub const MAX_ITERATIONS: u32 = 1_000_000;
/// The longest salt, in octets: servers use 16 to 28, and the cache keeps salts.
pub const MAX_SALT_LEN: usize = 128;
/// The longest nonce, in octets, ours and the server's together: servers add some 24 to our 24.
const MAX_NONCE_LEN: usize = 1024;

/// The server's challenge.
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    /// Reads `r=…,s=…,i=…`. Extensions behind it are allowed and without meaning; a mandatory
    /// extension in front (`m=`) is not understood and therefore an error.
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        const FORM: Fault = Fault::Malformed("SCRAM: the server's first message is not r=…,s=…,i=…");
        let mut fields = text.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(FORM);
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        if !fields.all(is_extension) {
            return Err(FORM);
        }
        Ok(Self {
            nonce: check_nonce(nonce)?,
            salt: parse_salt(salt)?,
            iterations: parse_iterations(iterations)?,
        })
    }
}

/// The server's last words.
#[derive(Debug)]
pub(super) enum ServerFinal {
    /// `v=`: its signature.
    Signature(Vec<u8>),
    /// `e=`: why it did not accept the proof, as one of the values of RFC 5802.
    Error(&'static str),
}

impl ServerFinal {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        const FORM: Fault = Fault::Malformed("SCRAM: the server's final message is neither v=… nor e=…");
        let mut fields = text.split(',');
        let first = fields.next().unwrap_or_default();
        if !fields.all(is_extension) {
            return Err(FORM);
        }
        if let Some(value) = first.strip_prefix("e=") {
            return Ok(Self::Error(known_error(value)));
        }
        let signature = first.strip_prefix("v=").ok_or(FORM)?;
        STANDARD.decode(signature).map(Self::Signature).map_err(|_| FORM)
    }
}

/// Base64 with padding, as all values of SCRAM are encoded.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes what [`encode`] made; nothing else is accepted.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn check_nonce(nonce: &str) -> Result<&str, Fault> {
    let printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || nonce.is_empty() || nonce.len() > MAX_NONCE_LEN {
        return Err(Fault::Malformed("SCRAM: the server's nonce is empty, too long or not printable"));
    }
    Ok(nonce)
}

fn parse_salt(salt: &str) -> Result<Vec<u8>, Fault> {
    decode(salt)
        .filter(|salt| (1..=MAX_SALT_LEN).contains(&salt.len()))
        .ok_or(Fault::Malformed("SCRAM: the salt is empty, too long or not base64"))
}

fn parse_iterations(iterations: &str) -> Result<u32, Fault> {
    let digits = !iterations.starts_with('0') && iterations.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || iterations.is_empty() {
        return Err(Fault::Malformed("SCRAM: the iteration count is not a positive number"));
    }
    iterations
        .parse()
        .ok()
        .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
        .ok_or(Fault::Unsupported("a SCRAM iteration count outside 4096 to 1000000"))
}

/// `attr-val`: one letter, `=`, and a value that is not empty.
fn is_extension(field: &str) -> bool {
    matches!(field.as_bytes(), [letter, b'=', _, ..] if letter.is_ascii_alphabetic())
}

/// Only texts of the RFC's list are carried on: anything else could be a message to whoever reads it.
fn known_error(value: &str) -> &'static str {
    const KNOWN: [&str; 11] = [
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
        "other-error",
    ];
    KNOWN.into_iter().find(|known| *known == value).unwrap_or("other-error")
}
