//! Options whose text is in a file: `{ file: PATH }` in place of the text.
//!
//! A protocol touches no file, so the text is read here, once for each reading of the configuration.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Long enough for any key or certificate, in octets.
const MOST: u64 = 64 * 1024;

/// Puts texts in the place of files. `resolve` says where an option's path leads.
///
/// Returns which option's file could not be read, and why.
pub(super) fn read_files(
    options: &mut Value,
    resolve: impl Fn(&str, &Path) -> PathBuf,
) -> Vec<(String, String)> {
    let mut unread = Vec::new();
    for (name, value) in options.as_object_mut().into_iter().flatten() {
        let Some(path) = path_of(value).map(|path| resolve(name, Path::new(path))) else { continue };
        match read(&path) {
            Ok(text) => *value = Value::String(text),
            Err(reason) => unread.push((name.clone(), reason)),
        }
    }
    unread
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

fn read(path: &Path) -> Result<String, String> {
    let (mut text, name) = (String::new(), path.display());
    let file = File::open(path).map_err(|error| format!("could not open {name}: {error}"))?;
    match file.take(MOST + 1).read_to_string(&mut text) {
        Err(error) => Err(format!("could not read {name}: {error}")),
        Ok(_) if text.len() as u64 > MOST => Err(format!("{name} is longer than {MOST} octets")),
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn in_the_folder(folder: &Path) -> impl Fn(&str, &Path) -> PathBuf + '_ {
        move |_, path| folder.join(path)
    }

    #[test]
    fn a_file_is_read_and_everything_else_stays() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(folder.path().join("key.pem"), "the text\n").expect("it can be written");
        let mut options = json!({ "key": { "file": "key.pem" }, "plain": "file", "other": { "a": 1 } });
        assert_eq!(read_files(&mut options, in_the_folder(folder.path())), []);
        assert_eq!(options, json!({ "key": "the text\n", "plain": "file", "other": { "a": 1 } }));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut options = json!({ "key": { "file": "all" }, "other": { "file": "/dev/zero" } });
        let unread = read_files(&mut options, in_the_folder(Path::new("/nowhere/at")));
        let [(key, missing), (other, endless)] = unread.as_slice() else { panic!("{unread:?}") };
        assert_eq!((key.as_str(), other.as_str()), ("key", "other"));
        assert!(missing.starts_with("could not open /nowhere/at/all: "), "{missing}");
        assert!(endless.ends_with("longer than 65536 octets"), "{endless}");
    }
}
