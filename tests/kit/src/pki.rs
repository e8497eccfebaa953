//! A small certificate authority in memory, with its certificates as PEM files.
//!
//! Its algorithm matters: SCRAM's channel binding hashes a certificate with the hash of the signature on
//! it, and that is the authority's. A second `Pki` is the rogue authority of a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::scratch::{self, set_mode};

/// How the authority signs; its leaves have keys of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    EcdsaSha256,
    EcdsaSha384,
    RsaSha256,
    RsaSha384,
    /// Has no hash of its own, so there is no channel binding with it.
    Ed25519,
}

impl Algorithm {
    pub const ALL: [Algorithm; 5] = [
        Algorithm::EcdsaSha256,
        Algorithm::EcdsaSha384,
        Algorithm::RsaSha256,
        Algorithm::RsaSha384,
        Algorithm::Ed25519,
    ];

    fn key(self) -> KeyPair {
        KeyPair::generate_for(self.named()).expect("the provider knows these algorithms")
    }

    fn named(self) -> &'static SignatureAlgorithm {
        match self {
            Algorithm::EcdsaSha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::EcdsaSha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::RsaSha256 => &rcgen::PKCS_RSA_SHA256,
            Algorithm::RsaSha384 => &rcgen::PKCS_RSA_SHA384,
            Algorithm::Ed25519 => &rcgen::PKCS_ED25519,
        }
    }
}

/// A certificate authority and the folder that holds its files, which goes with it.
#[derive(Debug)]
pub struct Pki {
    folder: TempDir,
    algorithm: Algorithm,
    authority: CertifiedIssuer<'static, KeyPair>,
    ca: PathBuf,
    ca_pem: String,
}

/// A certificate and its key, as files and as text.
#[derive(Debug, Clone)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub cert_pem: String,
    pub key_pem: String,
    pub cert_der: Vec<u8>,
}

/// What a certificate should say.
#[derive(Debug, Clone)]
pub struct Leaf {
    names: Vec<String>,
    common_name: String,
    usage: ExtendedKeyUsagePurpose,
    from: Duration,
    until: Duration,
}

impl Leaf {
    /// For names and addresses; the first one is the common name too.
    pub fn server(names: &[&str]) -> Leaf {
        Leaf {
            names: names.iter().map(ToString::to_string).collect(),
            common_name: names.first().map(ToString::to_string).unwrap_or_default(),
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            from: -Duration::DAY,
            until: Duration::days(90),
        }
    }

    pub fn client(common_name: &str) -> Leaf {
        Leaf { usage: ExtendedKeyUsagePurpose::ClientAuth, names: Vec::new(), ..Leaf::server(&[common_name]) }
    }

    pub fn common_name(self, name: &str) -> Leaf {
        Leaf { common_name: name.to_string(), ..self }
    }

    pub fn expired(self) -> Leaf {
        Leaf { from: Duration::days(-30), until: -Duration::DAY, ..self }
    }

    pub fn not_yet_valid(self) -> Leaf {
        Leaf { from: Duration::DAY, until: Duration::days(30), ..self }
    }

    pub fn days_left(self, days: i64) -> Leaf {
        Leaf { until: Duration::days(days), ..self }
    }
}

impl Default for Pki {
    fn default() -> Self {
        Pki::new()
    }
}

impl Pki {
    pub fn new() -> Pki {
        Pki::signed_with(Algorithm::EcdsaSha256)
    }

    pub fn signed_with(algorithm: Algorithm) -> Pki {
        let authority =
            CertifiedIssuer::self_signed(authority_params(), algorithm.key()).expect("a fresh authority");
        let folder = scratch::folder("pki");
        let ca = folder.path().join("ca.pem");
        let ca_pem = authority.pem();
        fs::write(&ca, &ca_pem).expect("our own folder takes a file");
        Pki { folder, algorithm, authority, ca, ca_pem }
    }

