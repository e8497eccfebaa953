//! Commands that reveal credentials or move them, and that a route refuses unless it says otherwise.
//!
//! It is a guard against accidents and curiosity: what a login may do is for the server's access lists to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Arguments;

/// A command that is refused by default, as the server names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Guarded {
    #[serde(rename = "acl|setuser")]
    AclSetuser,
    #[serde(rename = "acl|getuser")]
    AclGetuser,
    #[serde(rename = "acl|list")]
    AclList,
    #[serde(rename = "acl|deluser")]
    AclDeluser,
    /// Of passwords alone, or by a pattern that matches one.
    #[serde(rename = "config|get")]
    ConfigGet,
    /// Of passwords alone.
    #[serde(rename = "config|set")]
    ConfigSet,
    #[serde(rename = "debug")]
    Debug,
    /// With AUTH or AUTH2 alone.
    #[serde(rename = "migrate")]
    Migrate,
    #[serde(rename = "module")]
    Module,
    /// Of a server alone, which would be given `masterauth`.
    #[serde(rename = "replicaof")]
    Replicaof,
}

/// What the arguments known so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing yet: another argument is needed.
    More,
    Harmless,
    Guarded(Guarded),
}

/// Parameters of the server that hold a password, or the name that goes with one. Those of a primary are Valkey's, which
/// answers to both names.
const PASSWORDS: [&[u8]; 7] = [
    b"requirepass",
    b"masterauth",
    b"masteruser",
    b"primaryauth",
    b"primaryuser",
    b"tls-key-file-pass",
    b"tls-client-key-file-pass",
];

/// Where the options of MIGRATE begin, behind host, port, key, database and timeout.
const MIGRATE_OPTIONS: usize = 6;

impl Guarded {
    pub(crate) fn bit(self) -> u16 {
        1 << self as u16
    }

    /// The name as the server writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AclSetuser => "acl|setuser",
            Self::AclGetuser => "acl|getuser",
            Self::AclList => "acl|list",
            Self::AclDeluser => "acl|deluser",
            Self::ConfigGet => "config|get",
            Self::ConfigSet => "config|set",
            Self::Debug => "debug",
            Self::Migrate => "migrate",
            Self::Module => "module",
            Self::Replicaof => "replicaof",
        }
    }
}

pub(crate) fn acl(args: &Arguments) -> Finding {
    match args.lower(1).as_deref() {
        None => unknown(args),
        Some(b"setuser") => Finding::Guarded(Guarded::AclSetuser),
        Some(b"getuser") => Finding::Guarded(Guarded::AclGetuser),
        Some(b"list") => Finding::Guarded(Guarded::AclList),
        Some(b"deluser") => Finding::Guarded(Guarded::AclDeluser),
        Some(_) => Finding::Harmless,
    }
}

pub(crate) fn config(args: &Arguments) -> Finding {
    match args.lower(1).as_deref() {
        None => unknown(args),
        Some(b"get") if args.new_from(2).any(|(_, pattern)| is_pattern_of_a_password(pattern)) => {
            Finding::Guarded(Guarded::ConfigGet)
        }
        // Names and values take turns.
        Some(b"set") if args.new_from(2).any(|(index, name)| index % 2 == 0 && is_password(name)) => {
            Finding::Guarded(Guarded::ConfigSet)
        }
        Some(b"get" | b"set") => unknown(args),
        Some(_) => Finding::Harmless,
    }
}

/// Behind KEYS stand keys, which may have any name.
pub(crate) fn migrate(args: &Arguments) -> Finding {
    for (_, option) in args.new_from(MIGRATE_OPTIONS) {
        if option.eq_ignore_ascii_case(b"auth") || option.eq_ignore_ascii_case(b"auth2") {
            return Finding::Guarded(Guarded::Migrate);
        }
        if option.eq_ignore_ascii_case(b"keys") {
            return Finding::Harmless;
        }
    }
    unknown(args)
}

/// REPLICAOF NO ONE ends a replication, and sends nothing anywhere.
pub(crate) fn replicate(args: &Arguments) -> Finding {
    match args.lower(1).as_deref() {
        None => unknown(args),
        Some(b"no") => Finding::Harmless,
        Some(_) => Finding::Guarded(Guarded::Replicaof),
    }
}

fn unknown(args: &Arguments) -> Finding {
    if args.is_complete() { Finding::Harmless } else { Finding::More }
}

fn is_password(name: &[u8]) -> bool {
    PASSWORDS.iter().any(|password| name.eq_ignore_ascii_case(password))
}

fn is_pattern_of_a_password(pattern: &[u8]) -> bool {
    PASSWORDS.iter().any(|password| matches(pattern, password))
}

