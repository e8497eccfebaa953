//! Where the reply to a command ends (manual, "Text Protocol", "Prepared Statements"; MariaDB's "Result Set Packets").
//!
//! The first octets of each packet tell: what a result says is not read. Where it cannot be told any more, the session
//! goes on and is never called answered again.

use std::collections::VecDeque;

use attache_wire::Fault;

use crate::capabilities::Capabilities;
use crate::command::{Ask, Command, Reply};
use crate::expected::{Block, State};
use crate::packet::FULL_LEN;
use crate::prepared::{Columns, Definitions, Prepared};
use crate::scan::Seen;
use crate::standing::Standing;
use crate::status::Status;

/// The most commands that a client may be ahead of the server's replies and still be followed: 64 KiB of them. MariaDB's
/// drivers send some hundreds at once.
const MAX_AHEAD: usize = 8192;
/// An EOF of the old form is shorter than this; longer payloads that begin like one are rows.
const EOF_MOST: usize = 9;
/// In place of a statement's number: the one that was prepared last (MariaDB's "COM_STMT_EXECUTE").
const LAST_PREPARED: u32 = u32::MAX;
/// What the first packet of a reply bears: a command bears 0.
const FIRST_OF_REPLY: u8 = 1;

/// The first octets of an OK, of the end of rows or definitions, of a LOCAL INFILE Request, of an error.
const OK: u8 = 0x00;
const END: u8 = 0xfe;
const FILE: u8 = 0xfb;
const ERR: u8 = 0xff;

const UNWANTED: Fault =
    Fault::Malformed("the server asks for a file of the client's, which was not allowed to it");
const TOO_FAR_AHEAD: Fault = Fault::Unsupported(
    "more than 8192 commands ahead of the replies: a request for a file would not be found among them",
);

/// What is outstanding, and what the session holds.
#[derive(Debug)]
pub(crate) struct Replies {
    agreed: Capabilities,
    state: State,
    /// The command that is being answered.
    current: Command,
    ahead: VecDeque<Command>,
    prepared: u32,
    /// What the next packet to the client bears, while it waits for one.
    number: u8,
    standing: Standing,
}

impl Replies {
    pub(crate) fn new(agreed: Capabilities) -> Self {
        let current = Command { reply: Reply::Results, statement: 0 };
        let (state, standing) = (State::Idle, Standing::default());
        Self { agreed, state, current, ahead: VecDeque::new(), prepared: 0, number: 0, standing }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// What the session holds.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn standing_mut(&mut self) -> &mut Standing {
        &mut self.standing
    }

    /// Whether what the client sends are commands.
    pub(crate) fn takes_commands(&self) -> bool {
        !matches!(self.state, State::Upload | State::Stream)
    }

    /// Whether it can be told when everything is answered.
    pub(crate) fn can_be_followed(&self) -> bool {
        !matches!(self.state, State::Lost)
    }

    /// Whether another packet to the client could be understood there.
    pub(crate) fn may_speak(&self) -> bool {
        !matches!(self.state, State::Upload | State::Parted | State::Lost)
    }

    /// What the next packet to the client bears. One that nobody asked for is found in place of the reply to the next
    /// command, and drivers believe it only under that number: PyMySQL takes 0 for a lost connection.
    pub(crate) fn number(&self) -> u8 {
        if self.is_idle() { FIRST_OF_REPLY } else { self.number }
    }

    /// A payload of the client's is about to go to the server. Says whether it takes leave.
    pub(crate) fn asked(&mut self, seen: &Seen<'_>) -> Result<Ask, Fault> {
        match self.state {
            State::Upload => {
                self.number = seen.sequence.wrapping_add(1);
                if seen.len == 0 {
                    self.state = State::Waiting;
                }
                return Ok(Ask::Silent);
            }
            State::Stream => return Ok(Ask::Silent),
            State::Idle
            | State::Waiting
            | State::Definitions(..)
            | State::DefinitionsEnd(_)
            | State::Rows
            | State::OutParameters
            | State::Parted
            | State::Lost => {}
        }
        let ask = Ask::of(seen.head);
        match ask {
            Ask::Answered(command) => {
                self.standing.asked(command.reply, seen.head, self.agreed);
                self.expect(command, seen.sequence.wrapping_add(1))?;
            }
            Ask::CloseStatement(statement) => self.standing.close_cursor(self.meant(statement)),
            Ask::Silent | Ask::Quit => {}
        }
        Ok(ask)
    }

