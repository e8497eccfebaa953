//! Marks: keyed hashes by which equal contents are known again when they are gone themselves.
//!
//! Whoever holds the key may try guesses. Key and marks stay in the memory in which the contents were.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::credential::Secret;

/// Makes marks that are compared with each other, and with no other marker's.
pub struct Marker(Zeroizing<[u8; 32]>);

/// Equal, in constant time, where what was marked is equal. It cannot be printed.
#[derive(Clone, Copy)]
pub struct Mark([u8; 32]);

impl Marker {
    /// `key` comes from a source of randomness, and is used for nothing else.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// What a login by name and password shows.
    pub fn login(&self, user: Option<&str>, secret: Option<&Secret>) -> Mark {
        self.mark([user.map(str::as_bytes), secret.map(Secret::expose)])
    }

    /// These parts in this order. A part that is empty is another one than a part that is not there.
    pub fn mark<'a>(&self, parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Mark {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        for part in parts {
            match part {
                None => mac.update(&[0]),
                Some(bytes) => {
                    mac.update(&[1]);
                    mac.update(&(bytes.len() as u64).to_be_bytes());
                    mac.update(bytes);
                }
            }
        }
        Mark(mac.finalize().into_bytes().into())
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Mark {}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn equal_logins_have_equal_marks_and_no_others_have() {
        let marker = Marker::new([7; 32]);
        let mark =
            |user: Option<&str>, password: Option<&str>| marker.login(user, password.map(secret).as_ref());
        let all = [
            (None, None),
            (None, Some("")),
            (Some(""), None),
            (Some("a"), Some("bc")),
            (Some("ab"), Some("c")),
            (Some("a"), Some("bd")),
            (Some("abc"), None),
        ];
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                let equal = mark(one.0, one.1) == mark(other.0, other.1);
                assert_eq!(equal, at == other_at, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn another_key_makes_other_marks() {
        let marks = [[1; 32], [2; 32]].map(|key| Marker::new(key).mark([Some(&b"same"[..])]));
        assert!(marks[0] != marks[1]);
    }
}
