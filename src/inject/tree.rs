//! YAML with its places: what a document says, and which octets of the text say it.
//!
//! The parser is that of the configuration, one level lower: its events with their spans. Nothing is written here.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};
use serde_json::{Map, Number, Value};

/// How deep a document may be nested. The API of Kubernetes is nowhere near.
const DEEPEST: usize = 100;
/// How many values a document may hold once its aliases are written out: a list of ten thousand workloads.
const MOST_VALUES: usize = 2_000_000;

/// A value and its place in the text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Of a collection in block style, the span of its contents.
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Value),
    /// Keys as they are written, with their place.
    Map(Vec<(String, Range<usize>, Node)>, Style),
    List(Vec<Node>, Style),
    /// Another name for what stands elsewhere, which is not to be changed here.
    Alias(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Block,
    Flow,
}

impl Node {
    /// What it says, without its places.
    pub(super) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) | Kind::Alias(value) => value.clone(),
            Kind::List(items, _) => items.iter().map(Self::value).collect(),
            Kind::Map(entries, _) => merged(entries.iter().map(|(key, _, node)| (key, node.value()))),
        }
    }

    /// The entry of a map, or the item of a list.
    pub(super) fn child(&self, step: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries, _) => entries.iter().find(|(key, ..)| key == step).map(|(.., node)| node),
            Kind::List(items, _) => items.get(step.parse::<usize>().ok()?),
            Kind::Scalar(_) | Kind::Alias(_) => None,
        }
    }
}

/// With the entries of other maps that a key `<<` brings in, behind those of its own.
fn merged<'a>(entries: impl Iterator<Item = (&'a String, Value)>) -> Value {
    let (mut own, mut others) = (Map::new(), Vec::new());
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("<<", Value::Object(other)) => others.push(other),
            ("<<", Value::Array(list)) => {
                others.extend(list.into_iter().filter_map(|item| match item {
                    Value::Object(other) => Some(other),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                        None
                    }
                }));
            }
            (_, value) => _ = own.insert(key.clone(), value),
        }
    }
    for (key, value) in others.into_iter().flatten() {
        own.entry(key).or_insert(value);
    }
    Value::Object(own)
}

/// Where the documents of a text are: their slices, which together are the text.
///
/// # Errors
/// The text is no YAML.
pub(super) fn documents(text: &str) -> Result<Vec<Range<usize>>, String> {
    let mut starts = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("not valid YAML: {error}"))?;
        if matches!(event, Event::DocumentStart(..)) {
            starts.push(octets(&span).start);
        }
    }
    // What stands in front of the first one is its own.
    let starts = std::iter::once(0).chain(starts.into_iter().skip(1));
    let bounds: Vec<_> = starts.chain([text.len()]).collect();
    Ok(bounds.windows(2).map(|pair| pair[0]..pair[1]).collect())
}

/// Reads the one document of a text; none where it holds nothing. `above` says how many lines of the file are above it.
///
/// # Errors
/// The text is no YAML, or holds what a manifest cannot.
pub(super) fn parse(text: &str, above: usize) -> Result<Option<Node>, String> {
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("not valid YAML: {error}"))?;
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event if !event.is_node() && !is_end(&event) => {}
            event => events.push((event, octets(&span))),
        }
    }
    let mut reading =
        Reading { text, above, events: events.into_iter(), anchors: BTreeMap::new(), left: MOST_VALUES };
    reading.next_event().map(|(event, span)| reading.node(event, span, DEEPEST)).transpose()
}

fn is_end(event: &Event<'_>) -> bool {
    matches!(event, Event::MappingEnd | Event::SequenceEnd)
}

fn octets(span: &Span) -> Range<usize> {
    span.byte_range().expect("a text that is held in memory has offsets")
}

type Placed<'a> = (Event<'a>, Range<usize>);

struct Reading<'a> {
    text: &'a str,
    above: usize,
    events: std::vec::IntoIter<Placed<'a>>,
    anchors: BTreeMap<usize, Value>,
    left: usize,
}

