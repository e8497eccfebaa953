//! Headers that a collector wants, from a mounted file. They are marked so that nothing prints their values.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

/// Larger than any server of ours would take.
const SIZE: u64 = 16 * 1024;

/// The headers of a file, one `Name: value` a line. Empty lines and those that begin with `#` mean nothing.
///
/// # Errors
/// What is wrong with the file, without anything that stands in it.
pub fn read(path: &Path) -> Result<HeaderMap, String> {
    let failed = |reason: String| format!("{}: {reason}", path.display());
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    // One octet more, so that a file that is too long is not taken for one that just fits.
    file.take(SIZE + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > SIZE {
        return Err(failed(format!("more than {SIZE} octets")));
    }
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            header(line).ok_or_else(|| failed(format!("line {number} is no `Name: value`")))
        })
        .collect()
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<HeaderMap, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, text).unwrap();
        read(&file).map_err(|error| error.replace(&file.display().to_string(), "headers"))
    }

    #[test]
    fn headers_are_read_by_line_and_not_shown() {
        let headers =
            of("# for the collector\n\nAuthorization: Bearer hunter2\r\nX-Scope-OrgID: blue\n").unwrap();
        assert_eq!(headers["authorization"], "Bearer hunter2");
        assert_eq!(headers["x-scope-orgid"], "blue");
        assert!(!format!("{headers:?}").contains("hunter2"), "{headers:?}");
    }

    #[test]
    fn what_is_no_header_is_told_by_its_line_alone() {
        assert_eq!(of("A: b\nBearer hunter2\n").unwrap_err(), "headers: line 2 is no `Name: value`");
        assert!(of(&"A: b\n".repeat(9000)).unwrap_err().starts_with("headers: more than"));
    }
}
