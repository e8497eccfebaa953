//! Values as YAML that a person would have written: names first, in block style.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// What a reader looks for comes first; other keys follow by their names.
const FIRST: [&str; 17] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "image",
    "args",
    "restartPolicy",
    "env",
    "ports",
    "startupProbe",
    "readinessProbe",
    "livenessProbe",
    "lifecycle",
    "resources",
    "securityContext",
    "volumeMounts",
    "httpGet",
];

/// How a document writes its lists below a key: as deep as the key, or deeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    AsDeep,
    Deeper,
}

/// Lines that say the value, without indentation and with a newline at the end.
pub(super) fn block(value: &Value, lists: Lists) -> String {
    let options = serde_saphyr::ser_options! { compact_list_indent: lists == Lists::AsDeep };
    let text = serde_saphyr::to_string_with_options(&Ordered(value), options);
    text.expect("a JSON value can be said in YAML")
}

/// Puts `columns` blanks in front of every line but empty ones.
pub(super) fn indent(lines: &str, columns: usize) -> String {
    let blanks = " ".repeat(columns);
    let line = |line: &str| if line.trim().is_empty() { line.to_owned() } else { format!("{blanks}{line}") };
    lines.split_inclusive('\n').map(line).collect()
}

struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            Value::Object(entries) => {
                let mut ordered: Vec<_> = entries.iter().collect();
                ordered.sort_by_key(|(key, _)| rank(key));
                let mut map = serializer.serialize_map(Some(ordered.len()))?;
                for (key, value) in ordered {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn rank(key: &str) -> usize {
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}
