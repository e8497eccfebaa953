//! The book of a schedule: how things stood, what servers heard and said, and what went wrong for clients as they saw it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::speech::{Broken, Question, Told};
use crate::wire::{Heard, Line};

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl Login {
    pub fn new(user: &str, password: &str) -> Login {
        Login { user: user.to_owned(), password: password.to_owned() }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.user, self.password)
    }
}

/// What a server does with whoever connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Up,
    /// Takes connections, and says that it is not ready.
    Starting,
    /// Nobody listens.
    Down,
    /// Connections come about, and nothing is ever said.
    Deaf,
    /// Connections do not come about.
    Dark,
}

/// What a server is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    Primary,
    Replica,
}

#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub condition: Condition,
    pub duty: Duty,
}

/// A connection to a server, from its first octet.
#[derive(Debug)]
pub struct Conn {
    pub server: usize,
    pub opened: Instant,
    pub line: Line,
    /// When the server had done with it.
    pub closed: Option<Instant>,
    /// Nothing crossed it then: Attaché hears of that later, if ever.
    pub unheard: bool,
    /// When the script did something to it that no proxy could hide.
    pub hurt: Option<Instant>,
    /// When it was logged in last.
    pub login: Option<Instant>,
    /// What it was logged in with.
    pub shown: Option<Login>,
    /// Numbers of questions that were acted upon.
    pub executed: Vec<u64>,
    /// What it is doing is cancelled.
    pub cancelled: Arc<Notify>,
    /// The server ends, and says so.
    pub closing: Arc<Notify>,
}

/// What was changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Beginning,
    Server,
    Accounts,
    Secret,
    /// A certificate, or whom to trust: nothing that anybody should notice.
    Trust,
}

/// How things stood from a moment on.
#[derive(Debug, Clone)]
pub struct Facts {
    pub at: Instant,
    pub change: Change,
    pub servers: Vec<Server>,
    /// The primary that was promoted last. Another one may not have heard of it.
    pub primary: usize,
    /// The certificate that servers show.
    pub shown: usize,
    pub valid: Vec<Login>,
    /// What the folder holds; `None` while it cannot be read.
    pub mounted: Option<Login>,
}

/// A login as a server saw it.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// When its first words came.
    pub began: Instant,
    pub at: Instant,
    pub login: Login,
    pub accepted: bool,
}

/// A server told what it is, as it does at the end of each login.
#[derive(Debug, Clone)]
pub struct Report {
    pub server: usize,
    pub duty: Duty,
    pub heard: Heard,
}

impl Conn {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether Attaché may count it yet: it hears of an end only by a line that passes it on.
    pub fn may_be_held(&self) -> bool {
        self.is_open() || self.line.is_frozen()
    }

    /// Whether something had happened to it by then that no proxy could hide.
    pub fn is_hurt(&self, by: Instant) -> bool {
        self.hurt_at().is_some_and(|hurt| hurt <= by)
    }

    pub fn hurt_at(&self) -> Option<Instant> {
        self.hurt.or(self.line.cut())
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone)]
pub enum Episode {
    /// A session did not come about.
    TurnedAway { client: usize, began: Instant, ended: Instant, broken: Broken },
    /// A session ended that its client had not ended.
    Lost { client: usize, began: Instant, at: Instant, conn: Option<usize>, busy: Busy, broken: Broken },
    /// A question was answered by an error.
    Refused { at: Instant, conn: Option<usize>, question: Question, told: Told },
}

/// Moments are no part of it: they are those of the real clock when the schedule began.
impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TurnedAway { client, broken, .. } => {
                write!(f, "client {client} was turned away: {broken:?}")
            }
            Self::Lost { client, conn, busy, broken, .. } => {
                write!(f, "client {client} lost its session ({conn:?}, {busy:?}): {broken:?}")
            }
            Self::Refused { conn, question, told, .. } => {
                write!(f, "{question:?} was refused ({conn:?}): {told:?}")
            }
        }
    }
}

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Away,
    /// It begins, asks, is in a transaction, or never reads. The connection is known once it has answered.
    Busy(Option<usize>),
    /// It could end at any moment and lose nothing, and has been so since then.
    AtRest(usize, Instant),
}

/// What a client did when it lost its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    Idle,
    /// It waited for the answer to this.
    Question(u64),
    Transaction,
}
