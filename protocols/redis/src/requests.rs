//! Finds commands in a client's stream of bytes: arrays of bulk strings, or lines ("Redis serialization protocol
//! specification", sections "Sending commands to a Redis server" and "Inline commands").
//!
//! Each octet is looked at once, and only the arguments that decide what becomes of a command are kept. Until that is
//! decided the command is held back; what has been decided is passed on as it comes, however long it is. The grammar is
//! that of the server, and in doubt stricter: two readers who disagree on where a command begins are a way to smuggle
//! one.

use attache_wire::{Fault, Passage};

use crate::command::{Arguments, Effect, MAX_NAME_LEN, Verdict, judge, judge_foreign};
use crate::inline;
use crate::options::Rules;
use crate::scan::{Digit, MAX_ARGUMENT_LEN, MAX_ARGUMENTS, Number};

/// How much of a command may be held back, in octets: the longest inline command (`PROTO_INLINE_MAX_SIZE`), and far
/// more than what decides about any other.
pub const MAX_HELD_LEN: usize = 64 * 1024;

/// Where a client's stream stands.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    state: State,
    stage: Stage,
    args: Arguments,
    /// For tests of how much work is done: one for each turn of the loop.
    #[cfg(test)]
    pub(crate) turns: u64,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Between two commands.
    #[default]
    Boundary,
    /// In a line.
    Line,
    /// In the number of arguments.
    Count(Number),
    /// In front of an argument; so many are left.
    Argument(i64),
    /// In the length of an argument; with it, so many are left.
    Length(Number, i64),
    /// In an argument of which so many octets are left, and the line end behind it.
    Body(i64, i64),
    /// In front of the carriage return behind an argument.
    Return(i64),
    /// In front of the line feed behind an argument.
    Feed(i64),
    /// In the midst of a command that makes no sense any more, and of which the beginning has been passed on.
    Broken(Rule),
}

/// The rule that was broken.
type Rule = &'static str;

/// Whether it is known what becomes of the current command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not yet: so many octets of it are held back.
    Undecided(usize),
    Decided,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Undecided(0)
    }
}

/// Whether a command is passed on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    Pass,
    Stop,
}

/// What a turn of the loop came to.
enum Turn {
    Nothing,
    /// One more argument is known, or the whole line.
    Known,
    /// A command without arguments has ended.
    Empty,
    /// The name is too long to mean anything.
    Foreign,
}

