//! The layers that a configuration is made of, laid over each other by figment.
//!
//! Each layer remembers in which line it says what, so that a complaint about the merged result can
//! name the place that has to be changed. Nothing here knows which keys there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map as ProfileMap, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::{Map, Value};

use super::complaint::Complaint;
use super::parse::{self, Parsed, Wrong};
use super::{Elsewhere, Sources};

/// What every environment variable of the configuration begins with.
const PREFIX: &str = "ATTACHE_";
/// Variables that are not about the configuration's content: its path, an argument of `dev` and what `dev` tells the
/// command that it runs, where the process runs, and a switch of the test suite.
const RESERVED: [&str; 7] = [
    "ATTACHE_CONFIG",
    "ATTACHE_PASSWORD_FILE",
    "ATTACHE_HOST",
    "ATTACHE_PORT",
    "ATTACHE_SOCKET",
    "ATTACHE_REQUIRE_SERVERS",
    super::ZONE,
];

/// One source of settings.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// The file, environment variable or flag, as a complaint names it.
    pub(super) name: String,
    /// What relative paths are relative to.
    pub(super) folder: Option<PathBuf>,
    /// Whether everything in it is text, so that `5` may be meant as a number.
    pub(super) is_text: bool,
    /// Whether the files that it names are on another machine.
    pub(super) is_elsewhere: bool,
    pub(super) values: Map<String, Value>,
    /// The line of each key path that the layer mentions.
    pub(super) lines: BTreeMap<String, Option<u64>>,
}

impl Layer {
    /// A layer that says one thing. `path` has dots between its levels.
    fn single(name: String, path: &str, text: &str) -> Self {
        let keys: Vec<&str> = path.split('.').collect();
        let nested = keys.iter().rev().fold(value_of_text(path, text), |inner, key| {
            Value::Object(Map::from_iter([((*key).to_owned(), inner)]))
        });
        let Value::Object(values) = nested else { unreachable!("a path has at least one key") };
        let lines = (1..=keys.len()).map(|depth| (keys[..depth].join("."), None)).collect();
        Self { name, is_text: true, values, lines, ..Self::default() }
    }
}

/// Where a key stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Of its layer, from the lowest.
    pub(super) index: usize,
    pub(super) layer: &'a Layer,
    pub(super) line: Option<u64>,
}

/// The highest layer that mentions the key; failing that, the place of what the key belongs to.
pub(super) fn place<'a>(layers: &'a [Layer], key: &str) -> Option<Place<'a>> {
    let mut downwards = layers.iter().enumerate().rev();
    let found = downwards
        .find_map(|(index, layer)| layer.lines.get(key).map(|line| Place { index, layer, line: *line }));
    found.or_else(|| place(layers, &key[..key.rfind(['.', '['])?]))
}

/// A list or a map, as JSON or in the notation of figment (`["a", "b"]`, `{a=1}`); everything else is text, and
/// becomes a number where one is expected. A protocol's own options are guessed at.
fn value_of_text(path: &str, text: &str) -> Value {
    let brackets = text.starts_with(['[', '{']);
    if let Some(value) = brackets.then(|| serde_json::from_str(text).ok()).flatten() {
        return value;
    }
    let structured = brackets || path.contains(".options.");
    let parsed = structured.then(|| text.parse::<FigmentValue>().ok()).flatten();
    parsed.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_else(|| Value::from(text))
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<ProfileMap<Profile, Dict>, figment::Error> {
        let values = FigmentValue::serialize(&self.values)?.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(values))
    }
}

/// All layers, lowest first, and what they say together.
pub(super) struct Layers {
    pub(super) layers: Vec<Layer>,
    pub(super) merged: Map<String, Value>,
    /// Sources that could not be read at all.
    pub(super) unreadable: Vec<Complaint>,
}

impl Layers {
    pub(super) fn of(sources: &Sources) -> Self {
        let texts = env_layers(&sources.env).chain(sources.overrides.iter().map(|flag| override_layer(flag)));
        Self::merge(sources.files.iter().map(|file| file_layer(file)).chain(texts))
    }

    pub(super) fn elsewhere(file: &Elsewhere<'_>) -> Self {
        let layer = layer(file.name.to_owned(), parse::yaml(file.text));
        let folder = Some(file.folder.to_owned());
        Self::merge([layer.map(|layer| Layer { folder, is_elsewhere: true, ..layer })].into_iter())
    }

    fn merge(all: impl Iterator<Item = Result<Layer, Box<Complaint>>>) -> Self {
        let mut unreadable = Vec::new();
        let mut layers = Vec::new();
        for layer in all {
            match layer {
                Ok(layer) => layers.push(layer),
                Err(complaint) => unreadable.push(*complaint),
            }
        }
        let mut all = Map::new();
        layers.iter_mut().for_each(|layer| leave_out_empty_sections(&mut layer.values, &mut all));
        let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
        let merged = figment.extract().unwrap_or_else(|error| {
            unreadable.push(Complaint::of_source(None, None, format!("cannot be merged: {error}")));
            Map::new()
        });
        Self { layers, merged, unreadable }
    }
}