    fn expect(&mut self, command: Command, number: u8) -> Result<(), Fault> {
        match self.state {
            State::Idle => self.begin(command, number),
            State::Parted | State::Lost => {}
            State::Waiting
            | State::Definitions(..)
            | State::DefinitionsEnd(_)
            | State::Rows
            | State::OutParameters
            | State::Upload
            | State::Stream => match self.ahead.len() < MAX_AHEAD {
                true => self.ahead.push_back(command),
                // A row may begin as a request for a file does, so that none could be refused from here on.
                false if !self.agreed.has(Capabilities::LOCAL_FILES) => return Err(TOO_FAR_AHEAD),
                false => self.lose(),
            },
        }
        Ok(())
    }

    fn begin(&mut self, command: Command, number: u8) {
        let statement = self.meant(command.statement);
        self.current = Command { statement, ..command };
        self.number = number;
        self.state = match command.reply {
            Reply::Rows => State::Rows,
            Reply::Executed => {
                // The server closes the cursor of the execution before.
                self.standing.close_cursor(statement);
                State::Waiting
            }
            Reply::Results
            | Reply::Done
            | Reply::Nod
            | Reply::StatementReset
            | Reply::SessionReset
            | Reply::Prepared
            | Reply::Line
            | Reply::Stream => State::Waiting,
        };
    }

    fn meant(&self, statement: u32) -> u32 {
        if statement == LAST_PREPARED { self.prepared } else { statement }
    }

    /// A payload of the server's is about to go to the client.
    pub(crate) fn answered(&mut self, seen: &Seen<'_>) -> Result<(), Fault> {
        self.standing.heard(seen);
        let expected = std::mem::replace(&mut self.number, seen.sequence.wrapping_add(1));
        let gone_on = if seen.is_progress() { Ok(()) } else { self.go_on(seen) };
        if gone_on.is_err() {
            // The client will not hear of this packet, but of what is said in its place.
            self.number = expected;
        }
        gone_on
    }

    fn go_on(&mut self, seen: &Seen<'_>) -> Result<(), Fault> {
        match self.state {
            State::Waiting => return self.first(seen),
            State::Rows | State::OutParameters => self.row(seen),
            State::Definitions(left, block) => self.definition(seen, left, block),
            State::DefinitionsEnd(block) => self.definitions_end(seen, block),
            // A client may take for a reply what is none here, and would send the file.
            State::Idle | State::Parted | State::Lost if self.is_unwanted(seen) => {
                return Err(UNWANTED);
            }
            State::Idle if seen.is_error() => self.state = State::Parted,
            State::Idle | State::Upload => self.lose(),
            State::Stream | State::Parted | State::Lost => {}
        }
        Ok(())
    }

    fn first(&mut self, seen: &Seen<'_>) -> Result<(), Fault> {
        match (self.current.reply, seen.head.first()) {
            (Reply::Line, _) => self.finish(),
            (_, Some(&ERR)) => self.failed(),
            (Reply::Prepared, Some(&OK)) => self.statement(seen.head),
            // A server that does not refuse it hears no commands any more.
            (Reply::Stream, _) => self.state = State::Stream,
            (Reply::Prepared | Reply::Rows, _) | (_, None) => self.lose(),
            (_, Some(&OK)) => self.ended(seen),
            (_, Some(&END)) if self.is_end(seen) => self.ended(seen),
            (_, Some(&FILE)) => return self.upload(seen),
            (Reply::Nod | Reply::StatementReset | Reply::SessionReset, Some(_)) => self.lose(),
            (_, Some(_)) => self.columns(seen.head),
        }
        Ok(())
    }

    /// LOCAL INFILE Request: the client is to send a file that the server names.
    fn upload(&mut self, seen: &Seen<'_>) -> Result<(), Fault> {
        if self.is_unwanted(seen) {
            return Err(UNWANTED);
        }
        self.state = State::Upload;
        Ok(())
    }

    fn is_unwanted(&self, seen: &Seen<'_>) -> bool {
        seen.head.first() == Some(&FILE) && !self.agreed.has(Capabilities::LOCAL_FILES)
    }

    fn columns(&mut self, head: &[u8]) {
        match Columns::parse(head, self.agreed) {
            Some(columns) => self.define(columns.count, Block::Result, columns.definitions),
            None => self.lose(),
        }
    }

