//! Whether a server is a primary, asked with a query (section "Simple Query").
//!
//! Servers before version 14 do not say it at login. The question goes over the link that was just logged
//! in, before the client has it; of question and answer the client hears nothing. A server that cannot
//! answer has an unknown role: that is no error here.

use attache_wire::{Fault, ServerRole};
use bytes::BytesMut;

use crate::frame::{self, Frame, take_string, take_u32};

/// The schema is named, because the search path is somebody else's. A recovering server follows a primary.
const QUESTION: &[u8] = b"select pg_catalog.pg_is_in_recovery()\0";

/// One question, and how much of its answer is there.
#[derive(Debug)]
pub(crate) struct RoleQuery(State);

#[derive(Debug)]
enum State {
    Asked,
    /// RowDescription has come, of one column.
    Described,
    /// The one row has come.
    Told(ServerRole),
    /// CommandComplete has come.
    Complete(ServerRole),
    /// ErrorResponse has come in place of an answer.
    Refused,
}

impl RoleQuery {
    pub(crate) fn ask(out: &mut BytesMut) -> Self {
        frame::put(out, b'Q', &[QUESTION]);
        Self(State::Asked)
    }

    /// Takes in one message of the answer; returns whether it was the last.
    pub(crate) fn hear(&mut self, frame: &Frame) -> Result<bool, Fault> {
        self.0 = match (&self.0, frame.tag()) {
            (State::Asked, b'T') => described(frame.body())?,
            (State::Described, b'D') => State::Told(told(frame.body())?),
            (State::Told(role), b'C') if is_one_row(frame.body()) => State::Complete(*role),
            (State::Asked | State::Described | State::Told(_), b'E') => State::Refused,
            (State::Complete(_) | State::Refused, b'Z') if frame.body() == b"I" => return Ok(true),
            _ => return Err(Fault::Malformed("the answer to pg_is_in_recovery() is out of order")),
        };
        Ok(false)
    }

    /// What the answer came to, once it is over.
    pub(crate) fn role(&self) -> Option<ServerRole> {
        match self.0 {
            State::Complete(role) => Some(role),
            State::Asked | State::Described | State::Told(_) | State::Refused => None,
        }
    }
}

/// RowDescription: the number of columns, then each with a name and 18 octets of numbers, of which the last
/// two are its format: text.
fn described(mut body: &[u8]) -> Result<State, Fault> {
    const NUMBERS_LEN: usize = 18;
    let is_one = body.split_off(..2) == Some(&[0, 1][..]);
    let is_text = take_string(&mut body).is_some() && body.len() == NUMBERS_LEN && body.ends_with(&[0, 0]);
    if is_one && is_text { Ok(State::Described) } else { Err(FORM) }
}

/// DataRow: the number of values, then each with its length.
fn told(mut body: &[u8]) -> Result<ServerRole, Fault> {
    let is_one = body.split_off(..2) == Some(&[0, 1][..]);
    match (is_one, take_u32(&mut body), body) {
        (true, Some(1), b"t") => Ok(ServerRole::Replica),
        (true, Some(1), b"f") => Ok(ServerRole::Primary),
        _ => Err(FORM),
    }
}

fn is_one_row(body: &[u8]) -> bool {
    body == b"SELECT 1\0"
}

const FORM: Fault = Fault::Malformed("the answer to pg_is_in_recovery() is not one row with t or f");
