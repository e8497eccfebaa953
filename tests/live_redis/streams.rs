//! Streams of commands as no sane client sends them, for a server and for Attaché in front of it.
//!
//! What differs from one run to the next is left out: times, expiry, keys at chance, MONITOR. What has to differ between
//! the two, logins and refused commands, is rendered for each, and by `normal` their answers come to the same.

use attache_kit::{Chance, SECRET};

use crate::commands;
use crate::raw::command;
use crate::servers::USER;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Directly,
    ThroughAttache,
}

/// How a stream treats what Attaché has to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// All that happens can be counted.
    Careful,
    /// Also subscriptions inside of transactions, or while replies are off: after those nobody can count replies.
    Wild,
}

/// A command, or what stands in its place.
#[derive(Debug)]
pub enum Piece {
    /// The same for both.
    Plain(Vec<u8>),
    /// With a login where the words have these two.
    Login {
        words: Vec<Vec<u8>>,
        form: Form,
    },
    Reset(Form),
    /// A command that Attaché refuses. The server would not.
    Refused {
        words: Vec<Vec<u8>>,
        form: Form,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Array,
    Inline,
}

/// What stands for user and password in the words of a login.
pub const WHO: &[u8] = b"<user>";
pub const WITH_WHAT: &[u8] = b"<password>";

/// A command that no server knows.
const UNKNOWN: &[u8] = b"NOSUCH.REFUSED";
/// What directly follows RESET, and of which the answer cannot be mistaken.
const WRONG: &[u8] = b"a wrong password";

pub struct Stream {
    pub pieces: Vec<Piece>,
    /// How it ends: with QUIT, or with something that is no command.
    pub end: Vec<u8>,
}

/// What a stream has come to.
struct Sketch {
    manners: Manners,
    /// A transaction is open, for all that one can tell.
    queued: bool,
    replies: Replies,
    subscribed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replies {
    On,
    Skip,
    Off,
}

impl Stream {
    pub fn new(chance: &mut Chance, len: usize, manners: Manners) -> Stream {
        let mut sketch = Sketch { manners, queued: false, replies: Replies::On, subscribed: false };
        let mut pieces: Vec<Piece> = (0..len).map(|_| sketch.piece(chance)).collect();
        // Where nothing is answered, a server does not close the connection either.
        if manners == Manners::Wild || sketch.replies != Replies::On {
            pieces.push(sketch.reset(Form::Array));
        }
        Stream { pieces, end: end(chance) }
    }

    /// The octets that are sent, but for the end.
    pub fn octets(&self, asked: Asked) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.octets(asked)).collect()
    }
}

impl Sketch {
    fn piece(&mut self, chance: &mut Chance) -> Piece {
        let was_skipping = self.replies == Replies::Skip;
        let piece = self.any(chance);
        if was_skipping && self.replies == Replies::Skip {
            self.replies = Replies::On;
        }
        piece
    }

    fn any(&mut self, chance: &mut Chance) -> Piece {
        let form = chance.pick(&[Form::Array, Form::Array, Form::Array, Form::Inline]);
        let words = match chance.below(100) {
            0..=54 => commands::data(chance),
            55..=61 => commands::errors(chance),
            62..=66 => commands::scripts(chance),
            67..=71 => commands::settings(chance),
            72..=81 => self.transaction(chance),
            82..=87 if self.is_clear() => self.subscription(chance),
            82..=87 => commands::publish(chance),
            88 if self.may_change_replies() => self.replies(chance),
            88 | 89 if self.may_say_nothing() => return Piece::Plain(commands::nothing(chance)),
            88..=93 => return Piece::Login { words: commands::auth(chance), form },
            94..=96 if self.may_say_hello() => return Piece::Login { words: commands::hello(chance), form },
            94..=96 => return Piece::Login { words: commands::auth(chance), form },
            97 => return self.reset(form),
            _ => return Piece::Refused { words: commands::refused(chance), form },
        };
        Piece::Plain(encoded(chance, &words, form))
    }

