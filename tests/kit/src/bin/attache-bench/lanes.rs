//! The ways from a client to the database that are compared.

use attache_kit::Process;

use crate::house::House;
use crate::recipe::{Recipe, Recipes};

/// One way to the database.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// libpq's `sslmode` of the client.
    pub(crate) sslmode: &'static str,
    /// The proxy in between.
    pub(crate) pid: Option<u32>,
}

/// All lanes, and the proxies that serve them for as long as this is kept. Of each list the direct one is first.
pub(crate) struct Lanes {
    pub(crate) plain: Vec<Lane>,
    /// With TLS to the server, for logins.
    pub(crate) tls: Vec<Lane>,
    _proxies: Vec<Process>,
}

pub(crate) const DIRECT: &str = "direct";
pub(crate) const ATTACHE: &str = "attache";
/// Its links are warm, and serve one session after another.
pub(crate) const REUSED: &str = "attache, warm and reused";
pub(crate) const PGBOUNCER: &str = "pgbouncer";
/// In transaction mode: its clients give up what a session could keep.
pub(crate) const PGBOUNCER_TRANSACTIONS: &str = "pgbouncer, transactions";

pub(crate) fn open(house: &House, recipes: &Recipes) -> Lanes {
    let mut proxies = Vec::new();
    let attache = through(&recipes.attache, ATTACHE, &mut proxies);
    let socket = recipes.attache.folder().to_string_lossy().into_owned();
    let unix = Lane { name: "attache, unix socket", host: socket, ..attache };
    let mut plain = vec![direct(house, "disable"), attache, unix];
    plain.push(through(&recipes.attache_opaque, "attache, opaque", &mut proxies));
    plain.extend(recipes.pgbouncer.iter().map(|recipe| through(recipe, PGBOUNCER, &mut proxies)));
    plain.extend(recipes.haproxy.iter().map(|recipe| through(recipe, "haproxy", &mut proxies)));
    let mut tls = vec![direct(house, "verify-full"), through(&recipes.attache_tls, ATTACHE, &mut proxies)];
    tls.push(through(&recipes.attache_warm, "attache, warm", &mut proxies));
    tls.push(through(&recipes.attache_reused, REUSED, &mut proxies));
    tls.extend(recipes.pgbouncer_tls.iter().map(|recipe| through(recipe, PGBOUNCER, &mut proxies)));
    let transactions = recipes.pgbouncer_transactions.iter();
    tls.extend(transactions.map(|recipe| through(recipe, PGBOUNCER_TRANSACTIONS, &mut proxies)));
    Lanes { plain, tls, _proxies: proxies }
}

fn direct(house: &House, sslmode: &'static str) -> Lane {
    Lane { name: DIRECT, host: "localhost".to_owned(), port: house.database.port(), sslmode, pid: None }
}

fn through(recipe: &Recipe, name: &'static str, proxies: &mut Vec<Process>) -> Lane {
    let process = recipe.start();
    let (pid, port) = (Some(process.pid()), recipe.listen.number());
    proxies.push(process);
    Lane { name, host: "127.0.0.1".to_owned(), port, sslmode: "disable", pid }
}
