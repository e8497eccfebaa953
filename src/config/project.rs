//! The keys of a project file: the databases that `attache dev` serves for whoever works on the project.
//!
//! It is declared and checked as the configuration is. What a URL may say is known elsewhere: whoever loads the file
//! says what is wrong with one.

use std::path::PathBuf;

use serde_json::json;

use super::address::{self, is_local};
use super::domain::{Project, ProjectDatabase};
use super::kind::{Kind, Wrong, flag, path};
use super::reader::Section;
use super::route::is_name;
use super::tls::tls_mode;

/// What to do instead of writing a secret down.
pub(super) const NO_SECRETS: &str = "secrets are never written here: name a file outside of the project in \
                                     password_file, or leave it out and type the password when you are asked";

/// Says what is wrong with a URL.
pub type CheckUrl = fn(&str) -> Result<(), String>;

/// The whole file. What it returns counts only if there are no complaints.
pub(super) fn read(top: &Section<'_, '_>, check: CheckUrl) -> Project {
    let means = "What is served, by name. A name has up to 63 small letters, digits, `-` and `_`.";
    let databases = top.named("databases", means, |name, section| database(name, section, check));
    if databases.is_empty() && !top.has_any("databases") {
        let hint =
            "add a section such as databases: { orders: { url: postgres://app@db.example.com/orders } }";
        top.complain_of_absence("databases", "there is no database, so there is nothing to serve", hint);
    }
    Project { databases: databases.into_iter().flatten().collect() }
}

fn database(name: &str, section: &Section<'_, '_>, check: CheckUrl) -> Option<ProjectDatabase> {
    if !is_name(name) {
        section.complain("", "a name has 1 to 63 small letters, digits, - and _", "");
    }
    let url = section
        .key(
            "url",
            "Where the database is, as whom to log in, and which database to use; without a password.",
        )
        .example("postgres://app@db.example.com/orders")
        .required(&url(check));
    let password_file =
        file(section, "password_file", "The password, in a file that is no part of the project.");
    let read_only = section
        .key("read_only", "Whether what would change data is refused: a seat belt, not a lock.")
        .or("false", &flag());
    let listen = listen(section);
    let tls = section
        .key("tls", "What is verified of the server, where the URL does not say it.")
        .optional(&tls_mode());
    let ca = file(
        section,
        "ca",
        "The certificate authorities to trust, as a PEM file, instead of those of the system.",
    );
    let server_name = section
        .key("server_name", "The name in the server's certificate, where it is not the host of the URL.")
        .optional(&address::server_name());
    let allow_cleartext = section
        .key(
            "allow_cleartext",
            "Allows a password to be sent in clear text over a link that is not encrypted.",
        )
        .or("false", &flag());
    if ca.is_some() && tls.is_some_and(|mode| !mode.verifies()) {
        section.complain(
            "ca",
            "has no effect: tls says to verify nothing",
            "remove it, or set tls: verify-full",
        );
    }
    Some(ProjectDatabase {
        name: name.to_owned(),
        url: url?,
        password_file,
        read_only,
        listen,
        tls,
        ca,
        server_name,
        allow_cleartext,
    })
}

/// A URL is never quoted: it may hold a password that does not belong there.
fn url(check: CheckUrl) -> Kind<String> {
    Kind::of_text("URL", json!({"type": "string", "pattern": "^[a-z]+://"}), move |text| {
        check(text).map(|()| text.to_owned()).map_err(|reason| Wrong::new(reason, ""))
    })
}

/// A path is relative to the project file; one that begins with `~/` is found in the developer's home.
fn file(section: &Section<'_, '_>, name: &'static str, means: &'static str) -> Option<PathBuf> {
    let path = section.key(name, means).optional(&path())?;
    Some(if path.starts_with("~") { path } else { section.resolve(name, &path) })
}

fn listen(section: &Section<'_, '_>) -> Option<super::ListenAddress> {
    let listen = section
        .key("listen", "Where to listen on this machine; without it, at the usual port of the protocol or the next free one.")
        .example("127.0.0.1:5433")
        .optional(&address::listen())?;
    if !is_local(&listen) {
        section.complain(
            "listen",
            "is an address that other machines reach",
            "write for example 127.0.0.1:5433",
        );
    }
    Some(listen)
}
