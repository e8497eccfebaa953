//! Parameters that the server reported while a session went on (section "Asynchronous Operations").
//!
//! The next client of the link has to hear the values that hold then. Most are what they were at the login again
//! after a reset, which the server reports; what it does not report again has the value of this list.

use crate::frame::take_string;
use crate::scan::Seen;

/// The most parameters that are kept in mind. PostgreSQL reports some fifteen; extensions may add to that.
const MOST: usize = 64;

/// The last value of each parameter, by name.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    values: Vec<(Vec<u8>, Value)>,
    whole: Whole,
}

/// A reported value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Known(Vec<u8>),
    /// It was longer than what is looked at of a message.
    TooLong,
}

/// Whether the list has all that was reported.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Whole {
    #[default]
    Yes,
    /// There was too much, or something that made no sense.
    No,
}

impl Reported {
    /// Takes in a ParameterStatus.
    pub(crate) fn hear(&mut self, seen: &Seen<'_>) {
        let mut body = seen.head;
        let Some(name) = take_string(&mut body) else {
            self.whole = Whole::No;
            return;
        };
        let value = take_string(&mut body).map_or(Value::TooLong, |value| Value::Known(value.to_vec()));
        match self.values.iter().position(|(known, _)| known == name) {
            Some(at) => self.values[at].1 = value,
            None if self.values.len() == MOST => self.whole = Whole::No,
            None => self.values.push((name.to_vec(), value)),
        }
    }

    /// All of them; `None` if that is not known.
    pub(crate) fn all(&self) -> Option<&[(Vec<u8>, Value)]> {
        (self.whole == Whole::Yes).then_some(&self.values[..])
    }
}
