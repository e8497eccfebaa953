//! The authentication exchange (manual, "Connection Phase", "Authentication Methods"; MariaDB's "Connecting").
//!
//! Everything that a server could do to get at the secret is decided here. Servers of this protocol never prove that
//! they know a password, and may ask for any method at any time: what a method reveals decides where it may be used.
//! A hash or a signature may cross any link. The password itself needs a link that only the server can read: TLS, a
//! Unix socket, the server's own public key, or the operator's word.

use attache_wire::{Fault, Insecure, Terms, Text};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::field::take_until_nul;
use crate::options::Options;
use crate::packet::{self, Packet};
use crate::plugin::Plugin;
use crate::proof::{self, CHALLENGE_LEN, NONCE_LEN, Proof, Salt};
use crate::public_key::PublicKey;
use crate::rejection::{ERR, rejection};

const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const NEXT_FACTOR: u8 = 0x02;
const SWITCH: u8 = 0xfe;

/// `caching_sha2_password`: the server remembers the password, or wants to see it.
const FAST_SUCCESS: u8 = 3;
const FULL_WANTED: u8 = 4;
/// What asks for the server's public key.
const KEY_OF_SHA256: &[u8] = &[1];
const KEY_OF_CACHING_SHA2: &[u8] = &[2];

/// How often a server may change its mind about the method. An account of MariaDB's may have several, tried in turn.
const MAX_SWITCHES: u8 = 8;
/// The most rounds of `parsec` in one login, whatever it asks for how often: each switch could ask for all of them anew.
const MAX_ROUNDS: u32 = proof::MOST_ROUNDS;

/// One authentication exchange.
pub(crate) struct Exchange {
    state: State,
    /// The number that the next packet bears, whoever sends it.
    sequence: u8,
    switches: u8,
    /// What is left of [`MAX_ROUNDS`].
    rounds: u32,
    plugin: Plugin,
    nonce: [u8; NONCE_LEN],
}

/// Where the exchange stands.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A proof was sent.
    Proved,
    /// The server has found the proof to be right, without having seen the password.
    Known,
    /// The server's public key was asked for.
    KeyAsked,
    /// `parsec`: the salt was asked for.
    SaltAsked { challenge: [u8; CHALLENGE_LEN] },
    /// The password was sent: there is nothing more to tell.
    PasswordSent,
    /// Accepted, or failed.
    Over,
}

/// What an exchange may do, and with what.
pub(crate) struct Rules<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) options: &'a Options,
    pub(crate) encrypted: bool,
    /// The number that an answer to the client bears.
    pub(crate) client_sequence: u8,
}

/// Whether the server has let us in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pending,
    /// With this OK packet.
    Accepted(Bytes),
}

impl Exchange {
    /// An exchange whose first proof ([`Rules::first_proof`]) has been sent, in a packet of the number in front of
    /// this one.
    pub(crate) fn new(plugin: Plugin, nonce: [u8; NONCE_LEN], sequence: u8) -> Self {
        Self { state: State::Proved, sequence, switches: 0, rounds: MAX_ROUNDS, plugin, nonce }
    }

    /// The method that was used last.
    pub(crate) fn plugin(&self) -> Plugin {
        self.plugin
    }

    /// The last nonce that the server gave.
    pub(crate) fn nonce(&self) -> [u8; NONCE_LEN] {
        self.nonce
    }

