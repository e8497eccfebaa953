//! The client side of the exchange, as two values that turn into each other.

use bytes::Bytes;
use std::sync::Arc;
use subtle::ConstantTimeEq;

use super::keys::{KeyCache, SaltedKeys};
use super::message::{ServerFinal, ServerFirst, encode};
use crate::credential::Secret;
use crate::fault::{Fault, Insecure, Rejection, RejectionKind};

/// What the client says about channel binding (RFC 5802, section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// It cannot, or must not: `n,,`.
    Unsupported,
    /// It could, but the server did not offer it: `y,,`. A server that did offer it knows by this
    /// that somebody took the offer away.
    NotOffered,
    /// It does: `p=tls-server-end-point,,` with this hash of the server's certificate (RFC 5929).
    ServerEndPoint(Vec<u8>),
}

impl Binding {
    pub(super) fn header(&self) -> &'static str {
        match self {
            Self::Unsupported => "n,,",
            Self::NotOffered => "y,,",
            Self::ServerEndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// The value of `c=`: the header and the data that it announces.
    pub(super) fn input(&self) -> String {
        let data = match self {
            Self::Unsupported | Self::NotOffered => &[],
            Self::ServerEndPoint(hash) => hash.as_slice(),
        };
        encode(&[self.header().as_bytes(), data].concat())
    }
}

/// A client that has made its first message and waits for the server's.
#[derive(Debug)]
pub struct ClientFirst {
    binding: Binding,
    nonce: String,
    bare: String,
}

impl ClientFirst {
    /// Starts an exchange. `user` may be empty where the protocol has already named the user, as in
    /// PostgreSQL. `nonce` is fresh randomness, never used twice.
    pub fn new(user: &str, nonce: &[u8], binding: Binding) -> Self {
        Self::with_nonce(user, encode(nonce), binding)
    }

    pub(super) fn with_nonce(user: &str, nonce: String, binding: Binding) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { binding, nonce, bare }
    }

    /// `client-first-message`.
    pub fn message(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare)
    }

    /// Answers the server's first message with `client-final-message`.
    ///
    /// # Errors
    /// If the message is malformed, does not continue our nonce, or asks for too few or too many rounds.
    pub fn answer(
        self,
        server_first: &[u8],
        secret: &Secret,
        cache: &KeyCache,
    ) -> Result<(String, ClientFinal), Fault> {
        let text = utf8(server_first)?;
        let challenge = ServerFirst::parse(text)?;
        if challenge.nonce.strip_prefix(&self.nonce).is_none_or(str::is_empty) {
            return Err(Fault::Malformed("SCRAM: the server's nonce does not continue ours"));
        }
        let keys = cache.keys(secret, &challenge.salt, challenge.iterations);
        let bare = format!("c={},r={}", self.binding.input(), challenge.nonce);
        let auth_message = format!("{},{text},{bare}", self.bare);
        let proof = encode(&keys.client_proof(auth_message.as_bytes()));
        Ok((format!("{bare},p={proof}"), ClientFinal { keys, auth_message }))
    }
}

/// A client that has sent its proof and waits for the server's.
pub struct ClientFinal {
    keys: Arc<SaltedKeys>,
    auth_message: String,
}

impl ClientFinal {
    /// Checks the server's last message. Only after `Ok` is it known that this is the server that was meant.
    ///
    /// # Errors
    /// [`Insecure::ServerSignature`] if the signature is wrong, [`Fault::Rejected`] if the server
    /// says that our proof was, [`Fault::Malformed`] otherwise.
    pub fn verify(self, server_final: &[u8]) -> Result<(), Fault> {
        let signature = match ServerFinal::parse(utf8(server_final)?)? {
            ServerFinal::Signature(signature) => signature,
            ServerFinal::Error(value) => return Err(rejected(value)),
        };
        let expected = self.keys.server_signature(self.auth_message.as_bytes());
        if bool::from(signature.ct_eq(&expected)) {
            Ok(())
        } else {
            Err(Fault::Insecure(Insecure::ServerSignature))
        }
    }
}

fn utf8(message: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(message).map_err(|_| Fault::Malformed("SCRAM: the server's message is not UTF-8"))
}

