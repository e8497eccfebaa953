//! Where a session stands, and whether it may be ended there (sections "Message Flow", "Termination").
//!
//! Only headers are read, so what SQL text did to a session is not seen: a session that is quiet may
//! still hold prepared statements, temporary tables or advisory locks. Ending it loses those, as a restart
//! of the server would; it never loses a reply or a transaction. LISTEN alone is known, by the server's
//! word that it was done.

use attache_sql::MAX_CHECKED_LEN;
use attache_wire::{Fault, Passage, Watch};
use bytes::Bytes;

use crate::frame::HEADER_LEN;
use crate::guard::{self, Look};
use crate::pending::Pending;
use crate::reported::{Reported, Value};
use crate::scan::{Scanner, Seen};

/// Follows one session from its first ReadyForQuery on.
#[derive(Debug, Default)]
pub struct SessionWatch {
    client: Scanner,
    server: Scanner,
    pending: Pending,
    transaction: Transaction,
    client_end: ClientEnd,
    server_end: ServerEnd,
    listening: Listening,
    role: Role,
    /// What a reset will have to know, where the link may be kept.
    reported: Option<Box<Reported>>,
    guard: Guard,
}

/// Whether statements are looked at before they are passed on.
#[derive(Debug, Default)]
enum Guard {
    #[default]
    Off,
    /// With what goes in place of the message that was dropped last.
    On(Bytes),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    #[default]
    Idle,
    Open,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ClientEnd {
    #[default]
    Open,
    /// It has said goodbye, which the server did not hear.
    Left,
    /// It has said goodbye, and the server has heard it.
    Terminated,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ServerEnd {
    #[default]
    Open,
    Fatal,
}

/// A message of the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Goodbye,
    Other,
}

/// Whether notifications come here, and would be lost while the client connects again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Listening {
    #[default]
    No,
    Yes,
}

/// Whether the server takes writes, as far as it has shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Role {
    #[default]
    Same,
    /// It refused one as read-only, or reports that it recovers now, or that it does not any more.
    Doubted,
}

impl Watch for SessionWatch {
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        match self.guard {
            Guard::Off => Ok(self.follow(bytes)),
            Guard::On(_) => self.examine(bytes),
        }
    }

    fn in_place(&mut self) -> Bytes {
        match &mut self.guard {
            Guard::Off => Bytes::new(),
            Guard::On(instead) => std::mem::take(instead),
        }
    }

    fn from_server(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Self { server, pending, transaction, server_end, reported, listening, role, .. } = self;
        server.feed(bytes, |seen| {
            // Rows: most of what servers say.
            if matches!(seen.tag, b'D' | b'd') {
                return;
            }
            *server_end = ServerEnd::of(&seen);
            if let (b'S', Some(reported)) = (seen.tag, reported.as_deref_mut()) {
                reported.hear(&seen);
            }
            if seen.tag == b'Z' {
                *transaction = if seen.head == b"I" { Transaction::Idle } else { Transaction::Open };
            }
            listening.hear(&seen);
            role.hear(&seen);
            pending.answered(seen.tag);
        });
        Ok(())
    }

    fn may_speak(&self) -> bool {
        self.server.at_boundary() && self.server_end == ServerEnd::Open && !self.client_left()
    }

    fn quiet(&self) -> bool {
        self.at_boundaries() && self.pending.may_be_nothing() && self.transaction == Transaction::Idle
    }

    fn holds_state(&self) -> bool {
        self.listening == Listening::Yes
    }

    fn answered(&self) -> bool {
        self.at_boundaries() && self.pending.is_nothing()
    }

    fn client_left(&self) -> bool {
        self.client_end != ClientEnd::Open
    }

    fn role_doubted(&mut self) -> bool {
        std::mem::take(&mut self.role) == Role::Doubted
    }

    fn may_be_kept(&mut self) {
        self.reported = Some(Box::default());
    }

    fn reusable(&self) -> bool {
        let server_goes_on = self.client_end != ClientEnd::Terminated && self.server_end == ServerEnd::Open;
        self.reported().is_some() && server_goes_on && self.rests()
    }
}

