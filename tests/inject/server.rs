//! A running `attache webhook`, and a client that asks as an API server does.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attache_kit::{Launch, Mounted, Pki, Process, http};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{BINARY, manifest};

/// Below the half minute after which folders are read anyway: what is seen by then was noticed.
pub const SOON: Duration = Duration::from_secs(20);
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// As a Service of the namespace is called in a cluster.
pub const NAME: &str = "attache-webhook.attache-system.svc";

pub struct Webhook {
    pub process: Process,
    pub reviews: SocketAddr,
    pub health: SocketAddr,
    pub pki: Pki,
    pub certificate: Mounted,
    pub profiles: TempDir,
}

/// Starts one with the usual profile `shop`.
pub fn start(arguments: &[&str]) -> Webhook {
    let pki = Pki::new();
    let certificate = Mounted::new(&[]);
    renew(&certificate, &pki);
    let profiles = tempfile::tempdir().unwrap();
    fs::write(profiles.path().join("shop.yaml"), manifest("attache.yaml")).unwrap();
    let tls = ["--tls", certificate.path().to_str().unwrap()];
    let folder = ["--profiles", profiles.path().to_str().unwrap()];
    let process = launch(&[tls.as_slice(), &folder, arguments].concat());
    let (reviews, health) = addresses(&process);
    Webhook { process, reviews, health, pki, certificate, profiles }
}

/// Starts one on free ports.
pub fn launch(arguments: &[&str]) -> Process {
    let all = ["webhook", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"];
    all.iter().chain(arguments).fold(Launch::binary(BINARY), |launch, argument| launch.arg(argument)).start()
}

pub fn addresses(process: &Process) -> (SocketAddr, SocketAddr) {
    let address = |what: &str| {
        let line = process.wait_for(what, SOON, |line| line["message"] == what);
        line["address"].as_str().unwrap().parse().unwrap()
    };
    (address("webhook listening"), address("health listening"))
}

/// Puts another certificate into the folder, as cert-manager and the kubelet would.
pub fn renew(folder: &Mounted, pki: &Pki) -> Vec<u8> {
    let pair = pki.issue(attache_kit::Leaf::server(&[NAME]));
    folder.write(&[("tls.crt", &pair.cert_pem), ("tls.key", &pair.key_pem), ("ca.crt", pki.ca_pem())]);
    pair.cert_der
}

impl Webhook {
    /// The `response` to a pod that is created.
    pub fn review(&self, pod: &Value) -> Value {
        let answer = self.post(&review(pod));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut review: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (review["apiVersion"].as_str(), review["kind"].as_str()),
            (Some("admission.k8s.io/v1"), Some("AdmissionReview"))
        );
        assert_eq!(review["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        review["response"].take()
    }

    pub fn post(&self, body: &str) -> Answer {
        post(self.reviews, self.pki.ca_pem(), body).unwrap()
    }

    /// What a client is shown.
    pub fn shown(&self) -> Vec<u8> {
        post(self.reviews, self.pki.ca_pem(), "{}").unwrap().certificate
    }

    pub fn get(&self, path: &str) -> http::Response {
        http::get(self.health, path).unwrap()
    }

    pub fn profile(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.profiles.path()).join(name)
    }
}

/// The pod after the answer, applied by an implementation that is not ours.
pub fn patched(pod: &Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["patchType"], "JSONPatch", "{response}");
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
    patched
}

/// An AdmissionReview as the API server sends it.
pub fn review(pod: &Value) -> String {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "blue",
            "operation": "CREATE",
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller" },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    })
    .to_string()
}

pub struct Answer {
    pub status: u16,
    pub body: String,
    /// The leaf that the server showed.
    pub certificate: Vec<u8>,
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The head of a request with a body of this length, and nothing of that.
pub fn begin(address: SocketAddr, ca: &str, length: usize) -> Tls {
    let mut stream = connect(address, ca).unwrap();
    stream.write_all(head(length).as_bytes()).unwrap();
    stream
}

fn head(length: usize) -> String {
    format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Over TLS to [`NAME`], whose authority is `ca`.
fn connect(address: SocketAddr, ca: &str) -> std::io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let connection = ClientConnection::new(config, ServerName::try_from(NAME).unwrap()).unwrap();
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(StreamOwned::new(connection, socket))
}

/// One request.
pub fn post(address: SocketAddr, ca: &str, body: &str) -> std::io::Result<Answer> {
    let mut stream = connect(address, ca)?;
    stream.write_all(head(body.len()).as_bytes())?;
    // A server that has heard enough does not hear the rest.
    let _ = stream.write_all(body.as_bytes());
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Err(read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()));
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let certificate = stream.conn.peer_certificates().unwrap()[0].to_vec();
    Ok(Answer { status, body: body.to_owned(), certificate })
}
