//! The kinds of values: how each is read, what the schema says of it, and what is said when it is wrong.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::complaint::{did_you_mean, quote};

/// A kind of value.
pub(super) struct Kind<T> {
    /// As the documentation calls it.
    pub(super) name: String,
    pub(super) schema: Value,
    /// Whether a key without a value means something.
    pub(super) takes_null: bool,
    read: Box<Read<T>>,
}

type Read<T> = dyn Fn(Raw<'_>) -> Result<T, Vec<Wrong>>;

/// A value as a layer holds it.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) value: &'a Value,
    /// Whether it comes from where everything is text, so that `5` may be meant as a number.
    pub(super) is_text: bool,
}

/// Why a value, or an item of it, is none of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Which item, such as `[1]`; empty for the value itself.
    pub(super) at: String,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self { at: String::new(), reason: reason.into(), hint }
    }

    /// The same where a word would have done as well.
    fn or(self, word: &str) -> Self {
        let hint = self.hint.map_or_else(|| format!("or write {word}"), |hint| format!("{hint}, or {word}"));
        Self { hint: Some(hint), ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl<T: 'static> Kind<T> {
    pub(super) fn new(
        name: impl Into<String>,
        schema: Value,
        read: impl Fn(Raw<'_>) -> Result<T, Wrong> + 'static,
    ) -> Self {
        let read = move |raw: Raw<'_>| read(raw).map_err(|wrong| vec![wrong]);
        Self { name: name.into(), schema, takes_null: false, read: Box::new(read) }
    }

    /// A kind that is written as text.
    pub(super) fn of_text(
        name: impl Into<String>,
        schema: Value,
        read: impl Fn(&str) -> Result<T, Wrong> + 'static,
    ) -> Self {
        let name = name.into();
        let expected = name.clone();
        Self::new(name, schema, move |raw| match raw.value {
            Value::String(text) => read(text),
            other => Err(not_a(&expected, other)),
        })
    }

    pub(super) fn read(&self, raw: Raw<'_>) -> Result<T, Vec<Wrong>> {
        (self.read)(raw)
    }

    /// This kind, or `off`. YAML 1.1 tools on the way turn a bare `off` into `false`, which is taken as well.
    pub(super) fn or_off(self) -> Kind<Option<T>> {
        self.or_one_of("off", vec![json!("off"), json!(false)])
    }

    /// This kind, or a word that stands for none.
    pub(super) fn or_word(self, word: &'static str) -> Kind<Option<T>> {
        self.or_one_of(word, vec![json!(word)])
    }

    fn or_one_of(self, word: &'static str, values: Vec<Value>) -> Kind<Option<T>> {
        let Self { name, schema, read, .. } = self;
        Kind {
            name: format!("{name}, or `{word}`"),
            schema: json!({"anyOf": [schema, {"enum": values}]}),
            takes_null: false,
            read: Box::new(move |raw| match raw.value {
                value if values.contains(value) => Ok(None),
                Value::String(text) if raw.is_text && text == "false" && word == "off" => Ok(None),
                _ => read(raw)
                    .map(Some)
                    .map_err(|wrongs| wrongs.into_iter().map(|wrong| wrong.or(word)).collect()),
            }),
        }
    }

    /// A list of this kind.
    pub(super) fn list(self) -> Kind<Vec<T>> {
        let Self { name, schema, read, .. } = self;
        Kind {
            name: format!("list of {name}"),
            schema: json!({"type": "array", "items": schema, "minItems": 1}),
            takes_null: false,
            read: Box::new(move |raw| match raw.value {
                Value::Array(items) if items.is_empty() => Err(vec![Wrong::new("the list is empty", "")]),
                Value::Array(items) => read_items(items, raw.is_text, &*read),
                other => Err(vec![not_a("a list", other)]),
            }),
        }
    }

    /// A list of this kind, or a single one.
    pub(super) fn one_or_more(self) -> Kind<Vec<T>> {
        let Self { name, schema, read, .. } = self;
        Kind {
            name: format!("{name}, or a list of them"),
            schema: json!({"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}),
            takes_null: false,
            read: Box::new(move |raw| match raw.value {
                Value::Array(items) if items.is_empty() => Err(vec![Wrong::new("the list is empty", "")]),
                Value::Array(items) => read_items(items, raw.is_text, &*read),
                _ => read(raw).map(|one| vec![one]),
            }),
        }
    }
}

/// All items, or everything that is wrong with any of them.
fn read_items<T>(items: &[Value], is_text: bool, read: &Read<T>) -> Result<Vec<T>, Vec<Wrong>> {
    let mut values = Vec::new();
    let mut wrongs = Vec::new();
    for (index, value) in items.iter().enumerate() {
        match read(Raw { value, is_text }) {
            Ok(value) => values.push(value),
            Err(found) => {
                wrongs.extend(
                    found.into_iter().map(|wrong| Wrong { at: format!("[{index}]{}", wrong.at), ..wrong }),
                );
            }
        }
    }
    if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
}

/// One of a closed list of words.
pub(super) fn choice<T: Clone + 'static>(words: &[(&'static str, T)]) -> Kind<T> {
    let words = words.to_vec();
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let mut schema: Vec<Value> = names.iter().map(|name| json!(name)).collect();
    if names.contains(&"off") {
        schema.push(json!(false));
    }
    let name = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Kind::new(name, json!({ "enum": schema }), move |raw| {
        let text = match raw.value {
            Value::String(text) if raw.is_text && text == "false" && names.contains(&"off") => "off",
            Value::String(text) => text.as_str(),
            // What YAML 1.1 tools make of a bare `off`.
            Value::Bool(false) => "off",
            other => return Err(not_a(&format!("one of {}", names.join(", ")), other)),
        };
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == text) {
            return Ok(value.clone());
        }
        let hint = did_you_mean(text, names.iter().copied()).unwrap_or_default();
        Err(Wrong::new(format!("{} is none of {}", quote(text), names.join(", ")), hint))
    })
}

