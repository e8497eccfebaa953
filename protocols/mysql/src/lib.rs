//! The MySQL client/server protocol, as MySQL and MariaDB speak it.
//!
//! Sections are those of "MySQL Client/Server Protocol" in MySQL's source documentation; what MariaDB does otherwise
//! is in "MariaDB Client/Server Protocol". What this crate does not do: parse SQL beyond words (and those only on a
//! read-only route), change a byte after the login where nothing is refused, or speak the protocol of before 4.1.
//!
//! | file | story |
//! | --- | --- |
//! | `hello` | the server's first words |
//! | `accept`, `offer` | the greeting that a client gets |
//! | `arrival`, `exchange`, `answer` | what it says to that, and what it waits for |
//! | `welcome`, `refuse` | what it is told in the end |
//! | `reopen` | a change of user, as the client asks for it |
//! | `watch`, `scan` | packet boundaries and the quiet point, while bytes are copied |
//! | `command`, `reply`, `expected`, `prepared`, `status`, `standing`, `holdings` | where the reply to a command ends, and what the session holds |
//! | `restriction` | a session that only reads |
//! | `guard`, `attributes`, `statement`, `dialect` | commands that would undo it |
//! | `access` | what a URL says, and how the clients' environment leads them to us |
//! | `login` | from there to its OK, with TLS asked for on the way |
//! | `agreement` | which flags both links have |
//! | `account` | who we are, as the server hears it |
//! | `auth` | the authentication exchange |
//! | `proof`, `public_key` | the hashes, signatures and encryption in it |
//! | `relogin` | the same on a link that is logged in |
//! | `question`, `role` | whether the server takes writes, asked on the new link |
//! | `shared`, `start`, `reset` | whose links are alike, and how one is made as it was after its login |
//! | `kill` | KILL by an id of ours |
//! | `greeting` | what the server said that the client must hear |
//! | `rejection` | what the server said instead |
//! | `ping` | a round trip, and the goodbye |

mod accept;
mod access;
mod account;
mod agreement;
mod answer;
mod arrival;
mod attributes;
mod auth;
mod capabilities;
mod command;
mod dialect;
mod exchange;
mod expected;
mod field;
mod greeting;
mod guard;
mod hello;
mod holdings;
mod intent;
mod kill;
mod login;
mod offer;
mod options;
mod packet;
mod ping;
mod plugin;
mod prepared;
mod proof;
mod public_key;
mod question;
mod refuse;
mod rejection;
mod relogin;
mod reopen;
mod reply;
mod reset;
mod restriction;
mod role;
mod scan;
mod shared;
mod standing;
mod start;
mod statement;
mod status;
mod watch;
mod welcome;

use std::sync::Arc;

use attache_wire::{
    Access, Boxed, Chance, Directions, Features, Keeps, Moment, Never, Nonce, Notice, Ping, Protocol,
    Rejection, Relay, Scheme, ServerRole, Shared, Terms, TlsStart, UrlParameter,
};
use bytes::BytesMut;

pub use accept::Accept;
pub use attache_sql::MAX_CHECKED_LEN;
pub use capabilities::Capabilities;
pub use exchange::MAX_RESPONSE_LEN;
pub use greeting::Greeting;
pub use hello::Hello;
pub use intent::Intent;
pub use login::{Login, MAX_LOGIN_PACKET_LEN};
pub use options::Options;
pub use watch::SessionWatch;

use intent::Wish;

/// MySQL or MariaDB on one route.
#[derive(Debug)]
pub struct Mysql {
    options: Arc<Options>,
    database: Option<String>,
}

impl Protocol for Mysql {
    const FEATURES: Features = Features {
        name: "mysql",
        schemes: &[Scheme::new("mysql"), Scheme::new("mariadb")],
        default_port: Some(3306),
        server_first: true,
        database_of_user: false,
        negotiates_tls: true,
        alpn: None,
        needs_user: true,
        has_login: true,
        has_roles: true,
        // A client that closes its half could never send a command.
        half_open_clients: false,
    };

    const KEEPS: Keeps = Keeps::Reused;

    type Options = Options;
    type Hello = Hello;
    type Intent = Intent;
    type Greeting = Greeting;
    type Errand = Never;
    type Accept = Accept;
    type Login = Login;
    type Deliver = Never;
    type Watch = SessionWatch;

    fn new(options: Options, database: Option<String>) -> Self {
        Self { options: Arc::new(options), database }
    }

    fn hello(&self, tls: TlsStart) -> Option<Boxed<Hello>> {
        Some(Box::new(hello::ReadHello::new(tls)))
    }

    fn accept(&self, hello: Option<&Hello>, nonce: Nonce) -> Accept {
        let hello = hello.expect("a client is greeted after a server that speaks first");
        Accept::new(hello, &self.options, nonce)
    }

