//! What a client is told when it is turned away: an error reply of one line ("Redis serialization protocol
//! specification", section "Simple errors"), whose first word clients look at.

use attache_wire::{Notice, Refusal};
use bytes::BytesMut;

use crate::command::WRITING;
use crate::frame::put_error;

/// The most characters of one text in a refusal.
const MAX_TEXT_CHARS: usize = 500;

pub(crate) fn refuse(notice: &Notice<'_>, out: &mut BytesMut) {
    let (cause, hint) = (bounded(notice.cause), bounded(notice.hint));
    let hint = if hint.is_empty() { String::new() } else { format!(": {hint}") };
    put_error(out, &format!("{} attache: {cause}{hint} (session {})", word(notice.refusal), notice.session));
}

/// A command that this route does not allow, in the words of an access list.
pub(crate) fn not_allowed(command: &str, out: &mut BytesMut) {
    if command == WRITING {
        put_error(
            out,
            "NOPERM attache: this route is read-only, and the command could write (`read_only` in its options)",
        );
        return;
    }
    let hint = match command {
        "reset" => "`reset: relogin`",
        _ => "`allow_commands`",
    };
    put_error(
        out,
        &format!(
            "NOPERM attache: this route does not allow the '{command}' command; {hint} in its options would"
        ),
    );
}

fn word(refusal: Refusal) -> &'static str {
    match refusal {
        // Clients try again later, as they do while a server loads its data.
        Refusal::Unavailable | Refusal::TimedOut => "LOADING",
        // The words of a server that has too many; clients look for them.
        Refusal::TooManySessions => "ERR max number of clients reached,",
        Refusal::LoginRejected => "WRONGPASS",
        Refusal::NoCredential => "NOAUTH",
        Refusal::NotAllowed => "NOPERM",
        Refusal::Insecure | Refusal::ShuttingDown | Refusal::Unsupported => "ERR",
        Refusal::ProtocolViolation => "ERR Protocol error,",
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_that_begins_as_a_servers_would() {
        let told = |refusal, cause| {
            let mut out = BytesMut::new();
            let notice = Notice { refusal, cause, hint: "ask\r\nsomeone", session: "a1" };
            refuse(&notice, &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(
            told(Refusal::TooManySessions, "full"),
            "-ERR max number of clients reached, attache: full: ask  someone (session a1)\r\n"
        );
        assert_eq!(
            told(Refusal::Unavailable, "gone\r\n+OK"),
            "-LOADING attache: gone  +OK: ask  someone (session a1)\r\n"
        );
        assert!(told(Refusal::ShuttingDown, &"x".repeat(9000)).len() < 700);
    }
}
