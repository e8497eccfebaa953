//! What is outstanding in a session, and where a client changes its user (manual, "Command Phase").
//!
//! A change of user is a login, and that one is ours: the relay pauses in front of it.

use attache_wire::{Fault, Nonce, Passage, Watch};
use bytes::Bytes;

use crate::command::Ask;
use crate::greeting::Greeting;
use crate::guard::{self, Look, MAX_CHECKED_LEN};
use crate::intent::Intent;
use crate::packet::HEADER_LEN;
use crate::relogin::Link;
use crate::reopen::{CHANGE_USER, Reopen};
use crate::reply::Replies;
use crate::scan::Scanner;

/// Follows one session from its welcome on.
#[derive(Debug)]
pub struct SessionWatch {
    client: Scanner,
    server: Scanner,
    replies: Replies,
    client_end: ClientEnd,
    /// What the client wanted of the session: what a change of user does not name stays so.
    terms: Intent,
    link: Link,
    guard: Guard,
}

/// Whether statements are looked at before they are passed on.
#[derive(Debug)]
enum Guard {
    Off,
    /// With what goes in place of the command that was dropped last.
    On(Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientEnd {
    Open,
    Left,
}

impl SessionWatch {
    /// `read_only` looks at every statement.
    pub(crate) fn new(intent: &Intent, greeting: &Greeting, read_only: bool) -> Self {
        Self {
            client: Scanner::default(),
            server: Scanner::default(),
            replies: Replies::new(greeting.capabilities),
            client_end: ClientEnd::Open,
            terms: Intent { database: None, attributes: Vec::new(), ..intent.clone() },
            link: greeting.link(),
            guard: if read_only { Guard::On(Bytes::new()) } else { Guard::Off },
        }
    }

    /// Hears the change of user that waits behind what was passed on.
    pub(crate) fn reopen(&self, nonce: Nonce) -> Reopen {
        Reopen::new(self.terms.clone(), nonce)
    }

    /// The server's side of the session as the last login left it.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// The user was changed: the session is a new one on the same links.
    pub(crate) fn renew(&mut self, intent: &Intent, greeting: &Greeting) {
        *self = Self::new(intent, greeting, matches!(self.guard, Guard::On(_)));
    }

    /// A command is recognised by its first octet. While that is not there, nothing of it is passed on.
    fn held(&self, bytes: &[u8]) -> Result<Held, Fault> {
        if !self.client.at_boundary() || !self.replies.takes_commands() {
            return Ok(Held::Nothing);
        }
        match bytes {
            [0, 0, 0, _, ..] => Ok(Held::Nothing),
            [_, _, _, _, CHANGE_USER, ..] if !self.replies.can_be_followed() => Err(Fault::Unsupported(
                "a change of user where it is not known which commands are still to be answered",
            )),
            [_, _, _, _, CHANGE_USER, ..] => Ok(Held::ChangeOfUser),
            bytes if bytes.len() <= HEADER_LEN => Ok(Held::Header),
            bytes => self.examined(bytes),
        }
    }

    fn examined(&self, bytes: &[u8]) -> Result<Held, Fault> {
        let Guard::On(_) = self.guard else { return Ok(Held::Nothing) };
        match guard::look(bytes, self.link.capabilities) {
            Look::Harmless => Ok(Held::Nothing),
            Look::Incomplete => Ok(Held::Header),
            Look::Refused(dropped, instead) => Ok(Held::Refused(dropped, instead)),
            Look::TooLong => Err(Fault::TooLong(MAX_CHECKED_LEN)),
        }
    }

    /// What goes in place of a command is answered as commands are.
    fn replace(&mut self, instead: Bytes) {
        let mut bytes = &instead[..];
        if let Some(seen) = self.client.next(&mut bytes) {
            self.replies.asked(&seen);
        }
        self.guard = Guard::On(instead);
    }
}

/// What of the client's next bytes is not passed on yet.
enum Held {
    Nothing,
    /// What is there of a header, or of a statement that has to be whole.
    Header,
    /// A packet of this length, in whose place something else goes.
    Refused(usize, Bytes),
    ChangeOfUser,
}

impl Watch for SessionWatch {
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let passed = bytes.len() - rest.len();
            match self.held(rest)? {
                Held::Nothing => {}
                Held::Header => return Ok(Passage::Hold(passed)),
                Held::ChangeOfUser => return Ok(Passage::Until(passed)),
                Held::Refused(dropped, instead) => {
                    self.replace(instead);
                    return Ok(Passage::Instead { passed, dropped });
                }
            }
            if let Some(seen) = self.client.next(&mut rest)
                && self.replies.asked(&seen) == Ask::Quit
            {
                self.client_end = ClientEnd::Left;
            }
        }
        Ok(Passage::All)
    }

    fn in_place(&mut self) -> Bytes {
        match &mut self.guard {
            Guard::Off => Bytes::new(),
            Guard::On(instead) => std::mem::take(instead),
        }
    }

    fn from_server(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while let Some(seen) = self.server.next(&mut bytes) {
            self.replies.answered(&seen)?;
        }
        Ok(())
    }

    fn may_speak(&self) -> bool {
        self.server.at_boundary() && self.replies.may_speak() && !self.client_left()
    }

    fn quiet(&self) -> bool {
        self.answered() && self.replies.holds_nothing()
    }

    fn answered(&self) -> bool {
        self.client.at_boundary() && self.server.at_boundary() && self.replies.is_idle()
    }

    fn client_left(&self) -> bool {
        self.client_end == ClientEnd::Left
    }

    fn next_number(&self) -> u8 {
        self.replies.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_costs_little() {
        assert!(size_of::<SessionWatch>() <= 384, "{} octets", size_of::<SessionWatch>());
    }
}