impl SessionWatch {
    /// `read_only` looks at every statement.
    pub fn new(read_only: bool) -> Self {
        let guard = if read_only { Guard::On(Bytes::new()) } else { Guard::Off };
        Self { guard, ..Self::default() }
    }

    fn at_boundaries(&self) -> bool {
        self.client.at_boundary() && self.server.at_boundary()
    }

    /// Whether the server has nothing left to say, without any doubt: what it says next is for somebody else.
    fn rests(&self) -> bool {
        self.answered() && self.quiet()
    }

    /// Passes statements on once they are known to be harmless.
    fn examine(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        let mut at = self.client.left().ok_or(LOST)?;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match guard::look(rest) {
                Look::Harmless(len) => at += len,
                Look::Incomplete => {
                    self.note(&bytes[..at]);
                    return Ok(Passage::Hold(at));
                }
                Look::Refused(dropped, instead) => {
                    self.note(&bytes[..at]);
                    // What goes in its place is answered as it would be.
                    self.pending.asked(rest[0]);
                    self.guard = Guard::On(instead);
                    return Ok(Passage::Instead { passed: at, dropped });
                }
                Look::TooLong => return Err(Fault::TooLong(MAX_CHECKED_LEN)),
                Look::Senseless => return Err(LOST),
            }
        }
        Ok(self.follow(bytes))
    }

    fn follow(&mut self, bytes: &[u8]) -> Passage {
        let last = self.note(bytes);
        // A goodbye of which a part was passed on already has to be completed.
        match bytes.len().checked_sub(HEADER_LEN) {
            Some(passing) if last == Last::Goodbye && self.reported.is_some() && self.rests() => {
                self.client_end = ClientEnd::Left;
                Passage::Bye(passing)
            }
            Some(_) | None => Passage::All,
        }
    }

    /// Takes in what is passed on. Says what the last whole message of it is.
    fn note(&mut self, bytes: &[u8]) -> Last {
        let Self { client, pending, client_end, .. } = self;
        let mut last = Last::Other;
        client.feed(bytes, |seen| {
            last = if seen.tag == b'X' && seen.head.is_empty() { Last::Goodbye } else { Last::Other };
            match seen.tag {
                b'X' => *client_end = ClientEnd::Terminated,
                tag => pending.asked(tag),
            }
        });
        last
    }

    /// What the server has reported since the session began, where all of that is known.
    pub(crate) fn reported(&self) -> Option<&[(Vec<u8>, Value)]> {
        self.reported.as_deref()?.all()
    }
}

const LOST: Fault =
    Fault::Malformed("the length of a message, behind which statements could not be looked at");

impl Listening {
    /// CommandComplete names the command, and NotificationResponse needs no more. UNLISTEN may leave other channels.
    fn hear(&mut self, seen: &Seen<'_>) {
        match (seen.tag, seen.head) {
            (b'C', b"LISTEN\0") | (b'A', _) => *self = Self::Yes,
            (b'C', b"DISCARD ALL\0") => *self = Self::No,
            _ => {}
        }
    }
}

impl Role {
    /// SQLSTATE 25006 is read_only_sql_transaction, which a client may have wished for itself.
    fn hear(&mut self, seen: &Seen<'_>) {
        let shown = match seen.tag {
            b'E' => seen.head.split(|byte| *byte == 0).any(|field| field == b"C25006"),
            b'S' => seen.head.starts_with(b"in_hot_standby\0"),
            _ => false,
        };
        if shown {
            *self = Self::Doubted;
        }
    }
}

impl ServerEnd {
    /// The first fields of an ErrorResponse are its severities: `S` in the server's language, `V` never
    /// translated. A severity that cannot be seen is taken for the worst.
    fn of(seen: &Seen<'_>) -> Self {
        if seen.tag != b'E' {
            return Self::Open;
        }
        let goes_on = |field: &[u8]| field == b"VERROR";
        if seen.head.split(|byte| *byte == 0).any(goes_on) { Self::Open } else { Self::Fatal }
    }
}
