//! What a server's error means for a login, and what of it may be shown.

use attache_wire::{Credential, Fault, Rejection, RejectionKind};
use bytes::{Bytes, BytesMut};

use crate::frame::{Reply, put_error};

/// The user of whoever names none: everybody knows it.
const DEFAULT_USER: &str = "default";
/// What stands in for a text that is not passed on.
const WITHHELD: &str = "the server's message is withheld, because it names the login of this route";

/// Makes a fault of an error reply.
pub(crate) fn rejection(text: &[u8], credential: Option<&Credential>) -> Fault {
    let (kind, code) = (kind(text), code(text, credential));
    let message = match shows_secret(credential, text) {
        true => WITHHELD.to_owned(),
        false => Rejection::line(text.strip_prefix(code.as_bytes()).unwrap_or(text).trim_ascii_start()),
    };
    Fault::Rejected(Box::new(Rejection { kind, message, frame: shown(text, credential), code }))
}

/// Makes of an error what a client may hear: the same, without the login.
pub(crate) fn shown(text: &[u8], credential: Option<&Credential>) -> Bytes {
    let mut frame = BytesMut::new();
    if shows_secret(credential, text) || shows_user(credential, text) {
        let code = code(text, credential);
        put_error(&mut frame, &format!("{} {WITHHELD}", if code.is_empty() { "ERR" } else { &code }));
    } else {
        put_error(&mut frame, &String::from_utf8_lossy(text));
    }
    frame.freeze()
}

/// What a client hears of a reply to our login. Only a server that is up to something says the secret aloud.
pub(crate) fn reply_shown(reply: &Reply, credential: Option<&Credential>) -> Bytes {
    match reply.error() {
        None if shows_secret(credential, &reply.bytes) => shown(&reply.bytes, credential),
        Some(text) if shows_secret(credential, text) || shows_user(credential, text) => {
            shown(text, credential)
        }
        Some(_) | None => reply.bytes.clone(),
    }
}

/// What an error means for what is tried next.
pub(crate) fn kind(text: &[u8]) -> RejectionKind {
    let starts = |with: &[&str]| with.iter().any(|with| text.starts_with(with.as_bytes()));
    if starts(&["WRONGPASS", "NOAUTH", "ERR invalid password"]) || is_without_password(text) {
        RejectionKind::Credential
    } else if starts(&["LOADING", "MASTERDOWN", "ERR max number of clients"]) {
        RejectionKind::NotNow
    } else {
        // NOPERM, DENIED (protected mode), a database that is not there: it would not change by trying again.
        RejectionKind::Other
    }
}

/// Whether the server has no password where we have one, in the words of version 6 or of those before it.
fn is_without_password(text: &[u8]) -> bool {
    text.starts_with(b"ERR AUTH <password> called without any password")
        || text.starts_with(b"ERR Client sent AUTH, but no password is set")
}

/// The first word of an error, where it is one in capitals that may be shown.
fn code(text: &[u8], credential: Option<&Credential>) -> String {
    let word = text.split(|octet| *octet == b' ').next().unwrap_or_default();
    let is_code = (1..=20).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase);
    match is_code && !shows_secret(credential, word) && !shows_user(credential, word) {
        true => String::from_utf8_lossy(word).into_owned(),
        false => String::new(),
    }
}

/// Whether these bytes contain the secret.
pub(crate) fn shows_secret(credential: Option<&Credential>, bytes: &[u8]) -> bool {
    credential.is_some_and(|credential| credential.is_shown_in(bytes))
}

/// Whether the user is named, as a word of its own.
fn shows_user(credential: Option<&Credential>, bytes: &[u8]) -> bool {
    let user = credential.and_then(Credential::user).filter(|user| !user.is_empty() && *user != DEFAULT_USER);
    let ends_word = |octet: Option<&u8>| octet.is_none_or(|octet| !octet.is_ascii_alphanumeric());
    user.map(str::as_bytes).is_some_and(|user| {
        places(bytes, user).any(|at| {
            ends_word(at.checked_sub(1).and_then(|before| bytes.get(before)))
                && ends_word(bytes.get(at + user.len()))
        })
    })
}

fn places<'a>(hay: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = hay.windows(needle.len().max(1)).enumerate();
    windows.filter(move |(_, window)| *window == needle).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use attache_wire::Secret;

    use super::*;

    fn credential() -> Credential {
        let secret = Secret::new(b"hunter2-and-more".to_vec().into());
        Credential::new(Some("orders_a".to_owned()), Some(secret), 1)
    }

    #[test]
    fn errors_are_told_apart() {
        for (text, expected) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", RejectionKind::Credential),
            ("NOAUTH Authentication required.", RejectionKind::Credential),
            ("ERR invalid password", RejectionKind::Credential),
            ("ERR Client sent AUTH, but no password is set", RejectionKind::Credential),
            (
                "ERR AUTH <password> called without any password configured for the default user. Are",
                RejectionKind::Credential,
            ),
            ("LOADING Redis is loading the dataset in memory", RejectionKind::NotNow),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                RejectionKind::NotNow,
            ),
            ("ERR max number of clients reached", RejectionKind::NotNow),
            ("ERR max number of clients + cluster connections reached", RejectionKind::NotNow),
            ("NOPERM this user has no permissions to run the 'select' command", RejectionKind::Other),
            ("DENIED Redis is running in protected mode because", RejectionKind::Other),
            ("ERR DB index is out of range", RejectionKind::Other),
        ] {
            assert_eq!(kind(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_in_capitals_is_no_code() {
        let secret = Secret::new(b"HUNTERTWOANDMORE".to_vec().into());
        let credential = Credential::new(None, Some(secret), 1);
        let Fault::Rejected(rejection) = rejection(b"HUNTERTWOANDMORE no", Some(&credential)) else {
            panic!()
        };
        assert!(!format!("{rejection:?}").contains("HUNTER"), "{rejection:?}");
    }

    #[test]
    fn the_code_is_told_once() {
        for (text, code, message) in [
            ("WRONGPASS invalid username-password pair", "WRONGPASS", "invalid username-password pair"),
            ("NOAUTH", "NOAUTH", ""),
            ("strange", "", "strange"),
        ] {
            let Fault::Rejected(rejection) = rejection(text.as_bytes(), None) else { panic!() };
            assert_eq!((rejection.code.as_str(), rejection.message.as_str()), (code, message));
            assert_eq!(rejection.frame, format!("-{text}\r\n").as_bytes());
        }
    }

    #[test]
    fn neither_the_client_nor_the_log_hears_the_login() {
        let credential = credential();
        let told =
            |text: &str| String::from_utf8(shown(text.as_bytes(), Some(&credential)).to_vec()).unwrap();
        assert_eq!(told("NOPERM User orders_a has no permissions"), format!("-NOPERM {WITHHELD}\r\n"));
        assert_eq!(told("no hunter2-and-more"), format!("-ERR {WITHHELD}\r\n"));
        assert_eq!(told("ERR orders_ab and borders_a"), "-ERR orders_ab and borders_a\r\n");
        let Fault::Rejected(rejection) = rejection(b"ERR it is hunter2-and-more", Some(&credential)) else {
            panic!()
        };
        assert_eq!((rejection.message.as_str(), rejection.code.as_str()), (WITHHELD, "ERR"));
    }
}
