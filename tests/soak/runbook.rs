//! Each runbook of the page, carried out as it stands there, under load: no operation fails, and when the page says that the
//! old password may go, nobody uses it.
//!
//! `kubectl` is the real one for what it does without a cluster; what it would apply goes into the mounted folder.

use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attache_kit::{Flavour, available, eventually, tools};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::ground::{Ground, SECRET};
use crate::house::{House, SOON, Settings};
use crate::judge::Excuse;
use crate::load::{self, World};
use crate::page::{self, Runbook};
use crate::{mysql, postgres, redis, tcp};

/// How long the clients work before anything changes, and after everything has.
const WHILE: Duration = Duration::from_millis(500);
const GONE: Duration = Duration::from_secs(2);
const OLD: &str = "s3cret-that-nobody-sees-old";
const NEW: &str = "s3cret-that-nobody-sees-new";
/// `apply` alone needs a cluster.
const KUBECTL: &str =
    "#!/bin/sh\ncase $1 in apply) cat >\"$APPLIED\" ;; *) exec \"$KUBECTL\" \"$@\" ;; esac\n";

#[test]
fn every_runbook_works_as_it_stands_on_the_page() {
    let _turn = crate::beside_the_long_one();
    if available(tools::kubectl()).is_none() {
        return;
    }
    let grounds: [fn(); 5] = [
        || follow_all(postgres::Cluster::start, &["PostgreSQL"]),
        || follow_all(|| mysql::Servers::start(Flavour::MariaDb), &["MariaDB", "MySQL and MariaDB"]),
        || follow_all(|| mysql::Servers::start(Flavour::MySql), &["MySQL", "MySQL and MariaDB"]),
        || follow_all(redis::Servers::start, &["Redis and Valkey"]),
        || follow_all(tcp::Server::start, &["TCP"]),
    ];
    thread::scope(|scope| grounds.map(|ground| scope.spawn(ground)).map(|ground| ground.join().unwrap()));
}

fn follow_all<G: Ground>(start: impl FnOnce() -> Option<G>, sections: &[&str]) {
    let Some(ground) = start() else { return };
    let runbooks = page::runbooks();
    let mine = runbooks.iter().filter(|runbook| sections.contains(&runbook.section.as_str()));
    for runbook in mine {
        let settings = if retires::<G>() { Settings::retiring() } else { Settings::plain() };
        let house = House::start(&ground, &settings);
        Reader::<G> { ground: &ground, house, runbook, folder: desk(&ground) }.follow();
    }
}

/// Where sessions take over the new password by themselves, none has to end.
fn retires<G: Ground>() -> bool {
    G::RETIRES && !G::RENEWS
}

struct Reader<'a, G> {
    ground: &'a G,
    house: House,
    runbook: &'a Runbook,
    /// Where the commands are typed.
    folder: TempDir,
}

