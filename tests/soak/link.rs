//! Attaché in a network of its own, with a bad wire to the servers: what TCP outlives, no client may notice but by waiting.
//!
//! Packets are late, overtake each other, get lost, and pass one way or not at all for a while. No connection is cut by that,
//! so that here nothing is excused.

use std::any::Any;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use attache_kit::link::{Apart, Link, Passes, Weather};
use attache_kit::namespace;
use attache_kit::process::{Launch, Process};
use attache_kit::{Flavour, Metrics, Mounted, Relay, available, eventually};

use crate::ground::{Ground, USERS, password};
use crate::house::{self, SOON};
use crate::load::{self, World};
use crate::{mysql, postgres, redis, tcp};

const HERE: &str = "10.88.0.1";
const THERE: &str = "10.88.0.2";
/// A second wire, on which clients reach Attaché, and we its metrics.
const CLEAR_HERE: &str = "10.77.0.1";
const CLEAR_THERE: &str = "10.77.0.2";
const HEALTH: u16 = 9900;
/// The first client's port, and the first server's: in a network of one's own every port is free.
const CLIENTS: u16 = 5000;
const SERVERS: u16 = 6000;
/// Each kind of weather, and how long it lasts.
const WEATHERS: [(Weather, Duration); 10] = [
    (Weather::CLEAR, ms(500)),
    (Weather { delay: ms(40), jitter: ms(20), ..Weather::CLEAR }, ms(1500)),
    (Weather { loss_percent: 5, ..Weather::CLEAR }, ms(1500)),
    (Weather { delay: ms(5), jitter: ms(10), loss_percent: 20, ..Weather::CLEAR }, ms(1500)),
    (Weather { passes: Passes::Neither, ..Weather::CLEAR }, ms(1200)),
    (Weather::CLEAR, ms(1000)),
    (Weather { passes: Passes::ThereOnly, ..Weather::CLEAR }, ms(800)),
    (Weather::CLEAR, ms(1000)),
    (Weather { passes: Passes::HereOnly, ..Weather::CLEAR }, ms(800)),
    (Weather::CLEAR, ms(1000)),
];

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_network_that_delays_loses_and_stops_fails_no_operation() {
    let _turn = crate::beside_the_long_one();
    let test = "link::a_network_that_delays_loses_and_stops_fails_no_operation";
    let _ = available(namespace::inside(test, "link", "nameserver 127.0.0.1\n", over_a_bad_wire));
}

fn over_a_bad_wire() {
    let fields: Vec<Field> = [
        Field::of("postgres", postgres::Cluster::start()),
        Field::of("mariadb", mysql::Servers::start(Flavour::MariaDb)),
        Field::of("redis", redis::Servers::start()),
        Field::of("tcp", tcp::Server::start()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let apart = Apart::of(&house::binary());
    let attache = Launch::binary(apart.program()).config(&config(&fields)).start();
    attache.wait_for("the start", SOON, |line| line["message"] == "started");
    let pid = attache.pid();
    let Some(clear) = available(Link::start("clear", pid, CLEAR_HERE, CLEAR_THERE)) else { return };
    let Some(mut bad) = available(Link::start("bad", pid, HERE, THERE)) else { return };
    let _doors: Vec<Relay> = fields.iter().zip(0..).flat_map(|(field, place)| field.doors(place)).collect();
    is_quiet(&attache, fields.len());
    let files = attache.open_files();

    let worlds: Vec<World> = fields.iter().map(|_| World::new()).collect();
    thread::scope(|scope| {
        let endings: Vec<_> = worlds.iter().map(World::ended_by_drop).collect();
        for ((field, world), place) in fields.iter().zip(&worlds).zip(0..) {
            scope.spawn(move || (field.work)(world, addr(CLEAR_THERE, CLIENTS + place)));
        }
        for (weather, lasts) in WEATHERS {
            bad.set(weather);
            thread::sleep(lasts);
        }
        drop(endings);
    });
    for (field, world) in fields.iter().zip(&worlds) {
        let tally = world.tally.lock().unwrap();
        assert!(tally.failures.is_empty(), "{}: {:#?}\n{}", field.name, tally.failures, attache.stderr());
        assert!(tally.operations > 50, "{}: {}", field.name, tally.operations);
        // Else they went another way.
        assert!(tally.longest_stall() > ms(1000), "{}: {:?}", field.name, tally.longest_stall());
    }
    is_quiet(&attache, fields.len());
    eventually("files to be closed", SOON, || (attache.open_files() <= files).then_some(()));
    drop(clear);
}

/// A protocol's servers, and its clients.
struct Field {
    name: &'static str,
    route: String,
    servers: Vec<SocketAddr>,
    work: fn(&World, SocketAddr),
    _secret: Mounted,
    _ground: Box<dyn Any + Sync>,
}

impl Field {
    fn of<G: Ground + 'static>(name: &'static str, ground: Option<G>) -> Option<Field> {
        let ground = ground?;
        let secret = Mounted::new(&house::borrowed(&ground.secret(USERS[0], &password(0))));
        let role = if G::FAILOVERS.is_empty() { "any" } else { "primary" };
        let route = format!(
            "protocol: {}\n    allow_remote: true\n    credential: {{ path: {} }}\n    upstream: {{ role: {role}, wait: 30s, \
             connect_timeout: 10s, probe_interval: 1s, tls: {{ ca: {}, server_name: localhost }}",
            G::PROTOCOL,
            secret.path().display(),
            ground.ca().display(),
        );
        let (servers, work) = (ground.endpoints(), load::work::<G::Driver> as fn(&World, SocketAddr));
        Some(Field { name, route, servers, work, _secret: secret, _ground: Box::new(ground) })
    }

    /// Where Attaché finds the servers: at the end of the wire.
    fn ports(&self, place: u16) -> impl Iterator<Item = u16> {
        let first = SERVERS + 10 * place;
        (first..).take(self.servers.len())
    }

    fn doors(&self, place: u16) -> Vec<Relay> {
        let doors = self.ports(place).zip(&self.servers);
        doors.map(|(port, server)| Relay::at(addr(HERE, port), *server)).collect()
    }
}

fn config(fields: &[Field]) -> String {
    let mut config =
        format!("health: 0.0.0.0:{HEALTH}\ncontrol: off\nlog: {{ format: json, level: info }}\nroutes:\n");
    for (field, place) in fields.iter().zip(0..) {
        let endpoints: Vec<String> = field.ports(place).map(|port| format!("\"{HERE}:{port}\"")).collect();
        let Field { name, route, .. } = field;
        let (listen, endpoints) = (CLIENTS + place, endpoints.join(", "));
        writeln!(
            config,
            "  {name}:\n    listen: \"0.0.0.0:{listen}\"\n    {route}, endpoints: [{endpoints}] }}"
        )
        .unwrap();
    }
    config
}

/// Every server is known, and no session is left.
fn is_quiet(attache: &Process, routes: usize) {
    let quiet = || {
        let metrics = Metrics::scrape(addr(CLEAR_THERE, HEALTH));
        let value = |name| metrics.value(name, &[]).unwrap_or_default();
        let accepted = value("attache_credential_settled") as usize == routes;
        (accepted && value("attache_sessions_active") == 0.0 && value("attache_links") == 0.0).then_some(())
    };
    if attache_kit::wait::within(SOON, quiet).is_none() {
        panic!("not quiet: {}", attache.stderr());
    }
}

fn addr(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}
