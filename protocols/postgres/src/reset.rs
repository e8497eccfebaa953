//! A link is made as it was after its login (command "DISCARD ALL").
//!
//! That takes away settings, roles, temporary tables, prepared statements, cursors, LISTEN, advisory locks, plans
//! and the last values of sequences. The answer has to be exactly that of these commands: anything else means that
//! somebody still waited for a reply, and the link is not used again.
//!
//! A time limit that the session has set would also hold for the command, and one that runs out in its last moment
//! strikes at the next statement of the link: at somebody else's. So the limits are lifted first.

use attache_wire::{Fault, Machine, Step, Turn};

use crate::frame::{self, Frame, take_string};
use crate::greeting::{Greeting, MAX_GREETING_LEN};
use crate::login::MAX_LOGIN_FRAME_LEN;
use crate::rejection::rejection;
use crate::reported::Value;

const LIFT: &[u8] = b"reset all; set statement_timeout to 0\0";
const DISCARD: &[u8] = b"DISCARD ALL\0";

/// Resets a link, and comes back with the greeting for the next client.
pub(crate) struct Reset {
    /// As it was before the session, brought up to date.
    greeting: Greeting,
    /// Parameters whose value of now is not known.
    unknown: Vec<Vec<u8>>,
    received: usize,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Ask,
    /// The commands were sent.
    Asked,
    /// Settings have their first values again.
    Reset,
    /// There is no time limit any more.
    Unlimited,
    /// That is over, and everything is being discarded.
    Discarding,
    /// Everything is discarded.
    Discarded,
    /// ReadyForQuery has come.
    Ready,
}

impl Reset {
    /// `reported` is what the server has reported since `greeting`.
    pub(crate) fn new(greeting: Greeting, reported: &[(Vec<u8>, Value)]) -> Self {
        let mut reset = Self { greeting, unknown: Vec::new(), received: 0, state: State::Ask };
        for (name, value) in reported {
            match value {
                Value::Known(value) => reset.greeting.report(name, value),
                Value::TooLong => reset.unknown.push(name.clone()),
            }
        }
        reset
    }

    fn hear(&mut self, frame: Frame) -> Result<(), Fault> {
        self.received += frame.as_bytes().len();
        if self.received > MAX_GREETING_LEN {
            return Err(Fault::TooLong(MAX_GREETING_LEN));
        }
        self.state = match (self.state, frame.tag(), frame.body()) {
            (_, b'S', _) => return self.update(&frame),
            // Notices, and notifications for whoever has just left.
            (_, b'N' | b'A', _) => return Ok(()),
            (_, b'E', _) => return Err(rejection(frame, None)),
            (State::Asked, b'C', b"RESET\0") => State::Reset,
            (State::Reset, b'C', b"SET\0") => State::Unlimited,
            (State::Unlimited, b'Z', b"I") => State::Discarding,
            (State::Discarding, b'C', DISCARD) => State::Discarded,
            (State::Discarded, b'Z', b"I") => State::Ready,
            _ => return Err(Fault::Malformed("the answer to DISCARD ALL is another one's")),
        };
        Ok(())
    }

    fn update(&mut self, frame: &Frame) -> Result<(), Fault> {
        let mut body = frame.body();
        match (take_string(&mut body), take_string(&mut body)) {
            (Some(name), Some(value)) if body.is_empty() => {
                self.unknown.retain(|unknown| unknown != name);
                self.greeting.report(name, value);
                Ok(())
            }
            _ => Err(Fault::Malformed("ParameterStatus is not a name and a value")),
        }
    }

    fn done(&mut self) -> Result<Step<Greeting>, Fault> {
        match self.unknown.is_empty() {
            true => Ok(Step::Done(std::mem::take(&mut self.greeting))),
            false => Err(Fault::Unsupported("a parameter whose value is too long to be followed")),
        }
    }
}

impl Machine for Reset {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        if matches!(self.state, State::Ask) {
            // Whatever comes before the question is no answer to it.
            if !turn.input.is_empty() {
                return Err(Fault::EarlyData);
            }
            frame::put(turn.output, b'Q', &[LIFT]);
            frame::put(turn.output, b'Q', &[DISCARD]);
            self.state = State::Asked;
        }
        while let Some(frame) = frame::next(turn.input, MAX_LOGIN_FRAME_LEN)? {
            self.hear(frame)?;
            if matches!(self.state, State::Ready) {
                return self.done();
            }
        }
        Ok(Step::Read)
    }

    fn limit(&self) -> usize {
        MAX_LOGIN_FRAME_LEN
    }
}
