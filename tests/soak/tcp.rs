//! The null protocol in front of a real server that wants a client certificate: a Redis, whose clients log in themselves.
//!
//! What rotates is the certificate. The server takes any that its authority has signed, so that it never says no.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use attache_kit::{Pki, Redis, Relay, available};

use crate::ground::Ground;
use crate::judge::Kind;
use crate::load::{Driver, Trouble};
use crate::redis::Session;
use crate::script::Stopping;

/// The clients' own: Attaché does not know of it.
const USER: (&str, &str) = ("soak_a", "known-to-clients");

pub struct Server {
    pki: Pki,
    relays: [Relay; 1],
    server: Mutex<Redis>,
}

impl Server {
    pub fn start() -> Option<Server> {
        let pki = Pki::new();
        let server = available(Redis::start(&pki))?;
        server.user(USER.0, USER.1);
        server.command(&["ACL", "SAVE"]);
        wants_certificates(&server);
        let relays = [Relay::forgetful(SocketAddr::from(([127, 0, 0, 1], server.tls_port())))];
        Some(Server { pki, relays, server: Mutex::new(server) })
    }

    fn server(&self) -> MutexGuard<'_, Redis> {
        self.server.lock().unwrap()
    }
}

fn wants_certificates(server: &Redis) {
    server.command(&["CONFIG", "SET", "tls-auth-clients", "yes"]);
}

impl Ground for Server {
    type Driver = OwnLogin;
    const PROTOCOL: &'static str = "tcp";
    const REFUSES: bool = false;
    const RETIRES: bool = false;

    fn relays(&self) -> &[Relay] {
        &self.relays
    }

    fn ca(&self) -> &Path {
        self.pki.ca()
    }

    fn secret(&self, user: &str, _: &str) -> Vec<(&'static str, String)> {
        let pair = self.pki.client(user);
        vec![("tls.crt", pair.cert_pem), ("tls.key", pair.key_pem)]
    }

    fn password(&self, _: &str, _: &str) {}

    fn end_sessions_of(&self, _: &str) {}

    fn administer(&self, _: &str) {
        unreachable!("the page has nothing to say to the server")
    }

    fn account(&self, _: &str, _: &str) {}

    fn restart(&self, how: Stopping, meanwhile: &mut dyn FnMut()) {
        let mut server = self.server();
        match how {
            Stopping::InOrder | Stopping::Unaware => server.stop(),
            Stopping::Crash => server.crash(),
        }
        meanwhile();
        server.start_again();
        wants_certificates(&server);
    }

    fn fail_over(&self, _: Stopping) {
        unreachable!("there is one server")
    }

    fn renew_certificate(&self) {
        let pair = self.pki.server();
        let [cert, key] = [&pair.cert, &pair.key].map(|path| path.to_str().expect("a plain name"));
        self.server().command(&["CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key]);
    }

    fn sessions_of(&self, user: &str) -> usize {
        crate::redis::sessions_on(&self.server(), user)
    }
}

/// A session whose client has a password of its own.
pub struct OwnLogin(Session);

impl Driver for OwnLogin {
    const OPERATIONS: usize = Session::OPERATIONS;
    const CONNECTING: Kind = Kind::FirstAnswer;
    const RELOGS: bool = false;

    async fn connect(addr: SocketAddr, token: &str) -> Result<OwnLogin, Trouble> {
        Session::connect_as(addr, token, Some(USER)).await.map(OwnLogin)
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        self.0.begin().await
    }

    async fn operate(&mut self, number: usize, act: &str) -> Result<(), Trouble> {
        self.0.operate(number, act).await
    }

    async fn relogin(&mut self) -> Result<(), Trouble> {
        unreachable!("a second login is the client's own affair")
    }

    async fn leave(self) {
        self.0.leave().await;
    }
}