    fn is_clear(&self) -> bool {
        self.manners == Manners::Wild || (!self.queued && self.replies == Replies::On)
    }

    fn may_change_replies(&self) -> bool {
        self.manners == Manners::Wild || !self.queued
    }

    /// Servers differ in whether that is a command that is not to be answered.
    fn may_say_nothing(&self) -> bool {
        self.manners == Manners::Wild || self.replies != Replies::Skip
    }

    fn may_say_hello(&self) -> bool {
        self.manners == Manners::Wild || !(self.queued && self.subscribed)
    }

    fn transaction(&mut self, chance: &mut Chance) -> Vec<Vec<u8>> {
        let (queued, words) = match chance.below(10) {
            0..=2 => (true, commands::line("MULTI", &[])),
            3..=5 => (false, commands::line("EXEC", &[])),
            6 => (false, commands::line("DISCARD", &[])),
            7 => (self.queued, commands::line("UNWATCH", &[])),
            _ => (self.queued, commands::line("WATCH ?", &[&commands::key(chance)])),
        };
        self.queued = queued;
        words
    }

    fn subscription(&mut self, chance: &mut Chance) -> Vec<Vec<u8>> {
        self.subscribed = true;
        commands::subscription(chance)
    }

    fn replies(&mut self, chance: &mut Chance) -> Vec<Vec<u8>> {
        let (replies, word) = chance.pick(&[
            (Replies::Skip, "SKIP"),
            (Replies::Skip, "skip"),
            (Replies::Off, "OFF"),
            (Replies::On, "ON"),
            (Replies::On, "on"),
        ]);
        let now =
            if (self.replies, replies) == (Replies::Off, Replies::Skip) { Replies::Off } else { replies };
        self.replies = now;
        commands::line("CLIENT REPLY ?", &[word.as_bytes()])
    }

    fn reset(&mut self, form: Form) -> Piece {
        *self = Sketch { manners: self.manners, queued: false, replies: Replies::On, subscribed: false };
        Piece::Reset(form)
    }
}

impl Piece {
    pub fn octets(&self, asked: Asked) -> Vec<u8> {
        match (self, asked) {
            (Piece::Plain(octets), _) => octets.clone(),
            (Piece::Login { words, form }, _) => {
                let login = match asked {
                    Asked::Directly => [USER, SECRET],
                    Asked::ThroughAttache => ["who ever", "what\"ever"],
                };
                written(&with_login(words, login), *form)
            }
            (Piece::Refused { words, form }, Asked::ThroughAttache) => written(words, *form),
            (Piece::Refused { form, .. }, Asked::Directly) => written(&[UNKNOWN.to_vec()], *form),
            (Piece::Reset(form), Asked::ThroughAttache) => written(&[b"reset".to_vec()], *form),
            // The login that Attaché adds.
            (Piece::Reset(form), Asked::Directly) => [
                written(&[b"reset".to_vec()], *form),
                command(&[b"AUTH", USER.as_bytes(), WRONG]),
                command(&[b"AUTH", USER.as_bytes(), SECRET.as_bytes()]),
            ]
            .concat(),
        }
    }
}

/// AUTH with a password alone is a login too, but directly that would be the default user's.
fn with_login(words: &[Vec<u8>], [user, password]: [&str; 2]) -> Vec<Vec<u8>> {
    let names_a_user = words.iter().any(|word| word == WHO);
    let mut words: Vec<Vec<u8>> = words.to_vec();
    if !names_a_user && let (USER, Some(at)) = (user, words.iter().position(|word| word == WITH_WHAT)) {
        words.insert(at, WHO.to_vec());
    }
    let said = |word: Vec<u8>| match word.as_slice() {
        WHO => user.into(),
        WITH_WHAT => password.into(),
        _ => word,
    };
    words.into_iter().map(said).collect()
}

fn encoded(chance: &mut Chance, words: &[Vec<u8>], form: Form) -> Vec<u8> {
    let mut words = words.to_vec();
    if chance.once_in(4)
        && let Some(name) = words.first_mut()
    {
        name.iter_mut().filter(|_| chance.once_in(2)).for_each(u8::make_ascii_lowercase);
    }
    written(&words, form)
}

