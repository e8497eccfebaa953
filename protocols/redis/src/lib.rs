//! Redis and Valkey, in the protocols RESP2 and RESP3.
//!
//! Sections are those of the "Redis serialization protocol specification" and of the manual at redis.io; where both
//! are silent, the server's source is named. What this crate does not do: understand commands beyond their effect on the
//! connection, pool, follow a cluster's redirections.
//!
//! A session is relayed byte by byte. Commands that carry a login or drop it, and those that a route does not allow,
//! pause the relay: one command goes to the server in place of the client's, so that replies keep their order, also
//! inside of a transaction.
//!
//! | file | story |
//! | --- | --- |
//! | `accept` | whoever connects gets a session |
//! | `login`, `dialogue` | from TLS to the last answer of a login |
//! | `auth` | what is injected, and where it may be sent |
//! | `role`, `greeting` | what a server says of itself |
//! | `rejection` | what the server said instead |
//! | `refuse` | what we say instead |
//! | `requests`, `inline`, `scan` | where commands begin and end in a client's stream |
//! | `command`, `guard`, `commands` | what a command does, and which are refused |
//! | `replies` | where frames begin and end in a server's stream |
//! | `watch`, `tally`, `subscriptions` | what is outstanding |
//! | `reopen`, `intent` | the one command for which the relay pauses |
//! | `relogin` | what the server gets in its place |
//! | `sentinel`, `sentinel_report` | which servers there are, where Sentinels know it |
//! | `frame` | whole frames, bounded |
//! | `access` | what a URL says, and how clients are led to us |

mod accept;
mod access;
mod auth;
mod command;
mod commands;
mod dialogue;
mod frame;
mod greeting;
mod guard;
mod inline;
mod intent;
mod login;
mod options;
mod ping;
mod refuse;
mod rejection;
mod relogin;
mod reopen;
mod replies;
mod requests;
mod role;
mod scan;
mod sentinel;
mod sentinel_report;
mod subscriptions;
mod tally;
mod watch;

use attache_wire::{
    Access, Approach, Boxed, Credential, Directions, Features, Keeps, Moment, Never, Nonce, Notice, Ping,
    Protocol, Relay, Report, Scheme, ServerRole, Shared, Terms, TlsStart, TlsWish, UrlParameter, Verdict,
};
use bytes::BytesMut;

pub use accept::Accept;
pub use frame::MAX_REPLY_LEN;
pub use greeting::{Answer, Facts, Greeting};
pub use guard::Guarded;
pub use intent::{Delayed, Hello, Intent};
pub use login::Login;
pub use options::{Cluster, Options, Reset};
pub use relogin::MAX_AHEAD_LEN;
pub use requests::MAX_HELD_LEN;
pub use watch::SessionWatch;

use command::Effect;
use commands::Known;
use greeting::{Outcome, Replied};
use options::Rules;

/// Redis or Valkey on one route.
#[derive(Debug)]
pub struct Redis {
    rules: Rules,
    cluster: Cluster,
    database: Option<String>,
    /// On a read-only route: what the first server that was logged in to has said of its commands.
    commands: Option<Known>,
}

impl Protocol for Redis {
    const FEATURES: Features = Features {
        name: "redis",
        schemes: &[Scheme::new("redis").with(TlsWish::Off), Scheme::new("rediss").with(TlsWish::VerifyFull)],
        default_port: Some(6379),
        server_first: false,
        database_of_user: false,
        negotiates_tls: false,
        alpn: None,
        needs_user: false,
        has_login: true,
        has_roles: true,
        // A server forgets a client that has finished sending, and what it still had to tell it.
        half_open_clients: false,
    };

    // RESET leaves the connection's id, to which others may have redirected what they track: a link serves one client.
    const KEEPS: Keeps = Keeps::Warm;
    const RENEWS: bool = true;
    const SENTINEL_PORT: Option<u16> = Some(26379);

    type Options = Options;
    type Hello = Never;
    type Intent = Intent;
    type Greeting = Greeting;
    type Errand = Never;
    type Accept = Accept;
    type Login = Login;
    type Deliver = Never;
    type Watch = SessionWatch;

    fn new(options: Options, database: Option<String>) -> Self {
        let commands = options.read_only.then(Known::default);
        Self { rules: Rules::new(&options), cluster: options.cluster, database, commands }
    }

    fn accept(&self, _hello: Option<&Never>, _nonce: Nonce) -> Accept {
        Accept
    }

