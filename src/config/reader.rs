//! Reads typed values out of the merged layers, and collects complaints instead of stopping at one.
//!
//! A key is declared where it is read: its name, what it means, its kind and its default stand in one
//! place (`keys.rs`), in one expression. The same declaration, run over nothing at all, yields the notes from which
//! the schema and the documentation are made.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::complaint::{Complaint, did_you_mean, is_secret_name, shown};
use super::kind::{Kind, Raw, describe};
use super::layer::{Layer, Place, place};
use super::note::{ANY_NAME, Note, Presence};

/// What to do instead of writing a secret down.
pub(super) const NO_SECRETS: &str = "secrets are never written here: mount them as files in a folder, and name \
                                     the folder in the route's credential.path";

/// Collects what is wrong, and what is declared.
pub(super) struct Reader<'a> {
    layers: &'a [Layer],
    /// Whether keys are declared only, and there are no values.
    describing: bool,
    /// Whether a source could not be read: what is missing may stand there.
    incomplete: bool,
    /// What to do instead of writing a secret down.
    no_secrets: &'static str,
    complaints: RefCell<Vec<(usize, Complaint)>>,
    notes: RefCell<Vec<Note>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a [Layer], incomplete: bool) -> Self {
        Self {
            layers,
            describing: false,
            incomplete,
            no_secrets: NO_SECRETS,
            complaints: RefCell::default(),
            notes: RefCell::default(),
        }
    }

    /// Says this to whoever writes a secret down.
    pub(super) fn hint_at_secrets(self, no_secrets: &'static str) -> Self {
        Self { no_secrets, ..self }
    }

    /// Runs the declarations over nothing at all.
    pub(super) fn describe(declare: impl FnOnce(&Section<'_, 'a>)) -> Vec<Note> {
        let reader = Reader { describing: true, ..Reader::new(&[], false) };
        declare(&Section::empty(&reader));
        reader.notes.into_inner()
    }

    /// Reads everything, from the top.
    pub(super) fn read<T>(&self, values: Map<String, Value>, read: impl FnOnce(&Section<'_, 'a>) -> T) -> T {
        let top = Section { values, ..Section::empty(self) };
        let result = read(&top);
        top.complain_of_unknown_keys();
        result
    }

    /// All complaints, in the order of the layers and their lines.
    pub(super) fn into_complaints(self) -> Vec<Complaint> {
        let mut complaints = self.complaints.into_inner();
        complaints.sort_by_key(|(layer, complaint)| (*layer, complaint.line));
        complaints.into_iter().map(|(_, complaint)| complaint).collect()
    }

    fn complain(&self, key: String, reason: String, hint: Option<String>) {
        let place = self.place(&key);
        let file = place.map(|place| place.layer.name.clone());
        let line = place.and_then(|place| place.line);
        let order = place.map_or(usize::MAX, |place| place.index);
        self.complaints.borrow_mut().push((order, Complaint { file, line, key, reason, hint }));
    }

    fn place(&self, key: &str) -> Option<Place<'a>> {
        place(self.layers, key)
    }
}

/// One level of the configuration.
pub(super) struct Section<'r, 'a> {
    reader: &'r Reader<'a>,
    path: String,
    values: Map<String, Value>,
    seen: RefCell<Vec<String>>,
    /// Something else stood in its place, which has been complained about already.
    broken: bool,
}

impl<'r, 'a> Section<'r, 'a> {
    fn empty(reader: &'r Reader<'a>) -> Self {
        Self { reader, path: String::new(), values: Map::new(), seen: RefCell::default(), broken: false }
    }

