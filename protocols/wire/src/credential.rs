//! What is injected: a user and a secret, as one consistent snapshot.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::scram::KeyCache;

/// Shorter secrets are found in ordinary words by chance, and looking for them would censor those.
const MIN_GUARDED_LEN: usize = 8;

/// User and secret of one generation.
///
/// It cannot be printed, serialised or cloned: it is shared behind an `Arc` and wiped when the last
/// session that may need it is gone, together with the SCRAM keys that were derived from it.
pub struct Credential {
    user: Option<String>,
    secret: Option<Secret>,
    generation: u64,
    scram_keys: KeyCache,
}

impl Credential {
    /// A snapshot. `generation` numbers the contents that this credential has had, from 1.
    pub fn new(user: Option<String>, secret: Option<Secret>, generation: u64) -> Self {
        Self { user, secret, generation, scram_keys: KeyCache::default() }
    }

    /// A user without a name, and an empty password: what a server that is asked for nothing may reject.
    pub fn of_nobody() -> Self {
        Self::new(Some(String::new()), Some(Secret::new(Zeroizing::default())), 0)
    }

    /// The user to log in as, where the protocol has users.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password or token, where the login is not by certificate alone.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Whether these bytes contain the secret, so that neither a client nor the log may have them. A secret that the user's
    /// name contains is none: it is on the wire of every login. Nor is a short one looked for.
    pub fn is_shown_in(&self, bytes: &[u8]) -> bool {
        let contains = |hay: &[u8], needle: &[u8]| hay.windows(needle.len()).any(|window| window == needle);
        let user = self.user.as_deref().unwrap_or_default().as_bytes();
        let secret = self.secret.as_ref().map(Secret::expose);
        secret
            .filter(|secret| secret.len() >= MIN_GUARDED_LEN && !contains(user, secret))
            .is_some_and(|secret| contains(bytes, secret))
    }

    /// Numbers the contents that this credential has had, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Salted keys already derived from this secret. They live and die with this generation, so a
    /// key is never used with another generation's secret.
    pub fn scram_keys(&self) -> &KeyCache {
        &self.scram_keys
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Bytes that must not be seen. Wiped on drop.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves. Only protocol crates call this: a test reads every other source file for it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether both hold the same bytes, in a time that depends on their lengths only.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn debug_shows_neither_user_nor_secret() {
        let credential = Credential::new(Some("orders_a".into()), Some(secret("hunter2-and-more")), 7);
        let shown = format!("{credential:?} {:?} {credential:#?}", credential.secret());
        assert!(!shown.contains("hunter2") && !shown.contains("orders_a"), "{shown}");
        assert!(shown.contains('7'));
    }

    #[test]
    fn a_secret_is_found_where_it_is_said_aloud() {
        let of = |user: &str, text| Credential::new(Some(user.into()), Some(secret(text)), 1);
        assert!(of("orders", "hunter2-and-more").is_shown_in(b"wrong: hunter2-and-more!"));
        assert!(!of("orders", "hunter2-and-more").is_shown_in(b"wrong: hunter2"));
        assert!(!of("orders", "short").is_shown_in(b"in short"), "by chance");
        assert!(!of("orders-long", "orders-l").is_shown_in(b"no orders-long here"), "the user's name");
        assert!(!Credential::new(None, None, 1).is_shown_in(b""));
    }

    #[test]
    fn secrets_compare_by_content() {
        assert!(secret("a").same_as(&secret("a")));
        assert!(!secret("a").same_as(&secret("b")));
        assert!(!secret("a").same_as(&secret("ab")));
    }
}
