//! What the server is expected to say next.

use crate::prepared::Definitions;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything is answered.
    Idle,
    /// The first packet of a result is to come.
    Waiting,
    /// So many definitions are to come.
    Definitions(u64, Block),
    /// The end of definitions is to be marked.
    DefinitionsEnd(Block),
    Rows,
    /// The row of the parameters that a procedure gives back. Another result follows: MySQL says so in front of the
    /// row and forgets it behind it.
    OutParameters,
    /// The client sends a file; an empty packet ends it.
    Upload,
    Stream,
    /// The server has said its last word without being asked.
    Parted,
    /// It is not known what is outstanding: the server has answered as none does, or the client is too far ahead.
    Lost,
}

/// What is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// The columns of rows that follow.
    Result,
    /// Parameters of a statement, which has so many columns; whether these are defined too.
    Parameters(u16, Definitions),
    /// Columns of a statement.
    Columns,
}
