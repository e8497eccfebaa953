//! The questions to a Sentinel, asked at once and answered in order ("High availability with Redis Sentinel", section
//! "Sentinel API"; "Sentinel client spec").
//!
//! The address is that of `get-master-addr-by-name`, which tells a promoted server as soon as there is one; how recent that
//! is tells `MASTER`. In RESP2 a link that listens may ask nothing, so before the next questions it stops listening.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use attache_wire::{Approach, Credential, Fault, Insecure, Machine, Report, Step, Terms, TlsStart, Turn};
use bytes::BytesMut;

use crate::auth::Login;
use crate::frame::{self, MAX_REPLY_LEN, Reader, Reply};
use crate::rejection::rejection;
use crate::sentinel_report::{Draft, is_message};

/// What Sentinels publish when they have agreed on another primary.
const SWITCH: &[u8] = b"+switch-master";

/// Asks a Sentinel.
pub(crate) struct Asking {
    master: String,
    state: State,
}

enum State {
    Connected(Terms),
    Encrypting(Terms),
    /// It was asked before, and was shown this.
    Again(Option<Arc<Credential>>),
    Hearing(Box<Hearing>),
}

/// Questions that wait for their answers.
#[derive(Default)]
struct Hearing {
    open: VecDeque<Question>,
    reader: Reader,
    /// What the Sentinel was shown.
    credential: Option<Arc<Credential>>,
    draft: Draft,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Auth,
    /// To hear no more announcements.
    Unsubscribe,
    Address,
    Master,
    Replicas,
    /// To hear announcements.
    Subscribe,
}

impl Asking {
    pub(crate) fn new(master: &str, approach: Approach) -> Self {
        let state = match approach {
            Approach::Anew(terms) => State::Connected(terms),
            Approach::Again(credential) => State::Again(credential),
        };
        Self { master: master.to_owned(), state }
    }

    fn log_in(&mut self, terms: &Terms, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut hearing = Hearing { credential: terms.credential.clone(), ..Hearing::default() };
        if let Some(login) = Login::of(terms, turn.tls)? {
            login.put_auth(turn.output);
            hearing.open.push_back(Question::Auth);
        }
        self.ask(hearing, turn.output);
        Ok(())
    }

    fn ask(&mut self, mut hearing: Hearing, out: &mut BytesMut) {
        let master = self.master.as_bytes();
        hearing.ask(Question::Address, &[b"SENTINEL", b"get-master-addr-by-name", master], out);
        hearing.ask(Question::Master, &[b"SENTINEL", b"MASTER", master], out);
        hearing.ask(Question::Replicas, &[b"SENTINEL", b"REPLICAS", master], out);
        hearing.ask(Question::Subscribe, &[b"SUBSCRIBE", SWITCH], out);
        self.state = State::Hearing(Box::new(hearing));
    }
}

impl Machine for Asking {
    type Output = Option<Report>;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Option<Report>>, Fault> {
        match &mut self.state {
            State::Hearing(_) => {}
            State::Connected(terms) => match terms.tls {
                TlsStart::Direct => {
                    self.state = State::Encrypting(terms.clone());
                    return Ok(Step::StartTls);
                }
                TlsStart::Negotiated => {
                    return Err(Fault::Unsupported(
                        "asking for TLS inside the protocol, which Redis does not know",
                    ));
                }
                TlsStart::Off => {
                    let terms = terms.clone();
                    self.log_in(&terms, turn)?;
                }
            },
            State::Encrypting(_) if turn.tls.is_none() => {
                return Err(Fault::Insecure(Insecure::TlsDeclined));
            }
            State::Encrypting(terms) => {
                let terms = terms.clone();
                self.log_in(&terms, turn)?;
            }
            State::Again(credential) => {
                let mut hearing = Hearing { credential: credential.take(), ..Hearing::default() };
                hearing.ask(Question::Unsubscribe, &[b"UNSUBSCRIBE", SWITCH], turn.output);
                self.ask(hearing, turn.output);
            }
        }
        let State::Hearing(hearing) = &mut self.state else { return Ok(Step::Read) };
        hearing.listen(turn.input)
    }

