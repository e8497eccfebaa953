//! What is wrong with a configuration: where, which key, why, and what to do about it.
//!
//! A complaint may quote a short value that is plainly a setting. It never quotes what could be a secret.

use std::fmt;

use serde::Serialize;

/// The longest piece of a value that is quoted: enough to recognise it, not enough to flood a log.
const QUOTE_LIMIT: usize = 60;

/// What pieces of an unknown key's name say that its value was meant to be a secret.
const SECRET_NAMES: [&str; 7] = ["pass", "pwd", "secret", "token", "private_key", "api_key", "apikey"];

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The file, environment variable or flag that says so, where it is known.
    pub file: Option<String>,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// The path of the key, such as `routes.orders.upstream.wait`; empty for the file as a whole.
    pub key: String,
    pub reason: String,
    /// What to do instead, where that can be told.
    pub hint: Option<String>,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// Everything that is wrong, in the order of the sources and their lines. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Complaints(pub(super) Vec<Complaint>);

impl Complaints {
    pub fn iter(&self) -> std::slice::Iter<'_, Complaint> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Complaints {
    type Item = &'a Complaint;
    type IntoIter = std::slice::Iter<'a, Complaint>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, complaint) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{complaint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}

/// A value as a complaint may show it: short, on one line, and not if it could carry a login.
pub(super) fn quote(text: &str) -> String {
    if text.contains('@') || text.contains("-----") {
        return "the value".to_owned();
    }
    match text.char_indices().nth(QUOTE_LIMIT) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A key that is short and plain enough to be shown as it is; places are looked up by it.
pub(super) fn shown(name: &str) -> String {
    let is_plain = name.len() <= 60 && !name.contains(|letter: char| letter == '@' || letter.is_control());
    if is_plain { name.to_owned() } else { quote(name) }
}

/// Whether a key of this name would hold a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    SECRET_NAMES.iter().any(|piece| name.contains(piece))
}

/// A suggestion to write the one of `words` that is nearest to `wrong`, if any is near.
pub(super) fn did_you_mean<'a>(wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, words).map(|word| format!("did you mean {word}?"))
}

fn nearest<'a>(wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    // Two letters that changed places count as two slips.
    let most = match wrong.chars().count() {
        0..3 => 1,
        3..8 => 2,
        8.. => 3,
    };
    words
        .into_iter()
        .map(|word| (distance(&wrong, word), word))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, word)| word)
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(QUOTE_LIMIT).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().take(QUOTE_LIMIT).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *candidate);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["endpoints", "tls", "connect_timeout", "wait"];
        assert_eq!(did_you_mean("endpoint", words).as_deref(), Some("did you mean endpoints?"));
        assert_eq!(did_you_mean("Connect-Timeout", words).as_deref(), Some("did you mean connect_timeout?"));
        assert_eq!(did_you_mean("tsl", words).as_deref(), Some("did you mean tls?"));
        assert_eq!(did_you_mean("colour", words), None);
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn quotes_are_short_and_hide_what_looks_like_a_login() {
        assert_eq!(quote("a\nb"), "\"a\\nb\"");
        assert!(quote(&"é".repeat(1000)).chars().count() < 70);
        assert!(!quote("postgres://u:hunter2@host/db").contains("hunter2"));
    }
}