impl<'a> Reading<'a> {
    fn next_event(&mut self) -> Option<Placed<'a>> {
        self.events.next()
    }

    fn following(&mut self) -> Placed<'a> {
        self.next_event().expect("the parser ends what it began")
    }

    fn node(&mut self, event: Event<'a>, span: Range<usize>, deep: usize) -> Result<Node, String> {
        if deep == 0 {
            return Err(format!("nested deeper than {DEEPEST} levels"));
        }
        let anchor = event.anchor_id().filter(|_| !event.is_alias());
        let node = match event {
            Event::Alias(target) => self.alias(target, span)?,
            Event::SequenceStart(style, ..) => self.list(style, span, deep)?,
            Event::MappingStart(style, ..) => self.map(style, span, deep)?,
            Event::Scalar(text, style, _, tag) => {
                let written = &self.text[span.clone()];
                let end = span.start + extent_of_scalar(written).len();
                let value = scalar(&text, style, tag.as_deref());
                Node { span: span.start..end, kind: Kind::Scalar(value) }
            }
            other => return Err(format!("not expected in a manifest: {other:?}")),
        };
        self.left = self.left.checked_sub(1).ok_or("too many values in one document")?;
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, node.value());
        }
        Ok(node)
    }

    fn alias(&mut self, target: usize, span: Range<usize>) -> Result<Node, String> {
        let value = self.anchors.get(&target).cloned().ok_or("an alias within what it stands for")?;
        self.left = self.left.checked_sub(count(&value)).ok_or("too many values behind aliases")?;
        Ok(Node { span, kind: Kind::Alias(value) })
    }

    fn list(&mut self, style: StructureStyle, span: Range<usize>, deep: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        loop {
            match self.following() {
                (Event::SequenceEnd, end) => {
                    let span = extent(style, span, &end, items.first(), items.last());
                    return Ok(Node { span, kind: Kind::List(items, style.into()) });
                }
                (event, span) => items.push(self.node(event, span, deep - 1)?),
            }
        }
    }

    fn map(&mut self, style: StructureStyle, span: Range<usize>, deep: usize) -> Result<Node, String> {
        let mut entries: Vec<(String, Range<usize>, Node)> = Vec::new();
        loop {
            let (key, place) = match self.following() {
                (Event::MappingEnd, end) => {
                    let last = entries.last().map(|(.., node)| node);
                    let span = extent(style, span, &end, None, last);
                    return Ok(Node { span, kind: Kind::Map(entries, style.into()) });
                }
                (Event::Scalar(key, ..), place) => (key.into_owned(), place),
                (_, place) => return Err(format!("line {}: a key that is no text", self.line(place.start))),
            };
            if key != "<<" && entries.iter().any(|(known, ..)| *known == key) {
                return Err(format!("line {}: {key} stands here twice", self.line(place.start)));
            }
            let (event, span) = self.following();
            entries.push((key, place, self.node(event, span, deep - 1)?));
        }
    }

    fn line(&self, at: usize) -> usize {
        self.above + 1 + self.text[..at].matches('\n').count()
    }
}

/// Empty lines behind a scalar are not of it, unless its first line says that they are: `|+`.
fn extent_of_scalar(written: &str) -> &str {
    let head = written.lines().next().unwrap_or_default();
    let keeps = head.starts_with(['|', '>']) && head.split('#').next().is_some_and(|it| it.contains('+'));
    let last = if keeps { written.strip_suffix('\n') } else { None };
    last.map_or_else(|| written.trim_end(), |kept| kept.strip_suffix('\r').unwrap_or(kept))
}

/// The parser tells the end of a block collection only where the next thing begins.
fn extent(
    style: StructureStyle,
    start: Range<usize>,
    end: &Range<usize>,
    first: Option<&Node>,
    last: Option<&Node>,
) -> Range<usize> {
    match style {
        StructureStyle::Flow => start.start..end.end,
        StructureStyle::Block => {
            let begin = first.map_or(start.start, |node| node.span.start);
            begin..last.map_or(start.end, |node| node.span.end)
        }
    }
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(entries) => 1 + entries.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// A plain scalar by the core schema of YAML 1.2 (section 10.3); every other one is text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some() {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return None;
    }
    let whole = text.parse::<i64>().ok().map(Number::from);
    whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}
