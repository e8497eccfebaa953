//! What a server says of its commands, for routes that only read (manual, "COMMAND").
//!
//! Its own flags decide: modules and later versions bring commands that nobody here has heard of. What is not in its
//! table is not passed on. Scripts may write whatever their name; those that may not have names of their own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use redis_protocol::resp2::types::OwnedFrame;

use crate::command::Arguments;
use crate::frame::text;

/// The longest reply to COMMAND that is taken, in octets. That of version 7 has some 200 KB.
pub(crate) const MAX_COMMANDS_LEN: usize = 4 * 1024 * 1024;

/// The commands of a server, by their names in lower case; those of a container also as `container|command`.
#[derive(PartialEq, Eq)]
pub(crate) struct Commands(HashMap<Vec<u8>, Kind>);

/// What the first server has said that was logged in to, shared by all logins of a route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<Mutex<Option<Arc<Commands>>>>);

impl Known {
    pub(crate) fn commands(&self) -> Option<Arc<Commands>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn learn(&self, commands: Box<Commands>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(commands.into());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reads,
    Writes,
    /// It concerns the server itself. Some of these only look.
    Admin,
    /// Its first argument says which command it is.
    Container,
}

/// What the arguments known so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Nothing yet: another argument is needed.
    More,
    Reads,
    Writes,
}

/// Where a command's flags and its subcommands stand in its description.
const NAME: usize = 0;
const FLAGS: usize = 2;
const SUBCOMMANDS: usize = 9;

/// Commands that do not change data by themselves, and whose effects are as lasting: scripts, also in versions that say
/// nothing of `may_replicate`, and messages, which may be orders to somebody.
const WRITES: [&[u8]; 5] = [b"eval", b"evalsha", b"fcall", b"publish", b"spublish"];

/// Commands of administrators that only look, or that concern nothing but their own connection. Before version 7 the
/// flags are those of the whole container.
const HARMLESS: [&[u8]; 29] = [
    b"acl|cat",
    b"acl|whoami",
    b"client|caching",
    b"client|getname",
    b"client|getredir",
    b"client|id",
    b"client|info",
    b"client|list",
    b"client|reply",
    b"client|setinfo",
    b"client|setname",
    b"client|tracking",
    b"client|trackinginfo",
    b"cluster|info",
    b"cluster|keyslot",
    b"cluster|myid",
    b"cluster|nodes",
    b"cluster|shards",
    b"cluster|slots",
    b"config|get",
    b"latency|doctor",
    b"latency|graph",
    b"latency|history",
    b"latency|latest",
    b"monitor",
    b"psync",
    b"replconf",
    b"slowlog|get",
    b"slowlog|len",
];

impl Commands {
    /// Reads the reply. `None` where it is none.
    pub(crate) fn parse(reply: &[OwnedFrame]) -> Option<Self> {
        let mut commands = HashMap::new();
        for description in reply {
            take(description, &mut commands)?;
        }
        (!commands.is_empty()).then_some(Self(commands))
    }

    /// Whether a command changes anything. One that is complete is never told to wait.
    pub(crate) fn nature(&self, args: &Arguments) -> Nature {
        let Some(name) = args.lower(0) else { return Nature::Writes };
        match self.0.get(&name) {
            _ if name == b"quit" => Nature::Reads,
            None | Some(Kind::Writes) => Nature::Writes,
            Some(Kind::Reads) => Nature::Reads,
            Some(Kind::Admin) if HARMLESS.contains(&name.as_slice()) => Nature::Reads,
            Some(kind @ (Kind::Container | Kind::Admin)) => match args.lower(1) {
                None if !args.is_complete() => Nature::More,
                // A container does nothing by itself.
                None if *kind == Kind::Container => Nature::Reads,
                None => Nature::Writes,
                Some(command) => self.contained(*kind, &[&name[..], b"|", &command].concat()),
            },
        }
    }

    fn contained(&self, container: Kind, name: &[u8]) -> Nature {
        let kind = match container {
            Kind::Container => self.0.get(name).copied().unwrap_or(Kind::Writes),
            Kind::Admin | Kind::Reads | Kind::Writes => container,
        };
        match kind {
            Kind::Reads => Nature::Reads,
            Kind::Admin if HARMLESS.contains(&name) => Nature::Reads,
            Kind::Admin | Kind::Writes | Kind::Container => Nature::Writes,
        }
    }
}

