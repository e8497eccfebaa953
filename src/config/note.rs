//! What the declaration of a key says, for those who describe keys instead of reading values.

use serde_json::Value;

/// Stands for the name of a route while the keys are described.
pub(super) const ANY_NAME: &str = "<name>";

/// One declared key.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) schema: Value,
    pub(super) presence: Presence,
    pub(super) means: &'static str,
    pub(super) example: Option<&'static str>,
}

/// What it means when a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Required while these other keys are absent, and not allowed beside one of them.
    RequiredUnless(&'static [&'static str]),
    Optional,
    Default(&'static str),
    /// A section of keys, which is there even when nothing is said about it.
    Section,
    /// A section of keys that means something by being there.
    OptionalSection,
    /// A section of sections that the user names.
    Named,
    /// A section that a single value may stand for.
    ShortSection(&'static str),
}

impl Note {
    pub(super) fn is_section(&self) -> bool {
        match self.presence {
            Presence::Section | Presence::OptionalSection | Presence::Named | Presence::ShortSection(_) => {
                true
            }
            Presence::Required | Presence::RequiredUnless(_) | Presence::Optional | Presence::Default(_) => {
                false
            }
        }
    }
}
