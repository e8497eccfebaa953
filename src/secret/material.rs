//! One generation: a snapshot that was taken over.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use attache_wire::{Credential, Mark, Marker, Secret};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize;

/// A generation of the credential, as sessions use it. It is wiped when the last of them lets go.
#[derive(Debug)]
pub struct Material {
    pub credential: Arc<Credential>,
    /// The certificate and key to show to the server, where the folder has them.
    pub identity: Option<Identity>,
    pub asked: Asked,
    pub loaded_at: SystemTime,
    /// When the youngest of its files was written, as the file system says.
    pub file_time: Option<SystemTime>,
}

impl Material {
    /// Numbers the contents that this credential has had, from 1.
    pub fn generation(&self) -> u64 {
        self.credential.generation()
    }
}

/// Whether a server has asked for a client certificate. If none has, a login is the same with whichever one.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<AtomicBool>);

impl Asked {
    /// A server asks.
    pub fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn was(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A certificate chain with its private key.
pub struct Identity {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// When the leaf expires.
    pub not_after: Option<SystemTime>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        let not_after = chain.first().and_then(expiry);
        Self { chain, not_after, key }
    }

    /// Whether the key can be used, and belongs to the certificate.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider
            .key_provider
            .load_private_key(self.key())
            .map_err(|_| "is of a kind that cannot be used")?;
        let Some(of_certificate) = self.chain.first().and_then(public_key) else {
            return Err("cannot be compared with the certificate, which is not valid X.509");
        };
        match key.public_key() {
            Some(of_key) if *of_key != *of_certificate => Err("does not belong to the certificate"),
            // Some kinds of keys do not tell their public half.
            Some(_) | None => Ok(()),
        }
    }

    /// What chain and key are known again by.
    pub(super) fn mark(&self, marker: &Marker) -> Mark {
        let chain = self.chain.iter().map(|certificate| Some(certificate.as_ref()));
        marker.mark(chain.chain([Some(self.key.secret_der())]))
    }

    /// A copy of the private key, for the TLS library, which wants one of its own.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// The end of validity of a certificate.
pub fn expiry(leaf: &CertificateDer<'_>) -> Option<SystemTime> {
    use x509_cert::der::Decode as _;
    let certificate = x509_cert::Certificate::from_der(leaf).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_system_time())
}

/// By a parser that reads certificates of version 1 too, which `openssl x509 -req` makes: what they are good for is for servers
/// to say.
fn public_key(leaf: &CertificateDer<'static>) -> Option<Vec<u8>> {
    use x509_cert::der::{Decode as _, Encode as _};
    let certificate = x509_cert::Certificate::from_der(leaf).ok()?;
    certificate.tbs_certificate().subject_public_key_info().to_der().ok()
}

/// What one reading of a folder found, before it is known whether it is news. Times of files do not count: a file that was
/// written again with the same content is no news.
pub(super) struct Contents {
    pub(super) user: Option<String>,
    pub(super) secret: Option<Secret>,
    pub(super) identity: Option<Identity>,
    pub(super) file_time: Option<SystemTime>,
}

impl Contents {
    /// Becomes the generation of that number.
    pub(super) fn accept(self, generation: u64, asked: Asked) -> Material {
        let credential = Credential::new(self.user, self.secret, generation);
        Material {
            credential: Arc::new(credential),
            identity: self.identity,
            asked,
            loaded_at: SystemTime::now(),
            file_time: self.file_time,
        }
    }
}