/// There is no frame to pass on: what the client is told about a credential is ours anyway.
fn rejected(value: &'static str) -> Fault {
    Fault::Rejected(Box::new(Rejection {
        kind: RejectionKind::Credential,
        code: value.to_owned(),
        message: format!("the server ended the SCRAM exchange: {value}"),
        frame: Bytes::new(),
    }))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn answer(server_first: &[u8]) -> Result<(String, ClientFinal), Fault> {
        let secret = Secret::new(Zeroizing::new(b"pencil".to_vec()));
        let first = ClientFirst::with_nonce("user", CLIENT_NONCE.into(), Binding::Unsupported);
        first.answer(server_first, &secret, &KeyCache::default())
    }

    fn verify(server_final: &[u8]) -> Result<(), Fault> {
        answer(SERVER_FIRST).unwrap().1.verify(server_final)
    }

    #[test]
    fn the_exchange_of_rfc_7677_section_3_comes_out() {
        let first = ClientFirst::with_nonce("user", CLIENT_NONCE.into(), Binding::Unsupported);
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, end) = answer(SERVER_FIRST).unwrap();
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(end.verify(SERVER_FINAL), Ok(()));
    }

    #[test]
    fn names_are_escaped_and_bindings_announced() {
        let message = |user, binding| ClientFirst::with_nonce(user, "x".into(), binding).message();
        assert_eq!(message("", Binding::NotOffered), "y,,n=,r=x");
        assert_eq!(message("a=b,c", Binding::Unsupported), "n,,n=a=3Db=2Cc,r=x");
        assert_eq!(message("", Binding::ServerEndPoint(vec![1])), "p=tls-server-end-point,,n=,r=x");
    }

    #[test]
    fn a_nonce_that_does_not_continue_ours_is_refused() {
        for nonce in ["rOprNGfwEbeRWgbNEkqO", "rOprNGfwEbeRWgbNEkqX123", "x", "XrOprNGfwEbeRWgbNEkqO1"] {
            let message = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
            let fault = answer(message.as_bytes()).err();
            assert_eq!(fault, Some(Fault::Malformed("SCRAM: the server's nonce does not continue ours")));
        }
    }

    #[test]
    fn iteration_counts_are_bounded() {
        let with = |count: &str| {
            answer(format!("r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}").as_bytes()).err()
        };
        for count in ["1", "4095", "1000001", "4294967296", "99999999999999999999"] {
            assert!(matches!(with(count), Some(Fault::Unsupported(_))), "{count}");
        }
        for count in ["", "0", "-4096", "+4096", "04096", "4096 ", "0x1000"] {
            assert!(matches!(with(count), Some(Fault::Malformed(_))), "{count}");
        }
        assert_eq!(with("4096"), None);
        assert_eq!(with("4096,x=an-extension"), None);
    }

    #[test]
    fn malformed_challenges_are_refused() {
        let long_salt = format!("r=rOprNGfwEbeRWgbNEkqO1,s={},i=4096", encode(&[7; 129]));
        let long_nonce = format!("r=rOprNGfwEbeRWgbNEkqO{},s=W22ZaJ0=,i=4096", "x".repeat(1024));
        let cases: [&[u8]; 12] = [
            b"",
            b"r=rOprNGfwEbeRWgbNEkqO1",
            b"r=rOprNGfwEbeRWgbNEkqO1,s=W22Z",
            b"r=rOprNGfwEbeRWgbNEkqO1,s=,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqO1,s=W22,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqO1,s=W22Z,i=4096,",
            b"r=rOprNGfwEbeRWgbNEkqO1,s=W22Z,i=4096,garbage",
            b"m=must,r=rOprNGfwEbeRWgbNEkqO1,s=W22Z,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqO\x01,s=W22Z,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqO\xff,s=W22Z,i=4096",
            long_salt.as_bytes(),
            long_nonce.as_bytes(),
        ];
        for case in cases {
            let fault = answer(case).err();
            assert!(matches!(fault, Some(Fault::Malformed(_))), "{:?}: {fault:?}", case.escape_ascii());
        }
    }

    #[test]
    fn every_truncation_of_a_challenge_is_refused() {
        // Up to the comma before the count: behind it, a shorter count is a lower one.
        for end in 0..SERVER_FIRST.len() {
            assert!(answer(&SERVER_FIRST[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let insecure = Err(Fault::Insecure(Insecure::ServerSignature));
        assert_eq!(
            verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="),
            Err(Fault::Malformed("SCRAM: the server's final message is neither v=… nor e=…"))
        );
        assert_eq!(verify(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), insecure);
        assert_eq!(verify(b"v="), insecure);
        assert_eq!(verify(b"v=6rri"), insecure);
        assert!(matches!(verify(b""), Err(Fault::Malformed(_))));
        assert!(matches!(verify(b"r=6rri"), Err(Fault::Malformed(_))));
    }

    #[test]
    fn a_rejected_proof_is_told_apart_from_a_broken_server() {
        let code = |server_final: &[u8]| match verify(server_final) {
            Err(Fault::Rejected(rejection)) => rejection.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(b"e=invalid-proof"), "invalid-proof");
        assert_eq!(code(b"e=the password is pencil"), "other-error");
    }
}