impl Requests {
    /// Whether every command that has begun has also ended.
    pub(crate) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Boundary)
    }

    /// Whether what was passed on so far is whole commands. What is held back has not been passed on.
    pub(crate) fn passed_whole(&self) -> bool {
        self.at_boundary() || self.is_undecided()
    }

    /// Why the command of which the beginning has been passed on will never end.
    pub(crate) fn broken(&self) -> Option<Fault> {
        match &self.state {
            State::Broken(rule) => Some(Fault::Malformed(rule)),
            State::Boundary
            | State::Line
            | State::Count(_)
            | State::Argument(_)
            | State::Length(..)
            | State::Body(..)
            | State::Return(_)
            | State::Feed(_) => None,
        }
    }

    /// Takes in what the client sent, behind what was held back before. Asks of each command that could be passed on
    /// whether it is.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        rules: &Rules,
        mut pass: impl FnMut(Effect) -> Ruling,
    ) -> Passage {
        let mut at = self.held();
        while at < bytes.len() {
            let (used, turn) = match self.turn(&bytes[at..]) {
                Ok(done) => done,
                Err(rule) => return self.malformed(at, rule),
            };
            at += used;
            self.hold(used);
            match self.verdict(&turn, rules) {
                Some(Verdict::Pass(effect)) => match pass(effect) {
                    Ruling::Pass => self.decide(),
                    Ruling::Stop => return self.stop(at),
                },
                Some(Verdict::Stop) => return self.stop(at),
                Some(Verdict::More) | None if self.held() > MAX_HELD_LEN => return self.stop(at),
                Some(Verdict::More) => self.args.set_judged(),
                None => {}
            }
        }
        match self.held() {
            0 => Passage::All,
            held => Passage::Hold(bytes.len() - held),
        }
    }

    /// Goes on to the end of one command, of which nothing is kept. Gives what of it these bytes hold, and
    /// whether that is the end.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let (used, turn) = self.turn(&bytes[at..]).map_err(Fault::Malformed)?;
            at += used;
            self.decide();
            if self.at_boundary() && !matches!(turn, Turn::Nothing) {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// Octets of the current command that are held back.
    fn held(&self) -> usize {
        match self.stage {
            Stage::Undecided(held) => held,
            Stage::Decided => 0,
        }
    }

    fn hold(&mut self, octets: usize) {
        if let Stage::Undecided(held) = &mut self.stage {
            *held += octets;
        }
    }

    fn decide(&mut self) {
        self.args.clear();
        self.stage = Stage::Decided;
    }

    /// The relay pauses in front of the current command, and this is to forget it.
    fn stop(&mut self, at: usize) -> Passage {
        let start = at - self.held();
        self.state = State::Boundary;
        self.decide();
        Passage::Until(start)
    }

    /// The relay pauses here, so that the commands before are answered. Whoever reads a command from its beginning in the
    /// pause will find the same.
    fn malformed(&mut self, at: usize, rule: Rule) -> Passage {
        match self.stage {
            Stage::Undecided(_) => self.stop(at),
            Stage::Decided => {
                self.state = State::Broken(rule);
                Passage::Until(at)
            }
        }
    }

    fn verdict(&self, turn: &Turn, rules: &Rules) -> Option<Verdict> {
        match (turn, self.stage) {
            (Turn::Empty, _) => Some(Verdict::Pass(Effect::Nothing)),
            (Turn::Foreign, Stage::Undecided(_)) => Some(judge_foreign(rules)),
            (Turn::Known, Stage::Undecided(_)) => Some(judge(&self.args, rules)),
            (Turn::Foreign | Turn::Known, Stage::Decided) | (Turn::Nothing, _) => None,
        }
    }

    /// Goes on by at least one octet. There is at least one.
    fn turn(&mut self, bytes: &[u8]) -> Result<(usize, Turn), Rule> {
        #[cfg(test)]
        {
            self.turns += 1;
        }
        let first = bytes[0];
        if self.at_boundary() {
            self.stage = Stage::Undecided(0);
        }
        match self.state {
            State::Boundary if first == b'*' => self.go(State::Count(Number::default())),
            State::Boundary | State::Line => return self.line(bytes),
            State::Count(number) => return self.count(number, first),
            State::Argument(left) if first == b'$' => self.go(State::Length(Number::default(), left)),
            State::Argument(_) => {
                return Err("an argument of a command that is no bulk string");
            }
            State::Length(number, left) => return self.length(number, left, first),
            State::Body(octets, left) => return Ok((self.body(bytes, octets, left), Turn::Nothing)),
            State::Return(left) if first == b'\r' => self.go(State::Feed(left)),
            State::Feed(left) if first == b'\n' => return Ok((1, self.end(left))),
            State::Return(_) | State::Feed(_) => {
                return Err("an argument of a command that is longer than it says");
            }
            State::Broken(rule) => return Err(rule),
        }
        Ok((1, Turn::Nothing))
    }

    fn go(&mut self, state: State) {
        self.state = state;
    }

    fn is_undecided(&self) -> bool {
        self.stage != Stage::Decided
    }

    /// A line is known when it is complete. A NUL would end it early for some servers.
    fn line(&mut self, bytes: &[u8]) -> Result<(usize, Turn), Rule> {
        self.state = State::Line;
        let end = bytes.iter().position(|octet| *octet == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if part.contains(&0) {
            return Err("a NUL in an inline command");
        }
        if self.is_undecided() {
            self.args.extend(part);
        }
        let Some(end) = end else { return Ok((bytes.len(), Turn::Nothing)) };
        self.state = State::Boundary;
        if !self.is_undecided() {
            return Ok((end + 1, Turn::Known));
        }
        let words = inline::split(self.args.line()).ok_or(UNBALANCED)?;
        let turn = if words.is_empty() { Turn::Empty } else { Turn::Known };
        self.args = Arguments::new(words);
        Ok((end + 1, turn))
    }

    fn count(&mut self, number: Number, octet: u8) -> Result<(usize, Turn), Rule> {
        const INVALID: Rule = "the number of a command's arguments";
        match number.push(octet).ok_or(INVALID)? {
            Digit::More(number) => self.state = State::Count(number),
            Digit::Done(count) if count > MAX_ARGUMENTS => return Err(INVALID),
            Digit::Done(count) if count <= 0 => {
                self.state = State::Boundary;
                return Ok((1, Turn::Empty));
            }
            Digit::Done(count) => {
                self.args.expect(usize::try_from(count).map_err(|_| INVALID)?);
                self.state = State::Argument(count);
            }
        }
        Ok((1, Turn::Nothing))
    }

    fn length(&mut self, number: Number, left: i64, octet: u8) -> Result<(usize, Turn), Rule> {
        const INVALID: Rule = "the length of a command's argument";
        self.state = match number.push(octet).ok_or(INVALID)? {
            Digit::More(number) => State::Length(number, left),
            Digit::Done(len) if !(0..=MAX_ARGUMENT_LEN).contains(&len) => return Err(INVALID),
            Digit::Done(0) => State::Return(left),
            Digit::Done(len) => {
                self.state = State::Body(len, left);
                let foreign = self.args.known() == 0 && len > MAX_NAME_LEN as i64;
                return Ok((1, if foreign { Turn::Foreign } else { Turn::Nothing }));
            }
        };
        Ok((1, Turn::Nothing))
    }

    fn body(&mut self, bytes: &[u8], octets: i64, left: i64) -> usize {
        let used = usize::try_from(octets).map_or(bytes.len(), |octets| octets.min(bytes.len()));
        // What is held back is bounded, and the rest of a longer argument is not needed to stop in front of it.
        if let Stage::Undecided(held) = self.stage {
            self.args.extend(&bytes[..used.min(MAX_HELD_LEN.saturating_sub(held) + 1)]);
        }
        self.state = match octets - used as i64 {
            0 => State::Return(left),
            octets => State::Body(octets, left),
        };
        used
    }

    /// An argument has ended; with it, so many were left.
    fn end(&mut self, left: i64) -> Turn {
        self.state = if left > 1 { State::Argument(left - 1) } else { State::Boundary };
        if self.is_undecided() {
            self.args.end();
            return Turn::Known;
        }
        if self.at_boundary() { Turn::Known } else { Turn::Nothing }
    }
}

pub(crate) const UNBALANCED: &str = "an inline command with unbalanced quotes";

#[cfg(test)]
mod tests;