    /// Declares a key, to be read by one of the methods of [`Key`].
    pub(super) fn key(&self, name: &'static str, means: &'static str) -> Key<'_, 'r, 'a> {
        Key { section: self, name, means, example: None }
    }

    /// Declares and reads a section, which is there also when nothing is said about it.
    pub(super) fn section<T>(
        &self,
        name: &'static str,
        means: &'static str,
        read: impl FnOnce(&Section<'r, 'a>) -> T,
    ) -> T {
        self.note(name, means, Presence::Section);
        self.enter(name, None, read)
    }

    /// Declares and reads a section that is `None` when nothing is said about it.
    pub(super) fn optional_section<T>(
        &self,
        name: &'static str,
        means: &'static str,
        read: impl FnOnce(&Section<'r, 'a>) -> T,
    ) -> Option<T> {
        self.note(name, means, Presence::OptionalSection);
        let there = self.reader.describing || self.values.contains_key(name);
        if !there {
            // A slip of the pen is told which key was meant, above all where that one is missing.
            self.seen.borrow_mut().push(name.to_owned());
        }
        there.then(|| self.enter(name, None, read))
    }

    /// Declares and reads a section in whose place the value of its one key `short` may stand.
    pub(super) fn short_section<T>(
        &self,
        name: &'static str,
        short: &'static str,
        means: &'static str,
        read: impl FnOnce(&Section<'r, 'a>) -> T,
    ) -> T {
        self.note(name, means, Presence::ShortSection(short));
        self.enter(name, Some(short), read)
    }

    /// Reads the sections that the user names.
    pub(super) fn named<T>(
        &self,
        name: &'static str,
        means: &'static str,
        mut read: impl FnMut(&str, &Section<'r, 'a>) -> T,
    ) -> Vec<T> {
        self.note(name, means, Presence::Named);
        self.enter(name, None, |all| {
            if all.reader.describing {
                return vec![all.enter(ANY_NAME, None, |one| read(ANY_NAME, one))];
            }
            let names: Vec<String> = all.values.keys().cloned().collect();
            names.iter().map(|name| all.enter(name, None, |one| read(name, one))).collect()
        })
    }

    fn enter<T>(&self, name: &str, short: Option<&str>, read: impl FnOnce(&Section<'r, 'a>) -> T) -> T {
        self.seen.borrow_mut().push(name.to_owned());
        let inner = self.inner(name, short);
        let result = read(&inner);
        inner.complain_of_unknown_keys();
        result
    }

    fn inner(&self, name: &str, short: Option<&str>) -> Self {
        let path = self.join(name);
        let (values, broken) = match (self.values.get(name), short) {
            (Some(Value::Object(values)), _) => (values.clone(), false),
            (None | Some(Value::Null), _) => (Map::new(), self.broken),
            (Some(value @ (Value::String(_) | Value::Bool(_))), Some(short)) => {
                (Map::from_iter([(short.to_owned(), value.clone())]), false)
            }
            (Some(value), _) => {
                let reason =
                    format!("is {} where a section with keys of its own is expected", describe(value));
                let hint = (name == "credential").then(|| NO_SECRETS.to_owned());
                self.reader.complain(path.clone(), reason, hint);
                (Map::new(), true)
            }
        };
        Self { reader: self.reader, path, values, seen: RefCell::default(), broken }
    }

    /// Whether the user says anything about this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether the user names anything in this section of names.
    pub(super) fn has_any(&self, name: &str) -> bool {
        self.values.get(name).and_then(Value::as_object).is_some_and(|names| !names.is_empty())
    }

    /// Whether there is any source of settings at all.
    pub(super) fn is_told_anything(&self) -> bool {
        !self.reader.layers.is_empty()
    }

    /// Complains about a key of this section; an empty name means the section itself.
    pub(super) fn complain(&self, name: &str, reason: impl Into<String>, hint: impl Into<String>) {
        if !self.reader.describing && !self.broken {
            let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
            self.reader.complain(self.join(name), reason.into(), hint);
        }
    }

    /// Complains that something is not there.
    pub(super) fn complain_of_absence(&self, name: &str, reason: impl Into<String>, hint: impl Into<String>) {
        if !self.reader.incomplete {
            self.complain(name, reason, hint);
        }
    }

    /// Complains about a key that is there, beside one of those, declared before it, that it cannot be used with.
    pub(super) fn complain_of_company(&self, name: &str, others: &[&str]) {
        let is_there =
            |other: &&&str| self.has(other) && self.seen.borrow().iter().any(|seen| seen == **other);
        if let Some(other) = others.iter().find(is_there).filter(|_| self.has(name)) {
            self.complain(name, format!("cannot be used together with {other}"), "remove one of them");
        }
    }

    /// The path as seen from the folder of the file in which `name` says it.
    pub(super) fn resolve(&self, name: &str, path: &Path) -> PathBuf {
        let place = self.reader.place(&self.join(name));
        let folder = place.and_then(|place| place.layer.folder.as_deref());
        folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// Whether the files that the configuration names are on another machine.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.reader.layers.iter().any(|layer| layer.is_elsewhere)
    }

    fn join(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            ("", name) => name.to_owned(),
            (path, "") => path.to_owned(),
            (path, name) if name.starts_with('[') => format!("{path}{name}"),
            (path, name) => format!("{path}.{name}"),
        }
    }

    fn note(&self, name: &str, means: &'static str, presence: Presence) {
        self.write_note(Note {
            path: self.join(name),
            kind: "section".to_owned(),
            schema: Value::Null,
            presence,
            means,
            example: None,
        });
    }

    fn write_note(&self, note: Note) {
        if self.reader.describing {
            self.reader.notes.borrow_mut().push(note);
        }
    }

    fn complain_of_unknown_keys(&self) {
        let seen = self.seen.borrow();
        let known = seen.iter().map(String::as_str);
        for name in self.values.keys().filter(|name| !seen.contains(name)) {
            self.complain_of_unknown_key("", name, known.clone());
        }
    }

    /// Complains about a key that is none of those that are known, here or in the section `within`.
    pub(super) fn complain_of_unknown_key<'k>(
        &self,
        within: &str,
        name: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let (reason, hint) = if is_secret_name(name) {
            ("a secret does not belong into the configuration", self.reader.no_secrets.to_owned())
        } else {
            let all = || match known.clone().collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "there are none here".to_owned(),
                all => format!("known here are {all}"),
            };
            ("there is no such key", did_you_mean(name, known.clone()).unwrap_or_else(all))
        };
        let key = if within.is_empty() { shown(name) } else { format!("{within}.{}", shown(name)) };
        self.reader.complain(self.join(&key), reason.to_owned(), Some(hint));
    }
}

