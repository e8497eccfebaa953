//! The books of a session: which replies the server owes, and what state a cut would lose.

use std::collections::VecDeque;

use crate::command::{Effect, Kind, Verb};
use crate::replies::Seen;
use crate::subscriptions::{Form, Subscriptions, Told};

/// How often the kind of what is owed may change in a pipeline. Beyond it a session is no longer followed.
const MAX_RUNS: usize = 8 * 1024;

/// What is known of a session beyond its frames.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What the server owes, in order.
    owed: VecDeque<Run>,
    subscriptions: Subscriptions,
    transaction: Transaction,
    replies: Replying,
    monitor: Monitor,
    footing: Footing,
    last: Last,
}

/// What the command that was passed on last will be answered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    /// By what is owed at the end of the books.
    Owed,
}

/// So many times the same.
#[derive(Debug, Clone, Copy)]
struct Run {
    what: Owed,
    times: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Reply,
    /// The reply to MONITOR.
    Monitor,
    /// So many confirmations, or one error.
    Confirmations(Verb, u64),
    /// A confirmation for each subscription of the kind, but at least one.
    Farewells(Kind),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Transaction {
    #[default]
    None,
    /// Keys are watched: EXEC will fail if they change.
    Watching,
    Open,
    /// There is a command in it of which one cannot say what EXEC will answer.
    Unclear,
}

/// Whether commands are answered (CLIENT REPLY).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Replying {
    #[default]
    On,
    /// All but the next.
    Skip,
    Off,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Monitor {
    #[default]
    Off,
    On,
}

/// How well a session is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Footing {
    #[default]
    Counted,
    /// Replies are no longer told from one another.
    Lost,
    /// The client is a replica: what the server sends is no longer frames.
    Replica,
}

impl Tally {
    /// Whether nothing is owed, and that is certain.
    pub(crate) fn is_settled(&self) -> bool {
        self.footing == Footing::Counted && self.owed.is_empty()
    }

