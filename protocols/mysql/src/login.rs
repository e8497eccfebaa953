//! The login: from the server's first words to its OK (manual, "Connection Phase"), and a question after it where
//! the server's role has to be known.

use std::fmt;
use std::sync::Arc;

use attache_wire::{Credential, Fault, Insecure, Machine, Step, Terms, TlsStart, Turn};
use bytes::Bytes;

use crate::account::{Account, put_tls_request};
use crate::agreement::agree;
use crate::auth::{Exchange, Rules, Verdict};
use crate::capabilities::Capabilities;
use crate::greeting::{Greeting, for_the_client};
use crate::hello::{Flavour, Hello};
use crate::intent::{Intent, Upkeep};
use crate::options::Options;
use crate::packet::{self, Packet};
use crate::plugin::Plugin;
use crate::question::Question;
use crate::restriction;
use crate::role;
use crate::start::{self, Start};

/// The longest packet of a login, in octets: a public key, an error, changes of the session.
pub const MAX_LOGIN_PACKET_LEN: usize = 64 * 1024;

/// Logs in to the server.
pub struct Login {
    intent: Intent,
    hello: Hello,
    database: Vec<u8>,
    options: Arc<Options>,
    terms: Terms,
    state: State,
}

enum State {
    /// The server has said its first words, and nothing has been said to it.
    Greeted,
    /// TLS was asked for.
    Encrypting(Capabilities),
    /// Who we are was said.
    Authenticating(Exchange, Capabilities),
    /// The server has let us in, and was told to let nobody write.
    Restricting(Greeting),
    /// The server has let us in, and was asked for its role, or for what a reset has to restore.
    Asking(Question, Greeting),
    /// Over.
    Done,
}

impl Login {
    /// `database` is that of the route, in place of the client's.
    pub(crate) fn new(
        intent: Intent,
        hello: Hello,
        database: Option<&str>,
        options: Arc<Options>,
        terms: Terms,
    ) -> Self {
        let database = match database {
            Some(database) => database.as_bytes().to_vec(),
            None => intent.database.clone().unwrap_or_default(),
        };
        Self { intent, hello, database, options, terms, state: State::Greeted }
    }

    fn begin(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        let mut capabilities = agree(&self.intent, &self.hello, &self.options)?;
        if !self.database.is_empty() {
            capabilities = capabilities | self.needed(Capabilities::CONNECT_WITH_DB, NO_DATABASE)?;
        }
        match self.terms.tls {
            TlsStart::Off => self.respond(capabilities, 1, turn),
            TlsStart::Direct if turn.tls.is_none() => Err(Fault::Insecure(Insecure::TlsDeclined)),
            TlsStart::Direct => self.respond(capabilities, 1, turn),
            TlsStart::Negotiated if !turn.input.is_empty() => Err(Fault::EarlyData),
            TlsStart::Negotiated => {
                let tls = self.needed(Capabilities::SSL, Fault::Insecure(Insecure::TlsDeclined))?;
                put_tls_request(&self.intent, capabilities | tls, 1, turn.output);
                self.state = State::Encrypting(capabilities | tls);
                Ok(Step::StartTls)
            }
        }
    }

    fn needed(&self, flag: Capabilities, otherwise: Fault) -> Result<Capabilities, Fault> {
        if self.hello.capabilities.has(flag) { Ok(flag) } else { Err(otherwise) }
    }

    fn respond(
        &mut self,
        capabilities: Capabilities,
        sequence: u8,
        turn: &mut Turn<'_>,
    ) -> Result<Step<Greeting>, Fault> {
        let plugin = first_plugin(&self.hello);
        let user = self.credential().and_then(Credential::user);
        let user = user.ok_or(Fault::Incomplete("the credential names no user"))?;
        let proof = self.rules(turn).first_proof(plugin, &self.hello.nonce)?;
        let (intent, database) = (&self.intent, &self.database);
        let account = Account { intent, capabilities, user, database, plugin, proof: &proof };
        account.put_response(sequence, turn.output)?;
        let exchange = Exchange::new(plugin, self.hello.nonce, sequence + 1);
        self.state = State::Authenticating(exchange, capabilities);
        self.listen(turn)
    }

    /// Takes in everything that the server has said so far, up to its OK.
    fn listen(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        while let Some(packet) = packet::next(turn.input, MAX_LOGIN_PACKET_LEN)? {
            if let Some(greeting) = self.hear(&packet, turn)? {
                return Ok(Step::Done(greeting));
            }
        }
        Ok(Step::Read)
    }