/// Whether a pattern with `* ? [ ] \` matches a name, in any case (`stringmatchlen` in the server's `util.c`). The
/// time is bounded by the product of the lengths: only the last star is ever tried again.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, name);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match (rest, left) {
            ([b'*', after @ ..], _) => {
                retry = Some((after, left));
                Some((after, left))
            }
            ([], []) => return true,
            (_, []) => return false,
            ([], _) => None,
            (_, [letter, others @ ..]) => one(rest, *letter).map(|after| (after, others)),
        };
        (rest, left) = match (step, retry) {
            (Some(step), _) => step,
            (None, Some((after, [_, others @ ..]))) => {
                retry = Some((after, others));
                (after, others)
            }
            (None, Some((_, [])) | None) => return false,
        };
    }
}

/// Matches one letter with the front of a pattern that is not a star; gives the rest of the pattern.
fn one(pattern: &[u8], letter: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', after @ ..] => Some(after),
        [b'[', after @ ..] => class(after, letter),
        [b'\\', escaped, after @ ..] => escaped.eq_ignore_ascii_case(&letter).then_some(after),
        [plain, after @ ..] => plain.eq_ignore_ascii_case(&letter).then_some(after),
        [] => None,
    }
}

/// A class of letters: `[abc]`, `[^abc]`, `[a-c]`. One that is not closed ends with the pattern. Of an escaped letter the
/// server minds the case, which keeps letters out of an inverted class that seem to be in it: in doubt, it matches.
fn class(mut class: &[u8], letter: u8) -> Option<&[u8]> {
    let letter = letter.to_ascii_lowercase();
    let inverted = class.first() == Some(&b'^');
    class = &class[usize::from(inverted)..];
    let mut found = false;
    loop {
        class = match class {
            [b'\\', escaped, after @ ..] => {
                found |= if inverted { *escaped == letter } else { escaped.eq_ignore_ascii_case(&letter) };
                after
            }
            [b']', after @ ..] => return (found != inverted).then_some(after),
            [from, b'-', to, after @ ..] => {
                let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
                found |= (from.min(to)..=from.max(to)).contains(&letter);
                after
            }
            [plain, after @ ..] => {
                found |= plain.eq_ignore_ascii_case(&letter);
                after
            }
            [] => return (found != inverted).then_some(class),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_server_matches_them() {
        for pattern in [
            "*",
            "requirepass",
            "REQUIREPASS",
            "req*",
            "*pass",
            "*PASS*",
            "r?quirepass",
            "re[qx]uire*",
            "[^a]equirepass",
            "[^\\R]equirepass",
            "[\\R]equirepass",
            "[p-s]equirepass",
            "[s-p]equirepass",
            "\\requirepass",
            "*e*e*s",
            "requirepas[s",
            "**",
            "requirepass*",
        ] {
            assert!(matches(pattern.as_bytes(), b"requirepass"), "{pattern}");
        }
        for pattern in [
            "",
            "require",
            "requirepasss",
            "?",
            "r?quire",
            "[^r]equirepass",
            "[^\\r]equirepass",
            "save",
            "max*",
            "*x*",
            "requirepass?",
        ] {
            assert!(!matches(pattern.as_bytes(), b"requirepass"), "{pattern}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_one() {
        let pattern = "*a".repeat(20_000);
        assert!(!matches(pattern.as_bytes(), b"requirepass"));
    }

    fn found(line: &str) -> Finding {
        let args = Arguments::new(line.split(' ').map(|word| word.as_bytes().to_vec()));
        match args.lower(0).as_deref() {
            Some(b"acl") => acl(&args),
            Some(b"config") => config(&args),
            _ => migrate(&args),
        }
    }

    #[test]
    fn commands_that_show_or_move_passwords_are_found() {
        for (line, guarded) in [
            ("ACL SetUser x", Guarded::AclSetuser),
            ("acl getuser x", Guarded::AclGetuser),
            ("acl LIST", Guarded::AclList),
            ("acl deluser x", Guarded::AclDeluser),
            ("config get requirepass", Guarded::ConfigGet),
            ("config get save master*", Guarded::ConfigGet),
            ("config get PrimaryAuth", Guarded::ConfigGet),
            ("config get [^\\R]equirepass", Guarded::ConfigGet),
            ("config set requirepass x", Guarded::ConfigSet),
            ("config set save x MasterAuth y", Guarded::ConfigSet),
            ("config set primaryuser x", Guarded::ConfigSet),
            ("migrate h 1 k 0 1 AUTH p", Guarded::Migrate),
            ("migrate h 1 k 0 1 COPY REPLACE auth2 u p KEYS x", Guarded::Migrate),
        ] {
            assert_eq!(found(line), Finding::Guarded(guarded), "{line}");
        }
        for line in [
            "acl whoami",
            "acl",
            "acl cat list",
            "config get maxmemory",
            "config get save*",
            "config resetstat",
            "config set save requirepass",
            "config",
            "migrate h 1 k 0 1",
            "migrate auth 1 auth 0 1 KEYS auth auth2",
        ] {
            assert_eq!(found(line), Finding::Harmless, "{line}");
        }
    }
}
