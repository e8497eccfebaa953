//! Whether a server takes writes, asked with a query (manual, "COM_QUERY", "Text Resultset").
//!
//! `super_read_only` sets `read_only` too, and readers of Aurora say `innodb_read_only`. The question goes over the
//! link that was just logged in, before the client has it. A server that cannot answer has an unknown role: that is
//! no error here.

use attache_wire::{Fault, ServerRole};
use bytes::BytesMut;

use crate::capabilities::Capabilities;
use crate::field::take_text;
use crate::packet::{self, Packet};
use crate::rejection::ERR;

const QUESTION: &[u8] = b"select @@global.read_only, @@global.innodb_read_only";
const COLUMNS: u8 = 2;
const COM_QUERY: u8 = 0x03;
/// With query attributes: there are none, in one set.
const NO_ATTRIBUTES: &[u8] = &[0, 1];
/// What ends columns and rows begins with it; as the first octet of a row it would mean 16 MiB.
const EOF: u8 = 0xfe;
/// Where a client may do without the columns: here they are.
const METADATA_FOLLOWS: u8 = 1;

/// One question, and how much of its answer is there.
#[derive(Debug)]
pub(crate) struct RoleQuery {
    capabilities: Capabilities,
    state: State,
    sequence: u8,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Asked,
    /// So many columns are still to be described.
    Described(u8),
    /// All columns are; an EOF ends them.
    Columns,
    /// The row is to come.
    Row,
    /// The row has come.
    Told(Option<ServerRole>),
}

impl RoleQuery {
    pub(crate) fn ask(capabilities: Capabilities, out: &mut BytesMut) -> Self {
        let attributes = if capabilities.has(Capabilities::QUERY_ATTRIBUTES) { NO_ATTRIBUTES } else { &[] };
        packet::put(out, 0, &[&[COM_QUERY], attributes, QUESTION]);
        Self { capabilities, state: State::Asked, sequence: 1 }
    }

    /// Takes in one packet of the answer; returns what it came to if it was the last.
    pub(crate) fn hear(&mut self, packet: &Packet) -> Result<Option<Option<ServerRole>>, Fault> {
        if packet.sequence != self.sequence {
            return Err(FORM);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let payload = &packet.payload[..];
        self.state = match (self.state, payload) {
            (State::Asked | State::Row | State::Told(_), [ERR, ..]) => return Ok(Some(None)),
            (State::Asked, payload) if self.is_count(payload) => State::Described(COLUMNS),
            (State::Described(1), [3, ..]) if self.capabilities.has(Capabilities::DEPRECATE_EOF) => {
                State::Row
            }
            (State::Described(1), [3, ..]) => State::Columns,
            (State::Described(left), [3, ..]) => State::Described(left - 1),
            (State::Columns, [EOF, _, _, _, _]) => State::Row,
            (State::Row, row) => State::Told(told(row)?),
            (State::Told(role), [EOF, ..]) => return Ok(Some(role)),
            (State::Asked | State::Described(_) | State::Columns | State::Told(_), _) => return Err(FORM),
        };
        Ok(None)
    }

    /// Whether columns follow is told behind their number, whatever MySQL's manual says.
    fn is_count(&self, payload: &[u8]) -> bool {
        let optional = Capabilities::OPTIONAL_RESULTSET_METADATA | Capabilities::CACHE_METADATA;
        match self.capabilities & optional == Capabilities::NONE {
            true => payload == [COLUMNS],
            false => payload == [COLUMNS, METADATA_FOLLOWS],
        }
    }
}

/// Two texts. One that is on is enough for a replica.
fn told(mut row: &[u8]) -> Result<Option<ServerRole>, Fault> {
    let read_only = take_text(&mut row).map(is_on).ok_or(FORM)?;
    let innodb = take_text(&mut row).filter(|_| row.is_empty()).map(is_on).ok_or(FORM)?;
    Ok(match (read_only, innodb) {
        (Some(true), _) | (_, Some(true)) => Some(ServerRole::Replica),
        (Some(false), Some(false)) => Some(ServerRole::Primary),
        (None, _) | (_, None) => None,
    })
}

/// A number; or a word, of which MariaDB has two more since `read_only` has degrees.
fn is_on(value: &[u8]) -> Option<bool> {
    match value.to_ascii_uppercase().as_slice() {
        b"0" | b"OFF" => Some(false),
        b"1" | b"2" | b"3" | b"ON" | b"NO_LOCK" | b"NO_LOCK_NO_ADMIN" => Some(true),
        _ => None,
    }
}

const FORM: Fault = Fault::Malformed("the answer to a question for read_only is not one row of two values");
