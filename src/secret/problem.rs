//! Why a mounted folder could not be used, in words that hold no secret.

use std::fmt;

/// Why a snapshot was not taken over as a generation. The last good one stays in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nothing is mounted at the path (yet, or any more).
    FolderMissing,
    /// The folder cannot be entered; `error` is the system's name for the reason.
    FolderUnreadable { error: String },
    /// The path is a file: the folder that holds the keys is meant.
    NotAFolder,
    /// The folder lacks a key that is needed.
    Missing { key: String },
    /// The key is there but cannot be read; `error` is the system's name for the reason.
    Unreadable { key: String, error: String },
    /// The key holds nothing, or a line end alone: most likely half written.
    Empty { key: String },
    /// The key holds more than any credential needs.
    TooLarge { key: String, limit: u64 },
    /// The content cannot be what the key stands for; the text names the rule.
    Malformed { key: String, rule: &'static str },
    /// The files kept changing while they were read.
    Changing,
}

impl Problem {
    /// A name from a closed list, for metrics and status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FolderMissing => "folder_missing",
            Self::FolderUnreadable { .. } => "folder_unreadable",
            Self::NotAFolder => "not_a_folder",
            Self::Missing { .. } => "key_missing",
            Self::Unreadable { .. } => "key_unreadable",
            Self::Empty { .. } => "key_empty",
            Self::TooLarge { .. } => "key_too_large",
            Self::Malformed { .. } => "key_malformed",
            Self::Changing => "changing",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FolderMissing => f.write_str("the folder does not exist"),
            Self::FolderUnreadable { error } => write!(f, "the folder cannot be read: {error}"),
            Self::NotAFolder => f.write_str("the path is a file; name the folder that holds the keys"),
            Self::Missing { key } => write!(f, "the folder has no key `{key}`"),
            Self::Unreadable { key, error } => write!(f, "the key `{key}` cannot be read: {error}"),
            Self::Empty { key } => write!(f, "the key `{key}` is empty"),
            Self::TooLarge { key, limit } => write!(f, "the key `{key}` is larger than {limit} octets"),
            Self::Malformed { key, rule } => write!(f, "the key `{key}` {rule}"),
            Self::Changing => f.write_str("the files kept changing while they were read"),
        }
    }
}

impl std::error::Error for Problem {}

/// What is wrong with a mount although it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// The files are mounted one by one (`subPath`): a rotation will never reach them.
    NeverUpdates,
    /// Anyone in the container may change them.
    WorldWritable,
}

impl Warning {
    pub const ALL: [Self; 2] = [Self::NeverUpdates, Self::WorldWritable];

    /// A name from a closed list, for metrics and status.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverUpdates => "never_updates",
            Self::WorldWritable => "world_writable",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverUpdates => {
                "the files are mounted one by one (subPath), so a rotation never reaches them: mount the folder"
            }
            Self::WorldWritable => "everyone may write to the files: take the write permission of others away",
        })
    }
}
