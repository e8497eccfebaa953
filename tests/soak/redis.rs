//! Redis: a primary and a replica that change places; clients by hand, one of which resets its session as pools do.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use attache_kit::{Pki, Relay, available, eventually};

use crate::ground::{Ground, USERS, password};
use crate::house::SOON;
use crate::judge::Kind;
use crate::load::{Driver, Trouble, same};
use crate::resp::{Reply, Resp};
use crate::script::Stopping;

/// Whom the servers follow each other as.
const FOLLOWER: (&str, &str) = ("follower", "of-the-servers-alone");

pub struct Servers {
    pki: Pki,
    relays: [Relay; 2],
    servers: Mutex<Pair>,
}

struct Pair {
    all: [attache_kit::Redis; 2],
    primary: usize,
}

impl Servers {
    pub fn start() -> Option<Servers> {
        let pki = Pki::new();
        let start = || {
            let server = available(attache_kit::Redis::start(&pki))?;
            server.user(FOLLOWER.0, FOLLOWER.1);
            USERS.iter().for_each(|user| server.user(user, &password(0)));
            server.command(&["ACL", "SAVE"]);
            server.command(&["CONFIG", "SET", "masteruser", FOLLOWER.0, "masterauth", FOLLOWER.1]);
            // A moment is enough: nothing is large.
            server.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
            Some(server)
        };
        let all = [start()?, start()?];
        let relays = [&all[0], &all[1]].map(|server| Relay::forgetful(tls_addr(server)));
        let pair = Pair { all, primary: 0 };
        pair.follow();
        Some(Servers { pki, relays, servers: Mutex::new(pair) })
    }

    /// Whoever waits here waits for a restart or a failover to be over.
    fn servers(&self) -> MutexGuard<'_, Pair> {
        self.servers.lock().unwrap()
    }
}

fn tls_addr(server: &attache_kit::Redis) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.tls_port()))
}

impl Pair {
    /// The other one follows the primary, and has all that it has.
    fn follow(&self) {
        let (primary, replica) = (&self.all[self.primary], &self.all[1 - self.primary]);
        replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
        eventually("the replica to follow", SOON, || {
            replica.command(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
        });
    }
}

impl Ground for Servers {
    type Driver = Session;
    const PROTOCOL: &'static str = "redis";
    const RENEWS: bool = true;
    const FAILOVERS: &'static [Stopping] = &[Stopping::InOrder, Stopping::Unaware];
    const POOLS: &'static [&'static str] = &["{}", "{ warm: 2 }"];

    fn relays(&self) -> &[Relay] {
        &self.relays
    }

    fn ca(&self) -> &Path {
        self.pki.ca()
    }

    fn password(&self, user: &str, password: &str) {
        let servers = self.servers();
        for server in &servers.all {
            server.user(user, password);
            // A crash must not bring the old one back.
            server.command(&["ACL", "SAVE"]);
        }
    }

    fn end_sessions_of(&self, user: &str) {
        let servers = self.servers();
        servers.all.iter().for_each(|server| drop(server.command(&["CLIENT", "KILL", "USER", user])));
    }