/// True or false.
pub(super) fn flag() -> Kind<bool> {
    Kind::new("true or false", json!({"type": "boolean"}), |raw| match raw.value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if raw.is_text && text == "true" => Ok(true),
        Value::String(text) if raw.is_text && text == "false" => Ok(false),
        other => Err(not_a("true or false", other)),
    })
}

/// A whole number within bounds.
pub(super) fn count(range: RangeInclusive<u64>) -> Kind<u64> {
    let (least, most) = range.into_inner();
    let schema = json!({"type": "integer", "minimum": least, "maximum": most});
    Kind::new(format!("number from {least} to {most}"), schema, move |raw| {
        let number = match raw.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if raw.is_text => text.parse().ok(),
            other => return Err(not_a("a whole number", other)),
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| Wrong::new(format!("must be a whole number from {least} to {most}"), ""))
    })
}

/// Free text, on one line and not empty.
pub(super) fn text() -> Kind<String> {
    Kind::new("text", json!({"type": "string", "minLength": 1}), |raw| match raw.value {
        Value::String(text) if text.is_empty() => {
            Err(Wrong::new("is empty", "give it a value, or remove the key"))
        }
        Value::String(text) if text.chars().any(char::is_control) => {
            Err(Wrong::new("holds a line end or another control character", ""))
        }
        Value::String(text) => Ok(text.clone()),
        other @ (Value::Number(_) | Value::Bool(_)) => {
            Err(Wrong { hint: Some("put it in quotes".to_owned()), ..not_a("text", other) })
        }
        other => Err(not_a("text", other)),
    })
}

/// The path of a file or folder. Where it is relative to is not decided here.
pub(super) fn path() -> Kind<PathBuf> {
    let text = text();
    Kind {
        name: "path".to_owned(),
        schema: text.schema.clone(),
        takes_null: false,
        read: Box::new(move |raw| text.read(raw).map(PathBuf::from)),
    }
}

/// A map that is passed on as it is.
pub(super) fn any_map() -> Kind<Value> {
    let kind = Kind::new("map", json!({"type": ["object", "null"]}), |raw| match raw.value {
        Value::Null => Ok(json!({})),
        map @ Value::Object(_) => Ok(map.clone()),
        Value::String(text) if raw.is_text && text == "{}" => Ok(json!({})),
        other => Err(not_a("a map", other)),
    });
    Kind { takes_null: true, ..kind }
}

pub(super) fn not_a(expected: &str, value: &Value) -> Wrong {
    Wrong::new(format!("is {}, expected {expected}", describe(value)), "")
}

/// What a value is, without saying what it says.
pub(super) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a section with keys",
    }
}