/// A section of which every key is a comment says nothing, also over a layer in which it says something. `below`
/// collects the sections of the layers so far.
fn leave_out_empty_sections(values: &mut Map<String, Value>, below: &mut Map<String, Value>) {
    values.retain(|name, value| !value.is_null() || !below.contains_key(name));
    for (name, value) in values {
        match value.as_object_mut() {
            Some(section) => {
                let known = below.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                leave_out_empty_sections(
                    section,
                    known.as_object_mut().expect("sections alone are collected"),
                );
            }
            None => drop(below.remove(name)),
        }
    }
}

impl Complaint {
    pub(super) fn of_source(file: Option<String>, line: Option<u64>, reason: String) -> Self {
        Self { file, line, key: String::new(), reason, hint: None }
    }
}

fn file_layer(path: &Path) -> Result<Layer, Box<Complaint>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let reason = format!("cannot read the configuration: {error}");
        Box::new(Complaint::of_source(Some(name.clone()), None, reason))
    })?;
    let is =
        |notation: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(notation));
    let parsed = match (is("toml"), is("json")) {
        (true, _) => parse::toml(&text),
        (_, true) => parse::json(&text),
        (false, false) => parse::yaml(&text),
    };
    let folder = path.parent().map(Path::to_owned);
    layer(name, parsed).map(|layer| Layer { folder, ..layer })
}

fn layer(name: String, parsed: Result<Parsed, Wrong>) -> Result<Layer, Box<Complaint>> {
    match parsed {
        Ok((values, lines)) => Ok(Layer { name, values, lines, ..Layer::default() }),
        Err(wrong) => {
            let complaint = Complaint::of_source(Some(name), wrong.line, wrong.reason);
            Err(Box::new(Complaint { hint: wrong.hint, ..complaint }))
        }
    }
}

/// In the order of their names, so that the same environment always means the same.
fn env_layers(env: &[(String, String)]) -> impl Iterator<Item = Result<Layer, Box<Complaint>>> {
    let mut variables: Vec<_> = env.iter().filter(|(name, _)| is_ours(name)).collect();
    variables.sort();
    variables.into_iter().map(|(name, text)| {
        let path = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        Ok(Layer::single(format!("environment variable {name}"), &path, text))
    })
}

fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) && !RESERVED.contains(&name) && !is_service_link(name)
}

/// Kubernetes describes every service of the namespace to every container in variables such as
/// `ATTACHE_SERVICE_HOST` and `ATTACHE_PORT_9901_TCP_ADDR`, where the service is called `attache`, or begins so.
fn is_service_link(name: &str) -> bool {
    let rest = &name[PREFIX.len() - 1..];
    !rest.contains("__")
        && (rest.contains("_SERVICE_HOST") || rest.contains("_SERVICE_PORT") || has_port_link(rest))
}

fn has_port_link(rest: &str) -> bool {
    rest.ends_with("_PORT")
        || rest.split_once("_PORT_").is_some_and(|(_, link)| {
            let mut words = link.split('_');
            words.next().is_some_and(|port| port.parse::<u16>().is_ok())
                && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
        })
}

fn override_layer(flag: &str) -> Result<Layer, Box<Complaint>> {
    let (path, text) = flag.split_once('=').ok_or_else(|| {
        let reason = "a setting is written key=value".to_owned();
        let complaint = Complaint::of_source(Some("command line".to_owned()), None, reason);
        Box::new(Complaint { hint: Some("for example log.level=debug".to_owned()), ..complaint })
    })?;
    Ok(Layer::single("command line".to_owned(), path.trim(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_setting_is_nested_by_its_dots() {
        let layer = Layer::single("x".into(), "routes.orders.upstream.wait", "3s");
        let expected = serde_json::json!({"routes": {"orders": {"upstream": {"wait": "3s"}}}});
        assert_eq!(Value::Object(layer.values), expected);
        let paths: Vec<_> = layer.lines.keys().map(String::as_str).collect();
        let nested = ["routes", "routes.orders", "routes.orders.upstream", "routes.orders.upstream.wait"];
        assert_eq!(paths, nested);
        assert_eq!(
            Value::Object(Layer::single("x".into(), "workers", "2").values),
            serde_json::json!({"workers": "2"})
        );
    }

    #[test]
    fn what_kubernetes_tells_of_services_is_not_ours() {
        for name in [
            "ATTACHE_SERVICE_HOST",
            "ATTACHE_SERVICE_PORT",
            "ATTACHE_SERVICE_PORT_HTTP",
            "ATTACHE_PORT",
            "ATTACHE_PORT_9901_TCP",
            "ATTACHE_PORT_9901_TCP_ADDR",
            "ATTACHE_WEB_SERVICE_HOST",
            "ATTACHE_WEB_PORT_80_TCP_PROTO",
            "ATTACHE_CONFIG",
            "PATH",
        ] {
            assert!(!is_ours(name), "{name}");
        }
        for name in ["ATTACHE_HEALTH", "ATTACHE_HEALHT", "ATTACHE_LOG__LEVEL", "ATTACHE_ROUTES__A__B_PORT"] {
            assert!(is_ours(name), "{name}");
        }
    }
}
