//! In the midst of a session: one command to the server in place of the client's, and the reply to it.

use attache_wire::{Credential, Fault, Machine, RejectionKind, Step, Terms, Turn, Verdict};
use bytes::{Bytes, BytesMut};

use crate::auth::Login;
use crate::dialogue::{Dialogue, Inquiry};
use crate::frame::{self, MAX_REPLY_LEN, Reply};
use crate::greeting::{Answer, Greeting, Outcome, Replied};
use crate::intent::Intent;
use crate::refuse;
use crate::rejection::{kind, rejection, reply_shown};
use crate::replies::{Replies, Seen};
use crate::tally::Replying;
use crate::watch::{Manner, Stream};

/// The most that a server may send unasked while it is about to reply, in octets: messages to a busy subscriber.
pub const MAX_AHEAD_LEN: usize = 16 * 1024 * 1024;

/// A command that no server knows. It fails as one that is not permitted does, also inside of a transaction, which it
/// makes fail.
const UNKNOWN: &[u8] = b"ATTACHE.REFUSED";

/// Replaces a command of the client's, or adds one that the client does not see.
pub(crate) struct Relogin {
    intent: Intent,
    manner: Manner,
    database: Option<String>,
    terms: Terms,
    before: BytesMut,
    state: State,
}

enum State {
    Start,
    Waiting(Listener),
    /// RESET has been answered so, and the login behind it is under way.
    LoggingIn(Replied, Dialogue),
}

impl Relogin {
    pub(crate) fn new(intent: Intent, manner: Manner, database: Option<String>, terms: Terms) -> Self {
        Self { intent, manner, database, terms, before: BytesMut::new(), state: State::Start }
    }

    /// Sends the command; gives the end if there is nothing to wait for.
    fn start(&mut self, turn: &mut Turn<'_>) -> Result<Option<Answer>, Fault> {
        let login = match &self.intent {
            Intent::Auth | Intent::Renewal => Login::of(&self.terms, turn.tls)?,
            Intent::Hello(hello) if hello.logs_in() => Login::of(&self.terms, turn.tls)?,
            Intent::Session | Intent::Hello(_) | Intent::Reset | Intent::Refused(_) | Intent::Delayed(_) => {
                None
            }
        };
        match (&self.intent, login) {
            (Intent::Session, _) | (Intent::Renewal, None) => {
                return Ok(Some(self.answer(Replied::Unasked, Outcome::Same)));
            }
            (Intent::Delayed(delayed), _) => {
                turn.output.extend_from_slice(&delayed.command);
                let outcome = Outcome::Did(delayed.effect);
                return Ok(Some(self.answer(Replied::Unasked, outcome)));
            }
            (Intent::Auth | Intent::Renewal, Some(login)) => login.put_auth(turn.output),
            // Without a password there is nothing to do but to say yes, in its place.
            (Intent::Auth, None) => frame::put(turn.output, &[b"PING"]),
            (Intent::Hello(hello), login) => frame::put(turn.output, &hello.words(login.map(Login::words))),
            (Intent::Reset, _) => frame::put(turn.output, &[b"RESET"]),
            (Intent::Refused(_), _) => frame::put(turn.output, &[UNKNOWN]),
        }
        self.state = State::Waiting(Listener::new(self.manner.stream));
        match (&self.intent, self.manner.replying) {
            // It turns replies on again before it is answered.
            (_, Replying::On) | (Intent::Reset, Replying::Off) => Ok(None),
            (Intent::Reset, Replying::Skip) => self.log_in(Replied::Silence, turn),
            (_, Replying::Skip | Replying::Off) => Ok(Some(self.answer(Replied::Silence, Outcome::Same))),
        }
    }

    fn hear(&mut self, reply: &Reply, turn: &mut Turn<'_>) -> Result<Option<Answer>, Fault> {
        let credential = self.terms.credential.as_deref();
        let told = reply_shown(reply, credential);
        let outcome = match (&self.intent, reply.error()) {
            (Intent::Renewal, Some(text)) => return Err(rejection(text, credential)),
            (Intent::Renewal | Intent::Session | Intent::Delayed(_), _) => {
                return Ok(Some(self.judged(Replied::Unasked, Outcome::Same, self.verdict(reply))));
            }
            (Intent::Reset, None) => return self.log_in(replied(reply, told), turn),
            (Intent::Hello(hello), None) => Outcome::Speaks(hello.form()),
            (Intent::Auth | Intent::Refused(_) | Intent::Hello(_) | Intent::Reset, _) => Outcome::Same,
        };
        let told = match (&self.intent, reply.error()) {
            (Intent::Refused(command), Some(_)) => {
                let mut error = BytesMut::new();
                refuse::not_allowed(command, &mut error);
                error.freeze()
            }
            (Intent::Auth, None) if reply.is_status("PONG") => Bytes::from_static(b"+OK\r\n"),
            _ => told,
        };
        let verdict = self.verdict(reply);
        Ok(Some(self.judged(replied(reply, told), outcome, verdict)))
    }

