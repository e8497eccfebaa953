//! By what one knows that a file was written to or replaced, without reading it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long files must have rested, where each is written on its own: a user name and a password
/// that are written one after the other belong together.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// What changes when a file is written to or replaced. The time of change (not of modification) is
/// that of the renaming where a writer prepares a file aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file to which this path leads, if there is one.
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Self::of(&found))
    }

    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether nobody has written for [`SETTLE`]. A time in the future is a clock that was set back: nothing to wait for.
    pub fn has_settled(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or_default();
        let nanos = u32::try_from(self.changed.1).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(Duration::new(seconds, nanos)).is_none_or(|age| age >= SETTLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_settled_when_nothing_changed_for_a_while() {
        let changed = |ago: Duration| {
            let time = (SystemTime::now() - ago).duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            let changed = (time.as_secs().cast_signed(), i64::from(time.subsec_nanos()));
            Stamp { device: 1, inode: 2, size: 3, modified: (0, 0), changed }
        };
        assert!(!changed(Duration::ZERO).has_settled());
        assert!(changed(SETTLE).has_settled());
        let ahead = Stamp { changed: (i64::MAX / 2, 0), ..changed(Duration::ZERO) };
        assert!(ahead.has_settled(), "a clock that was set back");
    }
}
