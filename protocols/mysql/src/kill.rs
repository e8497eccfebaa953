//! KILL, where clients know sessions by ids of ours (manual, "KILL Statement", "COM_PROCESS_KILL").
//!
//! A client that is greeted before it is known which link it will have gets an id that no server gives, and a link that
//! is reused has another one for each of its sessions. So KILL with such an id is for us: it goes to the server with the
//! id that the session's link has there, or as it is if there is no such session any more. With any other id it is passed
//! on untouched, and so is a KILL that is not written in the usual way: the server says then that it knows no such thread.

use attache_wire::{Fault, Machine, Step, Turn};
use bytes::BytesMut;

use crate::attributes;
use crate::capabilities::Capabilities;
use crate::greeting::Greeting;
use crate::login::MAX_LOGIN_PACKET_LEN;
use crate::packet::{self, HEADER_LEN};
use crate::relogin::Link;

/// Ids of ours begin with these bits: positive for clients that take them for signed, and as far from those of servers,
/// which count from one, as that allows.
const OURS: u32 = 0x7000_0000;
const MARK: u32 = 0xf000_0000;
/// The longest command that is looked at, in octets. `KILL CONNECTION` and an id take 26.
const MAX_KILL_LEN: usize = 64;
const QUERY: u8 = 0x03;
pub(crate) const PROCESS_KILL: u8 = 0x0c;
/// Words between the first one and the id; some are MariaDB's.
const WORDS: [&[u8]; 5] = [b"query", b"connection", b"hard", b"soft", b"id"];

/// The id for a client, made of a number that no other session has.
pub(crate) fn id_of(number: u32) -> u32 {
    OURS | (number & !MARK)
}

/// Whether a client that was told this id may use it, or another one like it, in a KILL.
pub(crate) fn is_ours(id: u32) -> bool {
    id & MARK == OURS
}

/// A command that ends another session, or what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kill {
    id: u32,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Command,
    /// A statement: what stands before the id, and behind it.
    Statement(Vec<u8>, Vec<u8>),
}

/// What a client's next bytes are, from the header of a packet on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A KILL with an id of ours.
    Kill,
    /// What may become one.
    Perhaps,
    Other,
}

impl Sight {
    pub(crate) fn of(bytes: &[u8], agreed: Capabilities) -> Self {
        let Some((&[low, middle, high, _], payload)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Self::Perhaps;
        };
        let len = u32::from_le_bytes([low, middle, high, 0]) as usize;
        match payload.get(..len) {
            _ if len > MAX_KILL_LEN => Self::Other,
            Some(payload) if Kill::parse(payload, agreed).is_some() => Self::Kill,
            None if may_become_one(payload, agreed) => Self::Perhaps,
            Some(_) | None => Self::Other,
        }
    }
}

fn may_become_one(payload: &[u8], agreed: Capabilities) -> bool {
    let wanted = [&[QUERY], attributes::prefix(agreed), b"kill"].concat();
    let both = payload.len().min(wanted.len());
    payload.first() == Some(&PROCESS_KILL) || payload[..both].eq_ignore_ascii_case(&wanted[..both])
}

impl Kill {
    /// Of a whole command that names an id of ours.
    pub(crate) fn parse(payload: &[u8], agreed: Capabilities) -> Option<Self> {
        let (command, rest) = payload.split_first()?;
        let kill = match *command {
            PROCESS_KILL => Self { id: u32::from_le_bytes(rest.try_into().ok()?), form: Form::Command },
            QUERY => Self::statement(payload, rest.strip_prefix(attributes::prefix(agreed))?)?,
            _ => return None,
        };
        is_ours(kill.id).then_some(kill)
    }

    /// `text` is the end of `payload`.
    fn statement(payload: &[u8], text: &[u8]) -> Option<Self> {
        let mut rest = text;
        if !word(&mut rest).eq_ignore_ascii_case(b"kill") {
            return None;
        }
        let digits = loop {
            match word(&mut rest) {
                known if WORDS.iter().any(|it| known.eq_ignore_ascii_case(it)) => {}
                other => break other,
            }
        };
        let after = rest.len();
        if !rest.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b';') {
            return None;
        }
        let id = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let before = payload.len() - after - digits.len();
        Some(Self {
            id,
            form: Form::Statement(payload[..before].to_vec(), payload[payload.len() - after..].to_vec()),
        })
    }

    pub(crate) fn ticket(&self) -> Vec<u8> {
        ticket(self.id)
    }

    /// The same with another id.
    pub(crate) fn aimed(self, ticket: &[u8]) -> Self {
        let id = ticket.try_into().map_or(self.id, u32::from_le_bytes);
        Self { id, ..self }
    }

    fn put(&self, out: &mut BytesMut) {
        match &self.form {
            Form::Command => packet::put(out, 0, &[&[PROCESS_KILL], &self.id.to_le_bytes()]),
            Form::Statement(before, after) => {
                packet::put(out, 0, &[before, self.id.to_string().as_bytes(), after]);
            }
        }
    }
}

