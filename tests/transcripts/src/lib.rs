//! What a real client and a real server said to each other, as the recorders beside the tests have written it down.

use std::fs;
use std::path::Path;

/// One recorded session: lines of a kind and a text. By custom `C` is what the client said, and `S` the server, with
/// `\x00` for an octet that is no plain character.
#[derive(Debug)]
pub struct Transcript {
    /// The file's name without its extension.
    pub name: String,
    pub lines: Vec<(String, String)>,
}

impl Transcript {
    /// All transcripts of a folder, which are its files `*.txt`.
    ///
    /// # Panics
    /// If the folder or a file in it cannot be read.
    pub fn all(folder: impl AsRef<Path>) -> Vec<Self> {
        let folder = folder.as_ref();
        let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let parse = |path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            Self { name, lines: text.lines().map(split).collect() }
        };
        let paths = files.map(|entry| entry.expect("the folder stays").path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "txt")).map(|path| parse(&path)).collect()
    }

    /// The text of the first line of this kind.
    pub fn find(&self, kind: &str) -> Option<&str> {
        self.lines.iter().find(|(known, _)| known == kind).map(|(_, text)| text.as_str())
    }

    /// The same, of a line that must be there.
    ///
    /// # Panics
    /// If it is not.
    pub fn value(&self, kind: &str) -> &str {
        self.find(kind).unwrap_or_else(|| panic!("{}: no line {kind}", self.name))
    }

    /// All octets of one kind.
    pub fn octets(&self, kind: &str) -> Vec<u8> {
        self.lines.iter().filter(|(known, _)| known == kind).flat_map(|(_, text)| unescape(text)).collect()
    }

    /// The server's octets, before and after the TLS handshake if there is one.
    pub fn segments(&self) -> Vec<Vec<u8>> {
        let parts = self.lines.split(|(kind, _)| kind == "TLS");
        let said = |part: &[(String, String)]| {
            part.iter().filter(|(kind, _)| kind == "S").flat_map(|(_, text)| unescape(text)).collect()
        };
        parts.map(said).collect()
    }
}

fn split(line: &str) -> (String, String) {
    let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
    (kind.to_owned(), text.to_owned())
}

/// `\x00` stands for an octet; everything else for itself.
///
/// # Panics
/// If two hexadecimal digits do not follow.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut octets = parts.next().map(|part| part.as_bytes().to_vec()).unwrap_or_default();
    for part in parts {
        octets.push(u8::from_str_radix(&part[..2], 16).expect("an octet in hexadecimal"));
        octets.extend(&part.as_bytes()[2..]);
    }
    octets
}
