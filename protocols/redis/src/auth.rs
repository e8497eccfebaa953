//! The login that is injected, and where it may be sent.

use attache_wire::{Credential, Fault, Insecure, Terms, TlsFacts};
use bytes::BytesMut;

use crate::frame;

/// The user that AUTH with a password alone means.
const DEFAULT_USER: &str = "default";

/// User and password, where the route has any.
#[derive(Clone, Copy)]
pub(crate) struct Login<'a> {
    user: Option<&'a str>,
    secret: &'a [u8],
}

impl<'a> Login<'a> {
    /// What `terms` say. `None` where there is no password: the login is by certificate, or there is none.
    ///
    /// AUTH and HELLO carry the password in clear text.
    pub(crate) fn of(terms: &'a Terms, tls: Option<&TlsFacts>) -> Result<Option<Self>, Fault> {
        let credential = terms.credential.as_deref();
        let Some(secret) = credential.and_then(Credential::secret) else { return Ok(None) };
        if tls.is_none() && !terms.private && !terms.allow_cleartext {
            return Err(Fault::Insecure(Insecure::CleartextPassword));
        }
        Ok(Some(Self { user: credential.and_then(Credential::user), secret: secret.expose() }))
    }

    /// Appends AUTH; with a password alone where no user is named, as servers before version 6 need it.
    pub(crate) fn put_auth(self, out: &mut BytesMut) {
        match self.user {
            Some(user) => frame::put(out, &[b"AUTH", user.as_bytes(), self.secret]),
            None => frame::put(out, &[b"AUTH", self.secret]),
        }
    }

    /// The words by which HELLO logs in.
    pub(crate) fn words(self) -> [&'a [u8]; 3] {
        [b"AUTH", self.user.unwrap_or(DEFAULT_USER).as_bytes(), self.secret]
    }
}
