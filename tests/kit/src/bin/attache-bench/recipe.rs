//! How each proxy is configured and started: as its own manual has it for this work.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::{Launch, Mounted, Process, Rendered, eventually};

use crate::house::{APP, House, IDLER, PASSWORD};
use crate::options::Options;

const PGBOUNCER: &str = "/usr/sbin/pgbouncer";
const HAPROXY: &str = "/usr/sbin/haproxy";
const SOON: Duration = Duration::from_secs(20);

/// One proxy, ready to be started any number of times, one at a time.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    arguments: Vec<String>,
    pub(crate) listen: Port,
    /// Reserved for as long as the recipe is kept.
    _admin: Vec<Port>,
    files: Rendered,
}

/// Everything that takes part. Peers that are not installed are `None`.
pub(crate) struct Recipes {
    pub(crate) attache: Recipe,
    /// A route of `tcp`, which knows nothing of the bytes: its clients log in themselves.
    pub(crate) attache_opaque: Recipe,
    pub(crate) attache_tls: Recipe,
    /// Links are logged in before they are needed.
    pub(crate) attache_warm: Recipe,
    /// And serve one session after another.
    pub(crate) attache_reused: Recipe,
    attache_idle: Recipe,
    attache_idle_tls: Recipe,
    pub(crate) pgbouncer: Option<Recipe>,
    pub(crate) pgbouncer_tls: Option<Recipe>,
    /// A connection serves another client after each transaction.
    pub(crate) pgbouncer_transactions: Option<Recipe>,
    pub(crate) haproxy: Option<Recipe>,
}

const NO_POOL: &str = "{ warm: 0 }";
/// Twice as many as there are clients: a login may begin before the goodbye of the one before was read.
const WARM: &str = "{ warm: 16 }";
const REUSED: &str = "{ warm: 16, reuse: true }";

/// Whether the proxy speaks TLS to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToServer {
    Plain,
    Tls,
}

pub(crate) fn all(options: &Options, house: &House) -> Recipes {
    Recipes {
        attache: attache("attache", options, house, &house.app, ToServer::Plain, NO_POOL),
        attache_opaque: opaque(options, house),
        attache_tls: attache("attache, TLS to server", options, house, &house.app, ToServer::Tls, NO_POOL),
        attache_warm: attache("attache, warm", options, house, &house.app, ToServer::Tls, WARM),
        attache_reused: attache("attache, reused", options, house, &house.app, ToServer::Tls, REUSED),
        attache_idle: attache("attache", options, house, &house.idler, ToServer::Plain, NO_POOL),
        attache_idle_tls: attache(
            "attache, TLS to server",
            options,
            house,
            &house.idler,
            ToServer::Tls,
            NO_POOL,
        ),
        pgbouncer: pgbouncer("pgbouncer", house, ToServer::Plain, "session"),
        pgbouncer_tls: pgbouncer("pgbouncer, TLS to server", house, ToServer::Tls, "session"),
        pgbouncer_transactions: pgbouncer("pgbouncer, transactions", house, ToServer::Tls, "transaction"),
        haproxy: haproxy(house),
    }
}

impl Recipes {
    pub(crate) fn idle_tls(&self) -> &Recipe {
        &self.attache_idle_tls
    }

    pub(crate) fn for_starting(&self) -> Vec<&Recipe> {
        [Some(&self.attache), self.pgbouncer.as_ref(), self.haproxy.as_ref()].into_iter().flatten().collect()
    }

    pub(crate) fn for_idling(&self) -> Vec<&Recipe> {
        let ours = [Some(&self.attache_idle), Some(&self.attache_idle_tls)];
        let peers = [self.pgbouncer.as_ref(), self.pgbouncer_tls.as_ref(), self.haproxy.as_ref()];
        ours.into_iter().chain(peers).flatten().collect()
    }
}

impl Recipe {
    /// Comes back when it listens.
    pub(crate) fn start(&self) -> Process {
        let launch = self.arguments.iter().fold(Launch::binary(&self.binary), Launch::arg);
        let process = launch.start();
        eventually(&format!("{} to listen", self.name), SOON, || TcpStream::connect(self.listen.addr()).ok());
        process
    }

