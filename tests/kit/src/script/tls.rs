//! How a scripted server speaks TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::pki::Pair;

/// A certificate, and what the server asks of its clients.
#[derive(Debug, Clone)]
pub struct ServerTls {
    pair: Pair,
    alpn: Vec<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl ServerTls {
    pub fn new(pair: &Pair) -> ServerTls {
        ServerTls { pair: pair.clone(), alpn: Vec::new(), client_ca: None }
    }

    pub fn alpn(mut self, names: &[&str]) -> ServerTls {
        self.alpn = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Clients must show a certificate of this authority.
    pub fn client_ca(mut self, ca: &Path) -> ServerTls {
        self.client_ca = Some(std::fs::read(ca).expect("the authority's file is there"));
        self
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks these versions");
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)), provider)
                    .build()
                    .expect("an authority of the kit"),
            ),
        };
        let key = PrivateKeyDer::from_pem_slice(self.pair.key_pem.as_bytes()).expect("a key of the kit");
        let chain = vec![CertificateDer::from(self.pair.cert_der.clone())];
        let mut config = builder.with_single_cert(chain, key).expect("a pair of the kit");
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }
}

fn roots(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.expect("a certificate of the kit")).expect("a certificate of the kit");
    }
    roots
}
