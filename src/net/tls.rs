//! TLS towards the server: what is trusted, who we are, and why a handshake failed.

use std::io;
use std::sync::Arc;

use attache_wire::TlsFacts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authorities::Authorities;
use super::stream::Stream;
use crate::config::domain::{Tls, TlsMode};
use crate::failure::{Cause, Trouble};
use crate::secret::{Asked, Material};

/// How much plain text rustls may hold for a peer that does not read, in octets.
const BUFFER_LIMIT: usize = 64 * 1024;

/// Everything needed for handshakes with one endpoint.
#[derive(Debug, Clone)]
pub struct TlsClient {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

/// What is worth knowing of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// The last second of its validity, in seconds since 1970.
    pub not_after: u64,
}

impl TlsClient {
    /// Runs the handshake.
    ///
    /// # Errors
    /// The cause by its name, with what the library said.
    pub async fn handshake(
        &self,
        stream: Stream,
    ) -> Result<(Stream, TlsFacts, Option<Certificate>), Trouble> {
        match stream {
            Stream::Tcp(stream) => {
                let stream = self.secured(stream).await?;
                let (facts, certificate) = facts(stream.get_ref().1);
                Ok((Stream::Tls(Box::new(stream)), facts, certificate))
            }
            #[cfg(feature = "sim")]
            Stream::Played(wire) => {
                let stream = self.secured(wire).await?;
                let (facts, certificate) = facts(stream.get_ref().1);
                Ok((Stream::PlayedTls(Box::new(stream)), facts, certificate))
            }
            #[cfg(feature = "sim")]
            Stream::PlayedTls(_) => Err(setup("TLS runs over TCP only")),
            Stream::Unix(_) | Stream::Tls(_) | Stream::Gone => Err(setup("TLS runs over TCP only")),
        }
    }

    async fn secured<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<TlsStream<S>, Trouble> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(self.name.clone(), stream).await;
        let mut stream = stream.map_err(|error| trouble(&error))?;
        stream.get_mut().1.set_buffer_limit(Some(BUFFER_LIMIT));
        Ok(stream)
    }
}

fn facts(session: &ClientConnection) -> (TlsFacts, Option<Certificate>) {
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    let parsed = leaf.and_then(|leaf| certificate::parse(leaf));
    let facts = TlsFacts {
        server_end_point: leaf
            .zip(parsed.as_ref())
            .and_then(|(leaf, parsed)| certificate::end_point(leaf, parsed)),
        alpn: session.alpn_protocol().map(<[u8]>::to_vec),
    };
    (facts, parsed.as_ref().map(|parsed| Certificate { not_after: certificate::not_after(parsed) }))
}

/// What is verified of a server.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Its chain, by these authorities, and its name.
    Full(Arc<RootCertStore>),
    /// Its chain alone.
    Chain(Arc<RootCertStore>),
    Anyone,
}

impl Trust {
    /// As it is at this moment: authorities may change.
    ///
    /// # Errors
    /// [`Cause::TlsSetup`] with the file that cannot be used.
    pub fn of(tls: &Tls, authorities: &Authorities) -> Result<Self, Trouble> {
        let roots = || authorities.of(tls.ca.as_deref());
        Ok(match tls.mode {
            TlsMode::VerifyFull => Self::Full(roots()?),
            TlsMode::VerifyCa => Self::Chain(roots()?),
            TlsMode::InsecureNoVerify | TlsMode::Off => Self::Anyone,
        })
    }

    /// Whether nothing has changed between the two.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Full(roots), Self::Full(others)) | (Self::Chain(roots), Self::Chain(others)) => {
                Arc::ptr_eq(roots, others)
            }
            (Self::Anyone, Self::Anyone) => true,
            (Self::Full(_) | Self::Chain(_) | Self::Anyone, _) => false,
        }
    }
}

/// Builds the configuration of one route: `alpn` is what its protocol is called in a handshake.
///
/// # Errors
/// [`Cause::TlsSetup`] where the library cannot use what it is given.
pub fn configure(
    trust: &Trust,
    material: Option<&Material>,
    alpn: Option<&str>,
) -> Result<Arc<ClientConfig>, Trouble> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(setup)?;
    let identity = material.map(|material| Shown::of(material, &provider)).transpose().map_err(setup)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(trust, provider)?);
    let mut config = match identity {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(shown)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.map(|name| name.as_bytes().to_vec()).into_iter().collect();
    Ok(Arc::new(config))
}