    fn administer(&self, commands: &str) {
        let servers = self.servers();
        for line in commands.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            servers.all.iter().for_each(|server| drop(server.command(&words)));
        }
    }

    fn account(&self, user: &str, password: &str) {
        self.password(user, password);
    }

    fn restart(&self, how: Stopping, meanwhile: &mut dyn FnMut()) {
        let mut servers = self.servers();
        let primary = servers.primary;
        let server = &mut servers.all[primary];
        match how {
            Stopping::InOrder | Stopping::Unaware => server.stop(),
            Stopping::Crash => server.crash(),
        }
        meanwhile();
        server.start_again();
        server.command(&["CONFIG", "SET", "masteruser", FOLLOWER.0, "masterauth", FOLLOWER.1]);
        server.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    }

    /// In order, the old one is told first; unaware, it takes writes until it is.
    fn fail_over(&self, how: Stopping) {
        let mut servers = self.servers();
        if how == Stopping::InOrder {
            let _ = servers.all[servers.primary].command(&["CLIENT", "PAUSE", "300", "WRITE"]);
        }
        servers.primary = 1 - servers.primary;
        servers.all[servers.primary].command(&["REPLICAOF", "NO", "ONE"]);
        servers.follow();
    }

    fn renew_certificate(&self) {
        let servers = self.servers();
        let pair = self.pki.server();
        let [cert, key] = [&pair.cert, &pair.key].map(|path| path.to_str().expect("a plain name"));
        for server in &servers.all {
            server.command(&["CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key]);
        }
    }

    fn sessions_of(&self, user: &str) -> usize {
        self.servers().all.iter().map(|server| sessions_on(server, user)).sum()
    }
}

pub fn sessions_on(server: &attache_kit::Redis, user: &str) -> usize {
    let user = format!("user={user} ");
    server.command(&["CLIENT", "LIST"]).lines().filter(|line| line.contains(&user)).count()
}

pub struct Session {
    resp: Resp,
    token: String,
}

impl Session {
    /// Logged in, or let somebody else do that.
    pub async fn connect_as(
        addr: SocketAddr,
        token: &str,
        user: Option<(&str, &str)>,
    ) -> Result<Session, Trouble> {
        let mut resp = Resp::connect(addr).await?;
        match user {
            Some((name, password)) => {
                same("AUTH", resp.ask(&["AUTH", name, password]).await?, Reply::simple("OK"))?;
            }
            None => same("PING", resp.ask(&["PING"]).await?, Reply::simple("PONG"))?,
        }
        Ok(Session { resp, token: token.to_owned() })
    }

    async fn is_named(&mut self, name: &str) -> Result<(), Trouble> {
        let told = self.resp.ask(&["CLIENT", "GETNAME"]).await?;
        let none = name.is_empty() && told == Reply::Bulk(None);
        if none { Ok(()) } else { same("GETNAME", told, Reply::text(name)) }
    }
}

impl Driver for Session {
    const OPERATIONS: usize = 5;
    const CONNECTING: Kind = Kind::FirstAnswer;
    const RELOGS: bool = true;

    async fn connect(addr: SocketAddr, token: &str) -> Result<Session, Trouble> {
        Session::connect_as(addr, token, None).await
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        self.is_named("").await?;
        let named = self.resp.ask(&["CLIENT", "SETNAME", &self.token]).await?;
        same("SETNAME", named, Reply::simple("OK"))
    }

    async fn operate(&mut self, number: usize, act: &str) -> Result<(), Trouble> {
        match number {
            0 => {
                same("ECHO", self.resp.ask(&["ECHO", act]).await?, Reply::text(act))?;
                let token = self.token.clone();
                self.is_named(&token).await
            }
            1 => {
                let twice: [&[&str]; 2] = [&["INCR", act], &["GET", act]];
                let wanted = vec![Reply::Integer(1), Reply::text("1")];
                same("INCR", self.resp.pipeline(&twice).await?, wanted)
            }
            2 => {
                let (incr, get) = (["INCR", act], ["GET", act]);
                let commands: [&[&str]; 4] = [&["MULTI"], &incr, &get, &["EXEC"]];
                let replies = self.resp.pipeline(&commands).await?;
                let wanted = Reply::Array(vec![Reply::Integer(1), Reply::text("1")]);
                same("MULTI", replies.last().cloned(), Some(wanted))
            }
            3 => {
                let large = act.repeat(5000);
                let commands: [&[&str]; 3] = [&["SET", act, &large], &["GET", act], &["DEL", act]];
                let replies = self.resp.pipeline(&commands).await?;
                same("SET", replies, vec![Reply::simple("OK"), Reply::text(&large), Reply::Integer(1)])
            }
            _ => {
                let words: Vec<String> = (0..50).map(|n| format!("{act}-{n}")).collect();
                let commands: Vec<[&str; 2]> = words.iter().map(|word| ["ECHO", word.as_str()]).collect();
                let commands: Vec<&[&str]> = commands.iter().map(<[&str; 2]>::as_slice).collect();
                let wanted: Vec<_> = words.iter().map(|word| Reply::text(word)).collect();
                same("pipeline", self.resp.pipeline(&commands).await?, wanted)
            }
        }
    }

    async fn relogin(&mut self) -> Result<(), Trouble> {
        same("RESET", self.resp.ask(&["RESET"]).await?, Reply::simple("RESET"))?;
        self.begin().await
    }

    async fn leave(self) {}
}
