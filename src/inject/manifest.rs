//! Manifests as text: a sidecar goes into every workload, and everything else stays as it was written.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::edit::{self, Refused};
use super::needs::{self, Needs};
use super::operation::{Operation, Patch};
use super::parameters::{INJECTED, Parameters, UNWANTED, WANTED};
use super::pod::{self, Ready, Standing};
use super::workload::{self, Workload};
use super::write::{Lists, block};
use super::{Trouble, sidecar, tree};
use crate::config::Complaints;

/// What is asked for a whole file.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Flags, which come before what annotations say.
    pub parameters: Parameters,
    /// Name and text of the configuration, where it was given.
    pub configuration: Option<(String, String)>,
    pub placing: Placing,
}

impl Order {
    /// Looks at the configuration that was given.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self) -> Result<(), Complaints> {
        self.configuration.as_ref().map_or(Ok(()), |(name, text)| needs::read(name, text).map(drop))
    }
}

/// Where a configuration that was given goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Placing {
    /// Nowhere: the ConfigMap is made otherwise.
    #[default]
    Elsewhere,
    /// Into a ConfigMap behind the workloads.
    Embedded,
    /// Into an annotation of each pod.
    Carried,
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    pub text: String,
    /// Workloads that have a sidecar now, or that one was taken out of.
    pub workloads: usize,
    /// What is worth knowing, a line each.
    pub notes: Vec<String>,
}

/// Puts a sidecar into every workload of a text; one that is there already is brought up to date.
///
/// # Errors
/// Everything that stands against it; then nothing is changed.
pub fn inject(text: &str, order: &Order) -> Result<Changed, Trouble> {
    let mut run = Run::default();
    let mut maps = BTreeSet::new();
    run.each(text, |document, workload, notes| {
        let Some((operations, map)) = refresh(document, workload, order, notes)? else { return Ok(None) };
        maps.insert((workload.namespace.clone(), map));
        Ok(Some(operations))
    });
    let mut changed = run.end(Expected::Workloads)?;
    if let Some((_, configuration)) =
        order.configuration.as_ref().filter(|_| order.placing == Placing::Embedded)
    {
        let is_json = changed.text.trim_start().starts_with(['{', '[']);
        if is_json {
            return Err(Trouble(vec![
                "a JSON document holds one thing: no ConfigMap can be embedded".to_owned(),
            ]));
        }
        for (namespace, name) in maps {
            changed.text += &embedded(&name, configuration, namespace.as_deref(), &changed.text);
        }
    }
    Ok(changed)
}

/// Takes the sidecars out again that [`inject`] has put in.
///
/// # Errors
/// Why one cannot be taken out; then nothing is changed.
pub fn uninject(text: &str) -> Result<Changed, Trouble> {
    let mut run = Run::default();
    run.each(text, |document, workload, _| {
        let mut patch = Patch::new(document.clone());
        if pod::standing(&patch, &workload.pod) != Standing::Injected {
            return Ok(None);
        }
        pod::remove(&mut patch, &workload.pod).map_err(|reason| vec![reason])?;
        Ok(Some(patch.operations))
    });
    run.end(Expected::Anything)
}

/// What has to be done to one workload, and the ConfigMap that it reads then; `None` where it is left alone.
fn refresh(
    document: &Value,
    workload: &Workload,
    order: &Order,
    notes: &mut Vec<String>,
) -> Result<Option<(Vec<Operation>, String)>, Vec<String>> {
    if [&workload.root, &workload.pod].iter().any(|place| {
        let label = place.join("metadata/labels").to(WANTED.0);
        label.find(document).and_then(Value::as_str) == Some(UNWANTED)
    }) {
        notes.push(format!("left alone: label {}: {UNWANTED}", WANTED.0));
        return Ok(None);
    }
    let mut patch = Patch::new(document.clone());
    match pod::standing(&patch, &workload.pod) {
        Standing::Otherwise => {
            notes.push("left alone: it has a sidecar that was not put in by `attache inject`".to_owned());
            return Ok(None);
        }
        Standing::Injected => pod::remove(&mut patch, &workload.pod).map_err(|reason| vec![reason])?,
        Standing::Without => {}
    }
    let annotations = workload.pod.join("metadata/annotations");
    let asked = Parameters::of_annotations(annotations.find(&patch.document))?;
    let asked = order.parameters.clone().or(&asked);
    let (needs, carried) = needed(&asked, order)?;
    let ready = Ready { asked: &asked, needs: &needs, carried: carried.as_deref() };
    pod::add(&mut patch, &workload.pod, &ready, notes)?;
    // The same again is no change, whatever the order of operations.
    let operations = if patch.document == *document { Vec::new() } else { patch.operations };
    Ok(Some((operations, sidecar::config_map(&asked).to_owned())))
}

