//! How many definitions follow, as the first packet of a reply says it (manual, "COM_STMT_PREPARE Response", "COM_QUERY
//! Response").

use crate::capabilities::Capabilities;
use crate::field::take_length;

/// Whether definitions come that were counted. Clients may do without, where both sides know how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definitions {
    Follow,
    LeftOut,
}

/// The columns of a result.
pub(crate) struct Columns {
    pub(crate) count: u64,
    pub(crate) definitions: Definitions,
}

/// A statement.
pub(crate) struct Prepared {
    pub(crate) statement: u32,
    pub(crate) columns: u16,
    pub(crate) parameters: u16,
    pub(crate) definitions: Definitions,
}

impl Columns {
    /// Their number, and whether their definitions follow.
    pub(crate) fn parse(mut head: &[u8], agreed: Capabilities) -> Option<Self> {
        let count = take_length(&mut head)?;
        let optional =
            agreed.has(Capabilities::OPTIONAL_RESULTSET_METADATA) || agreed.has(Capabilities::CACHE_METADATA);
        Some(Self { count, definitions: Definitions::told(head.first().filter(|_| optional)) })
    }
}

impl Prepared {
    /// COM_STMT_PREPARE_OK: the statement's number, the number of its columns and of its parameters, an octet without
    /// a meaning, a count of warnings, and whether definitions follow.
    pub(crate) fn parse(head: &[u8], agreed: Capabilities) -> Option<Self> {
        let [_, a, b, c, d, low, high, e, f] = head.first_chunk::<9>()?;
        let optional = agreed.has(Capabilities::OPTIONAL_RESULTSET_METADATA);
        Some(Self {
            statement: u32::from_le_bytes([*a, *b, *c, *d]),
            columns: u16::from_le_bytes([*low, *high]),
            parameters: u16::from_le_bytes([*e, *f]),
            definitions: Definitions::told(head.get(12).filter(|_| optional)),
        })
    }
}

impl Definitions {
    fn told(said: Option<&u8>) -> Self {
        if said == Some(&0) { Self::LeftOut } else { Self::Follow }
    }
}
