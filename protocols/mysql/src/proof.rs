//! What proves that one knows a password: a few hashes and two signatures.
//!
//! Each proof is as good as the password to whoever listens for long enough, and is wiped like it.

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// Octets of the server's part in the hashes.
pub(crate) const NONCE_LEN: usize = 20;
/// Octets of the server's part, and of ours, in a signature.
pub(crate) const CHALLENGE_LEN: usize = 32;

/// A proof, or a password on its way.
pub(crate) type Proof = Zeroizing<Vec<u8>>;

/// `SHA1(password) xor SHA1(nonce, SHA1(SHA1(password)))` (manual, "Native Authentication"); nothing for no password.
pub(crate) fn native(password: &[u8], nonce: &[u8; NONCE_LEN]) -> Proof {
    if password.is_empty() {
        return Proof::default();
    }
    let once = Zeroizing::new(<[u8; 20]>::from(Sha1::digest(password)));
    let twice = Zeroizing::new(<[u8; 20]>::from(Sha1::digest(*once)));
    let mask = Sha1::new().chain_update(nonce).chain_update(*twice).finalize();
    xor(&*once, &mask)
}

/// `SHA256(password) xor SHA256(SHA256(SHA256(password)), nonce)` (manual, "Caching_sha2_password information");
/// nothing for no password.
pub(crate) fn caching_sha2(password: &[u8], nonce: &[u8; NONCE_LEN]) -> Proof {
    if password.is_empty() {
        return Proof::default();
    }
    let once = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
    let twice = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(*once)));
    let mask = Sha256::new().chain_update(*twice).chain_update(nonce).finalize();
    xor(&*once, &mask)
}

/// MariaDB's `client_ed25519`: the key is `SHA512(password)` where RFC 8032 has the hash of a seed.
pub(crate) fn ed25519(password: &[u8], challenge: &[u8; CHALLENGE_LEN]) -> Proof {
    let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(password)));
    let key = ExpandedSecretKey::from_bytes(&hash);
    let public = VerifyingKey::from(&key);
    Proof::new(raw_sign::<Sha512>(&key, challenge, &public).to_bytes().to_vec())
}

/// MariaDB's `parsec`: our part, and a signature of both parts with a key that is derived slowly from the password.
pub(crate) fn parsec(
    password: &[u8],
    salt: &Salt<'_>,
    theirs: &[u8; CHALLENGE_LEN],
    ours: &[u8; CHALLENGE_LEN],
) -> Proof {
    let mut seed = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha512>(password, salt.salt, salt.rounds, &mut *seed);
    let signature = SigningKey::from_bytes(&seed).sign(&[*theirs, *ours].concat());
    Proof::new([&ours[..], &signature.to_bytes()].concat())
}

/// How a key is derived from a password (MariaDB's "Authentication Plugin - PARSEC", ext-salt).
pub(crate) struct Salt<'a> {
    rounds: u32,
    salt: &'a [u8],
}

/// The most rounds are `1024 << 9`, about half of a million: more would keep a worker from its other sessions.
const MAX_SHIFT: u8 = 9;
/// MariaDB's salts have 18 octets.
const MAX_SALT_LEN: usize = 128;

impl<'a> Salt<'a> {
    /// `P` for PBKDF2, the number of rounds as a power of two above 1024, the salt.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [b'P', shift @ 0..=MAX_SHIFT, salt @ ..] = bytes else { return None };
        let bounded = !salt.is_empty() && salt.len() <= MAX_SALT_LEN;
        bounded.then_some(Self { rounds: 1024 << shift, salt })
    }
}

fn xor(one: &[u8], other: &[u8]) -> Proof {
    Proof::new(one.iter().zip(other).map(|(one, other)| one ^ other).collect())
}