    /// Without anything around it: for whoever measures the start itself.
    pub(crate) fn spawn(&self) -> Child {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|error| panic!("could not start {}: {error}", self.name))
    }

    /// `attache check` of the same configuration.
    pub(crate) fn check(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("check").args(&self.arguments[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The folder of its Unix socket, if it has one, as libpq's `host=` takes it.
    pub(crate) fn folder(&self) -> &Path {
        self.files.path()
    }
}

fn attache(
    name: &'static str,
    options: &Options,
    house: &House,
    secret: &Mounted,
    to_server: ToServer,
    pool: &str,
) -> Recipe {
    let tls = match to_server {
        ToServer::Plain => "{ mode: off }".to_owned(),
        ToServer::Tls => format!("{{ ca: {} }}", house.pki.ca().display()),
    };
    let keys = format!(
        "protocol: postgres\n    credential: {{ path: {} }}\n    pool: {pool}",
        secret.path().display()
    );
    route(name, options, house, &tls, &keys)
}

fn opaque(options: &Options, house: &House) -> Recipe {
    route("attache, opaque", options, house, "{ mode: off }", "protocol: tcp")
}

/// Attaché with one route to the database, of which `keys` say the rest.
fn route(name: &'static str, options: &Options, house: &House, tls: &str, keys: &str) -> Recipe {
    const CONFIG: &str = "attache.yaml";
    let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
    let files = Rendered::new(&[]);
    let config = format!(
        "health: {health}
control: {control}
workers: {workers}
routes:
  bench:
    {keys}
    listen: [\"{address}\", \"unix:{folder}/.s.PGSQL.{port}\"]
    upstream: {{ endpoints: \"localhost:{server}\", tls: {tls} }}
    client: {{ max_sessions: {most} }}
",
        health = health.addr(),
        control = control.addr(),
        workers = options.workers.map_or_else(|| "auto".to_owned(), |workers| workers.to_string()),
        address = listen.addr(),
        folder = files.path().display(),
        port = listen.number(),
        server = house.database.port(),
        most = house.connections,
    );
    files.overwrite(CONFIG, &config);
    let arguments = vec!["run".to_owned(), "-c".to_owned(), file(&files, CONFIG)];
    Recipe { name, binary: options.binary.clone(), arguments, listen, _admin: vec![health, control], files }
}

/// In session mode what a session did to its connection stays with it, as with Attaché. Clients show no password
/// here either.
fn pgbouncer(name: &'static str, house: &House, to_server: ToServer, mode: &str) -> Option<Recipe> {
    let binary = installed(PGBOUNCER)?;
    let listen = ports::reserve();
    let users = format!("\"{APP}\" \"{PASSWORD}\"\n\"{IDLER}\" \"{PASSWORD}\"\n");
    let files = Rendered::new(&[("users", users.as_str())]);
    let tls = match to_server {
        ToServer::Plain => "server_tls_sslmode = disable".to_owned(),
        ToServer::Tls => {
            format!("server_tls_sslmode = verify-full\nserver_tls_ca_file = {}", house.pki.ca().display())
        }
    };
    let config = format!(
        "[databases]
* = host=localhost port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
max_client_conn = {most}
default_pool_size = {most}
ignore_startup_parameters = extra_float_digits
{tls}
",
        server = house.database.port(),
        port = listen.number(),
        most = house.connections,
        users = file(&files, "users"),
    );
    files.overwrite("pgbouncer.ini", &config);
    let mut arguments = vec![file(&files, "pgbouncer.ini")];
    if rustix::process::getuid().is_root() {
        // It refuses to serve as root.
        arguments.splice(0..0, ["-u".to_owned(), "nobody".to_owned()]);
    }
    Some(Recipe { name, binary, arguments, listen, _admin: Vec::new(), files })
}

fn haproxy(house: &House) -> Option<Recipe> {
    let binary = installed(HAPROXY)?;
    let listen = ports::reserve();
    let config = format!(
        "global
  maxconn {most}
defaults
  mode tcp
  maxconn {most}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind {}
  server database {}
",
        listen.addr(),
        house.database.addr(),
        most = house.connections,
    );
    let files = Rendered::new(&[("haproxy.cfg", config.as_str())]);
    let arguments = vec!["-db".to_owned(), "-f".to_owned(), file(&files, "haproxy.cfg")];
    Some(Recipe { name: "haproxy", binary, arguments, listen, _admin: Vec::new(), files })
}

fn installed(path: &str) -> Option<PathBuf> {
    let there = Path::new(path).exists();
    if !there {
        println!("{path} is not installed and left out; tests/scripts/setup bench installs it");
    }
    there.then(|| path.into())
}

fn file(files: &Rendered, name: &str) -> String {
    files.path().join(name).to_str().expect("a temporary folder has a plain name").to_owned()
}
