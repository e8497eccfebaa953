//! What the server said to a login of ours: at the beginning of a session, or in its midst.

use std::fmt;

use attache_wire::{ServerRole, Verdict};
use bytes::Bytes;

use crate::command::Effect;
use crate::intent::Intent;
use crate::subscriptions::Form;
use crate::tally::Replying;

/// What became of a login.
#[derive(PartialEq, Eq)]
pub enum Greeting {
    /// A session may begin. Redis tells a client nothing of that.
    Ready(Facts),
    /// A command of the client's has been answered.
    Answered(Answer),
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub(crate) version: Option<String>,
    pub(crate) role: Option<ServerRole>,
    pub(crate) mode: Mode,
}

/// What kind of installation a server belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It has not said.
    #[default]
    Unknown,
    Standalone,
    Cluster,
}

/// How a command ended that went to the server in place of the client's.
#[derive(PartialEq, Eq)]
pub struct Answer {
    /// What the server sent before the reply, unasked.
    pub(crate) before: Bytes,
    pub(crate) reply: Replied,
    pub(crate) outcome: Outcome,
    pub(crate) verdict: Verdict,
}

impl Answer {
    /// What a client hears whose RESET has been answered by another link in place of its own.
    pub(crate) fn of_another_link(intent: &Intent, replying: Replying) -> Self {
        const RESET: Bytes = Bytes::from_static(b"+RESET\r\n");
        let (reply, outcome) = match (intent, replying) {
            (Intent::Reset, Replying::Skip) => (Replied::Silence, Outcome::Reset),
            (Intent::Reset, Replying::On | Replying::Off) => {
                (Replied::Told { said: RESET, told: RESET }, Outcome::Reset)
            }
            (
                Intent::Session
                | Intent::Auth
                | Intent::Hello(_)
                | Intent::Refused(_)
                | Intent::Delayed(_)
                | Intent::Renewal,
                _,
            ) => (Replied::Unasked, Outcome::Same),
        };
        Self { before: Bytes::new(), reply, outcome, verdict: Verdict::Accepted }
    }
}

/// The reply to such a command.
#[derive(PartialEq, Eq)]
pub(crate) enum Replied {
    /// There is none: the client has turned replies off.
    Silence,
    /// The client hears `told`, in place of what the server said.
    Told { said: Bytes, told: Bytes },
    /// The client did not ask, and hears nothing.
    Unasked,
}

/// What the command has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing that matters here.
    Same,
    /// The session is as new.
    Reset,
    /// Messages come in this form.
    Speaks(Form),
    /// What the client's own command does, to which the reply is still to come.
    Did(Effect),
}

/// Shows how long it was, and nothing of what was said.
impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(facts) => f.debug_tuple("Ready").field(facts).finish(),
            Self::Answered(answer) => f
                .debug_struct("Answered")
                .field("octets_before", &answer.before.len())
                .field("outcome", &answer.outcome)
                .finish_non_exhaustive(),
        }
    }
}
