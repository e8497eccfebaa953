//! A link is made as it was after its login (manual, "COM_RESET_CONNECTION").
//!
//! That takes away a transaction, temporary tables, locks, prepared statements, user variables, and the values of
//! system variables. What it leaves is brought back by statements ([`Start`]), and the database by COM_INIT_DB: one that
//! was not there cannot be left again, and ends the link. Each command is answered by one OK, or the link is not used
//! again; everything is sent at once.

use attache_wire::{Fault, Machine, Step, Turn};

use crate::capabilities::Capabilities;
use crate::greeting::Greeting;
use crate::packet::{self, Packet};
use crate::question;
use crate::start::Start;
use crate::status::Status;

const RESET_CONNECTION: u8 = 0x1f;
const INIT_DB: u8 = 0x02;
const OK: u8 = 0x00;
/// The longest answer, in octets: an OK with changes of the session, or an error.
const MAX_ANSWER_LEN: usize = 16 * 1024;
/// Changes nothing, and fails where there is a database: no collation has such a name.
const NO_DATABASE: &[u8] = b"SET collation_connection=IF(DATABASE() IS NULL,@@collation_connection,'?')";

const FORM: Fault = Fault::Malformed("a reset was not answered with an OK for each of its commands");

/// Resets a link.
#[derive(Debug)]
pub(crate) struct Reset {
    state: State,
}

#[derive(Debug)]
enum State {
    Used(Greeting, Start),
    /// So many answers are still to come.
    Resetting(Greeting, usize),
    /// Over.
    Done,
}

impl Reset {
    pub(crate) fn new(greeting: Greeting, start: Start) -> Self {
        Self { state: State::Used(greeting, start) }
    }
}

/// Everything at once. Returns how many commands that is.
fn ask(database: &[u8], start: &Start, capabilities: Capabilities, turn: &mut Turn<'_>) -> usize {
    packet::put(turn.output, 0, &[&[RESET_CONNECTION]]);
    for statement in &start.statements {
        question::put(statement, capabilities, turn.output);
    }
    match database {
        [] => question::put(NO_DATABASE, capabilities, turn.output),
        database => packet::put(turn.output, 0, &[&[INIT_DB], database]),
    }
    start.statements.len() + 2
}

fn check(packet: &Packet) -> Result<(), Fault> {
    let payload = &packet.payload[..];
    let is_end = |status: Status| !status.more_results() && !status.in_transaction();
    let is_ok = packet.sequence == 1 && payload.first() == Some(&OK);
    if is_ok && Status::of(payload, payload.len()).is_some_and(is_end) { Ok(()) } else { Err(FORM) }
}

impl Machine for Reset {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        let (greeting, mut left) = match std::mem::replace(&mut self.state, State::Done) {
            // Words that nobody asked for: somebody still waited for them.
            State::Used(..) if !turn.input.is_empty() => return Err(FORM),
            State::Used(greeting, start) => {
                let left = ask(&greeting.database, &start, greeting.capabilities, turn);
                (greeting, left)
            }
            State::Resetting(greeting, left) => (greeting, left),
            State::Done => return Err(FORM),
        };
        while let Some(packet) = packet::next(turn.input, MAX_ANSWER_LEN)? {
            check(&packet)?;
            left -= 1;
            if left == 0 {
                return Ok(Step::Done(greeting));
            }
        }
        self.state = State::Resetting(greeting, left);
        Ok(Step::Read)
    }

    fn limit(&self) -> usize {
        MAX_ANSWER_LEN
    }
}