    /// Logs in again behind RESET. Of this the client sees nothing, unless it fails.
    fn log_in(&mut self, replied: Replied, turn: &mut Turn<'_>) -> Result<Option<Answer>, Fault> {
        let database = self.database.as_deref();
        let dialogue = Dialogue::begin(&self.terms, turn.tls, database, Inquiry::Nothing, turn.output)?;
        self.state = State::LoggingIn(replied, dialogue);
        Ok(None)
    }

    fn answer(&mut self, reply: Replied, outcome: Outcome) -> Answer {
        self.judged(reply, outcome, Verdict::Unknown)
    }

    fn judged(&mut self, reply: Replied, outcome: Outcome, verdict: Verdict) -> Answer {
        Answer { before: std::mem::take(&mut self.before).freeze(), reply, outcome, verdict }
    }

    /// What this reply says of the login that was sent, if any was.
    fn verdict(&self, reply: &Reply) -> Verdict {
        match reply.error() {
            Some(text) if kind(text) == RejectionKind::Credential => self.unless_not_sent(Verdict::Rejected),
            Some(_) => Verdict::Unknown,
            // Inside of a transaction it only waits its turn.
            None if reply.is_status("QUEUED") => Verdict::Unknown,
            None => self.unless_not_sent(Verdict::Accepted),
        }
    }

    fn unless_not_sent(&self, verdict: Verdict) -> Verdict {
        let secret = self.terms.credential.as_deref().and_then(Credential::secret);
        if self.intent.logs_in() && secret.is_some() { verdict } else { Verdict::Unknown }
    }

    /// Nobody waits for the answer to a renewal, or for a rejection where there may be another try: what came in front of
    /// it is the relay's, as what comes behind it.
    fn leave_unread(&mut self, input: &mut BytesMut) {
        let behind = std::mem::replace(input, std::mem::take(&mut self.before));
        input.unsplit(behind);
    }

    fn advance(&mut self, turn: &mut Turn<'_>) -> Result<Option<Answer>, Fault> {
        if let State::Start = self.state
            && let Some(answer) = self.start(turn)?
        {
            return Ok(Some(answer));
        }
        if let State::Waiting(listener) = &mut self.state
            && let Some(reply) = listener.next(turn.input, &mut self.before)?
        {
            if matches!(self.intent, Intent::Renewal) || self.verdict(&reply) == Verdict::Rejected {
                self.leave_unread(turn.input);
            }
            if let Some(answer) = self.hear(&reply, turn)? {
                return Ok(Some(answer));
            }
        }
        if let State::LoggingIn(replied, dialogue) = &mut self.state
            && dialogue.listen(turn.input, self.terms.credential.as_deref())?.is_some()
        {
            let replied = std::mem::replace(replied, Replied::Silence);
            let verdict = self.unless_not_sent(Verdict::Accepted);
            return Ok(Some(self.judged(replied, Outcome::Reset, verdict)));
        }
        Ok(None)
    }
}

fn replied(reply: &Reply, told: Bytes) -> Replied {
    Replied::Told { said: reply.bytes.clone(), told }
}

impl Machine for Relogin {
    type Output = Greeting;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Greeting>, Fault> {
        Ok(self.advance(turn)?.map_or(Step::Read, |answer| Step::Done(Greeting::Answered(answer))))
    }

    fn limit(&self) -> usize {
        MAX_REPLY_LEN
    }
}

/// Waits for a reply among what a server sends unasked.
struct Listener {
    stream: Stream,
    scanner: Replies,
    /// The frame that has begun.
    current: BytesMut,
}

impl Listener {
    fn new(stream: Stream) -> Self {
        Self { stream, scanner: Replies::default(), current: BytesMut::new() }
    }

    /// Takes frames off the input up to the reply, and puts the others aside.
    fn next(&mut self, input: &mut BytesMut, before: &mut BytesMut) -> Result<Option<Reply>, Fault> {
        while !input.is_empty() {
            let (used, seen) = self.scanner.next(input);
            if self.scanner.is_lost() {
                return Err(Fault::Malformed("a reply that is no frame of RESP"));
            }
            self.current.extend_from_slice(&input.split_to(used));
            if self.current.len() + before.len() > MAX_AHEAD_LEN {
                return Err(Fault::TooLong(MAX_AHEAD_LEN));
            }
            let Some(seen) = seen else { return Ok(None) };
            let frame = std::mem::take(&mut self.current);
            if !self.is_unasked(&seen) {
                return Ok(Some(Reply::new(frame.freeze(), seen)));
            }
            before.extend_from_slice(&frame);
        }
        Ok(None)
    }

    fn is_unasked(&self, seen: &Seen) -> bool {
        match self.stream {
            _ if seen.kind == b'>' => true,
            Stream::Pushes => false,
            Stream::Messages => seen.kind == b'*' && seen.word() != b"pong",
            Stream::Sights => seen.kind == b'+' && seen.first.is_ascii_digit(),
        }
    }
}
