//! Reads one consistent snapshot of a mounted folder.
//!
//! The kubelet writes a whole snapshot into a fresh folder and then turns the link `..data` to it. Such a
//! snapshot is complete and never changes, so all keys are read from the folder that the link named
//! once. Other writers replace or overwrite file after file; there, what was read counts only if no
//! file changed meanwhile nor shortly before. Nothing here watches, waits or remembers.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use attache_wire::Secret;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Mount;
use super::material::{Contents, Identity};
use super::problem::Problem;
use super::stamp::Stamp;

/// The link that the kubelet turns.
const DATA_LINK: &str = "..data";
/// The longest tokens that clouds hand out as passwords have a few thousand octets.
pub(super) const SECRET_LIMIT: u64 = 64 * 1024;
/// A Kubernetes Secret cannot be larger than this.
const CERTIFICATE_LIMIT: u64 = 1024 * 1024;
/// A swap takes the writer a few system calls: whoever loses this many races in a row is not racing.
const ATTEMPTS: usize = 100;

/// What the folder holds now.
///
/// # Errors
/// [`Problem::Changing`] asks to come back after [`SETTLE`]; everything else lasts until someone acts.
pub(super) fn read(mount: &Mount) -> Result<Contents, Problem> {
    match fs::metadata(&mount.path) {
        Ok(found) if !found.is_dir() => Err(Problem::NotAFolder),
        Ok(_) if has_snapshots(&mount.path) => read_snapshot(mount),
        Ok(_) => read_files(mount),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Problem::FolderMissing),
        Err(error) => Err(Problem::FolderUnreadable { error: error.kind().to_string() }),
    }
}

/// Whether the kubelet's writer, or one that does as it does, fills this folder.
pub fn has_snapshots(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(DATA_LINK)).is_ok()
}

/// The files in `folder` that may hold something.
pub(super) fn files(folder: &Path, mount: &Mount) -> Vec<PathBuf> {
    let keys = &mount.keys;
    let all = [&keys.password, &keys.username, &keys.certificate, &keys.private_key];
    let read = if mount.user.is_some() { &all[..1] } else { &all };
    read.iter().map(|key| folder.join(key)).collect()
}

fn read_snapshot(mount: &Mount) -> Result<Contents, Problem> {
    let link = mount.path.join(DATA_LINK);
    for _ in 0..ATTEMPTS {
        let Ok(snapshot) = fs::read_link(&link) else { continue };
        let contents = read_keys(&mount.path.join(&snapshot), mount);
        // Only then did nobody take the snapshot away under us, key by key.
        if fs::read_link(&link).is_ok_and(|now| now == snapshot) {
            return contents;
        }
    }
    Err(Problem::Changing)
}

fn read_files(mount: &Mount) -> Result<Contents, Problem> {
    let before = stamps(mount);
    let contents = read_keys(&mount.path, mount);
    let settled = before.iter().flatten().all(Stamp::has_settled);
    if settled && before == stamps(mount) { contents } else { Err(Problem::Changing) }
}

fn stamps(mount: &Mount) -> Vec<Option<Stamp>> {
    let files = files(&mount.path, mount).into_iter();
    files.map(|file| Stamp::at(&file)).collect()
}

/// Reads every key from this one folder.
fn read_keys(folder: &Path, mount: &Mount) -> Result<Contents, Problem> {
    let keys = &mount.keys;
    if let Some(user) = &mount.user {
        return read_password(folder, &keys.password, user);
    }
    let username = read_key(folder, &keys.username, SECRET_LIMIT)?;
    let password = read_key(folder, &keys.password, SECRET_LIMIT)?;
    let certificate = read_key(folder, &keys.certificate, CERTIFICATE_LIMIT)?;
    let private_key = read_key(folder, &keys.private_key, CERTIFICATE_LIMIT)?;

    let missing = |key: &str| Err(Problem::Missing { key: key.to_owned() });
    if mount.needs_user && username.is_none() {
        return missing(&keys.username);
    }
    let times = [&username, &password, &certificate, &private_key];
    let file_time = times.into_iter().flatten().filter_map(|key| key.modified).max();
    let identity = match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Some(identity(&certificate, &private_key)?),
        (Some(_), None) => return missing(&keys.private_key),
        (None, Some(_)) => return missing(&keys.certificate),
        (None, None) => None,
    };
    if password.is_none() && identity.is_none() {
        return missing(&keys.password);
    }
    let user = username.map(|key| user(&key)).transpose()?;
    let secret = password.map(|key| Secret::new(key.bytes));
    Ok(Contents { user, secret, identity, file_time })
}

