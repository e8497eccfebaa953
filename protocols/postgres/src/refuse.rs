//! What a client is told when it is turned away: an ErrorResponse with the right SQLSTATE (Appendix A,
//! "PostgreSQL Error Codes").

use attache_wire::{Notice, Refusal};
use bytes::BytesMut;

use crate::frame;

/// The most characters of one text in a refusal.
const MAX_TEXT_CHARS: usize = 500;

pub(crate) fn refuse(notice: &Notice<'_>, out: &mut BytesMut) {
    let message = format!("attache: {} (session {})", notice.cause, notice.session);
    put_error(out, sqlstate(notice.refusal), &message, notice.hint);
}

/// Appends an ErrorResponse that ends the session.
pub(crate) fn put_error(out: &mut BytesMut, sqlstate: &str, message: &str, hint: &str) {
    let (message, hint) = (clean(message), clean(hint));
    let hint_tag: &[u8] = if hint.is_empty() { b"" } else { b"\0H" };
    frame::put(
        out,
        b'E',
        &[
            b"SFATAL\0VFATAL\0C",
            sqlstate.as_bytes(),
            b"\0M",
            message.as_bytes(),
            hint_tag,
            hint.as_bytes(),
            b"\0\0",
        ],
    );
}

fn sqlstate(refusal: Refusal) -> &'static str {
    match refusal {
        // connection_failure: drivers and pools take class 08 for "try again on a new connection". There
        // is no code of its own for a connection that came too late.
        Refusal::Unavailable | Refusal::TimedOut => "08006",
        // sqlserver_rejected_establishment_of_sqlconnection: nothing failed on the way, it was not wanted
        Refusal::Insecure => "08004",
        // protocol_violation
        Refusal::ProtocolViolation => "08P01",
        // feature_not_supported
        Refusal::Unsupported => "0A000",
        // invalid_authorization_specification
        Refusal::NoCredential | Refusal::NotAllowed => "28000",
        // invalid_password
        Refusal::LoginRejected => "28P01",
        // too_many_connections
        Refusal::TooManySessions => "53300",
        // admin_shutdown
        Refusal::ShuttingDown => "57P01",
    }
}

/// A NUL would end the field early.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT_CHARS).collect()
}
