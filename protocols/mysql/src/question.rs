//! A question on the new link, before the client has it: a query of one row (manual, "COM_QUERY", "Text Resultset").
//!
//! A server that answers with an error has not told; that is no error here.

use std::ops::RangeInclusive;

use attache_wire::Fault;
use bytes::BytesMut;

use crate::attributes;
use crate::capabilities::Capabilities;
use crate::field::take_text;
use crate::packet::{self, Packet};
use crate::rejection::ERR;

const COM_QUERY: u8 = 0x03;
/// What ends columns and rows begins with it; as the first octet of a row it would mean 16 MiB.
const EOF: u8 = 0xfe;
/// Where a client may do without the columns: here they are.
const METADATA_FOLLOWS: u8 = 1;
/// In place of a value: there is none.
const NULL: u8 = 0xfb;

/// How a question is put.
#[derive(Debug)]
pub(crate) struct Wording {
    pub(crate) sql: &'static str,
    /// How many columns the answer may have.
    pub(crate) columns: RangeInclusive<u8>,
}

/// The values of a row.
pub(crate) type Row = Vec<Option<Vec<u8>>>;

/// One question, and how much of its answer is there.
#[derive(Debug)]
pub(crate) struct Question {
    capabilities: Capabilities,
    state: State,
    /// How many the answer may have.
    expected: RangeInclusive<u8>,
    columns: u8,
    sequence: u8,
}

#[derive(Debug)]
enum State {
    Asked,
    /// So many columns are still to be described.
    Described(u8),
    /// All columns are; an EOF ends them.
    Columns,
    /// The row is to come.
    Row,
    /// The row has come.
    Told(Row),
}

/// Appends a statement as this link has it.
pub(crate) fn put(sql: &[u8], capabilities: Capabilities, out: &mut BytesMut) {
    packet::put(out, 0, &[&[COM_QUERY], attributes::prefix(capabilities), sql]);
}

impl Question {
    pub(crate) fn ask(wording: &Wording, capabilities: Capabilities, out: &mut BytesMut) -> Self {
        put(wording.sql.as_bytes(), capabilities, out);
        let expected = wording.columns.clone();
        Self { capabilities, state: State::Asked, expected, columns: 0, sequence: 1 }
    }

    /// Takes in one packet of the answer; returns what it came to if it was the last.
    pub(crate) fn hear(&mut self, packet: &Packet) -> Result<Option<Option<Row>>, Fault> {
        if packet.sequence != self.sequence {
            return Err(FORM);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let payload = &packet.payload[..];
        self.state = match (std::mem::replace(&mut self.state, State::Asked), payload) {
            (State::Asked | State::Row | State::Told(_), [ERR, ..]) => return Ok(Some(None)),
            (State::Asked, payload) => {
                self.columns = self.count(payload).ok_or(FORM)?;
                State::Described(self.columns)
            }
            (State::Described(1), [3, ..]) if self.capabilities.has(Capabilities::DEPRECATE_EOF) => {
                State::Row
            }
            (State::Described(1), [3, ..]) => State::Columns,
            (State::Described(left), [3, ..]) => State::Described(left - 1),
            (State::Columns, [EOF, _, _, _, _]) => State::Row,
            (State::Row, row) => State::Told(self.row(row).ok_or(FORM)?),
            (State::Told(row), [EOF, ..]) => return Ok(Some(Some(row))),
            (State::Described(_) | State::Columns | State::Told(_), _) => return Err(FORM),
        };
        Ok(None)
    }

    /// Whether columns follow is told behind their number, whatever MySQL's manual says.
    fn count(&self, payload: &[u8]) -> Option<u8> {
        let optional = Capabilities::OPTIONAL_RESULTSET_METADATA | Capabilities::CACHE_METADATA;
        let count = match (self.capabilities & optional == Capabilities::NONE, payload) {
            (true, [count]) | (false, [count, METADATA_FOLLOWS]) => *count,
            _ => return None,
        };
        self.expected.contains(&count).then_some(count)
    }

    fn row(&self, mut row: &[u8]) -> Option<Row> {
        let mut value = || {
            if row.first() == Some(&NULL) {
                row = &row[1..];
                return Some(None);
            }
            take_text(&mut row).map(|value| Some(value.to_vec()))
        };
        let values = (0..self.columns).map(|_| value()).collect::<Option<Row>>()?;
        row.is_empty().then_some(values)
    }
}

const FORM: Fault = Fault::Malformed("the answer to a question on a new link is not one row");
