//! What a client's proof of who it is calls for, where any proof is good (manual, "Authentication Phase").
//!
//! A client has to be told in the way of the method that it uses, or it takes our yes for an error. It is asked once
//! more only where it waits for a nonce: libmysqlclient sends nothing at all while the nonce that it has belongs to
//! another method than its own, and so does MariaDB's Connector/C, which names a placeholder if it knows no method of
//! the greeting's name.

use bytes::BytesMut;

use crate::intent::Prelude;
use crate::packet;
use crate::plugin::Plugin;

/// The first octet of an AuthSwitchRequest.
const SWITCH: u8 = 0xfe;
/// What Connector/C names in place of a method that it does not have. Every version of it has `mysql_native_password`.
const PLACEHOLDER: &[u8] = b"dummy_fallback_auth";
/// What the names of methods begin with that only MySQL's clients have.
const OF_MYSQL: &[u8] = b"authentication_";

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The client is let in, and hears this before it hears so.
    Taken(Prelude),
    /// The client is asked to answer by this method, with a nonce.
    Ask(Plugin),
}

/// Judges a client's first answer. `named` is the method that it says it used; a client that does not name any has
/// used `mysql_native_password`. `fitting` is the method of whose nonce it makes use by itself: with no answer it has no
/// password there, and with any other method it may as well be waiting for a nonce.
pub(crate) fn first(named: Option<&[u8]>, answer: &[u8], offered: Plugin, fitting: Plugin) -> Verdict {
    let Some(named) = named else {
        return Verdict::Taken(Prelude::Nothing);
    };
    match Plugin::of(named) {
        Some(plugin @ (Plugin::Native | Plugin::CachingSha2)) if answer.is_empty() && plugin != fitting => {
            Verdict::Ask(plugin)
        }
        Some(plugin @ (Plugin::Native | Plugin::CachingSha2 | Plugin::Clear)) => again(plugin, answer),
        // Whoever has this one has the one that came after it.
        Some(Plugin::Sha256) => Verdict::Ask(Plugin::CachingSha2),
        Some(Plugin::Ed25519 | Plugin::Parsec) => Verdict::Ask(Plugin::Native),
        None if named == PLACEHOLDER => Verdict::Ask(Plugin::Native),
        None if named.starts_with(OF_MYSQL) => Verdict::Ask(Plugin::CachingSha2),
        None => Verdict::Ask(offered),
    }
}

/// Judges the answer of a client that was asked to use this method. An empty password is sent as nothing or as a NUL,
/// and nobody who sends it waits for more than an OK.
pub(crate) fn again(plugin: Plugin, answer: &[u8]) -> Verdict {
    match plugin {
        Plugin::CachingSha2 if !matches!(answer, [] | [0]) => Verdict::Taken(Prelude::FastAuth),
        Plugin::CachingSha2
        | Plugin::Native
        | Plugin::Sha256
        | Plugin::Clear
        | Plugin::Ed25519
        | Plugin::Parsec => Verdict::Taken(Prelude::Nothing),
    }
}

/// Appends an AuthSwitchRequest.
pub(crate) fn ask(plugin: Plugin, nonce: &[u8; 20], sequence: u8, out: &mut BytesMut) {
    packet::put(out, sequence, &[&[SWITCH], plugin.name().as_bytes(), b"\0", nonce, b"\0"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Verdict = Verdict::Taken(Prelude::Nothing);
    const FAST: Verdict = Verdict::Taken(Prelude::FastAuth);

    fn judge(named: &str, answer: &[u8], offered: Plugin) -> Verdict {
        first(Some(named.as_bytes()), answer, offered, offered)
    }

    #[test]
    fn a_client_of_mysql_hears_what_its_method_waits_for() {
        let mysql = |named, answer| judge(named, answer, Plugin::CachingSha2);
        assert_eq!(mysql("caching_sha2_password", &[7; 32]), FAST);
        assert_eq!(mysql("caching_sha2_password", b""), OK);
        assert_eq!(mysql("caching_sha2_password", b"\0"), OK);
        assert_eq!(mysql("mysql_native_password", &[7; 20]), OK);
        assert_eq!(mysql("mysql_native_password", b""), Verdict::Ask(Plugin::Native));
        assert_eq!(mysql("mysql_clear_password", b"x\0"), OK);
        assert_eq!(mysql("sha256_password", b""), Verdict::Ask(Plugin::CachingSha2));
        assert_eq!(mysql("dummy_fallback_auth", b""), Verdict::Ask(Plugin::Native));
        assert_eq!(mysql("dialog", b""), Verdict::Ask(Plugin::CachingSha2));
        assert_eq!(first(None, &[7; 20], Plugin::CachingSha2, Plugin::CachingSha2), OK);
    }

    #[test]
    fn a_client_of_mariadb_hears_what_its_method_waits_for() {
        let mariadb = |named, answer| judge(named, answer, Plugin::Native);
        assert_eq!(mariadb("mysql_native_password", &[7; 20]), OK);
        assert_eq!(mariadb("mysql_native_password", b""), OK);
        assert_eq!(mariadb("caching_sha2_password", b""), Verdict::Ask(Plugin::CachingSha2));
        assert_eq!(mariadb("caching_sha2_password", &[7; 32]), FAST);
        assert_eq!(mariadb("client_ed25519", &[7; 64]), Verdict::Ask(Plugin::Native));
        assert_eq!(mariadb("authentication_ldap_sasl_client", b""), Verdict::Ask(Plugin::CachingSha2));
        assert_eq!(mariadb("", b""), Verdict::Ask(Plugin::Native));
    }

    #[test]
    fn at_a_change_of_user_only_the_oldest_method_needs_no_new_nonce() {
        let change = |named: &[u8], answer| first(Some(named), answer, Plugin::CachingSha2, Plugin::Native);
        assert_eq!(change(b"mysql_native_password", b""), OK);
        assert_eq!(change(b"caching_sha2_password", b""), Verdict::Ask(Plugin::CachingSha2));
        assert_eq!(change(b"caching_sha2_password", &[7; 32]), FAST);
    }

    #[test]
    fn an_answer_to_our_question_is_taken_whatever_it_is() {
        assert_eq!(again(Plugin::CachingSha2, &[7; 32]), FAST);
        assert_eq!(again(Plugin::CachingSha2, b"\0"), OK);
        assert_eq!(again(Plugin::CachingSha2, b""), OK);
        assert_eq!(again(Plugin::Native, &[7; 20]), OK);
    }
}
