//! What went wrong for clients, as they saw it.

use tokio::time::Instant;

use crate::speech::{Broken, Question, Told};

/// One thing that went wrong.
#[derive(Debug, Clone)]
pub enum Episode {
    /// A session did not come about.
    TurnedAway { client: usize, began: Instant, ended: Instant, broken: Broken },
    /// A session ended that its client had not ended.
    Lost {
        client: usize,
        began: Instant,
        at: Instant,
        conn: Option<usize>,
        busy: Busy,
        broken: Broken,
    },
    /// A question was answered by an error.
    Refused { at: Instant, conn: Option<usize>, question: Question, told: Told },
}

/// What a client did when it lost its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    Idle,
    /// It waited for the answer to this.
    Question(u64),
    Transaction,
}