    /// Whether a cut would lose nothing that the client has, or waits for.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_settled()
            && self.transaction == Transaction::None
            && self.replies == Replying::On
            && self.subscriptions.is_none()
            && self.monitor == Monitor::Off
    }

    /// Whether a login could be put in between now.
    pub(crate) fn takes_a_login(&self) -> bool {
        self.is_settled() && self.has_room_for_a_login()
    }

    /// Whether it could be once everything is answered, for all that is known.
    pub(crate) fn has_room_for_a_login(&self) -> bool {
        self.is_counted()
            && matches!(self.transaction, Transaction::None | Transaction::Watching)
            && self.replies == Replying::On
            && !self.is_restricted()
            && self.monitor == Monitor::Off
    }

    /// Whether what the client sends can still be followed well enough to act in its midst.
    pub(crate) fn is_counted(&self) -> bool {
        self.footing == Footing::Counted
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.footing == Footing::Replica
    }

    pub(crate) fn is_monitor(&self) -> bool {
        self.monitor == Monitor::On
    }

    /// Whether the client is a subscriber of RESP2.
    pub(crate) fn is_restricted(&self) -> bool {
        self.subscriptions.is_restricted()
    }

    /// Whether the next command is answered.
    pub(crate) fn replying(&self) -> Replying {
        self.replies
    }

    pub(crate) fn lose(&mut self) {
        if self.footing == Footing::Counted {
            self.footing = Footing::Lost;
            self.owed.clear();
        }
    }

    /// The server has taken RESET.
    pub(crate) fn reset(&mut self) {
        *self = Self { footing: self.footing, ..Self::default() };
    }

    /// The server has taken HELLO.
    pub(crate) fn speak(&mut self, form: Form) {
        let queued = matches!(self.transaction, Transaction::Open | Transaction::Unclear);
        match (queued, self.subscriptions.is_none()) {
            (false, _) => self.subscriptions.set_form(form),
            // The next confirmation will show it.
            (true, true) => {}
            // It happens at EXEC, if at all.
            (true, false) => self.transaction = Transaction::Unclear,
        }
    }

    /// Whether nobody can say what a command will do until the server has confirmed more: a subscriber of RESP2 may not
    /// send it, and gets an error in place of what it does.
    pub(crate) fn must_wait(&self, effect: Effect) -> bool {
        let subscribing = |run: &Run| matches!(run.what, Owed::Confirmations(..) | Owed::Farewells(_));
        self.footing == Footing::Counted
            && is_denied_to_subscribers(effect)
            && self.owed.iter().any(subscribing)
    }

    /// The command that went to the server last never ends: it will not be answered.
    pub(crate) fn unask(&mut self) {
        if std::mem::take(&mut self.last) == Last::Owed
            && let Some(run) = self.owed.back_mut()
        {
            run.times -= 1;
            if run.times == 0 {
                self.owed.pop_back();
            }
        }
    }

    /// A command goes to the server.
    pub(crate) fn ask(&mut self, effect: Effect) {
        self.last = Last::Nothing;
        if self.footing != Footing::Counted {
            return;
        }
        // Whether that is the command that is not answered is said otherwise by Redis 7.0 and by Valkey 9.
        if (effect, self.replies) == (Effect::Nothing, Replying::Skip) {
            return self.lose();
        }
        let queued = matches!(self.transaction, Transaction::Open | Transaction::Unclear);
        let effect = match effect {
            effect if queued => self.queue(effect),
            effect if self.is_restricted() && is_denied_to_subscribers(effect) => Effect::Plain,
            effect => effect,
        };
        self.transact(effect);
        let answered = self.is_answered(effect);
        match (effect, answered) {
            (Effect::Replicate, _) => {
                self.owed.clear();
                self.footing = Footing::Replica;
            }
            // Whether there will be anything to see of it is not known.
            (Effect::Monitor, false) => self.monitor = Monitor::On,
            (Effect::Monitor, true) => self.owe(Owed::Monitor),
            (Effect::Subscription(verb, count), true) => self.owe(Owed::Confirmations(verb, count)),
            (Effect::UnsubscribeAll(kind), true) => self.owe(Owed::Farewells(kind)),
            // Some versions of the server confirm it all the same.
            (Effect::Subscription(..) | Effect::UnsubscribeAll(_), false) => self.lose(),
            (_, true) => self.owe(Owed::Reply),
            (_, false) => {}
        }
    }

    /// Inside of a transaction a command only waits its turn. Of some nobody can say what EXEC will answer then.
    fn queue(&mut self, effect: Effect) -> Effect {
        match effect {
            Effect::ReplyOn if self.replies == Replying::On => Effect::Plain,
            Effect::Monitor
            | Effect::Subscription(_, _)
            | Effect::UnsubscribeAll(_)
            | Effect::ReplyOn
            | Effect::ReplyOff
            | Effect::ReplySkip => {
                self.transaction = Transaction::Unclear;
                Effect::Plain
            }
            Effect::Nothing
            | Effect::Plain
            | Effect::Quit
            | Effect::Multi
            | Effect::Exec
            | Effect::Discard
            | Effect::Watch
            | Effect::Unwatch
            | Effect::Replicate => effect,
        }
    }

    fn transact(&mut self, effect: Effect) {
        self.transaction = match (self.transaction, effect) {
            (Transaction::None, Effect::Watch) => Transaction::Watching,
            (Transaction::None | Transaction::Watching, Effect::Multi) => Transaction::Open,
            (Transaction::Unclear, Effect::Exec) => {
                self.lose();
                Transaction::Unclear
            }
            (Transaction::Open, Effect::Exec) => Transaction::None,
            (Transaction::Open | Transaction::Unclear, Effect::Discard) => Transaction::None,
            (Transaction::Watching, Effect::Exec | Effect::Discard) => Transaction::Watching,
            (Transaction::Watching, Effect::Unwatch) => Transaction::None,
            (same, _) => same,
        };
    }

    /// Whether this command is answered, by what CLIENT REPLY has said so far.
    fn is_answered(&mut self, effect: Effect) -> bool {
        let (next, answered) = match (self.replies, effect) {
            (_, Effect::ReplyOn) => (Replying::On, true),
            (_, Effect::ReplyOff) => (Replying::Off, false),
            (Replying::Off, _) => (Replying::Off, false),
            (_, Effect::ReplySkip) => (Replying::Skip, false),
            (Replying::Skip, _) => (Replying::On, false),
            (Replying::On, Effect::Nothing) => (Replying::On, false),
            (Replying::On, _) => (Replying::On, true),
        };
        self.replies = next;
        answered
    }

    fn owe(&mut self, what: Owed) {
        if self.footing != Footing::Counted {
            return;
        }
        self.last = Last::Owed;
        let runs = self.owed.len();
        match self.owed.back_mut() {
            Some(run) if run.what == what => run.times += 1,
            Some(_) | None if runs == MAX_RUNS => self.lose(),
            Some(_) | None => self.owed.push_back(Run { what, times: 1 }),
        }
    }

    /// A frame goes to the client.
    pub(crate) fn hear(&mut self, frame: &Seen) {
        if self.footing != Footing::Counted || self.is_sight(frame) {
            return;
        }
        let waiting = matches!(self.next(), Some(Owed::Confirmations(..) | Owed::Farewells(_)));
        match self.subscriptions.tell(frame, waiting) {
            Told::Message => {}
            Told::Confirmed(verb) => self.confirmed(verb, frame),
            Told::Reply => self.replied(frame),
        }
    }

    /// Whether this is what MONITOR shows: a line that begins with the time.
    pub(crate) fn is_sight(&self, frame: &Seen) -> bool {
        self.is_monitor() && frame.kind == b'+' && frame.first.is_ascii_digit()
    }

    fn next(&self) -> Option<Owed> {
        self.owed.front().map(|run| run.what)
    }

    fn confirmed(&mut self, verb: Verb, frame: &Seen) {
        self.subscriptions.confirm(verb, frame);
        match self.next() {
            Some(Owed::Confirmations(asked, count)) if asked == verb => self.one_confirmed(verb, count),
            Some(Owed::Farewells(kind)) if verb == Verb::Unsubscribe(kind) => {
                if self.subscriptions.of(kind) == 0 {
                    self.paid();
                }
            }
            // A server may also cancel by itself, and confirms what was asked for while replies were off.
            Some(Owed::Reply | Owed::Monitor | Owed::Confirmations(..) | Owed::Farewells(_)) | None => {}
        }
    }

    /// The rest is owed by a run of its own.
    fn one_confirmed(&mut self, verb: Verb, count: u64) {
        self.paid();
        if count > 1 {
            self.owed.push_front(Run { what: Owed::Confirmations(verb, count - 1), times: 1 });
        }
    }

    fn replied(&mut self, frame: &Seen) {
        match (self.next(), frame.is_error()) {
            (None, _) | (Some(Owed::Confirmations(..) | Owed::Farewells(_)), false) => return self.lose(),
            (Some(Owed::Monitor), false) => self.monitor = Monitor::On,
            (Some(_), _) => {}
        }
        self.paid();
    }

    fn paid(&mut self) {
        if let Some(run) = self.owed.front_mut() {
            run.times -= 1;
            if run.times == 0 {
                self.owed.pop_front();
            }
        }
        if self.owed.is_empty() && self.owed.capacity() > 4 {
            // An idle session keeps no room for what is over.
            self.owed = VecDeque::new();
        }
    }
}

/// What a subscriber of RESP2 gets an error for (`processCommand` in the server's `server.c`), and would change the
/// session otherwise.
fn is_denied_to_subscribers(effect: Effect) -> bool {
    match effect {
        Effect::Multi
        | Effect::Exec
        | Effect::Discard
        | Effect::Watch
        | Effect::Unwatch
        | Effect::Monitor
        | Effect::Replicate
        | Effect::ReplyOn
        | Effect::ReplyOff
        | Effect::ReplySkip => true,
        Effect::Nothing
        | Effect::Plain
        | Effect::Quit
        | Effect::Subscription(..)
        | Effect::UnsubscribeAll(_) => false,
    }
}
