//! What is outstanding in a session, and where the relay has to pause.
//!
//! A session that is quiet may still hold state that a cut would lose: its name, its database, client tracking. A client
//! sets them again when it connects again, as it does after a restart of the server. Subscribers and monitors are
//! never quiet: what they would miss meanwhile is lost to them.

use attache_wire::{Fault, Passage, Watch};

use crate::command::Effect;
use crate::options::Rules;
use crate::replies::Replies;
use crate::requests::{Requests, Ruling};
use crate::subscriptions::Form;
use crate::tally::{Replying, Tally};

/// Follows one session from its login on.
#[derive(Debug)]
pub struct SessionWatch {
    rules: Rules,
    requests: Requests,
    replies: Replies,
    tally: Tally,
    client_end: ClientEnd,
    role: Role,
    room: Room,
}

/// Whether the relay is to pause where a login could come in between.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Room {
    #[default]
    Unwanted,
    Wanted,
}

/// Whether the server takes writes, as far as it has shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Role {
    #[default]
    Same,
    Doubted,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ClientEnd {
    #[default]
    Open,
    Quit,
}

/// How the server will answer the command for which the relay pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) replying: Replying,
    pub(crate) stream: Stream,
}

/// What may come in front of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Pushes.
    Pushes,
    /// Pushes and arrays: messages of RESP2.
    Messages,
    /// Pushes and lines that begin with a digit: what MONITOR shows.
    Sights,
}

impl SessionWatch {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            requests: Requests::default(),
            replies: Replies::default(),
            tally: Tally::default(),
            client_end: ClientEnd::Open,
            role: Role::Same,
            room: Room::Unwanted,
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules.clone()
    }

    pub(crate) fn manner(&self) -> Manner {
        let stream = match (self.tally.is_restricted(), self.tally.is_monitor()) {
            (true, _) => Stream::Messages,
            (false, true) => Stream::Sights,
            (false, false) => Stream::Pushes,
        };
        Manner { replying: self.tally.replying(), stream }
    }

    /// Why the last command will never end.
    pub(crate) fn broken(&self) -> Option<Fault> {
        self.requests.broken()
    }

    /// In the pause, a command went to the server that does this.
    pub(crate) fn asked(&mut self, effect: Effect) {
        self.tally.ask(effect);
    }

    /// In the pause, the server said this.
    pub(crate) fn heard(&mut self, bytes: &[u8]) {
        let Self { replies, tally, role, .. } = self;
        replies.feed(bytes, |frame| {
            if frame.is_read_only() {
                *role = Role::Doubted;
            }
            tally.hear(&frame);
        });
        if replies.is_lost() {
            tally.lose();
        }
    }

    /// In the pause, the server has taken RESET.
    pub(crate) fn reset(&mut self) {
        self.tally.reset();
    }

    /// In the pause, the server has taken HELLO.
    pub(crate) fn speak(&mut self, form: Form) {
        self.tally.speak(form);
    }

    fn server_at_boundary(&self) -> bool {
        !self.tally.is_replica() && self.replies.at_boundary()
    }
}

impl Watch for SessionWatch {
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        let Self { requests, tally, client_end, room, .. } = self;
        let passage = requests.feed(bytes, &self.rules, |effect| {
            if tally.must_wait(effect) || *room == Room::Wanted && tally.has_room_for_a_login() {
                return Ruling::Stop;
            }
            if effect == Effect::Quit {
                *client_end = ClientEnd::Quit;
            }
            tally.ask(effect);
            Ruling::Pass
        });
        if requests.broken().is_some() {
            tally.unask();
        }
        match passage {
            Passage::Until(_) if !tally.is_counted() => Err(requests.broken().unwrap_or(Fault::Unsupported(
                "a login, or a command that is refused, in a stream of replication or where replies cannot be counted",
            ))),
            passage => Ok(passage),
        }
    }

    fn from_server(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if !self.tally.is_replica() {
            self.heard(bytes);
        }
        Ok(())
    }

    fn may_speak(&self) -> bool {
        self.server_at_boundary() && !self.client_left()
    }

    fn quiet(&self) -> bool {
        self.server_at_boundary() && self.requests.at_boundary() && self.tally.is_idle()
    }

    fn answered(&self) -> bool {
        let whole = self.requests.passed_whole() || self.broken().is_some();
        self.server_at_boundary() && whole && self.tally.is_settled()
    }

    fn takes_a_login(&self) -> bool {
        self.server_at_boundary()
            && !self.client_left()
            && self.requests.passed_whole()
            && self.tally.takes_a_login()
    }

    fn make_room(&mut self, wanted: bool) {
        self.room = if wanted { Room::Wanted } else { Room::Unwanted };
    }

    fn client_left(&self) -> bool {
        self.client_end == ClientEnd::Quit
    }

    fn role_doubted(&mut self) -> bool {
        std::mem::take(&mut self.role) == Role::Doubted
    }
}
