//! Certificates of servers and clients, and whom Attaché is told to trust.
//!
//! Keys and signatures are of one length (Ed25519), and no session is resumed: what is encrypted differs from play to play,
//! but neither its length nor its time.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use attache_kit::{Algorithm, Leaf, Mounted, Pair, Pki};
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What servers can show: a certificate, its successor, and one of another authority.
const CERTIFICATES: usize = 3;
/// By certificate.
const AUTHORITY: [usize; CERTIFICATES] = [0, 0, 1];

/// Whom the file of authorities names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    First,
    Both,
    Second,
}

struct Everything {
    authorities: [Pki; 2],
    configs: [Arc<ServerConfig>; CERTIFICATES],
}

fn everything() -> &'static Everything {
    static EVERYTHING: OnceLock<Everything> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let authorities = [(); 2].map(|()| Pki::signed_with(Algorithm::Ed25519));
        let configs = AUTHORITY.map(|authority| config(&authorities[authority]));
        Everything { authorities, configs }
    })
}

fn config(authority: &Pki) -> Arc<ServerConfig> {
    let pair = authority.issue(Leaf::server(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&version::TLS13]).expect("the provider speaks it");
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).expect("a key of the kit");
    let chain = vec![CertificateDer::from(pair.cert_der)];
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).expect("a pair of the kit");
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// How a server speaks that shows this certificate.
pub fn server(certificate: usize) -> Arc<ServerConfig> {
    Arc::clone(&everything().configs[certificate])
}

/// Certificates of clients take turns; to make one takes longer than a schedule.
pub fn client(number: usize) -> &'static Pair {
    static PAIRS: OnceLock<[Pair; CERTIFICATES]> = OnceLock::new();
    let pairs = PAIRS.get_or_init(|| {
        let pki = Pki::new();
        std::array::from_fn(|_| pki.client("orders"))
    });
    &pairs[number % CERTIFICATES]
}

/// The file of authorities that Attaché reads.
pub struct Authorities(Mounted);

impl Authorities {
    /// Trusts the first one, where there is TLS.
    pub fn new(tls: bool) -> Authorities {
        let authorities = Authorities(Mounted::new(&[]));
        if tls {
            authorities.write(Trust::First);
        }
        authorities
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// As the kubelet swaps a ConfigMap: nothing has to rest by a clock that is not played.
    pub fn write(&self, trust: Trust) {
        let [first, second] = everything().authorities.each_ref().map(Pki::ca_pem);
        let text = match trust {
            Trust::First => first.to_owned(),
            Trust::Both => format!("{first}{second}"),
            Trust::Second => second.to_owned(),
        };
        self.0.write(&[("ca.pem", &text)]);
    }
}
