//! The server's own refusal of a login (manual, "ERR_Packet"), and a guard against servers that say our secret
//! aloud.

use attache_wire::{Credential, Fault, Moment, Rejection, RejectionKind, TlsStart};
use bytes::{Buf, Bytes, BytesMut};

use crate::intent::Intent;
use crate::packet::{self, HEADER_LEN};

/// What an error begins with.
pub(crate) const ERR: u8 = 0xff;
/// The most octets of the server's text that go to the client. MySQL's own limit is 512.
const MAX_TEXT_LEN: usize = 1024;
/// The SQLSTATE of an error that has none of its own.
const GENERAL: &[u8] = b"HY000";
/// What stands in for a text that is not passed on.
const WITHHELD: &[u8] = b"the server's message is withheld, because it contains the secret of the credential";

/// An error as it stands in a packet.
struct ErrPacket<'a> {
    number: u16,
    sqlstate: &'a [u8],
    text: &'a [u8],
}

/// Makes a fault of an error in place of an answer to a login. The frame is that which the client gets, numbered as
/// its answer has to be.
pub(crate) fn rejection(payload: &[u8], sequence: u8, credential: Option<&Credential>) -> Fault {
    let Some(mut err) = ErrPacket::parse(payload) else {
        return Fault::Malformed("an error of the server's has no number");
    };
    if shows_secret(credential, payload) || shows_secret(credential, Rejection::line(err.text).as_bytes()) {
        err = ErrPacket { sqlstate: GENERAL, text: WITHHELD, ..err };
    }
    err.fault(sequence, kind(err.number))
}

/// Tells a client the server's error, numbered as it has to be where the client is. Clients look for an SQLSTATE only
/// once they know the server's flags.
pub(crate) fn repeat(rejection: &Rejection, moment: Moment<'_, Intent>, out: &mut BytesMut) {
    let payload = rejection.frame.get(HEADER_LEN..).unwrap_or_default();
    let Some(err) = ErrPacket::parse(payload) else { return };
    match moment {
        Moment::Silence => packet::put(out, 0, &[&[ERR], &err.number.to_le_bytes(), err.text]),
        Moment::Opening => err.put(2, out),
        Moment::Waiting(intent) => err.put(intent.sequence, out),
        Moment::Session(sequence) => err.put(sequence, out),
    }
}

/// Makes a fault of an error in place of the server's first words.
///
/// In front of a TLS handshake anybody on the path could have written it: of such an error only the number is
/// repeated, and ours are the words (as in CVE-2024-10977 of PostgreSQL). No user has been named yet, so that it
/// never speaks of the credential.
pub(crate) fn before_greeting(payload: &[u8], tls: TlsStart) -> Fault {
    let Some(err) = ErrPacket::parse(payload) else {
        return Fault::Malformed("an error in place of the server's greeting has no number");
    };
    let kind = match kind(err.number) {
        RejectionKind::NotNow => RejectionKind::NotNow,
        RejectionKind::Credential | RejectionKind::Other => RejectionKind::Other,
    };
    match tls {
        TlsStart::Off | TlsStart::Direct => err.fault(0, kind),
        TlsStart::Negotiated => {
            let (sqlstate, text) = known(err.number);
            ErrPacket { number: err.number, sqlstate, text: text.as_bytes() }.fault(0, kind)
        }
    }
}

impl<'a> ErrPacket<'a> {
    /// `0xff`, a number, an SQLSTATE behind `#` (before a login it may be left out), a text.
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload.strip_prefix(&[ERR])?;
        let number = rest.try_get_u16_le().ok()?;
        let (sqlstate, text) = match rest.split_at_checked(6) {
            Some(([b'#', sqlstate @ ..], text)) if is_sqlstate(sqlstate) => (sqlstate, text),
            Some(_) | None => (GENERAL, rest),
        };
        Some(Self { number, sqlstate, text })
    }

    fn fault(&self, sequence: u8, kind: RejectionKind) -> Fault {
        Fault::Rejected(Box::new(Rejection {
            kind,
            code: self.number.to_string(),
            message: Rejection::line(self.text),
            frame: self.frame(sequence),
        }))
    }

    fn frame(&self, sequence: u8) -> Bytes {
        let mut out = BytesMut::new();
        self.put(sequence, &mut out);
        out.freeze()
    }

    fn put(&self, sequence: u8, out: &mut BytesMut) {
        let text = &self.text[..self.text.len().min(MAX_TEXT_LEN)];
        packet::put(out, sequence, &[&[ERR], &self.number.to_le_bytes(), b"#", self.sqlstate, text]);
    }
}

/// Whether these bytes contain the secret.
pub(crate) fn shows_secret(credential: Option<&Credential>, bytes: &[u8]) -> bool {
    credential.is_some_and(|credential| credential.is_shown_in(bytes))
}

/// What an error means for us (MySQL's "Server Error Message Reference", MariaDB's "Error Codes").
///
/// A database that is denied or missing (1044, 1049) is what the client asked for: another generation of the
/// credential would not help, and a client must not be able to make ours look rejected. Too many connections
/// (1040, 1203, 1226) are as many a moment later.
fn kind(number: u16) -> RejectionKind {
    match number {
        // access denied, with and without a password; must change the password
        1045 | 1698 | 1820 | 1862
        // locked: MySQL, MySQL for a time, MariaDB for a time, MariaDB
        | 3118 | 3955 | 4150 | 4151 => RejectionKind::Credential,
        // shutting down, normal shutdown, shutdown complete, killed (MariaDB), offline, killed (MySQL)
        1053 | 1077 | 1079 | 1927 | 3032 | 3169
        // MySQL Router and MaxScale: no server behind them; ProxySQL: none in time
        | 2003 | 9001 => RejectionKind::NotNow,
        _ => RejectionKind::Other,
    }
}

/// What is said in place of words that anybody could have put there.
fn known(number: u16) -> (&'static [u8], &'static str) {
    match number {
        1040 => (b"08004", "Too many connections"),
        1053 => (b"08S01", "Server shutdown in progress"),
        1129 => (GENERAL, "the server has blocked this host because of many connection errors"),
        1130 => (GENERAL, "the server takes no connections from this host"),
        _ => (GENERAL, "the server turned the connection away before TLS could start"),
    }
}

fn is_sqlstate(code: &[u8]) -> bool {
    code.len() == 5 && code.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
