//! Reads the one command for which the relay has paused.

use attache_wire::{Fault, Machine, Step, Turn};
use redis_protocol::resp2::types::OwnedFrame;

use crate::command::Arguments;
use crate::frame;
use crate::inline;
use crate::intent::Intent;
use crate::options::Rules;
use crate::requests::{MAX_HELD_LEN, Requests, UNBALANCED};

/// Reads a command to its end, and no further. Of one whose beginning has been passed on there is nothing to read.
#[derive(Debug)]
pub(crate) struct Reopen {
    rules: Rules,
    broken: Option<Fault>,
    scanner: Requests,
    looked_at: usize,
}

impl Reopen {
    pub(crate) fn new(rules: Rules, broken: Option<Fault>) -> Self {
        Self { rules, broken, scanner: Requests::default(), looked_at: 0 }
    }
}

impl Machine for Reopen {
    type Output = Intent;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Intent>, Fault> {
        if let Some(fault) = &self.broken {
            return Err(fault.clone());
        }
        let (used, is_end) = self.scanner.skip(&turn.input[self.looked_at..])?;
        self.looked_at += used;
        if !is_end {
            return Ok(Step::Read);
        }
        let args = arguments(&turn.input[..self.looked_at])?;
        let command = turn.input.split_to(self.looked_at).freeze();
        Ok(Step::Done(Intent::of(command, &args, &self.rules)))
    }

    /// What can be held back, and as much again where a command began in front of it.
    fn limit(&self) -> usize {
        2 * MAX_HELD_LEN
    }
}

/// The arguments of a command that is complete.
fn arguments(command: &[u8]) -> Result<Arguments, Fault> {
    const BULKS: Fault = Fault::Malformed("a command that is no array of bulk strings");
    if command.first() != Some(&b'*') {
        let line = command.strip_suffix(b"\n").unwrap_or(command);
        return Ok(Arguments::new(inline::split(line).ok_or(Fault::Malformed(UNBALANCED))?));
    }
    let bulk = |element| match element {
        OwnedFrame::BulkString(octets) => Some(octets),
        OwnedFrame::SimpleString(_)
        | OwnedFrame::Error(_)
        | OwnedFrame::Integer(_)
        | OwnedFrame::Array(_)
        | OwnedFrame::Null => None,
    };
    let all: Option<Vec<_>> = frame::elements(command).ok_or(BULKS)?.into_iter().map(bulk).collect();
    all.map(Arguments::new).ok_or(BULKS)
}

#[cfg(test)]
mod tests {
    use attache_wire::testing::run_every_split;

    use super::*;
    use crate::options::Options;

    fn read(said: &[u8]) -> (Result<Option<Intent>, Fault>, Vec<u8>) {
        let rules = Rules::new(&Options::default());
        let run = run_every_split(|| Reopen::new(rules.clone(), None), &[said], None);
        assert!(run.output.is_empty());
        (run.end, run.unread)
    }

    #[test]
    fn one_command_is_read_in_either_form_and_the_rest_left() {
        for said in
            ["*2\r\n$4\r\nAuTh\r\n$1\r\nx\r\nPING\r\n", "auth x\r\nPING\r\n", " \"AUTH\" u 'p q'\nPING\r\n"]
        {
            assert_eq!(read(said.as_bytes()), (Ok(Some(Intent::Auth)), b"PING\r\n".to_vec()), "{said}");
        }
        assert_eq!(read(b"RESET\r\n").0, Ok(Some(Intent::Reset)));
        assert_eq!(read(b"CONFIG GET *\r\n").0, Ok(Some(Intent::Refused("config|get"))));
        assert!(matches!(read(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n").0, Ok(Some(Intent::Hello(_)))));
        assert_eq!(read(b"*2\r\n$4\r\nAUTH\r\n$1\r\n").0, Ok(None));
    }

    #[test]
    fn what_is_no_command_is_named() {
        for said in
            [&b"AUTH 'x\r\n"[..], b"*1\r\n+AUTH\r\n", b"*2\r\n$4\r\nAUTHX", b"*x\r\n", b"AU\0TH x\r\n"]
        {
            assert!(
                matches!(read(said).0, Err(Fault::Malformed(_))),
                "{:?}",
                said.escape_ascii().to_string()
            );
        }
    }
}