    /// The authority's own certificate, for a client's `ca:`.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A good server certificate for everything that a test on loopback may call its server.
    pub fn server(&self) -> Pair {
        self.issue(Leaf::server(&["localhost", "db.internal", "127.0.0.1", "::1"]))
    }

    pub fn client(&self, common_name: &str) -> Pair {
        self.issue(Leaf::client(common_name))
    }

    pub fn issue(&self, leaf: Leaf) -> Pair {
        let key = self.algorithm.key();
        let certificate = leaf_params(leaf).signed_by(&key, &self.authority).expect("a leaf of our own");
        self.write(&certificate, &key)
    }

    fn write(&self, certificate: &Certificate, key: &KeyPair) -> Pair {
        let folder =
            tempfile::Builder::new().prefix("pair-").tempdir_in(self.folder.path()).expect("a folder").keep();
        set_mode(&folder, 0o755);
        let pair = Pair {
            cert: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            cert_der: certificate.der().to_vec(),
        };
        fs::write(&pair.cert, &pair.cert_pem).expect("our own folder takes a file");
        fs::write(&pair.key, &pair.key_pem).expect("our own folder takes a file");
        // libpq refuses a key that others may read.
        set_mode(&pair.key, 0o600);
        pair
    }
}

fn authority_params() -> CertificateParams {
    let mut params = params(Vec::new(), "Attaché test authority", Duration::days(-365), Duration::days(365));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(leaf: Leaf) -> CertificateParams {
    let mut params = params(leaf.names, &leaf.common_name, leaf.from, leaf.until);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![leaf.usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn params(names: Vec<String>, common_name: &str, from: Duration, until: Duration) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("names of a test are ASCII");
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = now();
    params.not_before = now + from;
    params.not_after = now + until;
    params
}

fn now() -> OffsetDateTime {
    let since_1970 =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is past 1970");
    OffsetDateTime::from_unix_timestamp(since_1970.as_secs().cast_signed()).expect("a year of four digits")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    fn openssl(arguments: &[&str], files: &[&Path]) -> String {
        let output = Command::new("openssl").args(arguments).args(files).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    #[test]
    fn each_algorithm_signs_with_its_own_hash() {
        let names = ["ecdsa-with-SHA256", "ecdsa-with-SHA384", "sha256WithRSA", "sha384WithRSA", "ED25519"];
        for (algorithm, name) in Algorithm::ALL.into_iter().zip(names) {
            let pki = Pki::signed_with(algorithm);
            let text = openssl(&["x509", "-noout", "-text", "-in"], &[&pki.server().cert]);
            assert!(text.contains(&format!("Signature Algorithm: {name}")), "{algorithm:?}: {text}");
        }
    }

    #[test]
    fn another_tool_judges_the_certificates_as_meant() {
        let pki = Pki::new();
        let rogue = Pki::new();
        let verify = |leaf: &Pair, extra: &[&str]| {
            let mut arguments = vec!["verify"];
            arguments.extend_from_slice(extra);
            arguments.push("-CAfile");
            openssl(&arguments, &[pki.ca(), &leaf.cert])
        };
        assert!(verify(&pki.server(), &["-verify_hostname", "db.internal"]).contains("OK"));
        assert!(verify(&pki.server(), &["-verify_ip", "127.0.0.1"]).contains("OK"));
        assert!(verify(&pki.client("app"), &["-purpose", "sslclient"]).contains("OK"));

        let wrong = pki.issue(Leaf::server(&["other.example"]));
        assert!(verify(&wrong, &["-verify_hostname", "db.internal"]).contains("hostname mismatch"));
        let expired = pki.issue(Leaf::server(&["localhost"]).expired());
        assert!(verify(&expired, &[]).contains("has expired"));
        let early = pki.issue(Leaf::server(&["localhost"]).not_yet_valid());
        assert!(verify(&early, &[]).contains("not yet valid"));
        assert!(verify(&rogue.server(), &[]).contains("verification failed"));
    }
}
