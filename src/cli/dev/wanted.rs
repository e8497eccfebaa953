//! Which databases are to be served, and how: from the arguments, or from the project's file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use attache_wire::TlsWish;
use clap::Args;

use super::super::Failed;
use super::options::{Choices, Options};
use super::target::Target;
use crate::config::domain::{ListenAddress, ProjectDatabase, TlsMode};
use crate::config::{self, is_name, listen_address};

/// What a project's file is called, wherever it is.
const PROJECT_FILE: &str = "attache.dev.yaml";

#[derive(Debug, Args)]
pub(super) struct Databases {
    /// [NAME=]postgres://USER@HOST[:PORT][/DATABASE], also mysql://, mariadb://, rediss:// (redis:// is without TLS) or
    /// tcp://HOST:PORT, without a password; or the NAME of a database in the project file. Without any: all that the
    /// project file has.
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    /// The project file [default: attache.dev.yaml in this folder or in the nearest one above it].
    #[arg(long, value_name = "FILE")]
    project: Option<PathBuf>,

    #[command(flatten)]
    options: Options,

    /// Refuse what would change data: a seat belt, not a lock.
    #[arg(long)]
    read_only: bool,

    /// Let a password cross a link that is not encrypted, in clear text or weakly hashed.
    #[arg(long)]
    allow_cleartext: bool,
}

/// One database.
pub(super) struct Wanted {
    pub(super) name: String,
    /// Whether somebody has chosen the name, and did not leave it to the protocol.
    pub(super) is_named: bool,
    pub(super) target: Target,
    pub(super) password_file: Option<PathBuf>,
    pub(super) listen: Option<ListenAddress>,
    /// What was said of TLS besides the URL.
    pub(super) tls: Option<TlsMode>,
    pub(super) ca: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    pub(super) read_only: bool,
    pub(super) allow_cleartext: bool,
}

impl Databases {
    /// Everything that is to be served. There is at least one.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted>, Failed> {
        let is_url = |argument: &&String| argument.contains("://");
        let (urls, names): (Vec<_>, Vec<_>) = self.urls.iter().partition(is_url);
        let mut wanted = match (urls.is_empty(), names.as_slice()) {
            (true, names) => self.of_project(names)?,
            (false, []) => of_urls(&urls).map_err(Failed::Arguments)?,
            (false, [name, ..]) => {
                let reason =
                    format!("{name} is no URL, and those are not mixed with names of the project file");
                return Err(Failed::Arguments(reason));
            }
        };
        self.apply_options(&mut wanted).map_err(Failed::Arguments)?;
        for one in &wanted {
            one.check().map_err(|reason| Failed::Arguments(told_of(&wanted, one, reason)))?;
        }
        Ok(wanted)
    }

    fn of_project(&self, names: &[&String]) -> Result<Vec<Wanted>, Failed> {
        let Some(file) = self.project.clone().or_else(nearest_project) else {
            let why = names.first().map(|name| Target::parse(name).err().unwrap_or_default());
            let why = why.unwrap_or_else(|| "there is nothing to serve".to_owned());
            let reason =
                format!("{why}; without a URL, {PROJECT_FILE} in this folder or above it says what to serve");
            return Err(Failed::Arguments(reason));
        };
        let project = config::load_project(&file, |url| Target::parse(url).map(|_| ()));
        let mut databases = project.map_err(Failed::Configuration)?.databases;
        if let Some(unknown) = names.iter().find(|name| databases.iter().all(|one| one.name != ***name)) {
            let known: Vec<_> = databases.iter().map(|one| one.name.as_str()).collect();
            let (file, known) = (file.display(), known.join(", "));
            return Err(Failed::Arguments(format!("{file} has no database {unknown:?}: there is {known}")));
        }
        databases.retain(|one| names.is_empty() || names.contains(&&one.name));
        databases.into_iter().map(Wanted::of_project).collect::<Result<_, _>>().map_err(Failed::Arguments)
    }

    fn apply_options(&self, wanted: &mut [Wanted]) -> Result<(), String> {
        let names: Vec<String> = wanted.iter().map(|one| one.name.clone()).collect();
        let choices = |option, values| Choices::sort(option, values, &names);
        let logs_in: Vec<String> =
            wanted.iter().filter(|one| one.target.kind.has_login).map(|one| one.name.clone()).collect();
        let passwords = choices("--password-file", &self.options.password_file)?;
        let listen = choices("--listen", &self.options.listen)?;
        let server_names = choices("--server-name", &self.options.server_name)?;
        let (ca, tls) = (choices("--ca", &self.options.ca)?, choices("--tls", &self.options.tls)?);
        passwords.must_mean_one(&logs_in)?;
        listen.must_mean_one(&names)?;
        server_names.must_mean_one(&names)?;
        for one in wanted {
            let name = &one.name;
            let file = if one.target.kind.has_login { passwords.of(name) } else { passwords.named(name) };
            one.password_file = file.map(PathBuf::from).or(one.password_file.take());
            if let Some(address) = listen.of(name) {
                one.listen =
                    Some(listen_address(address).map_err(|reason| format!("--listen {address}: {reason}"))?);
            }
            one.tls = tls.of(name).map(tls_mode).transpose()?.or(one.tls);
            one.ca = ca.of(name).map(PathBuf::from).or(one.ca.take());
            one.server_name = server_names.of(name).map(str::to_owned).or(one.server_name.take());
            one.read_only |= self.read_only;
            one.allow_cleartext |= self.allow_cleartext;
        }
        Ok(())
    }
}

