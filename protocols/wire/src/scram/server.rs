//! The server side of the exchange, for test kits and property tests: it checks a client, no more.

use subtle::ConstantTimeEq;

use super::client::Binding;
use super::keys::SaltedKeys;
use super::message::{decode, encode};
use crate::credential::Secret;

/// What a server stores of a password (RFC 5802, section 3), and what it expects of the client.
pub struct Server {
    keys: SaltedKeys,
    salt: Vec<u8>,
    iterations: u32,
    nonce: String,
}

impl Server {
    /// A server that knows this password. `nonce` is its part of the nonce: printable, without commas.
    pub fn new(secret: &Secret, salt: &[u8], iterations: u32, nonce: &str) -> Self {
        let keys = SaltedKeys::derive(secret, salt, iterations);
        Self { keys, salt: salt.to_vec(), iterations, nonce: nonce.to_owned() }
    }

    /// Answers `client-first-message`; `None` if it is malformed or announces another binding.
    pub fn challenge(&self, client_first: &str, binding: &Binding) -> Option<Challenge<'_>> {
        let bare = client_first.strip_prefix(binding.header())?;
        let (_user, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
        let (salt, iterations) = (encode(&self.salt), self.iterations);
        let nonce = format!("{nonce}{}", self.nonce);
        let message = format!("r={nonce},s={salt},i={iterations}");
        let final_start = format!("c={},r={nonce}", binding.input());
        let auth_message = format!("{bare},{message},{final_start}");
        Some(Challenge { server: self, message, final_start, auth_message })
    }
}

/// A server that waits for the client's proof.
pub struct Challenge<'a> {
    server: &'a Server,
    message: String,
    final_start: String,
    auth_message: String,
}

impl Challenge<'_> {
    /// `server-first-message`.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Checks `client-final-message` and answers with `server-final-message`; `None` if the client is
    /// not who it says.
    pub fn check(&self, client_final: &str) -> Option<String> {
        let proof = client_final.strip_prefix(&self.final_start)?.strip_prefix(",p=")?;
        let expected = self.server.keys.client_proof(self.auth_message.as_bytes());
        let same = bool::from(decode(proof)?.ct_eq(&expected));
        let signature = self.server.keys.server_signature(self.auth_message.as_bytes());
        same.then(|| format!("v={}", encode(&signature)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::super::{ClientFirst, KeyCache};
    use super::*;

    fn secret(bytes: &[u8]) -> Secret {
        Secret::new(Zeroizing::new(bytes.to_vec()))
    }

    fn bindings() -> impl Strategy<Value = Binding> {
        prop_oneof![
            Just(Binding::Unsupported),
            Just(Binding::NotOffered),
            proptest::collection::vec(any::<u8>(), 32..64).prop_map(Binding::ServerEndPoint),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whoever_knows_the_password_is_let_in_and_nobody_else(
            password in proptest::collection::vec(any::<u8>(), 1..40),
            other in proptest::collection::vec(any::<u8>(), 1..40),
            salt in proptest::collection::vec(any::<u8>(), 1..40),
            nonce in proptest::array::uniform18(any::<u8>()),
            binding in bindings(),
        ) {
            let server = Server::new(&secret(&password), &salt, 4096, "server-part");
            let exchange = |password: &[u8]| {
                let first = ClientFirst::new("", &nonce, binding.clone());
                let challenge = server.challenge(&first.message(), &binding).expect("well formed");
                let cache = KeyCache::default();
                let (proof, end) = first.answer(challenge.message().as_bytes(), &secret(password), &cache)
                    .expect("well formed");
                challenge.check(&proof).map(|signature| end.verify(signature.as_bytes()))
            };
            prop_assert_eq!(exchange(&password), Some(Ok(())));
            prop_assume!(super::super::normalise(&password) != super::super::normalise(&other));
            prop_assert_eq!(exchange(&other), None);
        }

        #[test]
        fn arbitrary_answers_never_get_past_the_client(first in ".*", last in ".*") {
            let (secret, cache) = (secret(b"pencil"), KeyCache::default());
            let server = Server::new(&secret, b"salt", 4096, "server-part");
            let client = || ClientFirst::new("", &[7; 18], Binding::Unsupported);
            let refused = client().answer(first.as_bytes(), &secret, &cache).is_err();
            prop_assert!(refused);
            let challenge = server.challenge(&client().message(), &Binding::Unsupported).expect("well formed");
            let (_, end) = client().answer(challenge.message().as_bytes(), &secret, &cache).expect("well formed");
            prop_assert!(end.verify(last.as_bytes()).is_err());
        }

        #[test]
        fn a_client_bound_to_another_connection_is_not_let_in(
            ours in proptest::array::uniform32(any::<u8>()),
            theirs in proptest::array::uniform32(any::<u8>()),
        ) {
            prop_assume!(ours != theirs);
            let secret = secret(b"pencil");
            let server = Server::new(&secret, b"salt", 4096, "server-part");
            let first = ClientFirst::new("", &[7; 18], Binding::ServerEndPoint(ours.to_vec()));
            let binding = Binding::ServerEndPoint(theirs.to_vec());
            let challenge = server.challenge(&first.message(), &binding).expect("well formed");
            let (proof, _) = first.answer(challenge.message().as_bytes(), &secret, &KeyCache::default())
                .expect("well formed");
            prop_assert_eq!(challenge.check(&proof), None);
        }
    }
}
