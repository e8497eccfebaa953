//! The link to a Sentinel, by the clock of days.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use attache::config::{self, Sources};
use attache::metrics::Metrics;
use attache::registry;
use attache::serving::Serving;
use attache::sim::{self, Connecting};
use attache::sockets::Spare;
use attache_kit::Mounted;
use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::redis;
use crate::speech;
use crate::wire::{self, End, Manner};

const HOUR: Duration = Duration::from_secs(3600);
const POLL: Duration = Duration::from_secs(300);
/// How long a link is used: twelve hours, more or less, so that a fleet does not renew its links in step.
const LEAST: Duration = Duration::from_secs(9 * 3600);
const MOST: Duration = Duration::from_secs(15 * 3600);
const SENTINEL: &str = "10.0.0.9:26379";
const PRIMARY: &str = "10.0.0.1:6379";

/// A Sentinel, and every link to it that there was. Nobody else takes anybody in.
#[derive(Debug, Clone)]
struct World {
    links: Arc<Mutex<Vec<Link>>>,
    chance: Arc<Mutex<Dice>>,
}

#[derive(Debug)]
struct Link {
    began: Instant,
    ended: Option<Instant>,
    /// When the Sentinel was asked last, and how often in all.
    asked_at: Instant,
    asked: usize,
}

impl World {
    fn new(seed: u64) -> World {
        World { links: Arc::default(), chance: Arc::new(Mutex::new(Dice::of(seed, "Sentinel"))) }
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().expect("nothing panics under this lock")
    }

    /// One link, to its end.
    async fn serve(self, end: End) {
        let began = Instant::now();
        let number = {
            let mut links = self.links();
            links.push(Link { began, ended: None, asked_at: began, asked: 0 });
            links.len() - 1
        };
        let mut wire = speech::Wire::new(end);
        while let Ok(words) = redis::command(&mut wire).await {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if words[..] == ["SENTINEL", "MASTER", "orders"] {
                let link = &mut self.links()[number];
                (link.asked_at, link.asked) = (Instant::now(), link.asked + 1);
            }
            if wire.send(&answer(&words)).await.is_err() {
                break;
            }
        }
        self.links()[number].ended = Some(Instant::now());
    }
}

fn answer(words: &[&str]) -> Vec<u8> {
    match words {
        ["SENTINEL", "get-master-addr-by-name", "orders"] => {
            let (host, port) = PRIMARY.split_once(':').expect("an address");
            redis::array(&[host, port])
        }
        ["SENTINEL", "MASTER", "orders"] => redis::array(&["flags", "master", "config-epoch", "7"]),
        ["SENTINEL", "REPLICAS", "orders"] => b"*0\r\n".to_vec(),
        [verb @ ("SUBSCRIBE" | "UNSUBSCRIBE"), channel] => {
            let (verb, channel) = (redis::bulk(&verb.to_lowercase()), redis::bulk(channel));
            [b"*3\r\n", verb.as_slice(), &channel, b":1\r\n"].concat()
        }
        _ => panic!("no Sentinel is asked {words:?}"),
    }
}

impl sim::World for World {
    fn fill(&self, bytes: &mut [u8]) {
        self.chance.lock().expect("nothing panics under this lock").fill(bytes);
    }

    fn connect(&self, address: SocketAddr) -> Connecting {
        let world = self.clone();
        Box::pin(async move {
            if address.to_string() != SENTINEL {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (house, far, _) = wire::pair(Manner::PLAIN);
            tokio::spawn(world.serve(far));
            Ok(Box::new(house) as Box<dyn sim::Wire>)
        })
    }
}

fn serving(secret: &Mounted) -> Serving {
    let settings = [
        "protocol=redis".to_owned(),
        "listen=127.0.0.1:0".to_owned(),
        format!("upstream.sentinel.endpoints=[\"{SENTINEL}\"]"),
        "upstream.sentinel.master=orders".to_owned(),
        format!("upstream.sentinel.poll={}s", POLL.as_secs()),
        "upstream.tls.mode=off".to_owned(),
        "upstream.probe_interval=off".to_owned(),
        "allow_cleartext=true".to_owned(),
        format!("credential.path={}", secret.path().display()),
    ];
    let overrides = settings.map(|setting| format!("routes.db.{setting}")).to_vec();
    let sources = Sources { overrides, ..Sources::default() };
    let mut config = config::load(&sources, &registry::facts()).expect("a good configuration");
    config.routes[0].listen.clear();
    let mut serving = Serving::new(attache::app::common(&Metrics::new()));
    serving.apply(&config, &mut Spare::default(), &[]);
    serving
}

/// What a link was worth: it was asked all the time that it was there.
fn was_used(link: &Link, until: Instant) -> bool {
    let polls = (until - link.began).as_secs() / POLL.mul_f64(1.25).as_secs();
    link.asked as u64 >= polls && until - link.asked_at <= POLL.mul_f64(1.25) + Duration::from_secs(1)
}

/// A certificate is verified when a link begins: one that lived for ever would go by what was good then.
#[test]
fn a_link_to_a_sentinel_is_renewed_every_twelve_hours_or_so_and_nobody_goes_without_a_report() {
    for seed in 1..=3 {
        let world = World::new(seed);
        let _playing = sim::play(Rc::new(world.clone()));
        let secret = Mounted::new(&[("username", "orders"), ("password", "a secret")]);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let serving = serving(&secret);
            for hour in 1..=60 {
                sleep(HOUR).await;
                let sentinels = serving.routes()[0].status().sentinels.expect("the route has one");
                let seen = &sentinels.endpoints[0];
                assert_eq!((seen.up, seen.cause), (Some(true), None), "{hour} h: {seen:?}");
                assert_eq!(seen.primary.as_deref(), Some(PRIMARY), "{hour} h");
            }
            let links = world.links();
            assert!((5..=7).contains(&links.len()), "{links:?}");
            for pair in links.windows(2) {
                let ended = pair[0].ended.expect("no two links at once");
                let lived = ended - pair[0].began;
                assert!((LEAST..=MOST).contains(&lived), "{lived:?}");
                assert!(was_used(&pair[0], ended), "{pair:?}");
                assert!(pair[1].began.duration_since(ended) < Duration::from_secs(1), "{pair:?}");
            }
            assert!(was_used(&links[links.len() - 1], Instant::now()), "{links:?}");
        });
    }
}
