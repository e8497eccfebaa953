//! What a session would lose if it ended now: a transaction, rows that wait behind a cursor, and what its statements seem
//! to have made ([`Holdings`]).

use crate::attributes;
use crate::capabilities::Capabilities;
use crate::command::{Reply, outlives_reset};
use crate::holdings::{Deed, Holdings};
use crate::rejection::ERR;
use crate::scan::Seen;
use crate::status::Status;

/// The most cursors of one session that are told apart. Drivers open one for each result that they read in parts.
const MAX_CURSORS: usize = 64;

/// What the server holds for the session.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    transaction: Transaction,
    cursors: Cursors,
    traces: Traces,
    holdings: Holdings,
    role: Role,
}

/// Whether the server takes writes, as far as it has shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Role {
    #[default]
    Same,
    Doubted,
}

/// What a reset of the link would leave of the session.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Traces {
    #[default]
    None,
    Some,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    #[default]
    No,
    Open,
    /// An error does not say. A procedure may have begun a transaction before it failed.
    Unknown,
}

#[derive(Debug, PartialEq, Eq)]
enum Cursors {
    /// The statements that have one.
    Of(Vec<u32>),
    /// There were too many to follow.
    Unknown,
}

impl Default for Cursors {
    fn default() -> Self {
        Self::Of(Vec::new())
    }
}

impl Standing {
    pub(crate) fn is_nothing(&self) -> bool {
        self.transaction == Transaction::No && self.cursors == Cursors::Of(Vec::new())
    }

    /// Whether a reset takes away everything that the session did.
    pub(crate) fn can_be_reset(&self) -> bool {
        self.is_nothing() && self.traces == Traces::None
    }

    /// Whether the session holds nothing that its client would miss without noticing.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.holdings.is_nothing()
    }

    /// Whether it has, since this was asked last.
    pub(crate) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.role) == Role::Doubted
    }

    /// A command goes to the server. What a statement does, its first words say; behind attributes it is not looked for.
    pub(crate) fn asked(&mut self, reply: Reply, head: &[u8], agreed: Capabilities) {
        let text = head.get(1..).unwrap_or_default();
        let deed = match reply {
            Reply::Results => Deed::of(text.strip_prefix(attributes::prefix(agreed)).unwrap_or_default()),
            Reply::Prepared => Deed::of(text),
            Reply::Executed
            | Reply::Done
            | Reply::Nod
            | Reply::StatementReset
            | Reply::SessionReset
            | Reply::Rows
            | Reply::Line
            | Reply::Stream => Deed::Nothing,
        };
        match reply == Reply::Prepared {
            true => self.holdings.note_prepared(deed),
            false => self.holdings.note(deed),
        }
        if deed == Deed::LeaveTraces || outlives_reset(head) {
            self.traces = Traces::Some;
        }
    }

    /// A payload of the server's. Of its errors some tell of a server that takes no writes: `read_only`,
    /// `super_read_only` and a storage engine's; or of a transaction that the client has made so.
    pub(crate) fn heard(&mut self, seen: &Seen<'_>) {
        const OPTION_PREVENTS: u16 = 1290;
        const IN_TRANSACTION: u16 = 1792;
        const MODE: u16 = 1836;
        if let Some(&[ERR, low, high]) = seen.head.first_chunk()
            && matches!(u16::from_le_bytes([low, high]), OPTION_PREVENTS | IN_TRANSACTION | MODE)
        {
            self.role = Role::Doubted;
        }
    }

    /// The session is as new.
    pub(crate) fn forget(&mut self) {
        self.holdings = Holdings::default();
        self.close_all_cursors();
    }

    pub(crate) fn said(&mut self, status: Status) {
        self.transaction = if status.in_transaction() { Transaction::Open } else { Transaction::No };
    }

    /// The server said nothing of it.
    pub(crate) fn not_said(&mut self) {
        if self.transaction == Transaction::No {
            self.transaction = Transaction::Unknown;
        }
    }

    pub(crate) fn open_cursor(&mut self, statement: u32) {
        let Cursors::Of(open) = &mut self.cursors else { return };
        if open.contains(&statement) {
            return;
        }
        if open.len() < MAX_CURSORS {
            open.push(statement);
        } else {
            self.cursors = Cursors::Unknown;
        }
    }

    pub(crate) fn close_cursor(&mut self, statement: u32) {
        if let Cursors::Of(open) = &mut self.cursors {
            open.retain(|it| *it != statement);
        }
    }

    fn close_all_cursors(&mut self) {
        self.cursors = Cursors::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_told_apart_up_to_a_bound() {
        let mut standing = Standing::default();
        (0..MAX_CURSORS as u32).chain([0, 1]).for_each(|statement| standing.open_cursor(statement));
        (1..MAX_CURSORS as u32).for_each(|statement| standing.close_cursor(statement));
        assert!(!standing.is_nothing());
        standing.close_cursor(0);
        assert!(standing.is_nothing());
        (0..=MAX_CURSORS as u32).for_each(|statement| standing.open_cursor(statement));
        (0..=MAX_CURSORS as u32).for_each(|statement| standing.close_cursor(statement));
        assert!(!standing.is_nothing(), "it is not known any more");
        standing.forget();
        assert!(standing.is_nothing());
    }
}
