//! The JSON Schema of the configuration, from the declarations of its keys.
//!
//! It describes one complete file: what an editor can tell while somebody writes. The checks that
//! compare keys with each other stay with [`load`](super::load).

use serde_json::{Map, Value, json};

use super::ProtocolFacts;
use super::note::{ANY_NAME, Note, Presence};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const NAME_PATTERN: &str = "^[-_a-z0-9]{1,63}$";

pub(super) fn of(notes: &[Note], protocols: &[ProtocolFacts]) -> Value {
    let mut root = whole("Configuration of Attaché", "What Attaché does.", notes);
    for note in notes.iter().rev() {
        if let Presence::ShortSection(short) = note.presence {
            shorten(at(&mut root, &note.path), short);
        }
    }
    let route = at(&mut root, &format!("routes.{ANY_NAME}"));
    route["allOf"] = protocols.iter().map(options).collect();
    root
}

/// That of a project file.
pub(super) fn of_project(notes: &[Note]) -> Value {
    whole("Project file of `attache dev`", "The databases that a project needs.", notes)
}

fn whole(title: &str, means: &str, notes: &[Note]) -> Value {
    let mut root = section(means);
    root["type"] = json!("object");
    root["$schema"] = json!(DIALECT);
    root["title"] = json!(title);
    for note in notes {
        place(&mut root, note, notes);
    }
    root
}

fn section(means: &str) -> Value {
    // A section of which every key is a comment is read as nothing.
    json!({"type": ["object", "null"], "description": means, "additionalProperties": false, "properties": {}})
}

/// Puts a key where it belongs.
fn place(root: &mut Value, note: &Note, notes: &[Note]) {
    let mut schema = match note.presence {
        Presence::Section | Presence::OptionalSection | Presence::ShortSection(_) => section(note.means),
        Presence::Named => named(note.means),
        Presence::Required | Presence::RequiredUnless(_) | Presence::Optional | Presence::Default(_) => {
            note.schema.clone()
        }
    };
    schema["description"] = json!(note.means);
    if let Presence::Default(default) = note.presence {
        // Numbers and booleans are what they look like; everything else is text.
        schema["default"] = serde_json::from_str(default).unwrap_or_else(|_| json!(default));
    }
    let (parent, name) = note.path.rsplit_once('.').unwrap_or(("", &note.path));
    at(root, parent)["properties"][name] = schema;
    if matches!(note.presence, Presence::Required | Presence::Named) {
        require(root, parent, name, notes);
    }
    if let Presence::RequiredUnless(others) = note.presence {
        let one_of = others.iter().copied().chain([name]).map(|key| json!({"required": [key]}));
        at(root, parent)["oneOf"] = one_of.collect();
        require_section(root, parent, notes);
    }
}

/// A section of sections that the user names.
fn named(means: &str) -> Value {
    let mut schema = section(means);
    schema["type"] = json!("object");
    schema["minProperties"] = json!(1);
    schema["patternProperties"] = Value::Object(Map::from_iter([(NAME_PATTERN.to_owned(), section(means))]));
    schema
}

/// A section with a required key cannot be empty, and can be absent only if it is optional.
fn require(root: &mut Value, path: &str, name: &str, notes: &[Note]) {
    match at(root, path)["required"].as_array_mut() {
        Some(required) if required.contains(&json!(name)) => {}
        Some(required) => required.push(json!(name)),
        None => at(root, path)["required"] = json!([name]),
    }
    require_section(root, path, notes);
}

fn require_section(root: &mut Value, path: &str, notes: &[Note]) {
    at(root, path)["type"] = json!("object");
    let always = notes.iter().any(|note| note.path == path && note.presence == Presence::Section);
    if let (true, Some((parent, name))) = (always, path.rsplit_once('.')) {
        require(root, parent, name, notes);
    }
}

/// The schema of a section.
fn at<'a>(root: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').filter(|name| !name.is_empty()).fold(root, |schema, name| match name {
        ANY_NAME => &mut schema["patternProperties"][NAME_PATTERN],
        name => &mut schema["properties"][name],
    })
}

/// Allows the value of one key in the place of the whole section.
fn shorten(section: &mut Value, short: &str) {
    let whole = section.take();
    let mut one = whole["properties"][short].clone();
    let description = whole["description"].clone();
    if let Some(one) = one.as_object_mut() {
        one.remove("default");
    }
    *section = json!({"description": description, "anyOf": [one, whole]});
}

/// What a protocol has to say about the options of its routes. The identifier makes references
/// inside it stay inside it.
fn options(protocol: &ProtocolFacts) -> Value {
    let mut options = (protocol.options_schema)().to_value();
    if let Some(options) = options.as_object_mut() {
        options.insert("$id".to_owned(), json!(format!("urn:attache:options:{}", protocol.name)));
        options.remove("$schema");
    }
    json!({
        "if": {"properties": {"protocol": {"const": protocol.name}}},
        "then": {"properties": {"options": {"anyOf": [{"type": "null"}, options]}}},
    })
}