/// A key that has been declared, up to its kind and default.
pub(super) struct Key<'s, 'r, 'a> {
    section: &'s Section<'r, 'a>,
    name: &'static str,
    means: &'static str,
    example: Option<&'static str>,
}

impl Key<'_, '_, '_> {
    pub(super) fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    /// The value; a complaint where it is missing.
    pub(super) fn required<T: 'static>(self, kind: &Kind<T>) -> Option<T> {
        if !self.section.has(self.name) {
            self.complain_that_it_is_missing();
        }
        self.declare(kind, Presence::Required)
    }

    fn complain_that_it_is_missing(&self) {
        let hint = self.example.map(|example| format!("for example {}: {example}", self.name));
        let reason = format!("{} is missing", self.name);
        self.section.complain_of_absence("", reason, hint.unwrap_or_default());
    }

    /// The value of this key: it or one of `others` must be there, and no two of them. The one that is declared first is
    /// missed, those that are declared later are too much.
    pub(super) fn required_unless<T: 'static>(
        self,
        others: &'static [&'static str],
        kind: &Kind<T>,
    ) -> Option<T> {
        let section = self.section;
        let is_first = !section.seen.borrow().iter().any(|name| others.contains(&name.as_str()));
        section.complain_of_company(self.name, others);
        if is_first && !section.has(self.name) && !others.iter().any(|other| section.has(other)) {
            self.complain_that_it_is_missing();
        }
        self.declare(kind, Presence::RequiredUnless(others))
    }

    /// The value, where there is one.
    pub(super) fn optional<T: 'static>(self, kind: &Kind<T>) -> Option<T> {
        self.declare(kind, Presence::Optional)
    }

    /// The value or its default.
    pub(super) fn or<T: 'static>(self, default: &'static str, kind: &Kind<T>) -> T {
        self.declare(kind, Presence::Default(default)).unwrap_or_else(|| {
            kind.read(Raw { value: &Value::from(default), is_text: true })
                .unwrap_or_else(|_| unreachable!("{default:?} is no {}", kind.name))
        })
    }

    fn declare<T: 'static>(self, kind: &Kind<T>, presence: Presence) -> Option<T> {
        let section = self.section;
        section.seen.borrow_mut().push(self.name.to_owned());
        self.note(kind, presence);
        let value = section.values.get(self.name)?;
        if value.is_null() && !kind.takes_null {
            section.complain(self.name, "has no value", "give it one, or remove the key");
            return None;
        }
        let path = section.join(self.name);
        let is_text = section.reader.place(&path).is_some_and(|place| place.layer.is_text);
        let wrongs = match kind.read(Raw { value, is_text }) {
            Ok(value) => return Some(value),
            Err(wrongs) => wrongs,
        };
        for wrong in wrongs {
            section.reader.complain(format!("{path}{}", wrong.at), wrong.reason, wrong.hint);
        }
        None
    }

    fn note<T>(&self, kind: &Kind<T>, presence: Presence) {
        self.section.write_note(Note {
            path: self.section.join(self.name),
            kind: kind.name.clone(),
            schema: kind.schema.clone(),
            presence,
            means: self.means,
            example: self.example,
        });
    }
}
