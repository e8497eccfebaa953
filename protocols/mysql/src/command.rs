//! What a client asks for, as far as the form of the reply depends on it (manual, "Command Phase"; MariaDB's
//! "COM_STMT_BULK_EXECUTE").

/// A command that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) reply: Reply,
    /// The statement that it is about, if any.
    pub(crate) statement: u32,
}

/// The form of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// An OK, an error, or results: SQL was run.
    Results,
    /// The same; the rows may stay behind a cursor.
    Executed,
    /// The same, of a command that runs no SQL, or of one that is not known.
    Done,
    /// An OK or an error.
    Nod,
    /// The same, and the statement's cursor is closed.
    StatementReset,
    /// The same, and the session is as new.
    SessionReset,
    /// The numbers of parameters and columns, and their definitions.
    Prepared,
    /// Rows alone.
    Rows,
    /// One packet, whatever it says.
    Line,
    /// Events until one side has enough.
    Stream,
}

/// What becomes of a payload of the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Answered(Command),
    /// A statement is closed; nobody says anything to that.
    CloseStatement(u32),
    Silent,
    Quit,
}

const QUIT: u8 = 0x01;
const INIT_DB: u8 = 0x02;
const QUERY: u8 = 0x03;
const FIELD_LIST: u8 = 0x04;
const REFRESH: u8 = 0x07;
const STATISTICS: u8 = 0x09;
const PROCESS_KILL: u8 = 0x0c;
const DEBUG: u8 = 0x0d;
const PING: u8 = 0x0e;
const BINLOG_DUMP: u8 = 0x12;
const TABLE_DUMP: u8 = 0x13;
const STMT_PREPARE: u8 = 0x16;
const STMT_EXECUTE: u8 = 0x17;
const STMT_SEND_LONG_DATA: u8 = 0x18;
const STMT_CLOSE: u8 = 0x19;
const STMT_RESET: u8 = 0x1a;
const SET_OPTION: u8 = 0x1b;
const STMT_FETCH: u8 = 0x1c;
const BINLOG_DUMP_GTID: u8 = 0x1e;
const RESET_CONNECTION: u8 = 0x1f;
/// COM_CLONE, and the stream of a replication group.
const CLONE: u8 = 0x20;
const GROUP_STREAM: u8 = 0x21;
/// MariaDB's.
const STMT_BULK_EXECUTE: u8 = 0xfa;

/// Commands after which a reset (manual, "COM_RESET_CONNECTION") makes the session as new. Those that are not known may
/// do anything; COM_SET_OPTION changes what the link is, and COM_REGISTER_SLAVE whom the server takes the client for.
const UNDONE: [u8; 18] = [
    0x00,
    QUIT,
    INIT_DB,
    QUERY,
    FIELD_LIST,
    REFRESH,
    STATISTICS,
    0x0a,
    PROCESS_KILL,
    DEBUG,
    PING,
    STMT_PREPARE,
    STMT_EXECUTE,
    STMT_SEND_LONG_DATA,
    STMT_CLOSE,
    STMT_RESET,
    STMT_FETCH,
    RESET_CONNECTION,
];

/// Whether what this command does to the link outlives a reset.
pub(crate) fn outlives_reset(head: &[u8]) -> bool {
    let command = head.first().unwrap_or(&0);
    !UNDONE.contains(command) && *command != STMT_BULK_EXECUTE
}

impl Ask {
    /// Of the first octets of a command. A command without any is COM_SLEEP, which is answered with an error.
    pub(crate) fn of(head: &[u8]) -> Self {
        let (command, rest) = head.split_first().unwrap_or((&0, &[]));
        let statement = rest.first_chunk().map_or(0, |id| u32::from_le_bytes(*id));
        let reply = match *command {
            QUIT => return Self::Quit,
            STMT_SEND_LONG_DATA => return Self::Silent,
            STMT_CLOSE => return Self::CloseStatement(statement),
            FIELD_LIST | STMT_FETCH => Reply::Rows,
            STATISTICS => Reply::Line,
            BINLOG_DUMP | TABLE_DUMP | BINLOG_DUMP_GTID | CLONE | GROUP_STREAM => Reply::Stream,
            STMT_PREPARE => Reply::Prepared,
            STMT_EXECUTE | STMT_BULK_EXECUTE => Reply::Executed,
            STMT_RESET => Reply::StatementReset,
            RESET_CONNECTION => Reply::SessionReset,
            QUERY => Reply::Results,
            INIT_DB | REFRESH | PROCESS_KILL | DEBUG | PING | SET_OPTION => Reply::Nod,
            // What is not known gets such a reply too, or an error.
            _ => Reply::Done,
        };
        Self::Answered(Command { reply, statement })
    }
}