fn take(description: &OwnedFrame, commands: &mut HashMap<Vec<u8>, Kind>) -> Option<()> {
    let OwnedFrame::Array(description) = description else { return None };
    let name = text(description.get(NAME)?)?.to_ascii_lowercase();
    let OwnedFrame::Array(flags) = description.get(FLAGS)? else { return None };
    let mut kind = kind(&name, &flags.iter().filter_map(text).collect::<Vec<_>>());
    if let Some(OwnedFrame::Array(contained)) = description.get(SUBCOMMANDS)
        && !contained.is_empty()
    {
        kind = Kind::Container;
        for description in contained {
            take(description, commands)?;
        }
    }
    commands.insert(name, kind);
    Some(())
}

fn kind(name: &[u8], flags: &[&[u8]]) -> Kind {
    let has = |flag: &str| flags.contains(&flag.as_bytes());
    if has("readonly") {
        Kind::Reads
    } else if has("write") || has("may_replicate") || WRITES.contains(&name) {
        Kind::Writes
    } else if has("admin") {
        Kind::Admin
    } else {
        Kind::Reads
    }
}

/// Hundreds of commands, which nobody wants to see.
impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("known", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn described(name: &str, flags: &str, contained: Vec<OwnedFrame>) -> OwnedFrame {
        let word = |word: &str| OwnedFrame::SimpleString(word.as_bytes().to_vec());
        let none = || OwnedFrame::Array(Vec::new());
        OwnedFrame::Array(vec![
            OwnedFrame::BulkString(name.as_bytes().to_vec()),
            OwnedFrame::Integer(-2),
            OwnedFrame::Array(flags.split_whitespace().map(word).collect()),
            OwnedFrame::Integer(0),
            OwnedFrame::Integer(0),
            OwnedFrame::Integer(0),
            none(),
            none(),
            none(),
            OwnedFrame::Array(contained),
        ])
    }

    /// A few of version 7.
    pub(crate) fn commands() -> Commands {
        let config = vec![described("config|get", "admin", vec![]), described("config|set", "admin", vec![])];
        let client =
            vec![described("client|setname", "noscript", vec![]), described("client|kill", "admin", vec![])];
        Commands::parse(&[
            described("get", "readonly fast", vec![]),
            described("set", "write denyoom", vec![]),
            described("georadiusbymember", "write", vec![]),
            described("eval", "noscript", vec![]),
            described("eval_ro", "noscript readonly", vec![]),
            described("publish", "pubsub", vec![]),
            described("pfcount", "readonly may_replicate", vec![]),
            described("multi", "noscript", vec![]),
            described("shutdown", "admin", vec![]),
            described("monitor", "admin", vec![]),
            described("config", "", config),
            described("client", "", client),
            described("slowlog", "admin", vec![]),
        ])
        .unwrap()
    }

    fn nature(line: &str) -> Nature {
        let args = Arguments::new(line.split(' ').map(|word| word.as_bytes().to_vec()));
        commands().nature(&args)
    }

    #[test]
    fn the_servers_flags_decide() {
        for line in [
            "get x",
            "GET x",
            "eval_ro x 0",
            "pfcount x",
            "multi",
            "monitor",
            "quit",
            "config get x",
            "CONFIG",
        ] {
            assert_eq!(nature(line), Nature::Reads, "{line}");
        }
        for line in ["client setname x", "slowlog get", "slowlog get 10"] {
            assert_eq!(nature(line), Nature::Reads, "{line}");
        }
        for line in
            ["set x 1", "georadiusbymember x", "eval x 0", "publish c m", "shutdown now", "config set x 1"]
        {
            assert_eq!(nature(line), Nature::Writes, "{line}");
        }
        for line in [
            "client kill x",
            "slowlog reset",
            "slowlog",
            "shutdown",
            "config rewrite",
            "nonsense",
            "nonsense x",
        ] {
            assert_eq!(nature(line), Nature::Writes, "{line}");
        }
    }

    #[test]
    fn a_container_waits_for_its_command() {
        let mut args = Arguments::default();
        args.expect(3);
        args.extend(b"config");
        args.end();
        assert_eq!(commands().nature(&args), Nature::More);
        args.extend(b"SET");
        args.end();
        assert_eq!(commands().nature(&args), Nature::Writes);
    }

    #[test]
    fn what_is_no_list_of_commands_is_none() {
        assert!(Commands::parse(&[]).is_none());
        assert!(Commands::parse(&[OwnedFrame::Integer(1)]).is_none());
        assert!(Commands::parse(&[OwnedFrame::Array(vec![OwnedFrame::Null])]).is_none());
    }
}