impl Wanted {
    fn new(name: String, is_named: bool, target: Target) -> Self {
        Self {
            name,
            is_named,
            target,
            password_file: None,
            listen: None,
            tls: None,
            ca: None,
            server_name: None,
            read_only: false,
            allow_cleartext: false,
        }
    }

    fn of_project(database: ProjectDatabase) -> Result<Self, String> {
        let ProjectDatabase {
            name,
            url,
            password_file,
            read_only,
            listen,
            tls,
            ca,
            server_name,
            allow_cleartext,
        } = database;
        Ok(Self {
            password_file: password_file.map(|file| from_home(&file)),
            ca: ca.map(|file| from_home(&file)),
            listen,
            tls,
            server_name,
            read_only,
            allow_cleartext,
            ..Self::new(name, true, Target::parse(&url)?)
        })
    }

    /// How much is verified of the server.
    pub(super) fn tls_mode(&self) -> TlsMode {
        let wish = self.target.tls.map(|wish| match wish {
            TlsWish::Off => TlsMode::Off,
            TlsWish::VerifyCa => TlsMode::VerifyCa,
            TlsWish::Unverified | TlsWish::VerifyFull => TlsMode::VerifyFull,
        });
        self.tls.or(wish).unwrap_or(TlsMode::VerifyFull)
    }

    /// The authorities to trust. Those of a URL are for the modes that heed them.
    pub(super) fn authorities(&self) -> Option<&Path> {
        let of_url = self.target.authorities.as_ref().filter(|_| self.tls_mode().verifies());
        self.ca.as_ref().or(of_url).map(PathBuf::as_path)
    }

    /// Whether the URL asked for less than what is done.
    pub(super) fn was_raised(&self) -> bool {
        self.tls.is_none() && self.target.tls == Some(TlsWish::Unverified)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(ListenAddress::Tcp(address)) = &self.listen
            && !address.ip().to_canonical().is_loopback()
        {
            return Err(format!(
                "other machines reach {address}: listen on 127.0.0.1, or write a configuration"
            ));
        }
        let asks_for_tls = self.tls.is_some() || self.ca.is_some() || self.server_name.is_some();
        let url_asks =
            self.target.tls.is_some_and(|wish| wish != TlsWish::Off) || self.target.authorities.is_some();
        if self.target.is_on_sockets() && (asks_for_tls || url_asks) {
            return Err("a Unix socket has no TLS: leave out what is said of it (--tls, --ca, --server-name, rediss://, and \
                        parameters such as sslmode)"
                .to_owned());
        }
        if self.ca.is_some() && !self.tls_mode().verifies() {
            return Err("--ca has no effect where nothing is verified: use --tls verify-full, or rediss://"
                .to_owned());
        }
        let read_only = serde_json::json!({ "read_only": true });
        if self.read_only && (self.target.kind.facts.check_options)(&read_only).is_err() {
            return Err("--read-only has no effect: nothing is known of what this protocol writes".to_owned());
        }
        if self.password_file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err("--password-file is empty: name a file, or leave it out (ATTACHE_PASSWORD_FILE too)"
                .to_owned());
        }
        if self.password_file.is_some() && !self.target.kind.has_login {
            return Err("--password-file has no effect: this protocol logs nobody in".to_owned());
        }
        Ok(())
    }
}

/// A complaint says which database it is about, where there are several.
fn told_of(wanted: &[Wanted], one: &Wanted, reason: String) -> String {
    if wanted.len() == 1 { reason } else { format!("{}: {reason}", one.name) }
}