impl<G: Ground> Reader<'_, G> {
    fn follow(&self) {
        let old = self.beginning();
        let world = World::new();
        world.retires.store(retires::<G>(), Ordering::SeqCst);
        thread::scope(|scope| {
            let clients = scope.spawn(|| load::work::<G::Driver>(&world, self.house.addr()));
            let ending = world.ended_by_drop();
            thread::sleep(WHILE);
            // Clients that stay keep what they began with, where nothing ends them.
            let until_settled = || {
                if !G::RETIRES {
                    world.over.store(true, Ordering::SeqCst);
                }
            };
            self.carry_out(&old, until_settled);
            thread::sleep(WHILE);
            drop(ending);
            clients.join().unwrap();
        });
        let tally = world.tally.lock().unwrap();
        assert!(
            tally.failures.is_empty(),
            "{self}: {:#?}\n{}",
            tally.failures,
            self.house.attache().stderr()
        );
        assert!(tally.operations > 20, "{self}: {}", tally.operations);
        assert_eq!((tally.count(Excuse::Cut), tally.count(Excuse::Barred)), (0, 0), "{self}");
        assert!(!self.house.attache().stderr().contains(SECRET), "{self}: the log tells a password");
    }

    /// The accounts as they are before, and the Secret with them; who the user is.
    fn beginning(&self) -> String {
        let once = self.runbook.blocks.iter().find(|block| block.language.ends_with(" once"));
        let user = if once.is_some() { "orders_a" } else { "orders" };
        match once {
            Some(block) => {
                self.ground.administer(&filled_in(&block.text));
                if G::PROTOCOL == "postgres" {
                    self.ground.administer("GRANT ALL ON acts TO orders_owner");
                }
            }
            None => self.ground.account(user, OLD),
        }
        // Of two certificates that no server has asked for yet, the second is no new generation.
        eventually("the first credential to be accepted", SOON, || self.is_settled(1).then_some(()));
        self.house.put(&self.ground.secret(user, OLD));
        eventually("the old password to be used", SOON, || self.is_settled(2).then_some(()));
        user.to_owned()
    }

    fn carry_out(&self, old: &str, until_settled: impl Fn()) {
        let mut waits = false;
        let mut changed = 0;
        let blocks = self.runbook.blocks.iter().filter(|block| !block.language.ends_with(" once"));
        for block in blocks {
            match block.language.as_str() {
                "sh" => {
                    // The page's query counts in seconds, and nobody changes a password twice in one.
                    let began = now();
                    changed = eventually("the next second", SOON, || Some(now()).filter(|now| *now > began));
                    self.apply(&block.text);
                    waits = true;
                }
                "sql" | "redis" => {
                    // With one password there is nothing to wait for: the new one is what is waited for.
                    if waits && self.runbook.title != "One role" {
                        until_settled();
                        self.wait(old, changed);
                        waits = false;
                    }
                    self.ground.administer(&filled_in(&block.text));
                }
                other => panic!("{self}: nobody carries out {other}"),
            }
        }
        until_settled();
        self.wait(old, changed);
    }

    /// Until the page says that the old password may go. Then nobody uses it.
    fn wait(&self, old: &str, changed: u64) {
        let intro = page::runbooks().remove(0);
        let wanted = page::conditions(&intro.blocks[0].text, changed);
        eventually("the old password to be of no use", SOON, || {
            let metrics = self.house.metrics();
            let holds = |condition: &page::Condition| {
                metrics
                    .value(&condition.metric, &[("route", "soak")])
                    .is_some_and(|value| value >= condition.at_least)
            };
            wanted.iter().all(holds).then_some(())
        });
        assert!(self.is_settled(3), "{self}: {}", self.house.credential());
        if old == "orders_a" {
            // The server takes a moment to see that a connection has ended.
            eventually("the server to see the old user gone", GONE, || {
                (self.ground.sessions_of(old) == 0).then_some(())
            });
        }
        let links = self.house.metrics().value("attache_links", &[("route", "soak"), ("generation", "2")]);
        assert_eq!(links.unwrap_or_default(), 0.0, "{self}");
    }

    fn is_settled(&self, generation: u64) -> bool {
        let credential = self.house.credential();
        credential["settled"] == true && credential["generation"] == generation
    }

    fn apply(&self, commands: &str) {
        let folder = self.folder.path();
        let applied = folder.join("applied");
        let kubectl = tools::kubectl().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut sh = Command::new("sh");
        sh.args(["-e", "-c", commands]).current_dir(folder);
        sh.env("PATH", path).env("KUBECTL", kubectl.get_program()).env("APPLIED", &applied);
        tools::run(&mut sh, b"", SOON).ok();
        let secret: Value = serde_saphyr::from_str(&fs::read_to_string(&applied).unwrap()).unwrap();
        assert_eq!((&secret["kind"], &secret["metadata"]["name"]), (&"Secret".into(), &"orders".into()));
        let entries: Vec<(&'static str, String)> = ["username", "password", "tls.crt", "tls.key"]
            .into_iter()
            .filter_map(|key| Some((key, decoded(secret["data"][key].as_str()?))))
            .collect();
        self.house.put(&entries);
    }
}

impl<G> std::fmt::Display for Reader<'_, G> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.runbook.section, self.runbook.title)
    }
}

fn filled_in(commands: &str) -> String {
    commands
        .replace("OLD'", &format!("{OLD}'"))
        .replace("NEW'", &format!("{NEW}'"))
        .replace(">NEW", &format!(">{NEW}"))
        .replace("<OLD", &format!("<{OLD}"))
        // The database of the tests' clients.
        .replace("ON orders.*", "ON soak.*")
}

fn decoded(base64: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(base64).unwrap()).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The files that the commands name.
fn desk<G: Ground>(ground: &G) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("new-password", NEW);
    for (key, value) in ground.secret("orders", NEW) {
        put(key, &value);
    }
    tools::write_script(&folder.path().join("kubectl"), KUBECTL);
    folder
}
