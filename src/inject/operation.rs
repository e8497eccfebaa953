//! Changes of a document, as JSON Patch (RFC 6902) has them: what the webhook answers with, and what the command
//! carries out on the text of a manifest.
//!
//! Of the six operations two are enough: things are added, and things are taken out.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// Where something is in a document (RFC 6901), step by step.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<String>);

impl Path {
    /// A path of plain steps, such as `spec/template`. The empty text is the whole document.
    pub(super) fn of(steps: &str) -> Self {
        Self(steps.split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect())
    }

    /// The path one step deeper.
    #[must_use]
    pub(super) fn to(&self, step: impl ToString) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.to_string());
        Self(steps)
    }

    /// The path that goes on as `steps` do.
    #[must_use]
    pub(super) fn join(&self, steps: &str) -> Self {
        Self(self.0.iter().cloned().chain(Self::of(steps).0).collect())
    }

    pub(super) fn steps(&self) -> &[String] {
        &self.0
    }

    /// What the path is below, and its last step.
    pub(super) fn split(&self) -> Option<(Self, &str)> {
        let (last, above) = self.0.split_last()?;
        Some((Self(above.to_vec()), last))
    }

    /// What is there, unless it is nothing or null.
    pub(super) fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        let found = self.0.iter().try_fold(document, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            Value::Object(entries) => entries.get(step),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        });
        found.filter(|value| !value.is_null())
    }

    /// The items of the list that is there; none where there is no list.
    pub(super) fn items<'a>(&self, document: &'a Value) -> &'a [Value] {
        self.find(document).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn find_mut<'a>(&self, document: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(document, |value, step| match value {
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
            Value::Object(entries) => entries.get_mut(step),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation {
    /// Into a map; or into a list in front of the index, or at its end where the last step is `-`.
    Add {
        path: Path,
        value: Value,
    },
    Remove {
        path: Path,
    },
}

impl Operation {
    /// Carries it out.
    ///
    /// # Errors
    /// The path leads nowhere in this document.
    pub(super) fn apply(&self, document: &mut Value) -> Result<(), String> {
        let (Self::Add { path, .. } | Self::Remove { path }) = self;
        let nowhere = || format!("{path} leads nowhere");
        let (above, last) = path.split().ok_or_else(nowhere)?;
        let place = above.find_mut(document).ok_or_else(nowhere)?;
        match self {
            Self::Add { value, .. } => add(place, last, value),
            Self::Remove { .. } => remove(place, last),
        }
        .ok_or_else(nowhere)
    }
}

