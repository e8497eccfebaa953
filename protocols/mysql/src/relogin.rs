//! A login on a link that is logged in: the server's half of a client's COM_CHANGE_USER.
//!
//! User and password are ours once more; database, character set and attributes are what the client asks for now.
//! The flags of the link stay as they are.

use std::fmt;
use std::sync::Arc;

use attache_wire::{Credential, Fault, Machine, Step, Terms, Turn};
use bytes::Bytes;

use crate::account::Account;
use crate::auth::{Exchange, Rules, Verdict};
use crate::capabilities::Capabilities;
use crate::greeting::{Greeting, for_the_client};
use crate::intent::Intent;
use crate::login::MAX_LOGIN_PACKET_LEN;
use crate::options::Options;
use crate::packet;
use crate::plugin::Plugin;
use crate::restriction;

/// What has to be known of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) capabilities: Capabilities,
    /// The last that the server gave ([`Greeting::nonce`]).
    pub(crate) nonce: [u8; 20],
    /// The method of the last login ([`Greeting::plugin`]).
    pub(crate) plugin: Option<Plugin>,
    pub(crate) connection_id: u32,
}

impl Link {
    /// What the server says on it, where nothing of the link has changed.
    pub(crate) fn greeting(&self, ok: Bytes) -> Greeting {
        let Self { capabilities, nonce, plugin, connection_id } = *self;
        let (version, database) = (Vec::new(), Vec::new());
        Greeting {
            ok,
            capabilities,
            nonce,
            plugin,
            version,
            connection_id,
            database,
            role: None,
            start: None,
        }
    }
}

/// Logs in once more.
pub(crate) struct Relogin {
    intent: Intent,
    database: Vec<u8>,
    options: Arc<Options>,
    terms: Terms,
    link: Link,
    state: State,
}

enum State {
    Connected,
    /// The command was sent.
    Authenticating(Exchange),
    /// The server has let us in, and was told to let nobody write.
    Restricting(Greeting),
}

impl Relogin {
    /// `database` is that of the route, in place of the client's.
    pub(crate) fn new(
        intent: Intent,
        database: Option<&str>,
        options: Arc<Options>,
        terms: Terms,
        link: Link,
    ) -> Self {
        let database = match database {
            Some(database) => database.as_bytes().to_vec(),
            None => intent.database.clone().unwrap_or_default(),
        };
        Self { intent, database, options, terms, link, state: State::Connected }
    }

    /// The server expects a proof with the nonce of the last login, or asks for another.
    fn begin(&mut self, turn: &mut Turn<'_>) -> Result<Exchange, Fault> {
        let (plugin, nonce) = (self.first_plugin(), self.link.nonce);
        let user = self.credential().and_then(Credential::user);
        let user = user.ok_or(Fault::Incomplete("the credential names no user"))?;
        let proof = self.rules(turn).first_proof(plugin, &nonce)?;
        let (intent, database, capabilities) = (&self.intent, &self.database, self.link.capabilities);
        let account = Account { intent, capabilities, user, database, plugin, proof: &proof };
        account.put_change_user(turn.output)?;
        Ok(Exchange::new(plugin, nonce, 1))
    }

    /// A method that cannot start with a hash is not named: the server asks for it then.
    fn first_plugin(&self) -> Plugin {
        match self.link.plugin {
            Some(Plugin::CachingSha2) => Plugin::CachingSha2,
            Some(Plugin::Native | Plugin::Sha256 | Plugin::Clear | Plugin::Ed25519 | Plugin::Parsec)
            | None => Plugin::Native,
        }
    }

    fn listen(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        let mut exchange = exchange;
        while let Some(packet) = packet::next(turn.input, MAX_LOGIN_PACKET_LEN)? {
            let rules = self.rules(turn);
            match exchange.answer(&packet, &rules, turn.output)? {
                Verdict::Pending => {}
                Verdict::Accepted(ok) => {
                    let greeting = self.greeting(&ok, &exchange)?;
                    if !self.options.read_only {
                        return Ok(Step::Done(greeting));
                    }
                    restriction::ask(self.link.capabilities, turn.output);
                    return self.restrict(greeting, turn);
                }
            }
        }
        self.state = State::Authenticating(exchange);
        Ok(Step::Read)
    }

    fn restrict(&mut self, greeting: Greeting, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        if let Some(packet) = packet::next(turn.input, MAX_LOGIN_PACKET_LEN)? {
            restriction::hear(&packet, self.credential())?;
            return Ok(Step::Done(greeting));
        }
        self.state = State::Restricting(greeting);
        Ok(Step::Read)
    }

    fn greeting(&self, ok: &Bytes, exchange: &Exchange) -> Result<Greeting, Fault> {
        let ok = for_the_client(ok, self.link.capabilities, self.credential())?;
        let (nonce, plugin) = (exchange.nonce(), Some(exchange.plugin()));
        Ok(Greeting { nonce, plugin, ..self.link.greeting(ok) })
    }

    fn credential(&self) -> Option<&Credential> {
        self.terms.credential.as_deref()
    }

    fn rules(&self, turn: &Turn<'_>) -> Rules<'_> {
        Rules {
            terms: &self.terms,
            options: &self.options,
            encrypted: turn.tls.is_some(),
            client_sequence: self.intent.sequence,
        }
    }
}

impl Machine for Relogin {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        let exchange = match std::mem::replace(&mut self.state, State::Connected) {
            State::Connected => self.begin(turn)?,
            State::Authenticating(exchange) => exchange,
            State::Restricting(greeting) => return self.restrict(greeting, turn),
        };
        self.listen(exchange, turn)
    }

    fn limit(&self) -> usize {
        MAX_LOGIN_PACKET_LEN
    }
}

impl fmt::Debug for Relogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relogin").field("link", &self.link.connection_id).finish_non_exhaustive()
    }
}
