//! A password encrypted with the server's public key (manual, "Caching_sha2_password information", "SHA-256
//! Authentication"): RSA with the padding of OAEP (RFC 8017).

use attache_wire::Fault;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::proof::{NONCE_LEN, Proof};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// The most octets of a key: RSA of 8192 bits has some 1500.
const MAX_PEM_LEN: usize = 8 * 1024;

/// A server's public key.
pub(crate) struct PublicKey(OaepPublicEncryptingKey);

impl PublicKey {
    /// Reads the form that both the server and the operator give it in. `None` where it is no such key.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok().filter(|text| text.len() <= MAX_PEM_LEN)?;
        let (_, rest) = text.split_once(BEGIN)?;
        let (body, _) = rest.split_once(END)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let key = PublicEncryptingKey::from_der(&STANDARD.decode(body).ok()?).ok()?;
        OaepPublicEncryptingKey::new(key).ok().map(Self)
    }

    /// Encrypts the password and its NUL, blended with the nonce.
    pub(crate) fn encrypt(&self, password: &[u8], nonce: &[u8; NONCE_LEN]) -> Result<Proof, Fault> {
        let ended = password.iter().chain(&[0]);
        let blended: Vec<u8> = ended.zip(nonce.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let blended = Zeroizing::new(blended);
        let mut out = vec![0; self.0.ciphertext_size()];
        self.0
            .encrypt(&OAEP_SHA1_MGF1SHA1, &blended, &mut out, None)
            .map_err(|_| Fault::Incomplete("the password is too long for the server's public key"))?;
        Ok(Proof::new(out))
    }
}