fn add(place: &mut Value, last: &str, value: &Value) -> Option<()> {
    match place {
        Value::Array(items) => {
            let index = if last == "-" { items.len() } else { last.parse().ok()? };
            (index <= items.len()).then(|| items.insert(index, value.clone()))
        }
        Value::Object(entries) => {
            entries.insert(last.to_owned(), value.clone());
            Some(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn remove(place: &mut Value, last: &str) -> Option<()> {
    match place {
        Value::Array(items) => {
            let index = last.parse().ok()?;
            (index < items.len()).then(|| drop(items.remove(index)))
        }
        Value::Object(entries) => entries.remove(last).map(drop),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Operations that have been carried out on a copy of the document, so that each finds what those before it made.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) document: Value,
    pub(super) operations: Vec<Operation>,
}

impl Patch {
    pub(super) fn new(document: Value) -> Self {
        Self { document, operations: Vec::new() }
    }

    /// Sets the entry of a map, which is made where there is none.
    pub(super) fn set(&mut self, map: &Path, key: &str, value: Value) {
        match map.find(&self.document) {
            Some(_) => self.add(map.to(key), value),
            None => self.add_below(map, serde_json::json!({ key: value })),
        }
    }

    /// Adds to the end of a list, which is made where there is none.
    pub(super) fn append(&mut self, list: &Path, item: Value) {
        match list.find(&self.document) {
            Some(_) => self.add(list.to("-"), item),
            None => self.add_below(list, Value::Array(vec![item])),
        }
    }

    /// Adds in front of a list, which is made where there is none.
    pub(super) fn prepend(&mut self, list: &Path, item: Value) {
        match list.find(&self.document) {
            Some(_) => self.add(list.to(0), item),
            None => self.add_below(list, Value::Array(vec![item])),
        }
    }

    /// Takes something out, and with it what would be left empty.
    pub(super) fn take(&mut self, path: &Path) {
        match path.split() {
            Some((above, _)) if size(&above, &self.document) == 1 && !above.steps().is_empty() => {
                self.take(&above);
            }
            _ => self.carry_out(Operation::Remove { path: path.clone() }),
        }
    }

    /// Takes those items of a list out that are meant.
    pub(super) fn take_items(&mut self, list: &Path, meant: impl Fn(&Value) -> bool) {
        let found = list.items(&self.document).iter().enumerate().filter(|(_, item)| meant(item));
        let found: Vec<_> = found.map(|(index, _)| index).collect();
        // From behind, so that indexes stay what they were.
        found.into_iter().rev().for_each(|index| self.take(&list.to(index)));
    }

    /// Adds where a map may be missing on the way: a pod template need not have metadata.
    fn add_below(&mut self, path: &Path, value: Value) {
        match path.split() {
            Some((above, last)) if above.find(&self.document).is_none() && !above.steps().is_empty() => {
                self.add_below(&above, serde_json::json!({ last: value }));
            }
            _ => self.add(path.clone(), value),
        }
    }

    fn add(&mut self, path: Path, value: Value) {
        self.carry_out(Operation::Add { path, value });
    }

    fn carry_out(&mut self, operation: Operation) {
        operation.apply(&mut self.document).expect("the path was found in this document");
        self.operations.push(operation);
    }
}

fn size(path: &Path, document: &Value) -> usize {
    match path.find(document) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(entries)) => entries.len(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_on_the_way_is_made_and_what_is_left_empty_goes() {
        let original = json!({ "spec": { "containers": [{ "name": "app" }] } });
        let mut patch = Patch::new(original.clone());
        patch.set(&Path::of("metadata/labels"), "a/b", json!("c"));
        patch.append(&Path::of("spec/volumes"), json!({ "name": "v" }));
        patch.prepend(&Path::of("spec/containers"), json!({ "name": "first" }));
        let expected = json!({
            "metadata": { "labels": { "a/b": "c" } },
            "spec": { "containers": [{ "name": "first" }, { "name": "app" }], "volumes": [{ "name": "v" }] },
        });
        assert_eq!(patch.document, expected);
        let told = serde_json::to_value(&patch.operations[0]).expect("plain values");
        assert_eq!(told, json!({ "op": "add", "path": "/metadata", "value": { "labels": { "a/b": "c" } } }));

        patch.take(&Path::of("metadata/labels").to("a/b"));
        patch.take_items(&Path::of("spec/volumes"), |_| true);
        patch.take_items(&Path::of("spec/containers"), |item| item["name"] == "first");
        assert_eq!(patch.document, original);
    }

    #[test]
    fn another_implementation_of_the_standard_comes_to_the_same() {
        let original = json!({ "metadata": { "labels": {} }, "spec": { "containers": [{ "name": "a" }] } });
        let mut patch = Patch::new(original.clone());
        patch.set(&Path::of("metadata/labels"), "x/y~z", json!("1"));
        patch.append(&Path::of("spec/containers/0/env"), json!({ "name": "A" }));
        patch.append(&Path::of("spec/containers/0/env"), json!({ "name": "B" }));
        patch.prepend(&Path::of("spec/containers"), json!({ "name": "first" }));
        patch.take(&Path::of("spec/containers/1/env/0"));
        let told = serde_json::to_value(&patch.operations).expect("plain values");
        let mut theirs = original;
        let told: json_patch::Patch = serde_json::from_value(told).expect("a patch");
        json_patch::patch(&mut theirs, &told).expect("applied");
        assert_eq!(theirs, patch.document);
    }
}
