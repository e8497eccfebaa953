//! A machine with a database outside the cluster, the image of Attaché, and an application's image that holds no secret.

use std::env;
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use attache_kit::container::{Engine, root_of};
use attache_kit::kubelet::{Node, Pod};
use attache_kit::postgres::Encryption;
use attache_kit::{Leaf, Pair, Pki, Postgres, Setup, StartError, Version, tools};

/// Below the half minute after which folders are read anyway: what is seen by then was noticed.
pub const SOON: Duration = Duration::from_secs(25);
pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const SECOND: &str = "s3cret-after-the-rotation";

/// What the manifests call the two images.
pub const ATTACHE: &str = concat!("ghcr.io/attache-proxy/attache:", env!("CARGO_PKG_VERSION"));
pub const ORDERS: &str = "registry.example.com/orders:1.0";

/// A node with both images.
pub fn node() -> Result<Node, StartError> {
    let mut node = Node::start()?;
    make_attache(node.engine());
    make_orders(node.engine());
    node.provide(ATTACHE, "localhost/attache:test");
    node.provide(ORDERS, "localhost/orders:1.0");
    Ok(node)
}

pub fn make_attache(engine: &Engine) {
    if let Ok(name) = env::var("ATTACHE_IMAGE") {
        engine.take_over(&name);
        engine.podman(&["tag", &name, "localhost/attache:test"]).ok();
        return;
    }
    let built = Path::new(env!("CARGO_BIN_EXE_attache"));
    let folder = tempfile::tempdir().unwrap();
    let program = without_symbols(built, folder.path()).unwrap_or_else(|| built.to_path_buf());
    let root = root_of(&[(&program, "/usr/local/bin/attache")]).unwrap();
    authorities(root.path());
    let file = include_str!("../../deploy/image/Containerfile");
    let (_, settings) = file.split_once("COPY . /\n").expect("the image is a copy of a folder");
    engine.image("localhost/attache:test", root.path(), settings);
}

/// As `deploy/image/root` does it.
fn authorities(root: &Path) {
    let mut files: Vec<_> = fs::read_dir("/usr/share/ca-certificates/mozilla").unwrap().collect();
    files.sort_by_key(|entry| entry.as_ref().unwrap().path());
    let texts = files.into_iter().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let folder = root.join("etc/ssl/certs");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ca-certificates.crt"), texts.collect::<String>()).unwrap();
}

/// Four fifths of a test binary are of no use in an image.
fn without_symbols(program: &Path, folder: &Path) -> Option<PathBuf> {
    let stripped = folder.join("attache");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(program).status().ok()?;
    status.success().then_some(stripped)
}

/// psql, and just enough to look around and to wait.
fn make_orders(engine: &Engine) {
    let root = root_of(&[
        (Path::new("/usr/lib/postgresql/15/bin/psql"), "/usr/bin/psql"),
        (Path::new("/bin/sh"), "/bin/sh"),
        (Path::new("/bin/cat"), "/bin/cat"),
        (Path::new("/bin/ls"), "/bin/ls"),
        (Path::new("/bin/sleep"), "/bin/sleep"),
    ]);
    engine.image("localhost/orders:1.0", root.unwrap().path(), "ENV PATH=/usr/bin:/bin");
}

/// A database outside the cluster, with TLS and the account `orders`.
pub struct Database {
    pub server: Postgres,
    pub pki: Pki,
}

impl Database {
    /// On the standard port, which is free on a machine of its own, and under these names.
    pub fn start(names: &[&str]) -> Result<Database, StartError> {
        let pki = Pki::new();
        let pair: Pair = pki.issue(Leaf::server(names));
        let setup = Setup::new().tls(&pair).hba("hostssl all all all scram-sha-256");
        let server = Postgres::start(Version::V15, setup.set("listen_addresses", "*"))?;
        server.role("orders", SECRET, Encryption::Scram);
        server.database("orders", "orders");
        Ok(Database { server, pki })
    }

    /// Lets it be reached on the standard port of a further address of the node.
    pub fn reach_at(&self, address: &str) {
        let mut ip = Command::new("ip");
        ip.args(["address", "add", &format!("{address}/32"), "dev", "pods"]);
        tools::run(&mut ip, b"", SOON).ok();
        let listener = TcpListener::bind((address, 5432)).unwrap();
        let to = self.server.addr();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is down: the connection just ends.
                if let Ok(server) = TcpStream::connect(to) {
                    forward(&client, &server);
                }
            }
        });
    }

    pub fn rotate(&self) {
        self.server.password("orders", SECOND, Encryption::Scram);
    }
}

/// Both ways, each until its end.
fn forward(client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// What a query of the application answers.
pub fn psql(pod: &Pod<'_>, sql: &str) -> String {
    let ran = pod.exec("orders", &["psql", "-XAtq", "-U", "nobody", "-c", sql]);
    assert!(ran.status.success(), "{}{}\n{}", ran.stdout, ran.stderr, pod.logs("attache"));
    ran.stdout.trim_end().to_owned()
}
