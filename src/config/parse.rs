//! From the text of a file to its values, and the line of each.
//!
//! YAML is read with the booleans of YAML 1.2: `no` and `off` are text. JSON is checked by its own
//! rules and then read as the YAML that it also is, for the lines.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

/// The values of a file, and the line of each key path.
pub(super) type Parsed = (Map<String, Value>, BTreeMap<String, Option<u64>>);

/// Why a file could not be understood at all.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) line: Option<u64>,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

pub(super) fn yaml(text: &str) -> Result<Parsed, Wrong> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let root: Spanned<Tree> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line());
        // Without the snippet: the neighbourhood of the mistake may be a secret.
        let told = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
        let reason = format!("not valid YAML: {told}");
        Wrong { line, reason, hint: None }
    })?;
    flatten(root.value)
}

pub(super) fn json(text: &str) -> Result<Parsed, Wrong> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| {
        let line = u64::try_from(error.line()).ok();
        Wrong { line, reason: format!("not valid JSON: {error}"), hint: None }
    })?;
    // What is left to complain about concerns both, such as a key that is there twice.
    yaml(text).map_err(|wrong| Wrong { reason: wrong.reason.replace("valid YAML", "valid JSON"), ..wrong })
}

pub(super) fn toml(text: &str) -> Result<Parsed, Wrong> {
    let line_at = |offset: usize| {
        let before = text.as_bytes().get(..offset).unwrap_or_default();
        Some(1 + before.iter().filter(|byte| **byte == b'\n').count() as u64)
    };
    let table = DeTable::parse(text).map_err(|error| Wrong {
        line: error.span().and_then(|span| line_at(span.start)),
        reason: format!("not valid TOML: {}", error.message()),
        hint: None,
    })?;
    flatten(Tree::of_table(table.get_ref(), &line_at))
}

/// A value with the lines of everything in it.
#[derive(Debug)]
enum Tree {
    Scalar(Value),
    List(Vec<(Option<u64>, Tree)>),
    Map(Vec<(String, Option<u64>, Tree)>),
}

fn flatten(root: Tree) -> Result<Parsed, Wrong> {
    let mut lines = BTreeMap::new();
    match root.flatten("", &mut lines) {
        Value::Object(values) => Ok((values, lines)),
        // A file that is empty, or holds comments alone, says nothing.
        Value::Null => Ok((Map::new(), lines)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(Wrong {
            line: Some(1),
            reason: "a configuration is a map of keys and values".to_owned(),
            hint: Some("begin with `routes:`".to_owned()),
        }),
    }
}

impl Tree {
    fn flatten(self, path: &str, lines: &mut BTreeMap<String, Option<u64>>) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, (line, item))| {
                    let path = format!("{path}[{index}]");
                    let value = item.flatten(&path, lines);
                    lines.insert(path, line);
                    value
                })
                .collect(),
            Self::Map(entries) => entries
                .into_iter()
                .map(|(key, line, item)| {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let value = item.flatten(&path, lines);
                    lines.insert(path, line);
                    (key, value)
                })
                .collect(),
        }
    }

    fn of_table(table: &DeTable<'_>, line_at: &impl Fn(usize) -> Option<u64>) -> Self {
        let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), line_at(key.span().start), Self::of_toml(value.get_ref(), line_at))
        };
        Self::Map(table.iter().map(entry).collect())
    }

    fn of_toml(value: &DeValue<'_>, line_at: &impl Fn(usize) -> Option<u64>) -> Self {
        Self::Scalar(match value {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::from(number.as_str()), Value::from),
            DeValue::Float(number) => {
                number.as_str().parse::<f64>().map_or_else(|_| Value::from(number.as_str()), Value::from)
            }
            DeValue::Datetime(time) => Value::from(time.to_string()),
            DeValue::Array(items) => {
                let item = |item: &toml::Spanned<DeValue<'_>>| {
                    (line_at(item.span().start), Self::of_toml(item.get_ref(), line_at))
                };
                return Self::List(items.iter().map(item).collect());
            }
            DeValue::Table(table) => return Self::of_table(table, line_at),
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Tree>>()? {
            list.push((line(&item), item.value));
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Tree>()? {
            map.push((key.value.clone(), line(&key), value));
        }
        Ok(Tree::Map(map))
    }
}

fn line<T>(node: &Spanned<T>) -> Option<u64> {
    Some(node.referenced.line()).filter(|line| *line > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "a: off\nb:\n  - x\n  - y: 5\n# comment\nc: {d: true, e: 'no'}\n";

    #[test]
    fn yaml_keeps_words_and_knows_lines() {
        let (values, lines) = yaml(YAML).expect("YAML");
        let expected = serde_json::json!({"a": "off", "b": ["x", {"y": 5}], "c": {"d": true, "e": "no"}});
        assert_eq!(Value::Object(values), expected);
        for (path, line) in
            [("a", 1), ("b", 2), ("b[0]", 3), ("b[1]", 4), ("b[1].y", 4), ("c", 6), ("c.e", 6)]
        {
            assert_eq!(lines.get(path), Some(&Some(line)), "{path}");
        }
    }

    #[test]
    fn toml_and_json_know_lines_too() {
        let (values, lines) = toml("workers = 2\n\n[log]\nlevel = \"info\"\nx = [1,\n 2]\n").expect("TOML");
        assert_eq!(
            Value::Object(values),
            serde_json::json!({"workers": 2, "log": {"level": "info", "x": [1, 2]}})
        );
        assert_eq!(lines.get("log.level"), Some(&Some(4)));
        assert_eq!(lines.get("log.x[1]"), Some(&Some(6)));
        let (values, lines) = json("{\n\t\"a\": \"\\/x\",\n\t\"b\": [1,\n\t2]}").expect("JSON");
        assert_eq!(Value::Object(values), serde_json::json!({"a": "/x", "b": [1, 2]}));
        assert_eq!(lines.get("b[1]"), Some(&Some(4)));
    }

    #[test]
    fn mistakes_in_the_notation_are_shown_by_line_and_without_the_text_around_them() {
        let mistakes = [
            yaml("a: 1\npassword: \"hunter2\n"),
            yaml("a: 1\npassword: *hunter2\n"),
            yaml("a: 1\npassword: hunter2: x\n"),
            toml("a = 1\npassword = hunter2\n"),
            json("{\n\"password\": hunter2\n}"),
        ];
        for mistake in mistakes {
            let wrong = mistake.expect_err("a mistake");
            assert!(wrong.line.is_some_and(|line| line >= 2), "{wrong:?}");
            assert!(!wrong.reason.contains("hunter2"), "{wrong:?}");
            assert!(!wrong.reason.contains('\n'), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_file_says_nothing_and_a_list_is_no_configuration() {
        assert!(yaml("# nothing\n").expect("nothing").0.is_empty());
        assert!(yaml("").expect("nothing").0.is_empty());
        assert!(yaml("- a\n").is_err());
    }
}