/// Reads the password alone.
fn read_password(folder: &Path, key: &str, user: &str) -> Result<Contents, Problem> {
    let password = read_key(folder, key, SECRET_LIMIT)?.ok_or(Problem::Missing { key: key.to_owned() })?;
    let secret = Some(Secret::new(password.bytes));
    let user = Some(user.to_owned()).filter(|user| !user.is_empty());
    Ok(Contents { user, secret, identity: None, file_time: password.modified })
}

/// One file's content, without the line end that editors and `echo` leave behind.
struct Key<'a> {
    name: &'a str,
    bytes: Zeroizing<Vec<u8>>,
    modified: Option<SystemTime>,
}

impl Key<'_> {
    fn malformed(&self, rule: &'static str) -> Problem {
        Problem::Malformed { key: self.name.to_owned(), rule }
    }
}

fn read_key<'a>(folder: &Path, name: &'a str, limit: u64) -> Result<Option<Key<'a>>, Problem> {
    let path = folder.join(name);
    let unreadable = |error: String| Problem::Unreadable { key: name.to_owned(), error };
    let found = match fs::metadata(&path) {
        Ok(found) if found.is_file() => found,
        // Opening a pipe would wait for its writer.
        Ok(_) => return Err(unreadable("not a regular file".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.kind().to_string())),
    };
    if found.len() > limit {
        return Err(Problem::TooLarge { key: name.to_owned(), limit });
    }
    let file = File::open(&path).map_err(|error| unreadable(error.kind().to_string()))?;
    let mut bytes = read_exactly(&file, found.len())
        .map_err(|error| unreadable(error.kind().to_string()))?
        .ok_or(Problem::Changing)?;
    trim_line_end(&mut bytes);
    if bytes.is_empty() {
        return Err(Problem::Empty { key: name.to_owned() });
    }
    Ok(Some(Key { name, bytes, modified: found.modified().ok() }))
}

/// The file's content if it has just that many octets. The memory never grows, so that no copy of a
/// secret stays behind in memory that was given back.
fn read_exactly(mut file: &File, length: u64) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(vec![0; length.saturating_add(1)]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok((filled == length).then_some(bytes))
}

pub(super) fn trim_line_end(bytes: &mut Vec<u8>) {
    for end in [b'\n', b'\r'] {
        if bytes.last() != Some(&end) {
            return;
        }
        bytes.pop();
    }
}

fn user(key: &Key<'_>) -> Result<String, Problem> {
    let name = std::str::from_utf8(&key.bytes).map_err(|_| key.malformed("is not UTF-8 text"))?;
    if name.chars().any(char::is_control) {
        return Err(key.malformed("holds more than one line, or a control character"));
    }
    Ok(name.to_owned())
}

fn identity(certificate: &Key<'_>, private_key: &Key<'_>) -> Result<Identity, Problem> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate.bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| certificate.malformed("is not PEM text"))?;
    if chain.is_empty() {
        return Err(certificate.malformed("holds no PEM certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&private_key.bytes)
        .map_err(|_| private_key.malformed("holds no PEM private key"))?;
    let identity = Identity::new(chain, key);
    identity.check().map_err(|rule| private_key.malformed(rule))?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trimmed(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        trim_line_end(&mut bytes);
        bytes
    }

    #[test]
    fn one_line_end_is_trimmed_and_nothing_else() {
        assert_eq!(trimmed("s3cret"), b"s3cret");
        assert_eq!(trimmed("s3cret\n"), b"s3cret");
        assert_eq!(trimmed("s3cret\r\n"), b"s3cret");
        assert_eq!(trimmed("s3cret\n\n"), b"s3cret\n");
        assert_eq!(trimmed("s3cret\r"), b"s3cret\r");
        assert_eq!(trimmed(" s3cret \n"), b" s3cret ");
        assert_eq!(trimmed("\r\n"), b"");
    }

    #[test]
    fn a_file_that_grew_or_shrank_since_it_was_measured_is_not_taken() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "0123456789").expect("written");
        let read = |length| read_exactly(&File::open(file.path()).expect("open"), length).expect("read");
        assert!(read(10).is_some());
        assert!(read(9).is_none());
        assert!(read(11).is_none());
    }
}
