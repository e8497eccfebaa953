//! Options whose text is in a file: `{ file: PATH }` in place of the text.
//!
//! A protocol touches no file, so the text is read here, once for each reading of the configuration.

use std::fs::File;
use std::io::Read;

use serde_json::Value;

/// Long enough for any key or certificate, in octets.
const MOST: u64 = 64 * 1024;

/// Puts texts in the place of files.
///
/// # Errors
/// Which option's file could not be read, and why.
pub(super) fn read_files(options: &mut Value) -> Result<(), String> {
    let Some(options) = options.as_object_mut() else { return Ok(()) };
    for (name, value) in options {
        if let Some(path) = path_of(value) {
            *value = Value::String(read(path).map_err(|reason| format!("{name}: {reason}"))?);
        }
    }
    Ok(())
}

/// Takes the options out whose text is in a file, where the file is out of reach.
pub(super) fn skip_files(options: &mut Value) {
    if let Some(options) = options.as_object_mut() {
        options.retain(|_, value| path_of(value).is_none());
    }
}

fn path_of(value: &Value) -> Option<&str> {
    match value.as_object()?.iter().collect::<Vec<_>>()[..] {
        [(key, Value::String(path))] if key == "file" => Some(path),
        _ => None,
    }
}

fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("could not open {path}: {error}"))?;
    match file.take(MOST + 1).read_to_string(&mut text) {
        Err(error) => Err(format!("could not read {path}: {error}")),
        Ok(_) if text.len() as u64 > MOST => Err(format!("{path} is longer than {MOST} octets")),
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_read_and_everything_else_stays() {
        let file = tempfile::NamedTempFile::new().expect("a file for the test");
        std::fs::write(file.path(), "the text\n").expect("it can be written");
        let mut options = json!({ "key": { "file": file.path() }, "plain": "file", "other": { "a": 1 } });
        assert_eq!(read_files(&mut options), Ok(()));
        assert_eq!(options, json!({ "key": "the text\n", "plain": "file", "other": { "a": 1 } }));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut options = json!({ "key": { "file": "/nowhere/at/all" } });
        let complaint = read_files(&mut options).expect_err("there is no such file");
        assert!(complaint.starts_with("key: could not open /nowhere/at/all: "), "{complaint}");
        let mut options = json!({ "key": { "file": "/dev/zero" } });
        let complaint = read_files(&mut options).expect_err("it never ends");
        assert!(complaint.ends_with("longer than 65536 octets"), "{complaint}");
    }
}
