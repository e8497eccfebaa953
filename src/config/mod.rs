//! What an operator writes, and what becomes of it.
//!
//! Text becomes layers, layers are merged into one tree, and the tree is read once, key by key, into the
//! [`domain`]; everything that is wrong on the way is collected and reported together. The protocols
//! are not known here: whoever loads a configuration says what must be known of them.
//!
//! | module | what it does |
//! | --- | --- |
//! | `parse` | text of a file to values and their lines |
//! | `layer` | files, environment and flags, laid over each other |
//! | `keys`, `route`, `upstream`, `sentinel`, `tls`, `credential`, `pool`, `telemetry` | declare every key where they read it |
//! | `project` | declares the keys of a project file, for `attache dev` |
//! | `reader`, `kind`, `address` | read typed values, collect complaints |
//! | `complaint` | says what is wrong, where, and what to do |
//! | `note`, `schema`, `document` | schema and documentation from the same declarations |
//! | [`domain`] | the configuration as the house uses it |

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attache_wire::Keeps;
use serde_json::Value;

mod address;
mod complaint;
mod credential;
mod document;
pub mod domain;
mod duration;
mod file_text;
mod keys;
mod kind;
mod layer;
mod note;
mod parse;
mod pool;
mod project;
mod reader;
mod route;
mod schema;
mod sentinel;
mod telemetry;
mod tls;
mod upstream;

pub use address::reachable;
pub use complaint::{Complaint, Complaints};
pub use domain::*;
pub use project::CheckUrl;
pub use route::is_name;

use kind::{Kind, Raw};
use layer::Layers;
use note::Note;
use reader::Reader;

/// Where settings come from, lowest layer first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Later files win; maps are merged, lists are replaced.
    pub files: Vec<PathBuf>,
    /// The environment. Only what begins with `ATTACHE_` is looked at.
    pub env: Vec<(String, String)>,
    /// Settings from flags, as `key.path=value`.
    pub overrides: Vec<String>,
}

/// The text of a configuration that will be read on another machine, such as in a pod.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere<'a> {
    /// What a complaint calls it.
    pub name: &'a str,
    /// The folder in which the file will be.
    pub folder: &'a Path,
    /// YAML, or the JSON that is YAML too.
    pub text: &'a str,
}

/// The key under which Sentinels stand in the place of endpoints.
const SENTINEL: &str = "sentinel";
/// The environment variable that says in which zone the process runs.
const ZONE: &str = "ATTACHE_ZONE";

/// What the configuration must know of a protocol.
#[derive(Clone, Copy)]
pub struct ProtocolFacts {
    pub name: &'static str,
    /// The port that is meant where an endpoint names none.
    pub default_port: Option<u16>,
    /// Whether TLS can be asked for inside the protocol, which is then the default way.
    pub negotiates_tls: bool,
    /// Whether a route must have a credential.
    pub needs_user: bool,
    /// Whether its servers can be told apart as primary and replicas.
    pub has_roles: bool,
    /// What may be done with links beside the session that they were opened for.
    pub keeps: Keeps,
    /// The port of a Sentinel whose address names none; `None` where there are no Sentinels.
    pub sentinel_port: Option<u16>,
    /// Whether the protocol accepts these options; the text says what it does not accept, and holds no values.
    pub check_options: fn(&Value) -> Result<(), String>,
    pub options_schema: fn() -> schemars::Schema,
}

impl fmt::Debug for ProtocolFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolFacts").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(sources: &Sources, protocols: &[ProtocolFacts]) -> Result<Config, Complaints> {
    let mut config = read(Layers::of(sources), protocols)?;
    if let Some((_, zone)) = sources.env.iter().find(|(name, _)| name == ZONE) {
        config.routes.iter_mut().for_each(|route| route.upstream.prefer_zone(zone));
    }
    Ok(config)
}