/// The certificate that is shown to a server which asks for one, and that it was asked for.
#[derive(Debug)]
struct Shown {
    key: Option<Arc<CertifiedKey>>,
    asked: Asked,
}

impl Shown {
    fn of(material: &Material, provider: &CryptoProvider) -> Result<Self, rustls::Error> {
        let key = material.identity.as_ref().map(|identity| {
            // That the two belong together was looked at when they were read. rustls would, and takes no version 1.
            let key = provider.key_provider.load_private_key(identity.key())?;
            Ok::<_, rustls::Error>(Arc::new(CertifiedKey::new(identity.chain.clone(), key)))
        });
        Ok(Self { key: key.transpose()?, asked: material.asked.clone() })
    }
}

impl ResolvesClientCert for Shown {
    /// Called where the server has sent a CertificateRequest (RFC 8446, section 4.3.2).
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.note();
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

fn verifier(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Trouble> {
    let web = |roots: &Arc<RootCertStore>, provider| {
        WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build().map_err(setup)
    };
    Ok(match trust {
        Trust::Full(roots) => web(roots, provider)?,
        Trust::Chain(roots) => {
            Arc::new(Lenient { chain: Some(web(roots, Arc::clone(&provider))?), provider })
        }
        Trust::Anyone => Arc::new(Lenient { chain: None, provider }),
    })
}

fn setup(error: impl ToString) -> Trouble {
    Trouble::new(Cause::TlsSetup, error.to_string())
}

/// Accepts any name, and any chain where there is none to verify against. Signatures are verified.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The chain is verified before the name: a complaint about the name means a good chain.
        match chain.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Names the cause of an error on a TLS stream. A server refuses a client certificate of TLS 1.3 only after the
/// handshake, so that errors of later reads come through here too.
pub fn trouble(error: &io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => Trouble::new(cause(tls), tls.to_string()),
        None => match error.kind() {
            // The library's own words for it are an address of its manual.
            io::ErrorKind::UnexpectedEof => {
                Trouble::new(Cause::Closed, "the connection ended without TLS's goodbye")
            }
            io::ErrorKind::TimedOut => Trouble::new(Cause::TimedOut, error.to_string()),
            _ => Trouble::new(Cause::Reset, error.to_string()),
        },
    }
}

fn cause(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Cause::CertificateUnknownAuthority
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Cause::CertificateWrongName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Cause::CertificateExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Cause::CertificateNotYetValid
            }
            _ => Cause::CertificateInvalid,
        },
        rustls::Error::AlertReceived(_) => Cause::TlsAlert,
        _ => Cause::TlsFailed,
    }
}

mod certificate {
    //! The two facts that are read out of a certificate.

    use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    pub(super) fn parse(der: &[u8]) -> Option<Certificate> {
        Certificate::from_der(der).ok()
    }

    pub(super) fn not_after(certificate: &Certificate) -> u64 {
        certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs()
    }

    /// The `tls-server-end-point` binding (RFC 5929, section 4.1): the certificate's hash with its own
    /// signature's hash function, where MD5 and SHA-1 are replaced by SHA-256.
    pub(super) fn end_point(der: &[u8], certificate: &Certificate) -> Option<Vec<u8>> {
        let oid = certificate.signature_algorithm().oid.to_string();
        Some(digest::digest(hash_of(&oid)?, der).as_ref().to_vec())
    }

    /// `None` where the signature has no single hash function (Ed25519, RSASSA-PSS): the binding is undefined.
    fn hash_of(oid: &str) -> Option<&'static Algorithm> {
        Some(match oid {
            // {md5,sha1,sha256}WithRSAEncryption, ecdsa-with-{SHA1,SHA256}
            "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => &SHA256,
            "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &SHA256,
            // sha384WithRSAEncryption, ecdsa-with-SHA384
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
            // sha512WithRSAEncryption, ecdsa-with-SHA512
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
            _ => return None,
        })
    }
}
