//! What a client wants of its login: a session, or something in the midst of one.

use std::fmt;

use bytes::Bytes;

use crate::command::{Arguments, Effect, Verdict, judge, refused};
use crate::options::Rules;
use crate::subscriptions::Form;

/// What a client asked for. Passwords that it sent are no part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// A session.
    Session,
    /// AUTH: it is to be told that it is logged in.
    Auth,
    /// HELLO, with another version of the protocol or a login in it.
    Hello(Hello),
    /// RESET: it is to be as after connecting, and logged in.
    Reset,
    /// A command that the route does not allow, by its name.
    Refused(&'static str),
    /// A command that only had to wait.
    Delayed(Delayed),
    /// Nothing: the session goes on with a new password.
    Renewal,
}

/// A command as the client sent it, and what it does.
#[derive(Clone, PartialEq, Eq)]
pub struct Delayed {
    pub(crate) command: Bytes,
    pub(crate) effect: Effect,
}

/// The arguments of HELLO.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    words: Vec<Word>,
}

#[derive(Clone, PartialEq, Eq)]
enum Word {
    /// As the client wrote it.
    Given(Vec<u8>),
    /// AUTH with a user and a password.
    Login,
}

impl Intent {
    /// What a complete command stands for that a watch has stopped in front of.
    pub(crate) fn of(command: Bytes, args: &Arguments, rules: &Rules) -> Self {
        if let Verdict::Pass(effect) = judge(args, rules) {
            return Self::Delayed(Delayed { command, effect });
        }
        if let Some(command) = refused(args, rules) {
            return Self::Refused(command);
        }
        match args.lower(0).as_deref() {
            Some(b"hello") => Self::Hello(Hello::parse(args)),
            Some(b"reset") => Self::Reset,
            _ => Self::Auth,
        }
    }

    /// Whether a login is part of it.
    pub(crate) fn logs_in(&self) -> bool {
        match self {
            Self::Session | Self::Auth | Self::Reset | Self::Renewal => true,
            Self::Hello(hello) => hello.logs_in(),
            Self::Refused(_) | Self::Delayed(_) => false,
        }
    }
}

impl Hello {
    /// Reads options as the server does: `AUTH` takes two words, `SETNAME` one. From the first word that is no option
    /// on, everything is the server's to complain about.
    fn parse(args: &Arguments) -> Self {
        let mut given: Vec<&[u8]> = args.from(2).collect();
        let mut words: Vec<Word> =
            args.get(1).map(|version| Word::Given(version.to_vec())).into_iter().collect();
        while let Some((option, rest)) = given.split_first() {
            let len = if option.eq_ignore_ascii_case(b"auth") && rest.len() >= 2 {
                words.push(Word::Login);
                3
            } else if option.eq_ignore_ascii_case(b"setname") && !rest.is_empty() {
                words.extend(given[..2].iter().map(|word| Word::Given(word.to_vec())));
                2
            } else {
                words.extend(given.iter().map(|word| Word::Given(word.to_vec())));
                given.len()
            };
            given.drain(..len);
        }
        Self { words }
    }

    /// The words of the command, with `login` in place of the client's.
    pub(crate) fn words<'a>(&'a self, login: Option<[&'a [u8]; 3]>) -> Vec<&'a [u8]> {
        let mut words: Vec<&[u8]> = vec![b"HELLO"];
        for word in &self.words {
            match word {
                Word::Given(word) => words.push(word),
                Word::Login => words.extend(login.iter().flatten()),
            }
        }
        words
    }

    /// Whether a login is part of it.
    pub(crate) fn logs_in(&self) -> bool {
        self.words.contains(&Word::Login)
    }

    /// In which form messages come once it has succeeded.
    pub(crate) fn form(&self) -> Form {
        match self.words.first() {
            Some(Word::Given(version)) if version == b"3" => Form::Pushes,
            Some(Word::Given(_) | Word::Login) | None => Form::Arrays,
        }
    }
}

/// What the command says is the client's business.
impl fmt::Debug for Delayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delayed").field("effect", &self.effect).finish_non_exhaustive()
    }
}

/// The words are the client's business: they are counted, not shown.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("words", &self.words.len()).field("logs_in", &self.logs_in()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(line: &str, login: Option<[&[u8]; 3]>) -> String {
        let args = Arguments::new(line.split(' ').map(|word| word.as_bytes().to_vec()));
        String::from_utf8(Hello::parse(&args).words(login).join(&b' ')).unwrap()
    }

    #[test]
    fn the_login_of_hello_is_replaced_and_the_rest_kept() {
        let ours = Some([&b"AUTH"[..], b"orders", b"secret"]);
        for (line, expected) in [
            ("HELLO 3", "HELLO 3"),
            ("hello 3 auth u p", "HELLO 3 AUTH orders secret"),
            ("HELLO 2 SETNAME auth Auth u p", "HELLO 2 SETNAME auth AUTH orders secret"),
            ("HELLO 3 AUTH setname p SETNAME x", "HELLO 3 AUTH orders secret SETNAME x"),
            ("HELLO 3 AUTH u p BOGUS AUTH u p", "HELLO 3 AUTH orders secret BOGUS AUTH u p"),
            ("HELLO 3 AUTH u", "HELLO 3 AUTH u"),
            ("HELLO x SETNAME", "HELLO x SETNAME"),
        ] {
            assert_eq!(hello(line, ours), expected);
        }
        assert_eq!(hello("HELLO 3 AUTH u p SETNAME x", None), "HELLO 3 SETNAME x");
    }
}
