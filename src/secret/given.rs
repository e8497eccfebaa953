//! A password that is given by hand instead of mounted: in one file, on standard input, or at the terminal.
//!
//! The user is known from elsewhere, where there is one. A file is followed as a mounted folder is; everything else is read once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attache_wire::Secret;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::snapshot::{SECRET_LIMIT, trim_line_end};
use super::{Keys, Mount, Source, Watcher};

/// The safety net beside the watch of the file's folder.
const POLL: Duration = Duration::from_secs(5);
/// Enough for every password; the memory never grows, so that no copy of a secret stays behind.
const CAPACITY: usize = SECRET_LIMIT as usize;

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The content of a file. What is no regular file, such as the shell's `<(command)`, is read once.
    File(PathBuf),
    /// The first line of standard input; what comes after it is left there.
    Input,
    /// Whatever is typed after this question; an empty line stands for no password.
    Typed(String),
    /// There is none: the server is expected to ask for none.
    Nothing,
}

/// Reads the password. The watcher, where there is one, has to run for the file to be followed.
///
/// # Errors
/// Why there is no password, for the person who gave it.
pub fn open(route: &str, user: Option<&str>, given: &Given) -> Result<(Source, Option<Watcher>), String> {
    let once = |secret| (Source::fixed(route, user.map(str::to_owned), secret), None);
    match given {
        Given::File(path) => open_file(route, user, path),
        Given::Input => {
            let line =
                first_line(&mut unbuffered_input()?).map_err(|error| format!("standard input: {error}"))?;
            Ok(once(Some(not_empty(line, "standard input")?)))
        }
        Given::Typed(question) => {
            let line = ask(question).map_err(|error| format!("no password was typed: {error}"))?;
            Ok(once((!line.is_empty()).then(|| Secret::new(line))))
        }
        Given::Nothing => Ok(once(None)),
    }
}

fn open_file(route: &str, user: Option<&str>, path: &Path) -> Result<(Source, Option<Watcher>), String> {
    let wrong = |error: io::Error| format!("cannot read the password file {}: {error}", path.display());
    let found = fs::metadata(path).map_err(wrong)?;
    if found.is_dir() {
        return Err(format!("the password file {} is a folder: name the file in it", path.display()));
    }
    if !found.is_file() {
        let line = first_line(&mut File::open(path).map_err(wrong)?).map_err(wrong)?;
        let secret = not_empty(line, &path.display().to_string())?;
        return Ok((Source::fixed(route, user.map(str::to_owned), Some(secret)), None));
    }
    let (source, watcher) = Source::open(route, mount(user, path).map_err(wrong)?);
    match source.standing().problem {
        Some(problem) => Err(format!("cannot use the password file {}: {problem}", path.display())),
        None => Ok((source, Some(watcher))),
    }
}

/// The folder is watched, not the file: a watch on a file dies with the first replacement.
fn mount(user: Option<&str>, path: &Path) -> io::Result<Mount> {
    let path = std::path::absolute(path)?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| io::Error::other("its name is not text"))?;
    let keys = Keys { password: name.to_owned(), ..Keys::default() };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Mount {
        path: folder,
        keys,
        user: Some(user.unwrap_or_default().to_owned()),
        poll: POLL,
        needs_user: user.is_some(),
    })
}

fn not_empty(line: Zeroizing<Vec<u8>>, whence: &str) -> Result<Secret, String> {
    if line.is_empty() { Err(format!("{whence} holds no password")) } else { Ok(Secret::new(line)) }
}

/// Without the buffer of the standard library, which would swallow what is meant for someone else.
fn unbuffered_input() -> Result<File, String> {
    let input = io::stdin().as_fd().try_clone_to_owned();
    input.map(File::from).map_err(|error| format!("standard input: {error}"))
}

fn first_line(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(CAPACITY));
    while let Some(byte) = next_byte(from)? {
        if line.len() == CAPACITY {
            return Err(io::Error::other("more than any password"));
        }
        line.push(byte);
        if byte == b'\n' {
            break;
        }
    }
    trim_line_end(&mut line);
    Ok(line)
}

fn next_byte(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = Zeroizing::new([0]);
    loop {
        match from.read(&mut byte[..]) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Asks at the terminal, wherever standard input and output lead.
fn ask(question: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let silence = Silence::over(&terminal)?;
    (&terminal).write_all(question.as_bytes())?;
    let line = type_in(&mut &terminal);
    (&terminal).write_all(b"\n")?;
    drop(silence);
    line
}

/// Nothing that is typed is shown, and no key ends the process while that is so; until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn over(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// A line with the keys that people expect: the terminal does not edit it for us.
fn type_in(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const BACKSPACE: u8 = 0x08;
    const KILL: u8 = 0x15;
    const DELETE: u8 = 0x7f;
    let mut line = Zeroizing::new(Vec::with_capacity(CAPACITY));
    while let Some(byte) = next_byte(from)? {
        match byte {
            b'\n' | b'\r' | END => break,
            INTERRUPT => return Err(io::Error::other("interrupted")),
            KILL => line.clear(),
            BACKSPACE | DELETE => erase(&mut line),
            _ if line.len() < CAPACITY => line.push(byte),
            _ => return Err(io::Error::other("more than any password")),
        }
    }
    Ok(line)
}

/// One character, which in UTF-8 is a first octet and those that continue it.
fn erase(line: &mut Vec<u8>) {
    const CONTINUES: u8 = 0b1000_0000;
    const MASK: u8 = 0b1100_0000;
    while line.pop().is_some_and(|byte| byte & MASK == CONTINUES) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Option<String> {
        let line = type_in(&mut &*keys).ok()?;
        String::from_utf8(line.to_vec()).ok()
    }

    #[test]
    fn keys_do_what_people_expect() {
        assert_eq!(typed(b"hunter2\nrest").as_deref(), Some("hunter2"));
        assert_eq!(typed("hü\u{7f}unter3\u{8}2\r".as_bytes()).as_deref(), Some("hunter2"));
        assert_eq!(typed(b"wrong\x15right\n").as_deref(), Some("right"));
        assert_eq!(typed(b"\x04").as_deref(), Some(""));
        assert_eq!(typed(b"hunter2\x03"), None);
    }

    #[test]
    fn of_standard_input_one_line_is_taken() {
        let mut input: &[u8] = b"hunter2\r\nselect 1;\n";
        assert_eq!(first_line(&mut input).expect("a line").as_slice(), b"hunter2");
        assert_eq!(input, b"select 1;\n");
        assert!(first_line(&mut &vec![b'x'; CAPACITY + 1][..]).is_err());
    }

    #[test]
    fn one_file_of_a_folder_is_the_password_and_the_others_are_nobodys_business() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pw");
        fs::write(&file, "hunter2\n").expect("written");
        fs::write(folder.path().join("username"), "").expect("written");
        let (source, _watcher) = open("dev", Some("orders"), &Given::File(file)).expect("a credential");
        // A file that was written this very moment is the watcher's first task.
        assert_eq!(source.standing().problem, None);
        for wrong in ["none", "."] {
            let path = folder.path().join(wrong);
            assert!(open("dev", Some("orders"), &Given::File(path)).is_err(), "{wrong}");
        }
    }
}