    /// Answers one packet of the server's.
    pub(crate) fn answer(
        &mut self,
        packet: &Packet,
        rules: &Rules<'_>,
        out: &mut BytesMut,
    ) -> Result<Verdict, Fault> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let (kind, body) =
            packet.payload.split_first().ok_or(Fault::Malformed("an empty packet in a login"))?;
        if *kind == ERR {
            let credential = rules.terms.credential.as_deref();
            return Err(rejection(&packet.payload, rules.client_sequence, credential));
        }
        self.count(packet)?;
        self.state = match (*kind, state) {
            (OK, State::Proved | State::Known | State::PasswordSent) => {
                return Ok(Verdict::Accepted(packet.payload.clone()));
            }
            (SWITCH, _) => self.switch(body, rules, out)?,
            (MORE_DATA, State::Proved) if self.plugin == Plugin::CachingSha2 => {
                self.fast(body, rules, out)?
            }
            (MORE_DATA, State::KeyAsked) => self.encrypt(body, rules, out)?,
            (MORE_DATA, State::SaltAsked { challenge }) => self.sign(body, &challenge, rules, out)?,
            (_, State::SaltAsked { challenge }) => self.sign(&packet.payload, &challenge, rules, out)?,
            (NEXT_FACTOR, _) => return Err(Fault::Unsupported("a login with more than one factor")),
            (_, State::Proved | State::Known | State::KeyAsked | State::PasswordSent | State::Over) => {
                return Err(Fault::Malformed("a packet that has no place in a login, or comes out of order"));
            }
        };
        Ok(Verdict::Pending)
    }

    fn count(&mut self, packet: &Packet) -> Result<(), Fault> {
        if packet.sequence != self.sequence {
            return Err(Fault::Malformed("a packet of a login bears the wrong number"));
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    fn put(&mut self, parts: &[&[u8]], out: &mut BytesMut) {
        packet::put(out, self.sequence, parts);
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// A method, and what it needs to know (manual, "Protocol::AuthSwitchRequest").
    fn switch(&mut self, mut body: &[u8], rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        if body.is_empty() {
            return Err(Fault::Unsupported("a login with a password of before 4.1"));
        }
        if self.switches == MAX_SWITCHES {
            return Err(Fault::Malformed("the server asks for one method of authentication after the other"));
        }
        self.switches += 1;
        let name =
            take_until_nul(&mut body).ok_or(Fault::Malformed("a method of authentication without an end"))?;
        self.plugin = Plugin::of(name).ok_or_else(|| unknown(name))?;
        match self.plugin {
            Plugin::Native | Plugin::CachingSha2 => self.prove(body, rules, out),
            Plugin::Sha256 => {
                self.nonce = challenge(body)?;
                self.show_sha256(rules, out)
            }
            Plugin::Clear if rules.is_private() || rules.terms.allow_cleartext => self.show(rules, out),
            Plugin::Clear => Err(Fault::Insecure(Insecure::CleartextPassword)),
            Plugin::Ed25519 => {
                let proof = proof::ed25519(rules.secret()?, &challenge(body)?);
                self.put(&[&proof], out);
                Ok(State::Proved)
            }
            Plugin::Parsec => {
                self.put(&[], out);
                Ok(State::SaltAsked { challenge: challenge(body)? })
            }
        }
    }

    fn prove(&mut self, body: &[u8], rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        self.nonce = challenge(body)?;
        let proof = rules.first_proof(self.plugin, &self.nonce)?;
        self.put(&[&proof], out);
        Ok(State::Proved)
    }

    /// `caching_sha2_password`: whether the server needs to see the password.
    fn fast(&mut self, body: &[u8], rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        match body {
            [FAST_SUCCESS] => Ok(State::Known),
            [FULL_WANTED] if rules.is_private() => self.show(rules, out),
            [FULL_WANTED] => self.show_encrypted(KEY_OF_CACHING_SHA2, rules, out),
            _ => Err(Fault::Malformed("an answer to a proof that is neither right nor wrong")),
        }
    }

    /// `sha256_password`: a server of it believes in TLS alone, and else wants the password encrypted.
    fn show_sha256(&mut self, rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        if rules.encrypted { self.show(rules, out) } else { self.show_encrypted(KEY_OF_SHA256, rules, out) }
    }

    /// Sends the password as it is. Whether it may has been decided.
    fn show(&mut self, rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        self.put(&[rules.secret()?, b"\0"], out);
        Ok(State::PasswordSent)
    }

    /// Sends the password encrypted with the key that the operator gave; else asks the server for its key, where
    /// nobody could put another in its place or the operator does not mind.
    fn show_encrypted(&mut self, ask: &[u8], rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        rules.secret()?;
        match &rules.options.server_public_key {
            Some(Text(pem)) => {
                const NO_KEY: Fault = Fault::Incomplete("options.server_public_key is not an RSA key in PEM");
                let key = PublicKey::from_pem(pem.as_bytes()).ok_or(NO_KEY)?;
                self.put_encrypted(&key, rules, out)
            }
            None if rules.may_take_key() => {
                self.put(&[ask], out);
                Ok(State::KeyAsked)
            }
            None => Err(Fault::Insecure(Insecure::CleartextPassword)),
        }
    }

    fn encrypt(&mut self, pem: &[u8], rules: &Rules<'_>, out: &mut BytesMut) -> Result<State, Fault> {
        const NO_KEY: Fault = Fault::Malformed("the server's public key is not an RSA key in PEM");
        let key = PublicKey::from_pem(pem).ok_or(NO_KEY)?;
        self.put_encrypted(&key, rules, out)
    }

    fn put_encrypted(
        &mut self,
        key: &PublicKey,
        rules: &Rules<'_>,
        out: &mut BytesMut,
    ) -> Result<State, Fault> {
        let encrypted = key.encrypt(rules.secret()?, &self.nonce)?;
        self.put(&[&encrypted], out);
        Ok(State::PasswordSent)
    }

    /// `parsec`: the salt has come.
    fn sign(
        &mut self,
        salt: &[u8],
        theirs: &[u8; CHALLENGE_LEN],
        rules: &Rules<'_>,
        out: &mut BytesMut,
    ) -> Result<State, Fault> {
        const FORM: Fault = Fault::Malformed("the salt is not of PBKDF2, or asks for too much work");
        let salt = Salt::parse(salt).ok_or(FORM)?;
        self.rounds = self.rounds.checked_sub(salt.rounds).ok_or(FORM)?;
        // Ours only has to be new each time: a hash brings it to the right length.
        let ours = Sha256::digest(rules.terms.nonce).into();
        let proof = proof::parsec(rules.secret()?, &salt, theirs, &ours);
        self.put(&[&proof], out);
        Ok(State::Proved)
    }
}

impl Rules<'_> {
    /// What is sent without being asked for it: a hash, or nothing. A login by certificate alone has no password.
    pub(crate) fn first_proof(&self, plugin: Plugin, nonce: &[u8; NONCE_LEN]) -> Result<Proof, Fault> {
        let credential = self.terms.credential.as_deref();
        let secret = if credential.is_some_and(|it| it.secret().is_some()) { self.secret()? } else { &[] };
        match plugin {
            Plugin::Native => Ok(proof::native(secret, nonce)),
            Plugin::CachingSha2 => Ok(proof::caching_sha2(secret, nonce)),
            Plugin::Sha256 | Plugin::Clear | Plugin::Ed25519 | Plugin::Parsec => Ok(Proof::default()),
        }
    }

    /// Whether only the server can read what is sent.
    fn is_private(&self) -> bool {
        self.encrypted || self.terms.private
    }

    fn may_take_key(&self) -> bool {
        self.is_private() || self.options.allow_public_key_retrieval || self.terms.allow_cleartext
    }

    fn secret(&self) -> Result<&[u8], Fault> {
        const NO_SECRET: Fault =
            Fault::Incomplete("the server asks for a password, and the credential holds none");
        let credential = self.terms.credential.as_deref();
        let secret = credential.and_then(|it| it.secret()).ok_or(NO_SECRET)?.expose();
        if secret.contains(&0) {
            return Err(Fault::Incomplete("a password with a NUL octet cannot be sent"));
        }
        Ok(secret)
    }
}

/// What a method needs to know, with or without a NUL behind it.
fn challenge<const N: usize>(body: &[u8]) -> Result<[u8; N], Fault> {
    const FORM: Fault =
        Fault::Malformed("what a method of authentication needs to know has the wrong length");
    let (challenge, rest) = body.split_first_chunk().ok_or(FORM)?;
    if matches!(rest, [] | [0]) { Ok(*challenge) } else { Err(FORM) }
}

fn unknown(name: &[u8]) -> Fault {
    Fault::Unsupported(match name {
        b"mysql_old_password" => "a login with a password of before 4.1",
        b"dialog" => "a login in a dialogue (PAM): let the server ask for mysql_clear_password",
        b"auth_gssapi_client" | b"authentication_kerberos_client" => "a login with Kerberos",
        b"authentication_ldap_sasl_client" => "a login with LDAP and SASL",
        b"authentication_webauthn_client" | b"authentication_fido_client" => "a login with a security key",
        b"authentication_oci_client" | b"authentication_openid_connect_client" => {
            "a login with a token of OCI or OpenID"
        }
        _ => "a method of authentication that is not known",
    })
}
