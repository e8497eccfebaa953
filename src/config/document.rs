//! The page `docs/configuration.md`, from the declarations of the keys.

use std::fmt::Write as _;

use serde_json::Value;

use super::ProtocolFacts;
use super::note::{ANY_NAME, Note, Presence};

const INTRODUCTION: &str = include_str!("document.md");

pub(super) fn of(notes: &[Note], protocols: &[ProtocolFacts]) -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Top level\n\n");
    table(&mut page, notes, "");
    for section in notes.iter().filter(|note| note.is_section()) {
        let path = if section.presence == Presence::Named {
            format!("{}.{ANY_NAME}", section.path)
        } else {
            section.path.clone()
        };
        let _ = write!(page, "\n## `{path}`\n\n{}{}\n\n", section.means, short(section));
        table(&mut page, notes, &path);
    }
    for protocol in protocols {
        options(&mut page, protocol);
    }
    page
}

fn short(section: &Note) -> String {
    match section.presence {
        Presence::ShortSection(short) => format!(" In its place the value of `{short}` alone may stand."),
        Presence::Required
        | Presence::Optional
        | Presence::Default(_)
        | Presence::RequiredUnless(_)
        | Presence::Section
        | Presence::OptionalSection
        | Presence::Named => String::new(),
    }
}

/// The keys right below `parent`.
fn table(page: &mut String, notes: &[Note], parent: &str) {
    page.push_str("| key | kind | default | meaning |\n| --- | --- | --- | --- |\n");
    for note in notes {
        let (above, name) = note.path.rsplit_once('.').unwrap_or(("", &note.path));
        if above == parent {
            let kind = if note.is_section() {
                "[section](#".to_owned() + &anchor(note) + ")"
            } else {
                note.kind.clone()
            };
            row(page, name, &kind, &absence(note), &meaning(note));
        }
    }
}

fn row(page: &mut String, key: &str, kind: &str, default: &str, meaning: &str) {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let _ = writeln!(page, "| `{key}` | {} | {} | {} |", cell(kind), cell(default), cell(meaning));
}

/// What GitHub makes of the heading.
fn anchor(note: &Note) -> String {
    let path =
        if note.presence == Presence::Named { note.path.clone() + ANY_NAME } else { note.path.clone() };
    path.chars()
        .filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter))
        .collect::<String>()
        .to_lowercase()
}

fn absence(note: &Note) -> String {
    match note.presence {
        Presence::Required | Presence::Named => "required".to_owned(),
        Presence::Default(default) => format!("`{default}`"),
        Presence::RequiredUnless(others) => {
            let others = others.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>();
            format!("required, or {}", others.join(", or "))
        }
        Presence::Optional | Presence::Section | Presence::OptionalSection | Presence::ShortSection(_) => {
            String::new()
        }
    }
}

fn meaning(note: &Note) -> String {
    match note.example {
        Some(example) => format!("{} Example: `{example}`", note.means),
        None => note.means.to_owned(),
    }
}

/// The options of a protocol, as its own schema describes them.
fn options(page: &mut String, protocol: &ProtocolFacts) {
    let schema = (protocol.options_schema)().to_value();
    let _ = write!(page, "\n## `options` of `{}`\n\n", protocol.name);
    let Some(properties) = schema["properties"].as_object().filter(|properties| !properties.is_empty())
    else {
        page.push_str("There are none.\n");
        return;
    };
    page.push_str("| key | kind | default | meaning |\n| --- | --- | --- | --- |\n");
    for (name, property) in properties {
        let default =
            property.get("default").map(|default| format!("`{}`", plain(default))).unwrap_or_default();
        row(
            page,
            name,
            &kind(property, &schema),
            &default,
            property["description"].as_str().unwrap_or_default(),
        );
    }
}

/// What a schema allows, in words: the values where they are listed, else the type.
fn kind(schema: &Value, root: &Value) -> String {
    let resolved = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    let schema = resolved.unwrap_or(schema);
    let list = |values: &Vec<Value>| {
        values.iter().map(|value| format!("`{}`", plain(value))).collect::<Vec<_>>().join(", ")
    };
    if let Some(values) = schema["enum"].as_array() {
        return list(values);
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", plain(value));
    }
    if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return choices.iter().map(|choice| kind(choice, root)).collect::<Vec<_>>().join(", ");
    }
    match &schema["type"] {
        Value::String(name) => name.replace("string", "text").replace("boolean", "true or false"),
        Value::Array(names) => list(names),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
