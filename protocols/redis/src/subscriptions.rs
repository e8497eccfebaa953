//! What a client is subscribed to, learnt from what the server confirms (manual, "Pub/Sub").
//!
//! Each confirmation ends with a number: for channels and patterns that of both together, for shard channels theirs.

use crate::command::{Kind, Verb};
use crate::replies::Seen;

/// How many subscriptions of each kind there are, and the form of what they bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Subscriptions {
    channels: u64,
    patterns: u64,
    shard_channels: u64,
    form: Form,
}

/// How messages come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// As arrays: RESP2, where a subscriber may do little else.
    #[default]
    Arrays,
    /// As pushes: RESP3.
    Pushes,
}

/// What a frame is to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Confirmed(Verb),
    /// It was not asked for.
    Message,
    /// It may answer something.
    Reply,
}

impl Subscriptions {
    pub(crate) fn is_none(&self) -> bool {
        self.channels + self.patterns + self.shard_channels == 0
    }

    /// Whether only commands of a subscriber may be sent, and arrays may be messages.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.is_none() && self.form == Form::Arrays
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Channels => self.channels,
            Kind::Patterns => self.patterns,
            Kind::ShardChannels => self.shard_channels,
        }
    }

    pub(crate) fn set_form(&mut self, form: Form) {
        self.form = form;
    }

    /// Tells what a frame is. `waiting` is whether a confirmation is what comes next.
    pub(crate) fn tell(&self, frame: &Seen, waiting: bool) -> Told {
        let confirmed = verb(frame.word());
        match (frame.kind, confirmed) {
            (b'>', Some(verb)) => Told::Confirmed(verb),
            (b'>', None) => Told::Message,
            (b'*', Some(verb)) if waiting || self.is_restricted() => Told::Confirmed(verb),
            (b'*', None) if self.is_restricted() && is_message(frame.word()) => Told::Message,
            _ => Told::Reply,
        }
    }

    /// Takes a confirmation in.
    pub(crate) fn confirm(&mut self, verb: Verb, frame: &Seen) {
        self.form = if frame.kind == b'>' { Form::Pushes } else { Form::Arrays };
        let now = u64::try_from(frame.integer).unwrap_or(0);
        let (Verb::Subscribe(kind) | Verb::Unsubscribe(kind)) = verb;
        match kind {
            Kind::Channels => self.channels = now.saturating_sub(self.patterns),
            Kind::Patterns => self.patterns = now.saturating_sub(self.channels),
            Kind::ShardChannels => self.shard_channels = now,
        }
    }
}

fn verb(word: &[u8]) -> Option<Verb> {
    Some(match word {
        b"subscribe" => Verb::Subscribe(Kind::Channels),
        b"psubscribe" => Verb::Subscribe(Kind::Patterns),
        b"ssubscribe" => Verb::Subscribe(Kind::ShardChannels),
        b"unsubscribe" => Verb::Unsubscribe(Kind::Channels),
        b"punsubscribe" => Verb::Unsubscribe(Kind::Patterns),
        b"sunsubscribe" => Verb::Unsubscribe(Kind::ShardChannels),
        _ => return None,
    })
}

fn is_message(word: &[u8]) -> bool {
    matches!(word, b"message" | b"pmessage" | b"smessage")
}
