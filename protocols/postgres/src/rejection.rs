//! The server's own refusal of a login (section "Error and Notice Message Fields"), and a guard against
//! servers that say our secret aloud.

use attache_wire::{Credential, Fault, Rejection, RejectionKind};
use bytes::{Bytes, BytesMut};

use crate::frame::{Frame, take_string};
use crate::refuse;

/// The routine of the server that reports what its access rules (`pg_hba.conf`) do not allow.
const ACCESS_RULES: &[u8] = b"ClientAuthentication";
/// What stands in for a text that is not passed on.
const WITHHELD: &str = "the server's message is withheld, because it contains the secret of the credential";

/// Makes a fault of an ErrorResponse.
pub(crate) fn rejection(frame: Frame, credential: Option<&Credential>) -> Fault {
    let code =
        field(frame.body(), b'C').filter(|code| is_sqlstate(code)).map(Rejection::line).unwrap_or_default();
    let message = field(frame.body(), b'M').map(Rejection::line).unwrap_or_default();
    let kind = kind(&code, field(frame.body(), b'R'));
    let shown = |text: &[u8]| shows_secret(credential, text);
    let rejection = if shown(frame.body()) || shown(message.as_bytes()) {
        let code = if shown(code.as_bytes()) { String::new() } else { code };
        Rejection { kind, frame: withheld(&code), code, message: WITHHELD.to_owned() }
    } else {
        Rejection { kind, code, message, frame: frame.into_bytes() }
    };
    Fault::Rejected(Box::new(rejection))
}

/// Whether these bytes contain the secret.
pub(crate) fn shows_secret(credential: Option<&Credential>, bytes: &[u8]) -> bool {
    credential.is_some_and(|credential| credential.is_shown_in(bytes))
}

/// What an SQLSTATE means for us (Appendix A, "PostgreSQL Error Codes").
///
/// Access rules depend on the database that the client asked for: another generation of the credential would
/// not help, and a client must not be able to make ours look rejected.
fn kind(code: &str, routine: Option<&[u8]>) -> RejectionKind {
    match code {
        _ if routine == Some(ACCESS_RULES) => RejectionKind::Other,
        // admin_shutdown, crash_shutdown, cannot_connect_now
        "57P01" | "57P02" | "57P03" => RejectionKind::NotNow,
        // Class 28: invalid authorization specification
        code if code.starts_with("28") => RejectionKind::Credential,
        _ => RejectionKind::Other,
    }
}

fn withheld(code: &str) -> Bytes {
    const CONNECTION_FAILURE: &str = "08006";
    let code = if code.is_empty() { CONNECTION_FAILURE } else { code };
    let mut frame = BytesMut::new();
    refuse::put_error(&mut frame, code, WITHHELD, "");
    frame.freeze()
}

/// The value of a field: an octet that names it, then a NUL-terminated string.
fn field(mut body: &[u8], name: u8) -> Option<&[u8]> {
    while let Some((kind, rest)) = body.split_first().filter(|(kind, _)| **kind != 0) {
        body = rest;
        let value = take_string(&mut body)?;
        if *kind == name {
            return Some(value);
        }
    }
    None
}

fn is_sqlstate(code: &[u8]) -> bool {
    code.len() == 5 && code.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