    fn login(&self, intent: &Intent, hello: Option<Hello>, terms: Terms) -> Login {
        let hello = hello.expect("a link to a server that speaks first begins with its hello");
        Login::new(intent.clone(), hello, self.database.as_deref(), Arc::clone(&self.options), terms)
    }

    fn probe_intent(&self) -> Intent {
        Intent::probe("attache-probe")
    }

    fn welcome(&self, intent: &Intent, greeting: Greeting, out: &mut BytesMut) {
        welcome::welcome(intent, &greeting.ok, out);
    }

    fn refuse(&self, notice: &Notice<'_>, moment: Moment<'_, Intent>, out: &mut BytesMut) {
        refuse::refuse(notice, moment, out);
    }

    fn repeat(&self, rejection: &Rejection, moment: Moment<'_, Intent>, out: &mut BytesMut) {
        rejection::repeat(rejection, moment, out);
    }

    fn farewell(&self, out: &mut BytesMut) {
        ping::quit(out);
    }

    fn relay(&self, intent: &Intent, greeting: &Greeting) -> Relay<SessionWatch> {
        Relay::Watched(Box::new(SessionWatch::new(intent, greeting, self.options.read_only)))
    }

    fn reopen(&self, watch: &SessionWatch, nonce: Nonce) -> Option<Boxed<Intent>> {
        Some(Box::new(watch.reopen(nonce)))
    }

    fn rewelcome(&self, watch: &mut SessionWatch, intent: &Intent, greeting: Greeting, out: &mut BytesMut) {
        welcome::welcome(intent, &greeting.ok, out);
        match &intent.wish {
            Wish::Login => watch.renew(intent, &greeting),
            Wish::Kill(_) => {}
        }
    }

    fn aim(&self, intent: &Intent) -> Option<Vec<u8>> {
        match &intent.wish {
            Wish::Login => None,
            Wish::Kill(kill) => Some(kill.ticket()),
        }
    }

    fn aimed(&self, intent: Intent, ticket: &[u8]) -> Intent {
        let wish = match intent.wish {
            Wish::Login => Wish::Login,
            Wish::Kill(kill) => Wish::Kill(Box::new(kill.aimed(ticket))),
        };
        Intent { wish, ..intent }
    }

    fn shared(&self, intent: &Intent) -> Option<Shared<Intent>> {
        Some(shared::of(intent, self.database.as_deref()))
    }

    /// What the client is told of its link is in the [first words](Self::disguise_hello).
    fn disguise(&self, greeting: &Greeting, _chance: &Chance) -> Option<Greeting> {
        Some(greeting.clone())
    }

    fn disguise_hello(&self, hello: &Hello, number: u32) -> Option<(Hello, Vec<u8>)> {
        let connection_id = kill::id_of(number);
        Some((Hello { connection_id, ..hello.clone() }, kill::ticket(connection_id)))
    }

    fn reset(&self, _watch: &SessionWatch, greeting: Greeting) -> Option<Boxed<Greeting>> {
        let start = greeting.start.clone()?;
        Some(Box::new(reset::Reset::new(greeting, start)))
    }

    fn server_version(&self, greeting: &Greeting) -> Option<String> {
        greeting.server_version()
    }

    fn role(&self, greeting: &Greeting) -> Option<ServerRole> {
        greeting.role
    }

    fn ping(&self) -> Option<Ping> {
        Some(Box::new(ping::Ping::default()))
    }

    fn relogin(&self, watch: &SessionWatch, intent: &Intent, terms: Terms) -> Option<Boxed<Greeting>> {
        if let Wish::Kill(kill) = &intent.wish {
            return Some(Box::new(kill::Order::new(kill.as_ref().clone(), watch.link())));
        }
        let (database, options) = (self.database.as_deref(), Arc::clone(&self.options));
        Some(Box::new(relogin::Relogin::new(intent.clone(), database, options, terms, watch.link())))
    }

    /// COM_CHANGE_USER resets everything that belongs to a session (manual, "COM_CHANGE_USER").
    fn starts_anew(&self, _intent: &Intent) -> bool {
        true
    }

    /// By which KILL names it, a command on a session of its own.
    fn ticket(&self, greeting: &Greeting) -> Option<Vec<u8>> {
        Some(kill::ticket(greeting.connection_id))
    }

    fn errand_ticket(&self, errand: &Never) -> Vec<u8> {
        match *errand {}
    }

    fn deliver(&self, errand: Never, _tls: TlsStart) -> Never {
        errand
    }

    fn url_parameter(name: &str, value: &str) -> UrlParameter {
        access::parameter(name, value)
    }

    fn directions(access: &Access<'_>) -> Result<Directions, String> {
        access::directions(access)
    }
}