    fn login(&self, _intent: &Intent, _hello: Option<Never>, terms: Terms) -> Login {
        Login::new(self.database.clone(), self.cluster, self.commands.clone(), terms)
    }

    fn probe_intent(&self) -> Intent {
        Intent::Session
    }

    /// A client that has connected waits for nothing.
    fn welcome(&self, _intent: &Intent, _greeting: Greeting, _out: &mut BytesMut) {}

    fn refuse(&self, notice: &Notice<'_>, _moment: Moment<'_, Intent>, out: &mut BytesMut) {
        refuse::refuse(notice, out);
    }

    fn farewell(&self, out: &mut BytesMut) {
        frame::put(out, &[b"QUIT"]);
    }

    fn relay(&self, _intent: &Intent, _greeting: &Greeting) -> Relay<SessionWatch> {
        let known = self.commands.as_ref().and_then(Known::commands);
        Relay::Watched(Box::new(SessionWatch::new(self.rules.clone().reading(known))))
    }

    fn reopen(&self, watch: &SessionWatch, _nonce: Nonce) -> Option<Boxed<Intent>> {
        Some(Box::new(reopen::Reopen::new(watch.rules(), watch.broken())))
    }

    fn relogin(&self, watch: &SessionWatch, intent: &Intent, terms: Terms) -> Option<Boxed<Greeting>> {
        let database = self.database.clone();
        Some(Box::new(relogin::Relogin::new(intent.clone(), watch.manner(), database, terms)))
    }

    fn renewal(&self, credential: &Credential) -> Option<Intent> {
        credential.secret().map(|_| Intent::Renewal)
    }

    fn shows_credential(&self, intent: &Intent) -> bool {
        intent.logs_in()
    }

    fn verdict(&self, greeting: &Greeting) -> Verdict {
        match greeting {
            Greeting::Ready(_) => Verdict::Accepted,
            Greeting::Answered(answer) => answer.verdict,
        }
    }

    /// After RESET a connection is as new.
    fn starts_anew(&self, intent: &Intent) -> bool {
        matches!(intent, Intent::Reset)
    }

    fn rewelcome(&self, watch: &mut SessionWatch, intent: &Intent, greeting: Greeting, out: &mut BytesMut) {
        let Answer { before, reply, outcome, verdict: _ } = match greeting {
            Greeting::Answered(answer) => answer,
            Greeting::Ready(_) => Answer::of_another_link(intent, watch.manner().replying),
        };
        watch.heard(&before);
        out.extend_from_slice(&before);
        match (reply, outcome) {
            (_, Outcome::Did(effect)) => watch.asked(effect),
            (Replied::Unasked, Outcome::Same | Outcome::Reset | Outcome::Speaks(_)) => {}
            (Replied::Silence, Outcome::Reset) => watch.reset(),
            (Replied::Told { told, .. }, Outcome::Reset) => {
                watch.reset();
                out.extend_from_slice(&told);
            }
            (Replied::Silence, Outcome::Same | Outcome::Speaks(_)) => watch.asked(Effect::Plain),
            (Replied::Told { said, told }, Outcome::Same | Outcome::Speaks(_)) => {
                watch.asked(Effect::Plain);
                watch.heard(&said);
                out.extend_from_slice(&told);
            }
        }
        if let Outcome::Speaks(form) = outcome {
            watch.speak(form);
        }
    }

    /// All links of a route are logged in alike: nothing that a client asks for is part of the login.
    fn shared(&self, _intent: &Intent) -> Option<Shared<Intent>> {
        Some(Shared { key: Vec::new(), intent: Intent::Session })
    }

    fn server_version(&self, greeting: &Greeting) -> Option<String> {
        match greeting {
            Greeting::Ready(facts) => facts.version.clone(),
            Greeting::Answered(_) => None,
        }
    }

    fn role(&self, greeting: &Greeting) -> Option<ServerRole> {
        match greeting {
            Greeting::Ready(facts) => facts.role,
            Greeting::Answered(_) => None,
        }
    }

    fn ping(&self) -> Option<Ping> {
        Some(Box::new(ping::Ping::default()))
    }

    fn ask_sentinel(master: &str, approach: Approach) -> Option<Boxed<Option<Report>>> {
        Some(Box::new(sentinel::Asking::new(master, approach)))
    }

    fn heed_sentinel(master: &str) -> Option<Boxed<()>> {
        Some(Box::new(sentinel::Heeding::new(master)))
    }

    fn ticket(&self, _greeting: &Greeting) -> Option<Vec<u8>> {
        None
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