/// Checks a configuration for another machine: nothing of this one is laid over it, and files that it names are not
/// looked for.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load_elsewhere(file: &Elsewhere<'_>, protocols: &[ProtocolFacts]) -> Result<Config, Complaints> {
    read(Layers::elsewhere(file), protocols)
}

fn read(layers: Layers, protocols: &[ProtocolFacts]) -> Result<Config, Complaints> {
    let Layers { layers, merged, mut unreadable } = layers;
    let reader = Reader::new(&layers, !unreadable.is_empty());
    let config = reader.read(merged, |top| keys::read(top, protocols));
    unreadable.extend(reader.into_complaints());
    if unreadable.is_empty() { Ok(config) } else { Err(Complaints(unreadable)) }
}

/// Where a configuration has the listeners for operators, whatever is wrong with the rest of it: the process that is to
/// be asked may go on with an earlier state of the files.
///
/// # Errors
/// What keeps these two from being known.
pub fn listeners(sources: &Sources) -> Result<Listeners, Complaints> {
    let Layers { layers, mut merged, mut unreadable } = Layers::of(sources);
    merged.retain(|key, _| ["health", "control"].contains(&key.as_str()));
    let reader = Reader::new(&layers, !unreadable.is_empty());
    let listeners = reader.read(merged, keys::listeners);
    unreadable.extend(reader.into_complaints());
    if unreadable.is_empty() { Ok(listeners) } else { Err(Complaints(unreadable)) }
}

/// Reads and checks a project file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load_project(file: &Path, check: CheckUrl) -> Result<Project, Complaints> {
    let sources = Sources { files: vec![file.to_owned()], ..Sources::default() };
    let Layers { layers, merged, mut unreadable } = Layers::of(&sources);
    let reader = Reader::new(&layers, !unreadable.is_empty()).hint_at_secrets(project::NO_SECRETS);
    let project = reader.read(merged, |top| project::read(top, check));
    unreadable.extend(reader.into_complaints());
    if unreadable.is_empty() { Ok(project) } else { Err(Complaints(unreadable)) }
}

/// Reads an address to listen on as those of a route are read.
///
/// # Errors
/// Why it is none, and what to write.
pub fn listen_address(text: &str) -> Result<ListenAddress, String> {
    one(&address::listen(), text)
}

/// Reads an address as the key `control` is read; `None` is `off`.
///
/// # Errors
/// Why it is none, and what to write.
pub fn control_address(text: &str) -> Result<Option<ListenAddress>, String> {
    one(&address::listen().or_off(), text)
}

/// Reads an address as the key `health` is read; `None` is `off`.
///
/// # Errors
/// Why it is none, and what to write.
pub fn health_address(text: &str) -> Result<Option<SocketAddr>, String> {
    one(&address::tcp().or_off(), text)
}

/// Reads an address with a port, written as that of the key `health`.
///
/// # Errors
/// Why it is none, and what to write.
pub fn tcp_address(text: &str) -> Result<SocketAddr, String> {
    one(&address::tcp(), text)
}

/// Reads a duration as those of a configuration are read.
///
/// # Errors
/// Why it is none, and what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    one(&duration::duration(keys::UP_TO_A_DAY), text)
}

/// A value that stands on the command line.
fn one<T: 'static>(kind: &Kind<T>, text: &str) -> Result<T, String> {
    let read = kind.read(Raw { value: &Value::from(text), is_text: true });
    read.map_err(|wrongs| wrongs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The JSON Schema of a project file.
pub fn project_schema() -> Value {
    schema::of_project(&Reader::describe(|top| drop(project::read(top, |_| Ok(())))))
}

/// The JSON Schema of a configuration file.
pub fn schema(protocols: &[ProtocolFacts]) -> Value {
    schema::of(&declared(protocols), protocols)
}

/// The page that documents every key, in Markdown.
pub fn document(protocols: &[ProtocolFacts]) -> String {
    document::of(&declared(protocols), protocols)
}

fn declared(protocols: &[ProtocolFacts]) -> Vec<Note> {
    Reader::describe(|top| drop(keys::read(top, protocols)))
}
