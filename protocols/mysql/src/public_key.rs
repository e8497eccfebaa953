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

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::*;

    fn pem(der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    }

    #[test]
    fn only_the_owner_of_the_key_reads_the_password_and_only_with_the_nonce() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&private.public_key()).unwrap();
        let key = PublicKey::from_pem(pem(der.as_ref()).as_bytes()).unwrap();
        let (password, nonce) = (&b"a password that is longer than the nonce"[..], [0x5a; NONCE_LEN]);
        let encrypted = key.encrypt(password, &nonce).unwrap();

        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut out = vec![0; private.min_output_size()];
        let read = private.decrypt(&OAEP_SHA1_MGF1SHA1, &encrypted, &mut out, None).unwrap();
        let read: Vec<u8> = read.iter().map(|octet| octet ^ 0x5a).collect();
        assert_eq!(read, [password, b"\0"].concat());

        let too_long = key.encrypt(&[b'x'; 2048 / 8], &nonce);
        assert!(matches!(too_long, Err(Fault::Incomplete(_))));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = format!("{BEGIN}{}{END}", "A".repeat(MAX_PEM_LEN));
        let curve = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        for text in [
            "",
            BEGIN,
            &pem(b""),
            &pem(b"key"),
            &long,
            &format!("{BEGIN}!{END}"),
            &format!("{BEGIN}{curve}{END}"),
        ] {
            assert!(PublicKey::from_pem(text.as_bytes()).is_none(), "{text}");
        }
        assert!(PublicKey::from_pem(b"\xff").is_none());
    }
}
