//! What is outstanding in a session, and where a client changes its user (manual, "Command Phase").
//!
//! A change of user is a login, and that one is ours: the relay pauses in front of it. So it does in front of a KILL that
//! names a session by an id of ours.

use attache_sql::MAX_CHECKED_LEN;
use attache_wire::{Fault, Nonce, Passage, Watch};
use bytes::Bytes;

use crate::command::Ask;
use crate::greeting::Greeting;
use crate::guard::{self, Look};
use crate::intent::{Intent, Wish};
use crate::kill::{Sight, is_ours};
use crate::packet::HEADER_LEN;
use crate::relogin::Link;
use crate::reopen::{CHANGE_USER, Reopen};
use crate::reply::Replies;
use crate::scan::{ANSWER_LEN, STATEMENT_LEN, Scanner};

/// Follows one session from its welcome on.
#[derive(Debug)]
pub struct SessionWatch {
    client: Scanner<STATEMENT_LEN>,
    server: Scanner<ANSWER_LEN>,
    replies: Replies,
    client_end: ClientEnd,
    server_end: ServerEnd,
    /// What the client wanted of the session: what a change of user does not name stays so.
    terms: Intent,
    link: Link,
    guard: Guard,
}

/// Whether statements are looked at before they are passed on.
#[derive(Debug)]
enum Guard {
    Off,
    /// With what goes in place of the command that was dropped last. Boxed, for it is seldom there.
    On(Option<Box<Bytes>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientEnd {
    Open,
    /// It has said goodbye, which the server did not hear.
    Left,
    /// It has said goodbye, and the server has heard it.
    Quit,
}

/// What the server is to hear of the client's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerEnd {
    /// As it comes.
    Told,
    /// Nothing, if the link can be reset at that moment.
    Spared,
}

impl SessionWatch {
    /// `read_only` looks at every statement.
    pub(crate) fn new(intent: &Intent, greeting: &Greeting, read_only: bool) -> Self {
        Self {
            client: Scanner::default(),
            server: Scanner::default(),
            replies: Replies::new(greeting.capabilities),
            client_end: ClientEnd::Open,
            server_end: ServerEnd::Told,
            terms: Intent { database: None, attributes: Vec::new(), wish: Wish::Login, ..intent.clone() },
            link: greeting.link(),
            guard: if read_only { Guard::On(None) } else { Guard::Off },
        }
    }

    /// Hears the wish that waits behind what was passed on.
    pub(crate) fn reopen(&self, nonce: Nonce) -> Reopen {
        Reopen::new(self.terms.clone(), self.link.capabilities, nonce)
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
            // What a client says behind it, a server does not hear either.
            bytes if bytes.starts_with(QUIT) && self.is_spared() => Ok(Held::Goodbye),
            bytes if bytes.len() <= HEADER_LEN => Ok(Held::Beginning),
            bytes => match self.held_of_kill(bytes) {
                Held::Nothing => self.examined(bytes),
                held => Ok(held),
            },
        }
    }

    fn held_of_kill(&self, bytes: &[u8]) -> Held {
        if !is_ours(self.terms.told) {
            return Held::Nothing;
        }
        match Sight::of(bytes, self.link.capabilities) {
            Sight::Kill if self.replies.can_be_followed() => Held::Kill,
            Sight::Perhaps => Held::Beginning,
            Sight::Kill | Sight::Other => Held::Nothing,
        }
    }

    fn examined(&self, bytes: &[u8]) -> Result<Held, Fault> {
        let Guard::On(_) = self.guard else { return Ok(Held::Nothing) };
        match guard::look(bytes, self.link.capabilities) {
            Look::Harmless => Ok(Held::Nothing),
            Look::Incomplete => Ok(Held::Beginning),
            Look::Refused(dropped, instead) => Ok(Held::Refused(dropped, instead)),
            Look::TooLong => Err(Fault::TooLong(MAX_CHECKED_LEN)),
        }
    }

    /// What goes in place of a command is answered as commands are.
    fn replace(&mut self, instead: Bytes) -> Result<(), Fault> {
        let mut bytes = &instead[..];
        if let Some(seen) = self.client.next(&mut bytes) {
            self.replies.asked(&seen)?;
        }
        self.guard = Guard::On(Some(Box::new(instead)));
        Ok(())
    }

    /// Whether the link can serve another session once the client has gone.
    fn is_spared(&self) -> bool {
        self.server_end == ServerEnd::Spared && self.quiet() && self.replies.standing().can_be_reset()
    }
}

/// COM_QUIT.
const QUIT: &[u8] = &[1, 0, 0, 0, 1];

/// What of the client's next bytes is not passed on yet.
enum Held {
    Nothing,
    /// What is there of a packet that may be one of these, or of a statement that has to be whole.
    Beginning,
    /// A packet of this length, in whose place something else goes.
    Refused(usize, Bytes),
    ChangeOfUser,
    Kill,
    /// The server need not hear it.
    Goodbye,
}

impl Watch for SessionWatch {
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let passed = bytes.len() - rest.len();
            match self.held(rest)? {
                Held::Nothing => {}
                Held::Beginning => return Ok(Passage::Hold(passed)),
                Held::ChangeOfUser | Held::Kill => return Ok(Passage::Until(passed)),
                Held::Refused(dropped, instead) => {
                    self.replace(instead)?;
                    return Ok(Passage::Instead { passed, dropped });
                }
                Held::Goodbye => {
                    self.client_end = ClientEnd::Left;
                    return Ok(Passage::Bye(passed));
                }
            }
            if let Some(seen) = self.client.next(&mut rest)
                && self.replies.asked(&seen)? == Ask::Quit
            {
                self.client_end = ClientEnd::Quit;
            }
        }
        Ok(Passage::All)
    }

    fn in_place(&mut self) -> Bytes {
        match &mut self.guard {
            Guard::Off => Bytes::new(),
            Guard::On(instead) => instead.take().map(|instead| *instead).unwrap_or_default(),
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
        self.answered() && self.replies.standing().is_nothing()
    }

    fn holds_state(&self) -> bool {
        !self.replies.standing().holds_nothing()
    }

    fn answered(&self) -> bool {
        self.client.at_boundary() && self.server.at_boundary() && self.replies.is_idle()
    }

    fn client_left(&self) -> bool {
        self.client_end != ClientEnd::Open
    }

    fn may_be_kept(&mut self) {
        self.server_end = ServerEnd::Spared;
    }

    fn reusable(&self) -> bool {
        self.is_spared() && self.client_end != ClientEnd::Quit
    }

    fn role_doubted(&mut self) -> bool {
        self.replies.standing_mut().take_doubt()
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
