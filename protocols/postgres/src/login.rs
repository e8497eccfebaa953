//! The login: from the first octet to ReadyForQuery (section "Start-up"), and a question after it where the
//! server's role has to be known.

use std::fmt;

use attache_wire::{Credential, Fault, Machine, Step, Terms, Turn};

use crate::auth::{Exchange, Rules, Verdict};
use crate::frame::{self, Frame};
use crate::greeting::{Greeting, MAX_GREETING_LEN};
use crate::options::Options;
use crate::rejection::{rejection, shows_secret};
use crate::role::RoleQuery;
use crate::startup::Intent;
use crate::upgrade::Upgrade;

/// The longest frame of a login, in octets: a challenge, a notice, an error. libpq allows 2000 for
/// the first and 30 000 for the last.
pub const MAX_LOGIN_FRAME_LEN: usize = 64 * 1024;

/// Logs in to the server.
pub struct Login {
    intent: Intent,
    database: Option<String>,
    options: Options,
    terms: Terms,
    state: State,
    greeting: Greeting,
    received: usize,
}

enum State {
    /// On the way to a link that the startup packet may be sent on.
    Upgrading(Upgrade),
    /// The startup packet was sent.
    Authenticating(Exchange),
    /// The server has said AuthenticationOk.
    Accepted,
    /// The server has said ReadyForQuery, and was asked for its role.
    Asking(RoleQuery),
    /// The server has said ReadyForQuery, and there is nothing more to ask.
    Ready,
}

impl Login {
    pub(crate) fn new(intent: Intent, database: Option<String>, options: Options, terms: Terms) -> Self {
        let state = State::Upgrading(Upgrade::new(terms.tls));
        Self { intent, database, options, terms, state, greeting: Greeting::default(), received: 0 }
    }

    fn credential(&self) -> Option<&Credential> {
        self.terms.credential.as_deref()
    }

    fn start(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let user = self.credential().and_then(Credential::user);
        let user = user.ok_or(Fault::Incomplete("the credential names no user"))?;
        let packet = self.intent.packet(user, self.database.as_deref(), self.options.read_only)?;
        turn.output.extend_from_slice(&packet);
        self.state = State::Authenticating(Exchange::Unasked);
        Ok(())
    }

    /// Takes in everything that the server has said so far, up to ReadyForQuery.
    fn listen(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        while let Some(frame) = frame::next(turn.input, MAX_LOGIN_FRAME_LEN)? {
            self.count(&frame)?;
            self.hear(frame, turn)?;
            if matches!(self.state, State::Ready) {
                return Ok(Step::Done(std::mem::take(&mut self.greeting)));
            }
        }
        Ok(Step::Read)
    }

    fn count(&mut self, frame: &Frame) -> Result<(), Fault> {
        self.received += frame.as_bytes().len();
        if self.received > MAX_GREETING_LEN { Err(Fault::TooLong(MAX_GREETING_LEN)) } else { Ok(()) }
    }

    fn hear(&mut self, frame: Frame, turn: &mut Turn<'_>) -> Result<(), Fault> {
        match frame.tag() {
            b'T' | b'D' | b'C' | b'E' | b'Z' if matches!(self.state, State::Asking(_)) => self.learn(frame),
            b'E' => Err(rejection(frame, self.credential())),
            b'R' => self.authenticate(&frame, turn),
            // Only a server that is up to something says the secret aloud: what it says is left out.
            b'N' | b'v' | b'S' | b'K' if shows_secret(self.credential(), frame.body()) => Ok(()),
            b'N' => {
                self.greeting.keep(&frame);
                Ok(())
            }
            b'v' if matches!(self.state, State::Authenticating(Exchange::Unasked)) => {
                self.greeting.keep_negotiation(&frame)
            }
            b'S' if self.is_accepted() || matches!(self.state, State::Asking(_)) => {
                self.greeting.keep_parameter(&frame)
            }
            b'K' if self.is_accepted() => self.greeting.keep_key(&frame),
            b'Z' if self.is_accepted() => self.ready(&frame, turn),
            _ => Err(Fault::Malformed("a message that has no place in a login, or comes out of order")),
        }
    }

    fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted)
    }

    fn authenticate(&mut self, frame: &Frame, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let State::Authenticating(exchange) = &mut self.state else {
            return Err(Fault::Malformed("an authentication request after AuthenticationOk"));
        };
        let rules =
            Rules { terms: &self.terms, channel_binding: self.options.channel_binding, tls: turn.tls };
        if exchange.answer(frame.body(), &rules, turn.output)? == Verdict::Accepted {
            self.state = State::Accepted;
            self.greeting.keep(frame);
        }
        Ok(())
    }

    /// A session begins outside of any transaction.
    fn ready(&mut self, frame: &Frame, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if frame.body() != b"I" {
            return Err(Fault::Malformed("the first ReadyForQuery does not say idle"));
        }
        self.greeting.keep(frame);
        self.state = match self.must_ask() {
            true => State::Asking(RoleQuery::ask(turn.output)),
            false => State::Ready,
        };
        Ok(())
    }

    /// A replication connection may not take a query: there the server's own word has to do.
    fn must_ask(&self) -> bool {
        self.terms.ask_role && self.greeting.role().is_none() && !self.intent.is_replication()
    }

    /// Takes in a part of the answer. It is not for the client.
    fn learn(&mut self, frame: Frame) -> Result<(), Fault> {
        let State::Asking(query) = &mut self.state else { return Ok(()) };
        if query.hear(&frame)? {
            self.greeting.set_role(query.role());
            self.state = State::Ready;
        }
        Ok(())
    }
}

impl Machine for Login {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        if let State::Upgrading(upgrade) = &mut self.state {
            match upgrade.step(turn)? {
                Step::Read => return Ok(Step::Read),
                Step::StartTls => return Ok(Step::StartTls),
                Step::Done(()) => self.start(turn)?,
            }
        }
        self.listen(turn)
    }

    fn limit(&self) -> usize {
        match &self.state {
            State::Upgrading(upgrade) => upgrade.limit(),
            State::Authenticating(_) | State::Accepted | State::Asking(_) | State::Ready => {
                MAX_LOGIN_FRAME_LEN
            }
        }
    }
}

/// Shows how far the login has come, and nothing of what was said.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Upgrading(_) => "upgrading",
            State::Authenticating(_) => "authenticating",
            State::Accepted => "accepted",
            State::Asking(_) => "asking",
            State::Ready => "ready",
        };
        f.debug_struct("Login").field("state", &state).finish_non_exhaustive()
    }
}
