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
    pub(crate) rounds: u32,
    salt: &'a [u8],
}

/// The most rounds, about half of a million: more would keep a worker from its other sessions.
pub(crate) const MOST_ROUNDS: u32 = LEAST_ROUNDS << MAX_SHIFT;
const LEAST_ROUNDS: u32 = 1024;
const MAX_SHIFT: u8 = 9;
/// MariaDB's salts have 18 octets.
const MAX_SALT_LEN: usize = 128;

impl<'a> Salt<'a> {
    /// `P` for PBKDF2, the number of rounds as a power of two above 1024, the salt.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [b'P', shift @ 0..=MAX_SHIFT, salt @ ..] = bytes else { return None };
        let bounded = !salt.is_empty() && salt.len() <= MAX_SALT_LEN;
        bounded.then_some(Self { rounds: LEAST_ROUNDS << shift, salt })
    }
}

fn xor(one: &[u8], other: &[u8]) -> Proof {
    Proof::new(one.iter().zip(other).map(|(one, other)| one ^ other).collect())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    const PASSWORD: &[u8] = b"correct horse battery";

    fn nonce() -> [u8; NONCE_LEN] {
        std::array::from_fn(|at| at as u8 + 1)
    }

    fn challenge() -> [u8; CHALLENGE_LEN] {
        std::array::from_fn(|at| at as u8)
    }

    fn hex(proof: &[u8]) -> String {
        proof.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// By PyMySQL 1.2.4 (`_auth.scramble_native_password`, `scramble_caching_sha2`, `ed25519_password`).
    #[test]
    fn proofs_are_those_of_another_client() {
        assert_eq!(hex(&native(PASSWORD, &nonce())), "6c0f57fe3108991a5a23ceffd9f54d088de8eaa8");
        assert_eq!(
            hex(&caching_sha2(PASSWORD, &nonce())),
            "b85b00d9d92b226ccecad35358d87d46d828c685c88929b03a09336bb232d1ef"
        );
        assert_eq!(
            hex(&ed25519(PASSWORD, &challenge())),
            "b0baa934403721a5421e8d087c810d42c48233a0eca226b5ec8cba1106eae8fa\
             a9b059d89c537dc0c810bdd7a852b136a7602da767f90a93bbd5e202a0f5c107"
        );
    }

    /// By Python's `hashlib` and PyNaCl.
    #[test]
    fn a_signature_of_both_parts_is_that_of_another_library() {
        let signed = |salt: &[u8]| {
            let proof = parsec(PASSWORD, &Salt::parse(salt).unwrap(), &challenge(), &[9; 32]);
            let (ours, signature) = proof.split_at(CHALLENGE_LEN);
            assert_eq!(ours, [9; 32]);
            hex(signature)
        };
        assert_eq!(
            signed(b"P\0eighteen octets of"),
            "5796f6f7bf88c9b482d7e6edfb2bbdfcfc8fc74d5cca77a555c4f212683886b5\
             b2590662fccaa46a3bb7be55b556417eb7eba35c022ecd3cdef93a0c8f308804"
        );
        assert_eq!(
            signed(b"P\x02eighteen octets of"),
            "7639e43ab6a834317abad7ea73f4c27b277e855d7b10a75af457567200e1405e\
             3845f33abe78c3644cc35d75b463bad0597de50f7a8898d582e967c491532304"
        );
    }

    /// An account of MariaDB's "What's New in MariaDB Enterprise Server 11.8": `P0:` salt `:` public key.
    #[test]
    fn a_parsec_signature_is_believed_by_an_account_of_mariadb() {
        let decode = |text| STANDARD_NO_PAD.decode(text).unwrap();
        let salt = [b"P\0", &decode("lhXyNv1cIxpB8EnTxR7ON7S7")[..]].concat();
        let public = decode("1l3rWRW1/jw45yrvYXB8eh02wzk7lcJcz4CMcWw2b+8").try_into().unwrap();
        let proof = parsec(b"MyPassword123!", &Salt::parse(&salt).unwrap(), &challenge(), &[9; 32]);
        let signature = proof[CHALLENGE_LEN..].try_into().unwrap();
        let account = VerifyingKey::from_bytes(&public).unwrap();
        let message = [challenge(), [9; 32]].concat();
        assert!(account.verify_strict(&message, &signature).is_ok());
    }

    #[test]
    fn no_password_is_no_hash() {
        assert!(native(b"", &nonce()).is_empty() && caching_sha2(b"", &nonce()).is_empty());
    }

    #[test]
    fn a_salt_that_asks_for_too_much_work_is_none() {
        let rounds = |salt: &[u8]| Salt::parse(salt).map(|salt| salt.rounds);
        assert_eq!(rounds(b"P\0salt"), Some(1024));
        assert_eq!(rounds(b"P\x09salt"), Some(524_288));
        for salt in [&b"P\x0asalt"[..], b"P\xffsalt", b"S\0salt", b"P\0", b"P", b""] {
            assert_eq!(rounds(salt), None);
        }
        assert_eq!(rounds(&[b"P\0", &[b's'; MAX_SALT_LEN][..]].concat()), Some(1024));
        assert_eq!(rounds(&[b"P\0", &[b's'; MAX_SALT_LEN + 1][..]].concat()), None);
    }
}
