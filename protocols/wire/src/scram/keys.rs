//! What is derived from a password: done once per salt and iteration count, wiped with its credential.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::credential::Secret;

/// How many derived keys one credential keeps. A server has one salt per user, and its replicas share
/// it, so one is usual; a hostile server that sends a new salt each time must not make this grow.
pub const MAX_CACHED_KEYS: usize = 8;

/// The two keys that a login needs, derived from the password once per salt and iteration count
/// (RFC 5802, section 3).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SaltedKeys {
    client_key: [u8; 32],
    server_key: [u8; 32],
}

impl SaltedKeys {
    /// Derives both keys: `iterations` rounds of HMAC, which is what makes guessing dear.
    pub fn derive(secret: &Secret, salt: &[u8], iterations: u32) -> Self {
        let password = normalise(secret.expose());
        let mut salted = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(&password, salt, iterations, salted.as_mut());
        Self {
            client_key: sign(salted.as_ref(), b"Client Key"),
            server_key: sign(salted.as_ref(), b"Server Key"),
        }
    }

    /// `ClientProof`: shows that we know the password, to a server that holds only its stored key.
    pub(super) fn client_proof(&self, auth_message: &[u8]) -> [u8; 32] {
        let mut proof = sign(&self.stored_key(), auth_message);
        proof.iter_mut().zip(self.client_key).for_each(|(byte, key)| *byte ^= key);
        proof
    }

    /// `ServerSignature`: what only a server that knows the password can answer.
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> [u8; 32] {
        sign(&self.server_key, auth_message)
    }

    /// `StoredKey`: what a server keeps to check a proof.
    pub(super) fn stored_key(&self) -> [u8; 32] {
        Sha256::digest(self.client_key).into()
    }
}

/// Keys already derived from one secret, by salt and iteration count; the least recently used goes first.
#[derive(Default)]
pub struct KeyCache(Mutex<Vec<Entry>>);

struct Entry {
    salt: Vec<u8>,
    iterations: u32,
    keys: Arc<SaltedKeys>,
}

impl KeyCache {
    /// The keys for this salt and iteration count, derived now if they are not known yet.
    ///
    /// The derivation runs outside the lock: two threads may both do it the first time, and neither
    /// waits for the other.
    pub fn keys(&self, secret: &Secret, salt: &[u8], iterations: u32) -> Arc<SaltedKeys> {
        if let Some(known) = self.find(salt, iterations) {
            return known;
        }
        let keys = Arc::new(SaltedKeys::derive(secret, salt, iterations));
        self.insert(Entry { salt: salt.to_vec(), iterations, keys: Arc::clone(&keys) });
        keys
    }

    /// How many keys are kept.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, salt: &[u8], iterations: u32) -> Option<Arc<SaltedKeys>> {
        let mut entries = self.entries();
        let at = entries.iter().position(|entry| entry.salt == salt && entry.iterations == iterations)?;
        let entry = entries.remove(at);
        let keys = Arc::clone(&entry.keys);
        entries.push(entry);
        Some(keys)
    }

    fn insert(&self, entry: Entry) {
        let mut entries = self.entries();
        if entries.len() == MAX_CACHED_KEYS {
            entries.remove(0);
        }
        entries.push(entry);
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The password as it is hashed: prepared with SASLprep (RFC 4013), or as it is where that is not
/// possible. PostgreSQL does the same when it stores a password, so anything stricter would lock out.
pub fn normalise(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        Some(Cow::Owned(text)) if !text.is_empty() => Zeroizing::new(text.into_bytes()),
        Some(Cow::Owned(_) | Cow::Borrowed(_)) | None => Zeroizing::new(password.to_vec()),
    }
}

fn sign(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> Secret {
        Secret::new(Zeroizing::new(bytes.to_vec()))
    }

    #[test]
    fn keys_are_derived_once_per_salt_and_iteration_count() {
        let (cache, secret) = (KeyCache::default(), secret(b"pencil"));
        let first = cache.keys(&secret, b"salt", 4096);
        assert!(Arc::ptr_eq(&first, &cache.keys(&secret, b"salt", 4096)));
        assert!(!Arc::ptr_eq(&first, &cache.keys(&secret, b"salt", 4097)));
        assert!(!Arc::ptr_eq(&first, &cache.keys(&secret, b"tlas", 4096)));
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn a_server_that_changes_its_salt_each_time_cannot_grow_the_cache() {
        let (cache, secret) = (KeyCache::default(), secret(b"pencil"));
        let ours = cache.keys(&secret, b"ours", 1);
        for salt in 0..100_u8 {
            cache.keys(&secret, &[salt], 1);
            assert!(Arc::ptr_eq(&ours, &cache.keys(&secret, b"ours", 1)), "what is in use stays");
        }
        assert_eq!(cache.len(), MAX_CACHED_KEYS);
    }

    #[test]
    fn passwords_are_prepared_as_postgresql_does() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"pencil", b"pencil"),
            ("I\u{ad}X".as_bytes(), b"IX"),
            ("\u{2168}".as_bytes(), b"IX"),
            ("\u{aa}".as_bytes(), b"a"),
            // Prohibited, empty once prepared, or not UTF-8: as it is.
            (b"bell\x07", b"bell\x07"),
            ("\u{ad}".as_bytes(), "\u{ad}".as_bytes()),
            (b"\xff\xfe", b"\xff\xfe"),
        ];
        for (password, prepared) in cases {
            assert_eq!(normalise(password).as_slice(), prepared, "{password:?}");
        }
    }
}