fn of_urls(urls: &[&String]) -> Result<Vec<Wanted>, String> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for argument in urls {
        let (name, url) = named(argument)?;
        let target = Target::parse(url)?;
        let (is_named, name) = (name.is_some(), name.unwrap_or(target.kind.facts.name).to_owned());
        if wanted.iter().any(|other| other.name == name) {
            let scheme = target.kind.schemes[0].name;
            return Err(format!(
                "two databases are called {name}: give each a name of its own, as in orders={scheme}://…"
            ));
        }
        wanted.push(Wanted::new(name, is_named, target));
    }
    Ok(wanted)
}

/// Splits NAME=URL. An equals sign further on is part of the URL. What is no name is not repeated: it may be anything.
fn named(argument: &str) -> Result<(Option<&str>, &str), String> {
    match argument.split_once('=') {
        Some((name, url)) if is_name(name) => Ok((Some(name), url)),
        Some((name, _)) if !name.contains("://") => {
            Err("the name in front of a URL has 1 to 63 small letters, digits, - and _".to_owned())
        }
        Some(_) | None => Ok((None, argument)),
    }
}

fn tls_mode(name: &str) -> Result<TlsMode, String> {
    let found = TlsMode::ALL.into_iter().find(|mode| mode.name() == name);
    found.ok_or_else(|| {
        let known = TlsMode::ALL.map(TlsMode::name).join(", ");
        format!("--tls {name:?} is none of {known}")
    })
}

/// In the folder where the command was given, or above it.
fn nearest_project() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join(PROJECT_FILE)).find(|file| file.is_file())
}

/// What a shell does with a path that begins with `~/`, and cannot do in a file.
fn from_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME").filter(|home| home != OsStr::new(""))) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn databases(urls: &[&str]) -> Databases {
        Databases {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            project: None,
            options: Options::default(),
            read_only: false,
            allow_cleartext: false,
        }
    }

    fn complaint(databases: &Databases) -> String {
        match databases.wanted() {
            Err(Failed::Arguments(reason)) => reason,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("accepted"),
        }
    }

    #[test]
    fn a_database_is_called_as_its_protocol_unless_it_has_a_name() {
        let wanted = databases(&["rediss://c", "orders=postgres://a@b/c?options=-cx%3D1", "tcp://d:1"])
            .wanted()
            .unwrap();
        let names: Vec<_> = wanted.iter().map(|one| (one.name.as_str(), one.is_named)).collect();
        assert_eq!(names, [("redis", false), ("orders", true), ("tcp", false)]);
        assert!(complaint(&databases(&["postgres://a@b", "postgres://a@c"])).contains("orders=postgres://"));
        assert!(complaint(&databases(&["postgres://a@b", "orders"])).contains("not mixed"));
        for wrong in ["Orders=postgres://a@b", "=postgres://a@b", "my orders=postgres://a@b"] {
            assert!(complaint(&databases(&[wrong])).contains("small letters"), "{wrong}");
        }
    }

    #[test]
    fn an_option_is_for_the_database_that_it_names() {
        let mut given = databases(&["orders=postgres://a@b", "rediss://c", "tcp://d:1"]);
        given.options.password_file = vec!["redis=/r".to_owned(), "orders=/o".to_owned()];
        given.options.ca = vec!["/all.pem".to_owned(), "redis=/redis.pem".to_owned()];
        given.options.tls = vec!["tcp=verify-ca".to_owned()];
        let wanted = given.wanted().unwrap();
        let files: Vec<_> =
            wanted.iter().map(|one| one.password_file.as_deref().and_then(Path::to_str)).collect();
        assert_eq!(files, [Some("/o"), Some("/r"), None]);
        let ca: Vec<_> = wanted.iter().map(|one| one.authorities().and_then(Path::to_str)).collect();
        assert_eq!(ca, [Some("/all.pem"), Some("/redis.pem"), Some("/all.pem")]);
        assert_eq!(wanted[2].tls_mode(), TlsMode::VerifyCa);
    }

    #[test]
    fn a_password_is_never_guessed_to_be_for_one_of_several() {
        let mut given = databases(&["orders=postgres://a@b", "rediss://c"]);
        given.options.password_file = vec!["/p".to_owned()];
        assert!(complaint(&given).contains("--password-file orders=…"));
        given.urls[1] = "tcp://c:1".to_owned();
        let wanted = given.wanted().unwrap();
        assert_eq!(
            (wanted[0].password_file.as_deref(), wanted[1].password_file.as_deref()),
            (Some(Path::new("/p")), None)
        );
        given.options.password_file.push("/q".to_owned());
        assert!(complaint(&given).contains("twice"));
        given.options.password_file = vec![String::new()];
        assert!(complaint(&given).contains("is empty"));
    }
}