/// How an id is written where sessions are looked up.
pub(crate) fn ticket(id: u32) -> Vec<u8> {
    id.to_le_bytes().to_vec()
}

/// Takes blanks and one word off the front.
fn word<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let begun = text.trim_ascii_start();
    let end = begun.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(begun.len());
    let (word, rest) = begun.split_at(end);
    *text = rest;
    word
}

/// Passes a KILL on, and comes back with the server's answer: an OK or an error.
#[derive(Debug)]
pub(crate) struct Order {
    kill: Kill,
    link: Link,
    state: State,
}

#[derive(Debug)]
enum State {
    Ask,
    Listen,
}

impl Order {
    pub(crate) fn new(kill: Kill, link: Link) -> Self {
        Self { kill, link, state: State::Ask }
    }
}

impl Machine for Order {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        match self.state {
            State::Ask => {
                self.kill.put(turn.output);
                self.state = State::Listen;
                Ok(Step::Read)
            }
            State::Listen => {
                let answer = packet::next(turn.input, MAX_LOGIN_PACKET_LEN)?;
                Ok(answer.map_or(Step::Read, |answer| Step::Done(self.link.greeting(answer.payload))))
            }
        }
    }

    fn limit(&self) -> usize {
        MAX_LOGIN_PACKET_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Capabilities = Capabilities::NONE;

    fn aimed(payload: &[u8], agreed: Capabilities) -> Option<Vec<u8>> {
        let kill = Kill::parse(payload, agreed)?;
        let mut out = BytesMut::new();
        kill.aimed(&ticket(42)).put(&mut out);
        Some(out[HEADER_LEN..].to_vec())
    }

    #[test]
    fn the_id_is_replaced_and_nothing_else() {
        for (asked, expected) in [
            (&b"\x03KILL QUERY 1879048193"[..], &b"\x03KILL QUERY 42"[..]),
            (b"\x03kill 1879048193;", b"\x03kill 42;"),
            (b"\x03 Kill\tConnection  1879048193 ; ", b"\x03 Kill\tConnection  42 ; "),
            (b"\x03KILL SOFT QUERY 1879048193", b"\x03KILL SOFT QUERY 42"),
            (b"\x0c\x01\0\0\x70", b"\x0c\x2a\0\0\0"),
        ] {
            assert_eq!(aimed(asked, PLAIN).as_deref(), Some(expected), "{}", asked.escape_ascii());
        }
        let attributes = b"\x03\0\x01KILL QUERY 1879048193";
        let expected = &b"\x03\0\x01KILL QUERY 42"[..];
        assert_eq!(aimed(attributes, Capabilities::QUERY_ATTRIBUTES).as_deref(), Some(expected));
    }

    #[test]
    fn everything_else_is_left_alone() {
        for other in [
            &b""[..],
            b"\x03KILL QUERY 42",
            b"\x03KILL QUERY 4294967297",
            b"\x03KILL USER 1879048193",
            b"\x03KILL QUERY 1879048193 + 1",
            b"\x03KILL QUERY 1879048193; select 1",
            b"\x03/* why */ KILL 1879048193",
            b"\x03select 1879048193",
            b"\x0c\x2a\0\0\0",
            b"\x0c\x01\0\0\x70\0",
            b"\x16KILL 1879048193",
        ] {
            assert_eq!(aimed(other, PLAIN), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn it_is_seen_as_soon_as_it_is_there() {
        let whole = b"\x16\0\0\0\x03KILL QUERY 1879048193";
        assert_eq!(Sight::of(whole, PLAIN), Sight::Kill);
        assert_eq!(Sight::of(&[&whole[..], b"\x01"].concat(), PLAIN), Sight::Kill);
        for len in 0..whole.len() {
            assert_eq!(Sight::of(&whole[..len], PLAIN), Sight::Perhaps, "{len}");
        }
        for other in
            [&b"\x09\0\0\0\x03select 1"[..], b"\x09\0\0\0\x03k.", b"\xff\0\0\0\x03kill", b"\x01\0\0\0\x0e"]
        {
            assert_eq!(Sight::of(other, PLAIN), Sight::Other, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn ids_of_ours_are_no_servers_and_positive() {
        for number in [0, 1, 0x0fff_ffff, 0x1000_0000, u32::MAX] {
            assert!(is_ours(id_of(number)) && id_of(number) < 1 << 31, "{number}");
        }
        assert!(!is_ours(42) && !is_ours(u32::MAX));
    }
}