    fn limit(&self) -> usize {
        match &self.state {
            State::Connected(_) | State::Encrypting(_) => 0,
            State::Again(_) | State::Hearing(_) => MAX_REPLY_LEN,
        }
    }
}

impl Hearing {
    fn ask(&mut self, question: Question, words: &[&[u8]], out: &mut BytesMut) {
        frame::put(out, words);
        self.open.push_back(question);
    }

    fn listen(&mut self, input: &mut BytesMut) -> Result<Step<Option<Report>>, Fault> {
        while let Some(question) = self.open.front().copied() {
            let Some(reply) = self.reader.next(input)? else { return Ok(Step::Read) };
            // What was announced before the question will be in the answer.
            if !is_message(&reply) {
                self.open.pop_front();
                self.hear(question, &reply)?;
            }
        }
        Ok(Step::Done(std::mem::take(&mut self.draft).finish()?))
    }

    fn hear(&mut self, question: Question, reply: &Reply) -> Result<(), Fault> {
        match (question, reply.error()) {
            (Question::Auth, None) if reply.is_status("OK") => Ok(()),
            (Question::Auth, None) => Err(Fault::Malformed("a reply to AUTH other than OK")),
            (Question::Unsubscribe, _) => Ok(()),
            // Who may not listen asks more often.
            (Question::Subscribe, error) => {
                self.draft.announces = error.is_none();
                Ok(())
            }
            (Question::Address | Question::Master | Question::Replicas, Some(text)) if is_ignorance(text) => {
                self.draft.is_unknown = true;
                Ok(())
            }
            (_, Some(text)) => Err(self.refused(text)),
            (Question::Address, None) => self.draft.address(reply),
            (Question::Master, None) => self.draft.master(reply),
            (Question::Replicas, None) => self.draft.replicas(reply),
        }
    }

    fn refused(&self, text: &[u8]) -> Fault {
        if text.starts_with(b"ERR unknown command") {
            return Fault::Unsupported(
                "a server without the command SENTINEL, which is no Sentinel: check host and port",
            );
        }
        rejection(text, self.credential.as_deref())
    }
}

/// Whether a Sentinel knows of no such servers, or not enough of them.
fn is_ignorance(text: &[u8]) -> bool {
    [&b"ERR No such master"[..], b"IDONTKNOW"].iter().any(|known| text.starts_with(known))
}

/// Waits for the word that a primary has changed.
#[derive(Debug)]
pub(crate) struct Heeding {
    master: String,
    reader: Reader,
}

impl Heeding {
    pub(crate) fn new(master: &str) -> Self {
        Self { master: master.to_owned(), reader: Reader::default() }
    }

    /// Its message is the name and the two addresses. It is believed only that something has changed.
    fn concerns_us(&self, reply: &Reply) -> bool {
        let elements = reply.elements().unwrap_or_default();
        let texts: Vec<_> = elements.iter().map(frame::text).collect();
        match texts[..] {
            [Some(b"message"), Some(SWITCH), Some(text)] => {
                text.split(|octet| *octet == b' ').next() == Some(self.master.as_bytes())
            }
            _ => false,
        }
    }
}

impl Machine for Heeding {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        while let Some(reply) = self.reader.next(turn.input)? {
            if self.concerns_us(&reply) {
                return Ok(Step::Done(()));
            }
        }
        Ok(Step::Read)
    }

    fn limit(&self) -> usize {
        MAX_REPLY_LEN
    }
}

/// Shows how far it has come, and nothing of what was said.
impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Connected(_) => "connected",
            State::Encrypting(_) => "encrypting",
            State::Again(_) => "again",
            State::Hearing(_) => "hearing",
        };
        f.debug_struct("Asking").field("state", &state).finish_non_exhaustive()
    }
}