/// Long words, and no words, do not fit into a line.
fn written(words: &[Vec<u8>], form: Form) -> Vec<u8> {
    const LONGEST: usize = 1000;
    if form == Form::Array || words.iter().any(|word| word.len() > LONGEST) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        return command(&words);
    }
    let mut line = Vec::new();
    for word in words {
        line.extend_from_slice(&quoted(word));
        line.push(b' ');
    }
    line.extend_from_slice(b"\r\n");
    line
}

fn quoted(word: &[u8]) -> Vec<u8> {
    let is_bare = |octet: &u8| octet.is_ascii_alphanumeric() || b":-_.*<>".contains(octet);
    let is_plain = |octet: &u8| octet.is_ascii_graphic() && !b"'\\\"".contains(octet) || *octet == b' ';
    if !word.is_empty() && word.iter().all(is_bare) {
        return word.to_vec();
    }
    if word.iter().all(is_plain) {
        return [b"'", word, b"'"].concat();
    }
    let hex = |octet: &u8| {
        if is_plain(octet) { vec![*octet] } else { format!("\\x{octet:02x}").into_bytes() }
    };
    [b"\"".to_vec(), word.iter().flat_map(hex).collect(), b"\"".to_vec()].concat()
}

fn end(chance: &mut Chance) -> Vec<u8> {
    const NONSENSE: [&[u8]; 8] = [
        b"*x\r\n",
        b"*1\r\n+PING\r\n",
        b"*2\r\n$3\r\nGET\r\n:1\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-1\r\n",
        b"*3\r\n$4\r\nAUTH\r\n$3\r\nany\r\n$a\r\n",
        b"*1\r\n$99999999999\r\n",
        b"PING \"x\r\n",
    ];
    match chance.below(2) {
        0 => command(&[b"QUIT"]),
        _ => [chance.pick(&NONSENSE), &chance.octets(40)].concat(),
    }
}

/// Answers without what differs by nature: ids, how a refusal is said, and the login behind RESET. A last word on
/// what is no command may be said or not.
pub fn normal(answers: &[u8]) -> Vec<u8> {
    const REFUSED: &[u8] = b"-REFUSED\r\n";
    let answers = replaced(answers, b"$2\r\nid\r\n:", b"$2\r\nid\r\n:0\r\n");
    let answers = replaced(&answers, b"-NOPERM attache: ", REFUSED);
    let answers = replaced(&answers, b"-ERR unknown command 'NOSUCH.REFUSED'", REFUSED);
    let mut answers =
        without(&answers, b"-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n");
    for last_words in [&b"-LOADING attache: the database closed the connection"[..], b"-ERR Protocol error"] {
        let last = answers[..answers.len().saturating_sub(2)].iter().rposition(|octet| *octet == b'\n');
        let last = last.map_or(0, |at| at + 1);
        if answers[last..].starts_with(last_words) {
            answers.truncate(last);
        }
    }
    answers
}

/// Each line with this beginning by another line.
fn replaced(answers: &[u8], beginning: &[u8], by: &[u8]) -> Vec<u8> {
    rewritten(answers, beginning, |rest| {
        let end = rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1);
        (end, by)
    })
}

fn without(answers: &[u8], text: &[u8]) -> Vec<u8> {
    rewritten(answers, text, |_| (0, b""))
}

/// `by` is given what follows, and says how much of that goes too and what comes instead.
fn rewritten<'a>(answers: &[u8], text: &[u8], by: impl Fn(&[u8]) -> (usize, &'a [u8])) -> Vec<u8> {
    let (mut rest, mut out) = (answers, Vec::with_capacity(answers.len()));
    while let Some(at) = rest.windows(text.len()).position(|window| window == text) {
        let (more, instead) = by(&rest[at + text.len()..]);
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(instead);
        rest = &rest[at + text.len() + more..];
    }
    out.extend_from_slice(rest);
    out
}
