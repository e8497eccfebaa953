//! What a client's command does to its session, told from as few of its arguments as that takes.

use std::sync::Arc;

use crate::commands::{Commands, Nature};
use crate::guard::{self, Finding};
use crate::options::{Reset, Rules};

/// The longest name that means anything here, in octets. The longest of a server and its usual modules has 25.
pub(crate) const MAX_NAME_LEN: usize = 32;

/// The arguments of a command that are known so far. The first is its name.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    bytes: Vec<u8>,
    /// Where each known argument ends.
    ends: Vec<usize>,
    /// How many there will be.
    count: usize,
    /// How many have been judged before, and have not decided anything.
    judged: usize,
}

/// What a command means for the session, once it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// No command at all: an empty line, or an array without elements. It is not answered.
    Nothing,
    /// It is answered by one reply.
    Plain,
    Quit,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Monitor,
    /// SYNC or PSYNC: from here on the client is a replica.
    Replicate,
    /// To or from so many channels, each of which is confirmed.
    Subscription(Verb, u64),
    /// From all channels of a kind.
    UnsubscribeAll(Kind),
    ReplyOn,
    ReplyOff,
    ReplySkip,
}

/// Subscribing or the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Subscribe(Kind),
    Unsubscribe(Kind),
}

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Channels,
    Patterns,
    ShardChannels,
}

/// What a command is refused for that the route allows, and that would write.
pub(crate) const WRITING: &str = "write";

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another argument has to be known.
    More,
    /// It goes to the server as it is.
    Pass(Effect),
    /// It is not for the server as it is.
    Stop,
}

impl Arguments {
    /// A command that is complete.
    pub(crate) fn new(all: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut args = Self::default();
        for argument in all {
            args.extend(&argument);
            args.end();
        }
        args.count = args.ends.len();
        args
    }

