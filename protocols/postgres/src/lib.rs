//! The PostgreSQL frontend/backend protocol 3.0 and 3.2.
//!
//! Sections are those of the PostgreSQL 18 manual, chapter 54 "Frontend/Backend Protocol" (chapter 55
//! in versions 15 to 17). What this crate does not do: parse SQL beyond words (and those only on a read-only route),
//! change a byte after the login there where nothing is refused, or speak protocol 2.
//!
//! | file | story |
//! | --- | --- |
//! | `accept` | the client's first packets: a session, a cancel request, or a request to decline |
//! | `startup` | the startup packet: what is kept of it, what is replaced |
//! | `upgrade` | TLS on the server's side: asked for, direct, or not at all |
//! | `login` | from the startup packet to ReadyForQuery |
//! | `auth` | the authentication exchange inside it |
//! | `role` | whether the server is a primary, asked on the new link where its greeting does not say |
//! | `greeting` | what the server said that the client must hear |
//! | `rejection` | what the server said instead |
//! | `refuse` | what we say instead |
//! | `cancel` | a cancel request on its way to the right server |
//! | `access` | what a URL says, and how libpq's environment leads a client to us |
//! | `reset` | a link is made as it was after its login, for another session |
//! | `reported` | parameters that the server reported during a session |
//! | `guard`, `statement`, `dialect` | messages that would let a read-only session write |
//! | `watch`, `scan` | frame boundaries and the quiet point, while bytes are copied |

mod accept;
mod access;
mod auth;
mod cancel;
mod dialect;
mod frame;
mod greeting;
mod guard;
mod login;
mod options;
mod pending;
mod ping;
mod refuse;
mod rejection;
mod reported;
mod reset;
mod role;
mod scan;
mod startup;
mod statement;
mod upgrade;
mod watch;

use attache_wire::{
    Access, Boxed, Chance, Directions, Features, Keeps, Moment, Never, Nonce, Notice, Ping, Protocol, Relay,
    Scheme, ServerRole, Shared, Terms, TlsStart, UrlParameter,
};
use bytes::{BufMut, BytesMut};

pub use accept::Accept;
pub use attache_sql::MAX_CHECKED_LEN;
pub use cancel::{CancelRequest, Deliver};
pub use greeting::{Greeting, MAX_GREETING_LEN};
pub use login::{Login, MAX_LOGIN_FRAME_LEN};
pub use options::{ChannelBinding, Options};
pub use startup::{Intent, MAX_STARTUP_LEN};
pub use watch::SessionWatch;

/// The application protocol of a TLS handshake (section "SSL Session Encryption"; RFC 7301).
const ALPN: &str = "postgresql";

/// PostgreSQL on one route.
#[derive(Debug)]
pub struct Postgres {
    options: Options,
    database: Option<String>,
}

impl Protocol for Postgres {
    const FEATURES: Features = Features {
        name: "postgres",
        schemes: &[Scheme::new("postgres"), Scheme::new("postgresql")],
        default_port: Some(5432),
        server_first: false,
        database_of_user: true,
        negotiates_tls: true,
        alpn: Some(ALPN),
        needs_user: true,
        has_login: true,
        has_roles: true,
        // A client that closes its half before ReadyForQuery could never send a query.
        half_open_clients: false,
    };

    const KEEPS: Keeps = Keeps::Reused;

    type Options = Options;
    type Hello = Never;
    type Intent = Intent;
    type Greeting = Greeting;
    type Errand = CancelRequest;
    type Accept = Accept;
    type Login = Login;
    type Deliver = Deliver;
    type Watch = SessionWatch;

    fn new(options: Options, database: Option<String>) -> Self {
        Self { options, database }
    }

    fn accept(&self, _hello: Option<&Never>, _nonce: Nonce) -> Accept {
        Accept::default()
    }

    fn login(&self, intent: &Intent, _hello: Option<Never>, terms: Terms) -> Login {
        Login::new(intent.clone(), self.database.clone(), self.options, terms)
    }

    /// The route's database, or the one that every installation starts with.
    fn probe_intent(&self) -> Intent {
        Intent::probe("attache-probe", "postgres")
    }

    fn welcome(&self, intent: &Intent, greeting: Greeting, out: &mut BytesMut) {
        greeting.tell(intent, out);
    }

    fn refuse(&self, notice: &Notice<'_>, _moment: Moment<'_, Intent>, out: &mut BytesMut) {
        refuse::refuse(notice, out);
    }

    fn farewell(&self, out: &mut BytesMut) {
        frame::put(out, b'X', &[]);
    }

    fn relay(&self, _intent: &Intent, _greeting: &Greeting) -> Relay<SessionWatch> {
        Relay::Watched(Box::new(SessionWatch::new(self.options.read_only)))
    }

    fn shared(&self, intent: &Intent) -> Option<Shared<Intent>> {
        let key = intent.key(self.database.as_deref())?;
        Some(Shared { key, intent: intent.clone() })
    }

    fn disguise(&self, greeting: &Greeting, chance: &Chance) -> Option<Greeting> {
        Some(greeting.disguised(chance))
    }

    fn reset(&self, watch: &SessionWatch, greeting: Greeting) -> Option<Boxed<Greeting>> {
        Some(Box::new(reset::Reset::new(greeting, watch.reported()?)))
    }

    fn redirect(&self, _errand: CancelRequest, ticket: &[u8]) -> CancelRequest {
        CancelRequest::redirected(ticket)
    }

    fn server_version(&self, greeting: &Greeting) -> Option<String> {
        greeting.server_version().map(str::to_owned)
    }

    fn role(&self, greeting: &Greeting) -> Option<ServerRole> {
        greeting.role()
    }

    fn ping(&self) -> Option<Ping> {
        Some(Box::new(ping::Ping::default()))
    }

    fn ticket(&self, greeting: &Greeting) -> Option<Vec<u8>> {
        greeting.ticket().map(<[u8]>::to_vec)
    }

    fn errand_ticket(&self, errand: &CancelRequest) -> Vec<u8> {
        errand.ticket().to_vec()
    }

    fn deliver(&self, errand: CancelRequest, tls: TlsStart) -> Deliver {
        Deliver::new(errand, tls)
    }

    fn url_parameter(name: &str, value: &str) -> UrlParameter {
        access::parameter(name, value)
    }

    fn socket(path: &str, port: Option<u16>) -> Option<String> {
        Some(access::socket(path, port))
    }

    fn directions(access: &Access<'_>) -> Result<Directions, String> {
        access::directions(access)
    }
}

/// A packet without a tag, as all packets before the startup are: its length, a code, a body.
fn put_untagged(out: &mut BytesMut, code: u32, body: &[u8]) {
    let len = u32::try_from(8 + body.len()).expect("packets made here are short");
    out.put_u32(len);
    out.put_u32(code);
    out.put_slice(body);
}
