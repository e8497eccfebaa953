//! Everything that takes part: databases, their Secrets, and Attaché between them and the clients.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::Command;
use std::time::{Duration, Instant};

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process, Signal};
use attache_kit::{Metrics, Mounted, Pki, eventually, http, tools};

use crate::load::Load;
use crate::scene::{self, ACCOUNT, FIRST_PASSWORD, Scene};

/// Between the two halves of a rotation: what a kubelet may take, in small.
const HALF_WAY: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    acts: Vec<Act>,
    attache: Process,
    health: Port,
    started: Instant,
    _pki: Pki,
}

/// One database, and what is Attaché's of it.
struct Act {
    scene: Box<dyn Scene>,
    secret: Mounted,
    listen: Port,
}

/// The clients of one act at work.
pub(crate) type Loads = Vec<(usize, Load)>;

impl Stage {
    pub(crate) fn set(binary: &str) -> Stage {
        let pki = Pki::new();
        let acts: Vec<Act> = scene::all(&pki).into_iter().map(Act::new).collect();
        for act in &acts {
            say(&format!("a private {}, runs on port", act.scene.server()), &act.scene.port());
        }
        say(
            "each password lies in a folder that is mounted as a Kubernetes Secret is, like",
            &acts[0].secret.path().display(),
        );
        let (health, control) = (ports::reserve(), ports::reserve());
        let routes: String = acts.iter().map(|act| act.route(&pki)).collect();
        let config = format!("health: {}\ncontrol: {}\nroutes:\n{routes}", health.addr(), control.addr());
        println!("\n   attache.yaml:\n{}", indent(&config));
        let attache = Launch::binary(binary).config(&config).start();
        attache.wait_for("its start", SOON, |line| line["message"] == "started");
        Stage { acts, attache, health, started: Instant::now(), _pki: pki }
    }

    pub(crate) fn ask_who_we_are(&self) {
        println!("   no client holds a password, or knows that there is TLS:\n");
        for act in &self.acts {
            let mut client = act.scene.who_am_i(act.listen.number());
            println!("   $ {}", shown(&client));
            println!("{}", indent(&tools::run(&mut client, b"", SOON).ok()));
        }
    }

    pub(crate) fn start_loads(&self) -> Loads {
        println!(
            "   to each database: clients that stay connected, and clients that connect for each visit\n"
        );
        let of = |(number, act): (usize, &Act)| act.loads().into_iter().map(move |load| (number, load));
        self.acts.iter().enumerate().flat_map(of).collect()
    }

    /// First the databases know the new password, and the Secrets follow; then the other way round.
    pub(crate) fn rotate_under_load(&self) {
        let begin = Instant::now();
        let wait = |turn| {
            let moment = begin + turn * HALF_WAY;
            eventually("the next act", SOON, || (Instant::now() >= moment).then_some(()));
        };
        wait(1);
        self.change_databases("second-password");
        wait(2);
        self.change_secrets("second-password");
        wait(3);
        self.change_secrets("third-password");
        wait(4);
        self.change_databases("third-password");
        println!();
    }

    fn change_databases(&self, password: &str) {
        self.acts.iter().for_each(|act| self.tell(&act.scene.change_password(password)));
    }

    fn change_secrets(&self, password: &str) {
        for act in &self.acts {
            act.secret.credential(ACCOUNT, password);
        }
        self.tell(&format!("the mounted folders are swapped: password = {password}"));
    }

    fn tell(&self, what: &str) {
        println!("   {:5.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// Compares what clients were told with what the databases know; returns how many operations failed or are missing.
    pub(crate) fn settle(&self, loads: Loads) -> u64 {
        let mut told = vec![0; self.acts.len()];
        let mut lost = 0;
        for (number, load) in loads {
            let (name, heard) = load.finish();
            println!("   {name:34} {:>6} visits, {} failed", heard.visits, heard.failures.len());
            heard.failures.iter().take(3).for_each(|failure| println!("{}", indent(failure)));
            told[number] += heard.visits;
            lost += heard.failures.len() as u64;
        }
        let known: Vec<u64> = self.acts.iter().map(|act| act.scene.visits()).collect();
        println!(
            "\n   visits that the clients were told of: {told:?}; that the databases know of: {known:?}"
        );
        lost + told.iter().zip(known).map(|(told, known)| told.abs_diff(known)).sum::<u64>()
    }

    /// From the log: one line a session, with the generation that served it.
    pub(crate) fn show_generations(&self) {
        let mut sessions = BTreeMap::<(String, u64), (usize, usize)>::new();
        let ended_well = |line: &&serde_json::Value| line["kind"] == "session" && line["result"] == "ok";
        for line in self.attache.log().iter().filter(ended_well) {
            let route = line["route"].as_str().unwrap_or_default().to_owned();
            let entry = sessions.entry((route, line["generation"].as_u64().unwrap_or_default())).or_default();
            entry.0 += 1;
            entry.1 += usize::from(line["retries"].as_u64() > Some(0));
        }
        println!("\n   sessions that ended well, by the generation of the password that opened them:");
        for ((route, generation), (count, retried)) in sessions {
            println!(
                "     {route:6} generation {generation}: {count:6}   of these saved by trying again: {retried}"
            );
        }
    }

    pub(crate) fn show_health(&self) {
        let ready = http::get(self.health.addr(), "/readyz").expect("the health listener answers");
        println!("\n   GET /readyz: {} {}", ready.status, ready.body.trim());
        let shown = ["attache_login_retries_total", "attache_credential_generation", "attache_upstream_up"];
        let metrics = Metrics::scrape(self.health.addr());
        for line in metrics.text().lines().filter(|line| shown.iter().any(|name| line.starts_with(name))) {
            println!("     {line}");
        }
    }

    pub(crate) fn end(mut self) {
        self.attache.signal(Signal::TERM);
        println!("\n   SIGTERM: attache ends with {}", self.attache.wait_exit(SOON));
    }
}

impl Act {
    fn new(scene: Box<dyn Scene>) -> Act {
        let secret = Mounted::new(&[("username", ACCOUNT), ("password", FIRST_PASSWORD)]);
        Act { scene, secret, listen: ports::reserve() }
    }

    /// As an operator would write it.
    fn route(&self, pki: &Pki) -> String {
        format!(
            "  {}:
    protocol: {}
    listen: {}
    upstream: {{ endpoints: \"localhost:{}\", tls: {{ ca: {} }} }}
    credential: {{ path: {} }}
",
            self.scene.name(),
            self.scene.protocol(),
            self.listen.addr(),
            self.scene.port(),
            pki.ca().display(),
            self.secret.path().display(),
        )
    }

    fn loads(&self) -> Vec<Load> {
        self.scene.loads(self.listen.number())
    }
}

/// As somebody would type it, up to the question.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    let plain = words.filter(|word| !word.starts_with("--"));
    plain.map(|word| if word.contains(' ') { "'…'".into() } else { word }).collect::<Vec<_>>().join(" ")
}

fn say(what: &str, value: &dyn Display) {
    println!(" - {what} {value}");
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("     {line}\n")).collect()
}
