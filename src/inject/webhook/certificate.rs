//! The certificate that the webhook shows: a mounted one, followed through its renewals, or one of its own making.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Identity;
use crate::secret::{Source, expiry};

/// What is in use now.
#[derive(Clone)]
pub(super) struct Current {
    key: Arc<Slot>,
    source: Option<Source>,
}

#[derive(Debug, Default)]
struct Slot(ArcSwapOption<CertifiedKey>);

impl ResolvesServerCert for Slot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl Current {
    /// Also gives the task that follows a mounted certificate.
    pub(super) fn new(
        identity: Identity,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), String> {
        let key = Arc::new(Slot::default());
        let (source, watcher) = match identity {
            Identity::Mounted(source, watcher) => (Some(source), Some(watcher)),
            Identity::SelfSigned(own) => {
                key.0.store(Some(Arc::new(certified(own.chain, own.key)?)));
                (None, None)
            }
        };
        let current = Self { key, source };
        current.take_over();
        let following = current.clone();
        let follow = async move {
            let (Some(source), Some(watcher)) = (following.source.clone(), watcher) else { return };
            let mut news = source.subscribe();
            let watch = async {
                loop {
                    news.changed().await;
                    following.take_over();
                }
            };
            tokio::join!(watcher.run(), watch);
        };
        Ok((current, follow))
    }

    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("TLS: {error}"))?.with_no_client_auth();
        let resolver: Arc<Slot> = Arc::clone(&self.key);
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Why there is none, where there is none.
    pub(super) fn missing(&self) -> Option<String> {
        if self.key.0.load().is_some() {
            return None;
        }
        let problem = self.source.as_ref().and_then(|source| source.standing().problem);
        Some(
            problem
                .map_or_else(|| "no certificate yet".to_owned(), |problem| format!("certificate: {problem}")),
        )
    }

    /// The end of validity of what clients are shown, which is not the newest where that is of no use.
    pub(super) fn not_after(&self) -> Option<SystemTime> {
        expiry(self.key.0.load().as_ref()?.end_entity_cert().ok()?)
    }

    /// The last good one stays where the new one is of no use.
    fn take_over(&self) {
        let material = self.source.as_ref().and_then(Source::current);
        let Some(identity) = material.as_ref().and_then(|material| material.identity.as_ref()) else {
            return;
        };
        match certified(identity.chain.clone(), identity.key()) {
            Ok(key) => {
                self.key.0.store(Some(Arc::new(key)));
                tracing::info!("certificate taken over");
            }
            Err(reason) => tracing::error!(reason, "certificate cannot be used"),
        }
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| format!("certificate: {error}"))
}

/// A certificate of our own making, and the authority that vouches for it.
pub struct SelfSigned {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// For `caBundle`: PEM in base64.
    pub ca_bundle: String,
}

/// Makes a certificate for these names. The authority's key is thrown away at once: it signs this one only.
///
/// # Errors
/// A name that no certificate can hold.
pub fn self_signed(names: &[String]) -> Result<SelfSigned, String> {
    let wrong = |error: rcgen::Error| format!("cannot make a certificate for {}: {error}", names.join(", "));
    let mut authority = CertificateParams::new(Vec::new()).map_err(wrong)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(DnType::CommonName, "attache webhook, made at start");
    let authority_key = KeyPair::generate().map_err(wrong)?;
    let root = authority.self_signed(&authority_key).map_err(wrong)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut leaf = CertificateParams::new(names.to_vec()).map_err(wrong)?;
    leaf.use_authority_key_identifier_extension = true;
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(wrong)?;
    let leaf = leaf.signed_by(&key, &issuer).map_err(wrong)?;
    Ok(SelfSigned {
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        ca_bundle: STANDARD.encode(root.pem()),
    })
}
