//! The authentication exchange (section "Start-up"; "SASL Authentication"; RFC 5802).
//!
//! Everything that a server could do to get at the secret, or to pass for a server that knows it, is
//! decided here.

use attache_wire::scram::{Binding, ClientFinal, ClientFirst, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use attache_wire::{Fault, Insecure, Secret, Terms, TlsFacts};
use bytes::BytesMut;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::frame::{put, take_string, take_u32};
use crate::options::ChannelBinding;

/// Octets of randomness in our part of a SCRAM nonce: what libpq takes.
const SCRAM_NONCE_LEN: usize = 18;

/// Where the exchange stands.
pub(crate) enum Exchange {
    /// The server has asked for nothing yet.
    Unasked,
    /// A password was sent, in clear text or hashed.
    PasswordSent,
    /// SCRAM: our first message was sent.
    ScramFirst(ClientFirst),
    /// SCRAM: our proof was sent.
    ScramFinal(ClientFinal),
    /// SCRAM: the server has proved that it knows the password.
    ScramVerified,
    /// Accepted, or failed.
    Over,
}

/// What an exchange may do.
pub(crate) struct Rules<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) tls: Option<&'a TlsFacts>,
}

/// Whether the server has let us in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pending,
    Accepted,
}

/// An authentication request of the server.
enum Request<'a> {
    Ok,
    CleartextPassword,
    Md5Password { salt: &'a [u8] },
    Sasl { mechanisms: &'a [u8] },
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
}

impl Exchange {
    /// Answers one authentication request.
    pub(crate) fn answer(
        &mut self,
        body: &[u8],
        rules: &Rules<'_>,
        out: &mut BytesMut,
    ) -> Result<Verdict, Fault> {
        let request = Request::parse(body)?;
        let next = match (std::mem::replace(self, Self::Over), request) {
            (Self::Unasked, Request::Ok) => {
                rules.check_unbound()?;
                return Ok(Verdict::Accepted);
            }
            (Self::PasswordSent | Self::ScramVerified, Request::Ok) => return Ok(Verdict::Accepted),
            (Self::Unasked, Request::CleartextPassword) => rules.send_cleartext(out)?,
            (Self::Unasked, Request::Md5Password { salt }) => rules.send_md5(salt, out)?,
            (Self::Unasked, Request::Sasl { mechanisms }) => rules.start_scram(mechanisms, out)?,
            (Self::ScramFirst(first), Request::SaslContinue(data)) => rules.prove(first, data, out)?,
            (Self::ScramFinal(last), Request::SaslFinal(data)) => {
                last.verify(data)?;
                Self::ScramVerified
            }
            // A server that lets us in without its signature may be one that does not know the password.
            (Self::ScramFirst(_) | Self::ScramFinal(_), Request::Ok) => {
                return Err(Fault::Insecure(Insecure::ServerSignature));
            }
            (Self::Unasked, Request::SaslContinue(_) | Request::SaslFinal(_))
            | (Self::ScramFirst(_), Request::SaslFinal(_))
            | (Self::ScramFinal(_), Request::SaslContinue(_))
            | (Self::PasswordSent | Self::ScramVerified, Request::SaslContinue(_) | Request::SaslFinal(_))
            | (
                Self::PasswordSent | Self::ScramFirst(_) | Self::ScramFinal(_) | Self::ScramVerified,
                Request::CleartextPassword | Request::Md5Password { .. } | Request::Sasl { .. },
            )
            | (Self::Over, _) => return Err(Fault::Malformed("an authentication request out of order")),
        };
        *self = next;
        Ok(Verdict::Pending)
    }
}

impl Rules<'_> {
    fn send_cleartext(&self, out: &mut BytesMut) -> Result<Exchange, Fault> {
        self.check_unbound()?;
        self.check_private(Insecure::CleartextPassword)?;
        put(out, b'p', &[self.secret()?.expose(), b"\0"]);
        Ok(Exchange::PasswordSent)
    }

    fn send_md5(&self, salt: &[u8], out: &mut BytesMut) -> Result<Exchange, Fault> {
        self.check_unbound()?;
        self.check_private(Insecure::WeakHash)?;
        let user = self.terms.credential.as_deref().and_then(|credential| credential.user());
        let stored = md5_hex(&[self.secret()?.expose(), user.unwrap_or_default().as_bytes()]);
        put(out, b'p', &[b"md5", &*md5_hex(&[&*stored, salt]), b"\0"]);
        Ok(Exchange::PasswordSent)
    }

    /// The user name stays empty: the server takes the one of the startup packet.
    fn start_scram(&self, mechanisms: &[u8], out: &mut BytesMut) -> Result<Exchange, Fault> {
        let (mechanism, binding) = self.choose(mechanisms)?;
        self.secret()?;
        let first = ClientFirst::new("", &self.terms.nonce[..SCRAM_NONCE_LEN], binding);
        let message = first.message();
        put(out, b'p', &[mechanism.as_bytes(), b"\0", &length(&message), message.as_bytes()]);
        Ok(Exchange::ScramFirst(first))
    }

    fn prove(&self, first: ClientFirst, data: &[u8], out: &mut BytesMut) -> Result<Exchange, Fault> {
        let credential = self.terms.credential.as_deref().ok_or(NO_SECRET)?;
        let (message, last) = first.answer(data, self.secret()?, credential.scram_keys())?;
        put(out, b'p', &[message.as_bytes()]);
        Ok(Exchange::ScramFinal(last))
    }

    /// Chooses the mechanism and what is said about channel binding, as libpq does.
    fn choose(&self, mechanisms: &[u8]) -> Result<(&'static str, Binding), Fault> {
        let offer = Offer::parse(mechanisms)?;
        if offer.plus && self.tls.is_none() {
            return Err(Fault::Malformed("SCRAM-SHA-256-PLUS is offered over a link without TLS"));
        }
        let bindable = self.tls.and_then(|tls| tls.server_end_point.as_ref());
        match (self.channel_binding, bindable) {
            (ChannelBinding::Prefer | ChannelBinding::Require, Some(hash)) if offer.plus => {
                Ok((SCRAM_SHA_256_PLUS, Binding::ServerEndPoint(hash.clone())))
            }
            (ChannelBinding::Require, _) => Err(Fault::Insecure(Insecure::NoChannelBinding)),
            _ if !offer.plain => Err(Fault::Unsupported("SASL mechanisms other than SCRAM-SHA-256")),
            (ChannelBinding::Prefer, Some(_)) => Ok((SCRAM_SHA_256, Binding::NotOffered)),
            (ChannelBinding::Prefer, None) | (ChannelBinding::Disable, _) => {
                Ok((SCRAM_SHA_256, Binding::Unsupported))
            }
        }
    }

    /// Any login but SCRAM-SHA-256-PLUS could be passed on by somebody in between.
    fn check_unbound(&self) -> Result<(), Fault> {
        match self.channel_binding {
            ChannelBinding::Require => Err(Fault::Insecure(Insecure::NoChannelBinding)),
            ChannelBinding::Prefer | ChannelBinding::Disable => Ok(()),
        }
    }

    fn check_private(&self, otherwise: Insecure) -> Result<(), Fault> {
        if self.tls.is_some() || self.terms.allow_cleartext {
            Ok(())
        } else {
            Err(Fault::Insecure(otherwise))
        }
    }

    fn secret(&self) -> Result<&Secret, Fault> {
        let secret = self.terms.credential.as_deref().and_then(|credential| credential.secret());
        let secret = secret.ok_or(NO_SECRET)?;
        if secret.expose().contains(&0) {
            return Err(Fault::Incomplete("a password with a NUL octet cannot be sent"));
        }
        Ok(secret)
    }
}