    /// Forgets everything, and lets go of a buffer that has grown.
    pub(crate) fn clear(&mut self) {
        const KEPT_LEN: usize = 64;
        if self.bytes.capacity() > KEPT_LEN {
            *self = Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self.count = 0;
        self.judged = 0;
    }

    pub(crate) fn expect(&mut self, count: usize) {
        self.count = count;
    }

    pub(crate) fn extend(&mut self, octets: &[u8]) {
        self.bytes.extend_from_slice(octets);
    }

    /// All that was taken in, before it is known what an argument is.
    pub(crate) fn line(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends the argument that was being extended.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn known(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.known() >= self.count
    }

    /// An argument, if it is known.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }

    /// An argument in lower case, if it is known.
    pub(crate) fn lower(&self, index: usize) -> Option<Vec<u8>> {
        self.get(index).map(<[u8]>::to_ascii_lowercase)
    }

    /// What is known now need not be looked for again.
    pub(crate) fn set_judged(&mut self) {
        self.judged = self.known();
    }

    /// The known arguments from there on that have not been judged before, with their places.
    pub(crate) fn new_from(&self, index: usize) -> impl Iterator<Item = (usize, &[u8])> {
        (index.max(self.judged)..self.known()).filter_map(|index| Some((index, self.get(index)?)))
    }

    /// The known arguments from there on.
    pub(crate) fn from(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        (index..self.known()).filter_map(|index| self.get(index))
    }

    /// The name in lower case, without leaving the stack; a name that is too long to mean anything is none.
    fn name(&self) -> Option<([u8; MAX_NAME_LEN], usize)> {
        let name = self.get(0).filter(|name| name.len() <= MAX_NAME_LEN)?;
        let mut lower = [0; MAX_NAME_LEN];
        for (to, from) in lower.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        Some((lower, name.len()))
    }
}

/// Judges a command by what is known of it. One that is complete is never told to wait.
pub(crate) fn judge(args: &Arguments, rules: &Rules) -> Verdict {
    match (by_effect(args, rules), &rules.reading) {
        (Verdict::Pass(effect), Some(commands)) => match commands.nature(args) {
            Nature::More => Verdict::More,
            Nature::Reads => Verdict::Pass(effect),
            Nature::Writes => Verdict::Stop,
        },
        (verdict @ (Verdict::Pass(_) | Verdict::More | Verdict::Stop), _) => verdict,
    }
}

/// A command whose name is too long to mean anything.
pub(crate) fn judge_foreign(rules: &Rules) -> Verdict {
    if rules.reading.is_some() { Verdict::Stop } else { Verdict::Pass(Effect::Plain) }
}

fn by_effect(args: &Arguments, rules: &Rules) -> Verdict {
    let Some((name, len)) = args.name() else { return judge_foreign(rules) };
    let count = args.count();
    let effect = match &name[..len] {
        // With another number of arguments the server answers with an error, and nothing has happened.
        b"auth" if matches!(count, 2 | 3) => return Verdict::Stop,
        b"hello" if count > 1 => return Verdict::Stop,
        b"reset" if count == 1 => return Verdict::Stop,
        b"acl" => return guarded(guard::acl(args), rules),
        b"config" => return guarded(guard::config(args), rules),
        b"migrate" => return guarded(guard::migrate(args), rules),
        b"replicaof" | b"slaveof" => return guarded(guard::replicate(args), rules),
        b"debug" => return guarded(Finding::Guarded(guard::Guarded::Debug), rules),
        b"module" => return guarded(Finding::Guarded(guard::Guarded::Module), rules),
        b"client" => return client(args),
        b"quit" => Effect::Quit,
        b"multi" if count == 1 => Effect::Multi,
        // Even one that fails ends the transaction.
        b"exec" => Effect::Exec,
        b"discard" if count == 1 => Effect::Discard,
        b"watch" if count > 1 => Effect::Watch,
        b"unwatch" if count == 1 => Effect::Unwatch,
        b"monitor" if count == 1 => Effect::Monitor,
        b"sync" if count == 1 => Effect::Replicate,
        b"psync" if count > 2 => Effect::Replicate,
        b"subscribe" => subscribe(Kind::Channels, count),
        b"psubscribe" => subscribe(Kind::Patterns, count),
        b"ssubscribe" => subscribe(Kind::ShardChannels, count),
        b"unsubscribe" => unsubscribe(Kind::Channels, count),
        b"punsubscribe" => unsubscribe(Kind::Patterns, count),
        b"sunsubscribe" => unsubscribe(Kind::ShardChannels, count),
        _ => Effect::Plain,
    };
    Verdict::Pass(effect)
}

fn guarded(finding: Finding, rules: &Rules) -> Verdict {
    match finding {
        Finding::More => Verdict::More,
        Finding::Guarded(command) if !rules.allows(command) => Verdict::Stop,
        Finding::Guarded(_) | Finding::Harmless => Verdict::Pass(Effect::Plain),
    }
}

/// CLIENT REPLY decides whether there are replies at all.
fn client(args: &Arguments) -> Verdict {
    const REPLY: usize = 3;
    if args.count() != REPLY || args.get(1).is_some_and(|word| !word.eq_ignore_ascii_case(b"reply")) {
        return Verdict::Pass(Effect::Plain);
    }
    let effect = match args.lower(2).as_deref() {
        None => return Verdict::More,
        Some(b"on") => Effect::ReplyOn,
        Some(b"off") => Effect::ReplyOff,
        Some(b"skip") => Effect::ReplySkip,
        Some(_) => Effect::Plain,
    };
    Verdict::Pass(effect)
}

fn subscribe(kind: Kind, count: usize) -> Effect {
    match count {
        0 | 1 => Effect::Plain,
        count => Effect::Subscription(Verb::Subscribe(kind), count as u64 - 1),
    }
}

fn unsubscribe(kind: Kind, count: usize) -> Effect {
    match count {
        0 | 1 => Effect::UnsubscribeAll(kind),
        count => Effect::Subscription(Verb::Unsubscribe(kind), count as u64 - 1),
    }
}

/// What a command is refused for, if it is.
pub(crate) fn refused(args: &Arguments, rules: &Rules) -> Option<&'static str> {
    let finding = match args.lower(0)?.as_slice() {
        b"auth" | b"hello" => return None,
        b"acl" => guard::acl(args),
        b"config" => guard::config(args),
        b"migrate" => guard::migrate(args),
        b"replicaof" | b"slaveof" => guard::replicate(args),
        b"debug" => Finding::Guarded(guard::Guarded::Debug),
        b"module" => Finding::Guarded(guard::Guarded::Module),
        b"reset" => return (rules.reset == Reset::Refuse).then_some("reset"),
        _ => Finding::Harmless,
    };
    match finding {
        Finding::Guarded(command) if !rules.allows(command) => Some(command.name()),
        Finding::Guarded(_) | Finding::Harmless | Finding::More => {
            let writes = |commands: &Arc<Commands>| commands.nature(args) == Nature::Writes;
            rules.reading.as_ref().is_some_and(writes).then_some(WRITING)
        }
    }
}
