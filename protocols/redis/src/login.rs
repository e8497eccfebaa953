//! The login: TLS where the route asks for it, then everything that has to be said before the client is heard.

use std::fmt;

use attache_wire::{Fault, Insecure, Machine, Step, Terms, TlsStart, Turn};

use crate::commands::{Known, MAX_COMMANDS_LEN};
use crate::dialogue::{Dialogue, Inquiry};
use crate::frame::MAX_REPLY_LEN;
use crate::greeting::Greeting;
use crate::options::Cluster;

/// Logs in to the server.
pub struct Login {
    database: Option<String>,
    cluster: Cluster,
    /// Where what the server says of its commands is kept, if anybody has to know it.
    commands: Option<Known>,
    terms: Terms,
    state: State,
}

enum State {
    Connected,
    Encrypting,
    Asking(Box<Dialogue>),
}

impl Login {
    pub(crate) fn new(
        database: Option<String>,
        cluster: Cluster,
        commands: Option<Known>,
        terms: Terms,
    ) -> Self {
        Self { database, cluster, commands, terms, state: State::Connected }
    }

    fn must_learn_commands(&self) -> bool {
        self.commands.as_ref().is_some_and(|known| known.commands().is_none())
    }

    fn ask(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        let inquiry = Inquiry::Server(self.cluster);
        let mut dialogue =
            Dialogue::begin(&self.terms, turn.tls, self.database.as_deref(), inquiry, turn.output)?;
        if self.must_learn_commands() {
            dialogue.ask_for_commands(turn.output);
        }
        self.state = State::Asking(Box::new(dialogue));
        Ok(Step::Read)
    }
}

impl Machine for Login {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        match (&mut self.state, self.terms.tls) {
            (State::Asking(_), _) => {}
            (State::Connected, TlsStart::Direct) => {
                self.state = State::Encrypting;
                return Ok(Step::StartTls);
            }
            (State::Connected, TlsStart::Negotiated) => {
                return Err(Fault::Unsupported(
                    "asking for TLS inside the protocol, which Redis does not know",
                ));
            }
            (State::Encrypting, _) if turn.tls.is_none() => {
                return Err(Fault::Insecure(Insecure::TlsDeclined));
            }
            (State::Connected, TlsStart::Off) | (State::Encrypting, _) => {
                self.ask(turn)?;
            }
        }
        let State::Asking(dialogue) = &mut self.state else { return Ok(Step::Read) };
        match dialogue.listen(turn.input, self.terms.credential.as_deref())? {
            Some(facts) => {
                if let (Some(known), Some(commands)) = (&self.commands, dialogue.take_commands()) {
                    known.learn(commands);
                }
                Ok(Step::Done(Greeting::Ready(facts)))
            }
            None => Ok(Step::Read),
        }
    }

    fn limit(&self) -> usize {
        match &self.state {
            State::Connected | State::Encrypting => 0,
            State::Asking(_) if self.must_learn_commands() => MAX_COMMANDS_LEN,
            State::Asking(_) => MAX_REPLY_LEN,
        }
    }
}

/// Shows how far the login has come, and nothing of what was said.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Connected => "connected",
            State::Encrypting => "encrypting",
            State::Asking(_) => "asking",
        };
        f.debug_struct("Login").field("state", &state).finish_non_exhaustive()
    }
}