const NO_SECRET: Fault = Fault::Incomplete("the server asks for a password, and the credential holds none");

impl<'a> Request<'a> {
    fn parse(mut body: &'a [u8]) -> Result<Self, Fault> {
        let code = take_u32(&mut body).ok_or(Fault::Malformed("an authentication request without a code"))?;
        match (code, body) {
            (0, []) => Ok(Self::Ok),
            (3, []) => Ok(Self::CleartextPassword),
            (5, salt @ [_, _, _, _]) => Ok(Self::Md5Password { salt }),
            (10, mechanisms) => Ok(Self::Sasl { mechanisms }),
            (11, data) => Ok(Self::SaslContinue(data)),
            (12, data) => Ok(Self::SaslFinal(data)),
            (0 | 3 | 5, _) => Err(Fault::Malformed("an authentication request of the wrong length")),
            (2, _) => Err(Fault::Unsupported("a login with Kerberos V5")),
            (4, _) => Err(Fault::Unsupported("a login with a password hashed by crypt")),
            (6, _) => Err(Fault::Unsupported("a login with SCM credentials")),
            (7 | 8, _) => Err(Fault::Unsupported("a login with GSSAPI")),
            (9, _) => Err(Fault::Unsupported("a login with SSPI")),
            _ => Err(Fault::Unsupported("a method of authentication that is not known")),
        }
    }
}

/// Which of the mechanisms that are spoken here the server offers.
struct Offer {
    plain: bool,
    plus: bool,
}

impl Offer {
    /// A list of strings, ended by an empty one.
    fn parse(mut list: &[u8]) -> Result<Self, Fault> {
        const FORM: Fault = Fault::Malformed("the list of SASL mechanisms is not NUL-terminated strings");
        let mut offer = Self { plain: false, plus: false };
        loop {
            match take_string(&mut list).ok_or(FORM)? {
                b"" if list.is_empty() => return Ok(offer),
                b"" => return Err(FORM),
                name => {
                    offer.plain |= name == SCRAM_SHA_256.as_bytes();
                    offer.plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
                }
            }
        }
    }
}

fn length(message: &str) -> [u8; 4] {
    u32::try_from(message.len()).expect("a client's first message is short").to_be_bytes()
}

/// The digest in lower-case hexadecimal. It is as good as the password, so it is wiped like one.
fn md5_hex(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut digest = Md5::new();
    parts.iter().for_each(|part| digest.update(part));
    let digest = Zeroizing::new(<[u8; 16]>::from(digest.finalize()));
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    Zeroizing::new(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}