    fn statement(&mut self, head: &[u8]) {
        let Some(Prepared { statement, columns, parameters, definitions }) =
            Prepared::parse(head, self.agreed)
        else {
            self.lose();
            return;
        };
        self.prepared = statement;
        self.define(parameters.into(), Block::Parameters(columns, definitions), definitions);
    }

    fn define(&mut self, count: u64, block: Block, definitions: Definitions) {
        match (count, definitions) {
            (0, _) => self.defined(block),
            (count, Definitions::Follow) => self.state = State::Definitions(count, block),
            (_, Definitions::LeftOut) => self.end_definitions(block),
        }
    }

    fn definition(&mut self, seen: &Seen<'_>, left: u64, block: Block) {
        match left - 1 {
            _ if seen.is_error() => self.failed(),
            0 => self.end_definitions(block),
            left => self.state = State::Definitions(left, block),
        }
    }

    fn end_definitions(&mut self, block: Block) {
        match self.agreed.has(Capabilities::DEPRECATE_EOF) {
            true => self.defined(block),
            false => self.state = State::DefinitionsEnd(block),
        }
    }

    fn definitions_end(&mut self, seen: &Seen<'_>, block: Block) {
        match block {
            _ if seen.is_error() => self.failed(),
            Block::Result if self.is_end(seen) => self.columns_end(seen),
            // Where definitions are left out, their end may be left out too.
            Block::Result => {
                self.state = State::Rows;
                self.row(seen);
            }
            Block::Parameters(..) | Block::Columns if self.is_end(seen) => self.defined(block),
            Block::Parameters(..) | Block::Columns => self.lose(),
        }
    }

    /// Of a result whose rows are not sent before they are fetched, nothing follows.
    fn columns_end(&mut self, seen: &Seen<'_>) {
        let executed = self.current.reply == Reply::Executed;
        match Status::of(seen.head, seen.len).filter(|_| executed) {
            Some(status) if status.cursor_exists() => self.ended(seen),
            Some(status) if status.out_parameters() => self.state = State::OutParameters,
            Some(_) | None => self.state = State::Rows,
        }
    }

    fn defined(&mut self, block: Block) {
        match block {
            Block::Result => self.state = State::Rows,
            Block::Parameters(columns, definitions) => {
                self.define(columns.into(), Block::Columns, definitions);
            }
            Block::Columns => self.finish(),
        }
    }

    fn row(&mut self, seen: &Seen<'_>) {
        match seen.head.first() {
            Some(&ERR) => self.failed(),
            Some(&END) if self.is_end(seen) => self.ended(seen),
            Some(_) | None => {}
        }
    }

    /// Whether this is the end of something, and not a row whose first column is very long.
    fn is_end(&self, seen: &Seen<'_>) -> bool {
        let most = if self.agreed.has(Capabilities::DEPRECATE_EOF) { FULL_LEN } else { EOF_MOST };
        seen.head.first() == Some(&END) && seen.len < most
    }

    /// A result is over, and its status flags say what comes next.
    fn ended(&mut self, seen: &Seen<'_>) {
        let Some(status) = Status::of(seen.head, seen.len) else {
            self.lose();
            return;
        };
        self.standing.said(status);
        let statement = self.current.statement;
        match self.current.reply {
            Reply::Executed if status.cursor_exists() => self.standing.open_cursor(statement),
            Reply::Rows if status.last_row_sent() => self.standing.close_cursor(statement),
            Reply::StatementReset => self.standing.close_cursor(statement),
            Reply::SessionReset => self.standing.forget(),
            Reply::Results
            | Reply::Executed
            | Reply::Done
            | Reply::Nod
            | Reply::Rows
            | Reply::Prepared
            | Reply::Line
            | Reply::Stream => {}
        }
        let more = status.more_results() || self.state == State::OutParameters;
        if more { self.state = State::Waiting } else { self.finish() }
    }

    /// An error ends a whole reply.
    fn failed(&mut self) {
        match self.current.reply {
            Reply::Results | Reply::Executed => self.standing.not_said(),
            Reply::Done
            | Reply::Nod
            | Reply::StatementReset
            | Reply::SessionReset
            | Reply::Prepared
            | Reply::Rows
            | Reply::Line
            | Reply::Stream => {}
        }
        self.finish();
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.ahead = VecDeque::new();
    }

    fn finish(&mut self) {
        match self.ahead.pop_front() {
            Some(command) => self.begin(command, 1),
            None => {
                self.state = State::Idle;
                self.ahead = VecDeque::new();
            }
        }
    }
}
