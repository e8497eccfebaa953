//! What a wire protocol offers to the house.

use std::sync::Arc;

use bytes::BytesMut;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::{Access, Directions, UrlParameter};
use crate::credential::Credential;
use crate::fault::Rejection;
use crate::features::{Features, Keeps};
use crate::machine::{Boxed, Machine};
use crate::refusal::{Moment, Notice};
use crate::sentinel::{Approach, Report};
use crate::watch::{Relay, Watch};

/// A round trip to a server.
pub type Ping = Boxed<()>;

/// Fresh random bytes for one exchange alone: as many as base64 carries without padding.
pub type Nonce = [u8; 24];

/// Fresh random bytes that a client may be given as a key: as many as the longest key that servers give.
pub type Chance = [u8; 32];

/// A wire protocol, configured for one route.
///
/// Everything generic is written once, against this trait: serving, probing, rotation, refusing,
/// limits. A new protocol implements it and adds one line to the registry.
pub trait Protocol: Send + Sync + Sized + 'static {
    /// What the configuration calls it, and what it needs.
    const FEATURES: Features;
    /// What may be done with links beside the session that they were opened for.
    const KEEPS: Keeps = Keeps::Nothing;
    /// Whether a session that lives can be logged in again with another credential, unseen by its client.
    const RENEWS: bool = false;
    /// The port of a Sentinel whose address names none; `None` where the protocol has no Sentinels.
    const SENTINEL_PORT: Option<u16> = None;

    /// The route's `options`: the protocol's own settings.
    type Options: DeserializeOwned + Serialize + JsonSchema + Default + Send + 'static;
    /// What a server says before anyone has asked it; [`Never`] where clients speak first.
    type Hello: Clone + Send + Sync + 'static;
    /// What a client asked for when it connected.
    type Intent: Send + Sync + 'static;
    /// What the server said at login that the client must hear.
    type Greeting: Send + 'static;
    /// A connection that is not a session: one message for the server of another session.
    type Errand: Send + Sync + 'static;

    /// Reads a client's first words.
    type Accept: Machine<Output = Opening<Self::Intent, Self::Errand>> + Send + 'static;
    /// Logs in to the server.
    type Login: Machine<Output = Self::Greeting> + Send + 'static;
    /// Delivers an errand to the server.
    type Deliver: Machine<Output = ()> + Send + 'static;
    /// Follows a session; [`Never`] where nothing is known of its bytes.
    type Watch: Watch;

    /// The protocol as a route configures it. `database` overrides what clients ask for.
    fn new(options: Self::Options, database: Option<String>) -> Self;

    /// Reads a server's first words, on a link whose TLS starts as said. `Some` exactly where
    /// [`Features::server_first`] is set: there every link begins with it, and that of a session before its client
    /// is greeted.
    fn hello(&self, tls: TlsStart) -> Option<Boxed<Self::Hello>> {
        let _ = tls;
        None
    }

    /// Reads a client's first words. Where the server speaks first, it greets the client as `hello` has it.
    fn accept(&self, hello: Option<&Self::Hello>, nonce: Nonce) -> Self::Accept;

    /// Logs in to the server as `terms` say, for what the client intends, on a link on which the server has said
    /// `hello` if it speaks first. It serves sessions, probes and the `check` command alike.
    fn login(&self, intent: &Self::Intent, hello: Option<Self::Hello>, terms: Terms) -> Self::Login;

    /// What a probe logs in for.
    fn probe_intent(&self) -> Self::Intent;

    /// Tells the client that it is logged in: the only success that it hears.
    fn welcome(&self, intent: &Self::Intent, greeting: Self::Greeting, out: &mut BytesMut);

    /// Tells a client why it is turned away.
    fn refuse(&self, notice: &Notice<'_>, moment: Moment<'_, Self::Intent>, out: &mut BytesMut);

    /// Tells a client the server's own refusal, where that is between it and the client.
    fn repeat(&self, rejection: &Rejection, moment: Moment<'_, Self::Intent>, out: &mut BytesMut) {
        let _ = moment;
        out.extend_from_slice(&rejection.frame);
    }

    /// Takes leave of the server on a link that no session uses.
    fn farewell(&self, out: &mut BytesMut);

    /// How the bytes of a session are carried once it is logged in.
    fn relay(&self, intent: &Self::Intent, greeting: &Self::Greeting) -> Relay<Self::Watch>;

    /// Reads what a client wants in the midst of its session, where its watch has paused the relay. `None` where
    /// none ever does.
    fn reopen(&self, watch: &Self::Watch, nonce: Nonce) -> Option<Boxed<Self::Intent>> {
        let _ = (watch, nonce);
        None
    }

    /// Logs in once more on a link that is logged in, for what the client wants now. `None` where the protocol
    /// cannot.
    fn relogin(
        &self,
        watch: &Self::Watch,
        intent: &Self::Intent,
        terms: Terms,
    ) -> Option<Boxed<Self::Greeting>> {
        let _ = (watch, intent, terms);
        None
    }

    /// Whether the credential is part of what the server gets for what the client wants now.
    fn shows_credential(&self, intent: &Self::Intent) -> bool {
        let _ = intent;
        true
    }

    /// What the server said to the credential in a login in the midst of a session that has not failed: it may be for
    /// the client to hear of a rejection. Such a login can be tried again with another credential, so that it leaves unread
    /// what the server has said beside its answer.
    fn verdict(&self, greeting: &Self::Greeting) -> Verdict {
        let _ = greeting;
        Verdict::Accepted
    }

    /// Whether what the client wants now leaves nothing of its session as it was, so that another link would do as
    /// well where this one cannot log in again.
    fn starts_anew(&self, intent: &Self::Intent) -> bool {
        let _ = intent;
        false
    }

    /// What to log in again for so that a session outlives the credential that it began with. `None` where this one
    /// cannot be shown in the midst of a session, as a certificate. Only where the protocol [renews](Self::RENEWS), and
    /// at a moment when the watch [takes a login](Watch::takes_a_login). The login is [`relogin`](Self::relogin)'s: it
    /// writes nothing if it fails before it is sent, leaves unread what the server says beside the answer, whichever that
    /// is, and nobody hears of its greeting.
    fn renewal(&self, credential: &Credential) -> Option<Self::Intent> {
        let _ = credential;
        None
    }

    /// Tells the client how a login in the midst of its session ended, in the one reply that it waits for; the session
    /// goes on with a watch that knows of it.
    fn rewelcome(
        &self,
        watch: &mut Self::Watch,
        intent: &Self::Intent,
        greeting: Self::Greeting,
        out: &mut BytesMut,
    ) {
        let _ = (watch, intent, greeting, out);
    }

    /// What a link has to be logged in for to serve this client, and every other with the same key: everything of
    /// the intent that reaches the server, and of the greeting that depends on it. `None` where a link serves nobody
    /// but the client that it was opened for.
    fn shared(&self, intent: &Self::Intent) -> Option<Shared<Self::Intent>> {
        let _ = intent;
        None
    }

    /// The greeting for one client of a link that serves several in turn: with a ticket that nobody had before.
    /// `None` where the protocol does not reset links.
    fn disguise(&self, greeting: &Self::Greeting, chance: &Chance) -> Option<Self::Greeting> {
        let _ = (greeting, chance);
        None
    }

    /// The same first words with a ticket of ours in the place of the server's, and that ticket: for a client that is
    /// greeted before it is known which link it will have. `number` is that of no other session here. `None` where no
    /// errand names a session by what a server says first.
    fn disguise_hello(&self, hello: &Self::Hello, number: u32) -> Option<(Self::Hello, Vec<u8>)> {
        let _ = (hello, number);
        None
    }

    /// Takes from a link all that its session did to it, and comes back with what the next client is to hear.
    /// `greeting` is what the server said before that session. A machine that fails leaves a link that is not to be
    /// used again. `None` where the protocol cannot, or what is known of the session does not suffice.
    fn reset(&self, watch: &Self::Watch, greeting: Self::Greeting) -> Option<Boxed<Self::Greeting>> {
        let _ = (watch, greeting);
        None
    }

    /// The same errand for the session with another ticket: that by which the server knows it.
    fn redirect(&self, errand: Self::Errand, ticket: &[u8]) -> Self::Errand {
        let _ = ticket;
        errand
    }

    /// The ticket of the session that the client's wish is about, where it has said it in the midst of its own
    /// ([`reopen`](Self::reopen)) and it is no login: [`relogin`](Self::relogin) then passes it on, and comes back with
    /// the server's answer.
    fn aim(&self, intent: &Self::Intent) -> Option<Vec<u8>> {
        let _ = intent;
        None
    }

    /// The same wish with the ticket by which the server knows that session.
    fn aimed(&self, intent: Self::Intent, ticket: &[u8]) -> Self::Intent {
        let _ = ticket;
        intent
    }

    /// The server's version in its own words, where the greeting tells it.
    fn server_version(&self, greeting: &Self::Greeting) -> Option<String>;

    /// Whether the server is the primary of its database or a replica, where login has told. It does
    /// where [`Terms::ask_role`] wishes to know it, unless the server keeps it to itself.
    fn role(&self, greeting: &Self::Greeting) -> Option<ServerRole>;

    /// Asks a server that is logged in for a sign of life: one question, one answer. `None` where the protocol
    /// has no question that changes nothing.
    fn ping(&self) -> Option<Ping> {
        None
    }

    /// Asks a Sentinel for the servers that it knows under the name `master`, and to say when their primary changes. There
    /// is no report where it knows no such name. `None` where the protocol has no Sentinels.
    fn ask_sentinel(master: &str, approach: Approach) -> Option<Boxed<Option<Report>>> {
        let _ = (master, approach);
        None
    }

    /// Reads what a Sentinel says that was asked before, until it says that this primary has changed. A machine that is
    /// dropped in the midst of it leaves the link as it should be. `None` where the protocol has no Sentinels.
    fn heed_sentinel(master: &str) -> Option<Boxed<()>> {
        let _ = master;
        None
    }

    /// The ticket by which an errand will name this session.
    fn ticket(&self, greeting: &Self::Greeting) -> Option<Vec<u8>>;

    /// The ticket of the session that this errand is for.
    fn errand_ticket(&self, errand: &Self::Errand) -> Vec<u8>;

    /// Delivers an errand over a link that is encrypted as that of its session is.
    fn deliver(&self, errand: Self::Errand, tls: TlsStart) -> Self::Deliver;

    /// What a parameter of a URL means.
    fn url_parameter(name: &str, value: &str) -> UrlParameter;

    /// The path of the server's socket, where a URL names it, or its folder, by `path`, and perhaps a port. `None` where a port
    /// means nothing.
    fn socket(path: &str, port: Option<u16>) -> Option<String> {
        port.is_none().then(|| path.to_owned())
    }

    /// How clients find a listener of ours by themselves.
    ///
    /// # Errors
    /// Why no client of the protocol could find it.
    fn directions(access: &Access<'_>) -> Result<Directions, String>;
}