fn needed(asked: &Parameters, order: &Order) -> Result<(Needs, Option<String>), Vec<String>> {
    match (&order.configuration, &asked.configuration) {
        (Some(_), Some(_)) => Err(vec![
            "the annotation attache-proxy.io/configuration holds a configuration already: leave -c out"
                .to_owned(),
        ]),
        (Some((name, text)), None) => {
            let carried = (order.placing == Placing::Carried).then(|| text.clone());
            Ok((Needs::of_text(name, text, asked)?, carried))
        }
        (None, Some(text)) => Ok((Needs::of_text("annotation", text, asked)?, Some(text.clone()))),
        (None, None) => match &asked.profile {
            Some(_) => Err(vec!["profiles are known to the webhook only: give the file with -c".to_owned()]),
            None if asked.config_map.is_some() => Ok((Needs::of_secrets(asked), None)),
            None => Err(vec!["no configuration: give the file with -c".to_owned()]),
        },
    }
}

/// The ConfigMap as a document of its own, to stand behind `text`.
fn embedded(name: &str, configuration: &str, namespace: Option<&str>, text: &str) -> String {
    let mut metadata = json!({ "name": name, "annotations": { INJECTED: "{}" } });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": { "attache.yaml": configuration },
    });
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{newline}---\n{}", block(&map, Lists::Deeper))
}

/// Whether a document is a ConfigMap that was embedded here.
fn is_embedded(document: &Value) -> bool {
    document["kind"] == "ConfigMap" && !document["metadata"]["annotations"][INJECTED].is_null()
}

/// What a text has to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Workloads,
    Anything,
}

/// One walk over all documents of a text.
#[derive(Default)]
struct Run {
    text: String,
    workloads: usize,
    others: Vec<String>,
    notes: Vec<String>,
    trouble: Vec<String>,
}

impl Run {
    fn each(
        &mut self,
        text: &str,
        mut plan: impl FnMut(&Value, &Workload, &mut Vec<String>) -> Result<Option<Vec<Operation>>, Vec<String>>,
    ) {
        let slices = match tree::documents(text) {
            Ok(slices) => slices,
            Err(reason) => return self.trouble.push(reason),
        };
        for slice in slices {
            let above = text[..slice.start].matches('\n').count();
            match self.document(Part { text: &text[slice], above }, &mut plan) {
                Ok(changed) => self.text += &changed,
                Err(reasons) => self.trouble.extend(reasons),
            }
        }
    }

    fn document(
        &mut self,
        part: Part<'_>,
        plan: &mut impl FnMut(&Value, &Workload, &mut Vec<String>) -> Result<Option<Vec<Operation>>, Vec<String>>,
    ) -> Result<String, Vec<String>> {
        let mut text = part.text.to_owned();
        let root = tree::parse(&text, part.above).map_err(|reason| vec![reason])?;
        let Some(root) = root else { return Ok(text) };
        let document = root.value();
        if is_embedded(&document) {
            return Ok(String::new());
        }
        let mut wrong = Vec::new();
        for workload in workload::find(&document, &mut self.others) {
            let titled = |line: String| format!("{}: {line}", workload.title);
            let mut notes = Vec::new();
            // No workload of a list moves another.
            match plan(&document, &workload, &mut notes).and_then(|planned| part.carry_out(&text, planned)) {
                Ok(Some(changed)) => {
                    self.workloads += 1;
                    text = changed;
                }
                Ok(None) => {}
                Err(reasons) => wrong.extend(reasons.into_iter().map(titled)),
            }
            self.notes.extend(notes.into_iter().map(titled));
        }
        if wrong.is_empty() { Ok(text) } else { Err(wrong) }
    }

    fn end(self, expected: Expected) -> Result<Changed, Trouble> {
        if !self.trouble.is_empty() {
            return Err(Trouble(self.trouble));
        }
        if expected == Expected::Workloads && self.workloads == 0 && self.notes.is_empty() {
            let others = if self.others.is_empty() { "nothing".to_owned() } else { self.others.join(", ") };
            let kinds = workload::kinds();
            return Err(Trouble(vec![format!("nothing to do: found {others}; kinds with pods are {kinds}")]));
        }
        Ok(Changed { text: self.text, workloads: self.workloads, notes: self.notes })
    }
}

/// One document of a file, as it was written.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    /// How many lines of the file are above it.
    above: usize,
}

impl Part<'_> {
    /// `text` is the document with the changes of earlier workloads.
    fn carry_out(&self, text: &str, planned: Option<Vec<Operation>>) -> Result<Option<String>, Vec<String>> {
        let Some(operations) = planned else { return Ok(None) };
        let edited = operations.iter().try_fold(text.to_owned(), |text, operation| {
            edit::apply(&text, operation).map_err(|refused| vec![self.told(&refused, &text)])
        });
        edited.map(Some)
    }

    fn told(&self, refused: &Refused, edited: &str) -> String {
        match refused.line {
            Some(line) => format!("line {}: {}", self.above + self.written_at(line, edited), refused.reason),
            None => refused.reason.clone(),
        }
    }

    /// Where a line of the changed text stands in what was written: lines were added since, hardly ever ones like it.
    fn written_at(&self, line: usize, edited: &str) -> usize {
        let wanted = edited.lines().nth(line - 1).unwrap_or_default();
        let number = edited.lines().take(line).filter(|it| *it == wanted).count();
        let mut alike = (1..).zip(self.text.lines()).filter(|(_, it)| *it == wanted);
        alike.nth(number - 1).map_or(line, |(line, _)| line)
    }
}