    fn hear(&mut self, packet: &Packet, turn: &mut Turn<'_>) -> Result<Option<Greeting>, Fault> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Authenticating(mut exchange, capabilities) => {
                let rules = self.rules(turn);
                match exchange.answer(packet, &rules, turn.output)? {
                    Verdict::Accepted(ok) => self.accepted(&ok, &exchange, capabilities, turn),
                    Verdict::Pending => {
                        self.state = State::Authenticating(exchange, capabilities);
                        Ok(None)
                    }
                }
            }
            State::Restricting(greeting) => {
                restriction::hear(packet, self.credential())?;
                Ok(self.ask(greeting, turn))
            }
            State::Asking(mut question, greeting) => match question.hear(packet)? {
                Some(row) => Ok(Some(self.told(greeting, &row.unwrap_or_default()))),
                None => {
                    self.state = State::Asking(question, greeting);
                    Ok(None)
                }
            },
            State::Greeted | State::Encrypting(_) | State::Done => {
                Err(Fault::Malformed("a packet after a login"))
            }
        }
    }

    fn accepted(
        &mut self,
        ok: &Bytes,
        exchange: &Exchange,
        capabilities: Capabilities,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Greeting>, Fault> {
        let greeting = Greeting {
            ok: for_the_client(ok, capabilities, self.credential())?,
            capabilities: capabilities - Capabilities::SSL - Capabilities::CONNECT_WITH_DB,
            nonce: exchange.nonce(),
            plugin: Some(exchange.plugin()),
            version: self.hello.version.clone(),
            connection_id: self.hello.connection_id,
            role: None,
            database: self.database.clone(),
            start: None,
        };
        if self.options.read_only {
            restriction::ask(capabilities, turn.output);
            self.state = State::Restricting(greeting);
            return Ok(None);
        }
        Ok(self.ask(greeting, turn))
    }

    /// The greeting, if nothing is left to be asked.
    fn ask(&mut self, greeting: Greeting, turn: &mut Turn<'_>) -> Option<Greeting> {
        let wording = match (self.terms.ask_role, self.intent.upkeep) {
            (false, Upkeep::Closed) => return Some(greeting),
            (true, Upkeep::Closed) => role::QUESTION,
            (_, Upkeep::Reset) => start::QUESTION,
        };
        self.state = State::Asking(Question::ask(&wording, greeting.capabilities, turn.output), greeting);
        None
    }

    /// The answer begins with the role in either case. A server that does not know the question has told nothing.
    fn told(&self, greeting: Greeting, row: &[Option<Vec<u8>>]) -> Greeting {
        let (role, rest) = row.split_at(row.len().min(role::COLUMNS));
        let start = match self.intent.upkeep {
            Upkeep::Closed => None,
            Upkeep::Reset => Start::of(rest, self.hello.flavour),
        };
        let start = if self.options.read_only { start.map(Start::restricted) } else { start };
        let role = if self.terms.ask_role { role::told(role) } else { None };
        Greeting { role, start, ..greeting }
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

const NO_DATABASE: Fault = Fault::Unsupported("a server that takes no database at login");

/// The method to start with: the server's own, if a hash does for it. Another one is what every server knows how to
/// answer, and reveals nothing.
fn first_plugin(hello: &Hello) -> Plugin {
    let named = Plugin::of(&hello.plugin);
    match (named, hello.flavour) {
        (Some(plugin @ (Plugin::Native | Plugin::CachingSha2)), _) => plugin,
        _ if !hello.capabilities.has(Capabilities::PLUGIN_AUTH) => Plugin::Native,
        (_, Flavour::MySql) => Plugin::CachingSha2,
        (_, Flavour::MariaDb) => Plugin::Native,
    }
}

impl Machine for Login {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        match self.state {
            State::Greeted => self.begin(turn),
            State::Encrypting(_) if turn.tls.is_none() => Err(Fault::Insecure(Insecure::TlsDeclined)),
            State::Encrypting(capabilities) => self.respond(capabilities, 2, turn),
            State::Authenticating(..) | State::Restricting(_) | State::Asking(..) | State::Done => {
                self.listen(turn)
            }
        }
    }

    fn limit(&self) -> usize {
        MAX_LOGIN_PACKET_LEN
    }
}

/// Shows how far the login has come, and nothing of what was said.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Greeted => "greeted",
            State::Encrypting(_) => "encrypting",
            State::Authenticating(..) => "authenticating",
            State::Restricting(_) => "restricting",
            State::Asking(..) => "asking",
            State::Done => "done",
        };
        f.debug_struct("Login").field("state", &state).finish_non_exhaustive()
    }
}