/// What a server said to a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Rejected,
    /// It was not asked, or its answer is still to come.
    Unknown,
}

/// What several clients' links have in common.
#[derive(Debug)]
pub struct Shared<I> {
    /// Equal for those whose links are alike, users aside: a route logs in as one user.
    pub key: Vec<u8>,
    /// What such a link is logged in for.
    pub intent: I,
}

/// What a server is to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// It takes writes.
    Primary,
    /// It follows a primary, and only answers reads.
    Replica,
}

impl ServerRole {
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// What a client turned out to want.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening<I, E> {
    /// A session.
    Session(I),
    /// One message for the server of another session, such as a cancel request.
    Errand(E),
}

/// The conditions of one login.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whom to log in as; `None` on a route without a credential.
    pub credential: Option<Arc<Credential>>,
    /// How the link becomes encrypted.
    pub tls: TlsStart,
    /// Whether a password may cross an unencrypted link in clear text or weakly hashed.
    pub allow_cleartext: bool,
    /// Whether the login is to find out the server's role, even if that takes a question of its own.
    pub ask_role: bool,
    /// Whether nobody but the server can read what crosses this link even without TLS: a Unix socket.
    pub private: bool,
    /// Fresh random bytes for this login alone.
    pub nonce: Nonce,
}

/// How a link to the server becomes encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// It does not.
    Off,
    /// A TLS handshake is the first thing on the link.
    Direct,
    /// The protocol asks the server for it.
    Negotiated,
}
