//! One change, carried out on the text of a document, of which everything else stays as it is.
//!
//! Where a place cannot be changed as text (behind an alias, for example) that is an error which says so. After each
//! change the text is read again: it must say what the change says, or the change is not made.

use std::ops::Range;

use serde_json::Value;

use super::operation::{Operation, Path};
use super::tree::{self, Kind, Node, Style};
use super::write::{Lists, block, indent};

/// Why a text cannot be changed, and in which of its lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// From 1.
    pub(super) line: Option<usize>,
    pub(super) reason: String,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self { line: None, reason }
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// Carries an operation out.
///
/// # Errors
/// Why this text cannot be changed so.
pub(super) fn apply(text: &str, operation: &Operation) -> Result<String, Refused> {
    let root = tree::parse(text, 0)?.ok_or("an empty document cannot be changed")?;
    let editing = Editing { text, root: &root };
    let edited = match operation {
        Operation::Add { path, value } => editing.add(path, value)?,
        Operation::Remove { path } => editing.remove(path)?,
    };
    let mut expected = root.value();
    operation.apply(&mut expected)?;
    let says = tree::parse(&edited, 0).ok().flatten().map(|root| root.value());
    if says == Some(expected) {
        Ok(edited)
    } else {
        let (Operation::Add { path, .. } | Operation::Remove { path }) = operation;
        let reason = "cannot be changed in this notation: write it in block style, without anchors";
        Err(editing.refused(editing.deepest(path).span.start, format!("{path} {reason}")))
    }
}

struct Editing<'a> {
    text: &'a str,
    root: &'a Node,
}

impl Editing<'_> {
    fn add(&self, path: &Path, value: &Value) -> Result<String, Refused> {
        let (above, last) = path.split().ok_or("the whole document cannot be added")?;
        let place = self.find(&above)?;
        match &place.kind {
            Kind::Map(entries, style) => {
                match entries.iter().find(|(key, ..)| key == last) {
                    Some((.., Node { kind: Kind::Alias(_), .. })) => return Err(self.not_to_be_changed(path)),
                    Some((_, key, old)) => return self.fill(path, key, old, *style, value),
                    None => {}
                }
                let entry = match style {
                    Style::Flow => format!("{}: {}", self.flow_key(last), self.flow(place, value)),
                    Style::Block => self.entry(last, value),
                };
                self.insert(place, &entry, entries.len(), &|index| self.of_entry(&entries[index]))
            }
            Kind::List(items, style) => {
                let index = last.parse::<usize>().unwrap_or(items.len());
                let item = match style {
                    Style::Flow => self.flow(place, value),
                    Style::Block => block(&Value::Array(vec![value.clone()]), self.lists()),
                };
                self.insert(place, &item, index, &|index| items[index].span.clone())
            }
            Kind::Scalar(_) | Kind::Alias(_) => Err(self.not_to_be_changed(&above)),
        }
    }

    /// Gives a value to a key that has none: `volumes:` and nothing behind it.
    fn fill(
        &self,
        path: &Path,
        key: &Range<usize>,
        old: &Node,
        style: Style,
        value: &Value,
    ) -> Result<String, Refused> {
        if !matches!(old.kind, Kind::Scalar(Value::Null)) {
            return Err(self.refused(key.start, format!("{path} is there already")));
        }
        let said = match style {
            Style::Flow => format!(" {value}"),
            Style::Block => {
                let column = self.column(key.start);
                let entry = indent(&self.entry("x", value), column);
                entry.split_once(':').map(|(_, said)| said.trim_end().to_owned()).unwrap_or_default()
            }
        };
        let colon = key.end + self.text[key.end..].find(':').ok_or("a key without a colon")? + 1;
        let end = old.span.end.max(colon);
        if !matches!(self.text[colon..end].trim(), "" | "null" | "Null" | "NULL" | "~") {
            return Err(self.refused(key.start, "nothing can be put here".to_owned()));
        }
        // What comes below the key comes below the comment on its line as well.
        let comment = match said.starts_with('\n') {
            true => self.text[end..].lines().next().unwrap_or_default().trim_end(),
            false => "",
        };
        let (said, behind) = (self.native(&said), &self.text[end + comment.len()..]);
        let gap = if comment.is_empty() || comment.starts_with(' ') { "" } else { " " };
        Ok(format!("{}{gap}{comment}{said}{behind}", &self.text[..colon]))
    }

    fn entry(&self, key: &str, value: &Value) -> String {
        block(&serde_json::json!({ key: value }), self.lists())
    }

    /// Puts something into a collection, in front of the child with the index or behind the last one.
    fn insert(
        &self,
        place: &Node,
        said: &str,
        index: usize,
        span: &dyn Fn(usize) -> Range<usize>,
    ) -> Result<String, Refused> {
        let (size, style) = match &place.kind {
            Kind::Map(entries, style) => (entries.len(), *style),
            Kind::List(items, style) => (items.len(), *style),
            Kind::Scalar(_) | Kind::Alias(_) => unreachable!("only a collection has children"),
        };
        match (style, size) {
            (Style::Flow, 0) => Ok(self.with(place.span.start + 1, said)),
            (Style::Flow, size) if index < size => {
                Ok(self.with(span(index).start, &format!("{said},{}", self.gap(place))))
            }
            (Style::Flow, size) => Ok(self.with(span(size - 1).end, &format!(",{}{said}", self.gap(place)))),
            (Style::Block, 0) => Err("an empty collection in block style".into()),
            (Style::Block, size) if index < size => {
                let dash = self.dash(span(index).start)?;
                let line = self.above_comments(self.line_start(dash));
                Ok(self.with(line, &indent(said, self.column(dash))))
            }
            (Style::Block, size) => {
                let first = span(0).start;
                let start = if matches!(place.kind, Kind::List(..)) { self.dash(first)? } else { first };
                Ok(self.with_lines_behind(span(size - 1).end, &indent(said, self.column(start))))
            }
        }
    }

    fn remove(&self, path: &Path) -> Result<String, Refused> {
        let (above, last) = path.split().ok_or("the whole document cannot be removed")?;
        let place = self.find(&above)?;
        let missing = || Refused::from(format!("{path} is not there"));
        match &place.kind {
            Kind::Map(entries, style) => {
                let index = entries.iter().position(|(key, ..)| key == last).ok_or_else(missing)?;
                let spans: Vec<Range<usize>> = entries.iter().map(|entry| self.of_entry(entry)).collect();
                self.cut(&spans, index, *style, spans[index].start)
            }
            Kind::List(items, style) => {
                let index =
                    last.parse::<usize>().ok().filter(|index| *index < items.len()).ok_or_else(missing)?;
                let spans: Vec<Range<usize>> = items.iter().map(|item| item.span.clone()).collect();
                let start = match style {
                    Style::Flow => spans[index].start,
                    Style::Block => self.dash(spans[index].start)?,
                };
                self.cut(&spans, index, *style, start)
            }
            Kind::Scalar(_) | Kind::Alias(_) => Err(self.not_to_be_changed(&above)),
        }
    }

    /// Cuts a child out: its lines, or its piece of a line.
    fn cut(
        &self,
        spans: &[Range<usize>],
        index: usize,
        style: Style,
        start: usize,
    ) -> Result<String, Refused> {
        let span = &spans[index];
        let range = match style {
            Style::Flow if index > 0 => spans[index - 1].end..span.end,
            Style::Flow if spans.len() > 1 => span.start..spans[index + 1].start,
            Style::Flow => span.clone(),
            Style::Block => {
                let line = self.line_start(start);
                if !self.text[line..start].trim().is_empty() {
                    return Err(self.refused(start, "cannot be cut out as lines".to_owned()));
                }
                match self.line_end(span.end) {
                    // The last line of a text that does not end with one.
                    end if end == self.text.len() && !self.text.ends_with('\n') => {
                        self.text[..line].trim_end_matches(['\r', '\n']).len()..end
                    }
                    end => line..end,
                }
            }
        };
        Ok(format!("{}{}", &self.text[..range.start], &self.text[range.end..]))
    }

    /// As JSON: on a line, or over several where the children of the place have a line each.
    fn flow(&self, place: &Node, value: &Value) -> String {
        match self.spread(place) {
            None => value.to_string(),
            Some(column) => {
                let lines = format!("{value:#}");
                let (first, rest) = lines.split_once('\n').unwrap_or((&lines, ""));
                if rest.is_empty() { first.to_owned() } else { format!("{first}\n{}", indent(rest, column)) }
            }
        }
    }

    /// What stands between two children of a place in flow style, behind the comma.
    fn gap(&self, place: &Node) -> String {
        self.spread(place).map_or_else(|| " ".to_owned(), |column| format!("\n{}", " ".repeat(column)))
    }

    /// The column of the children, where the first has a line of its own.
    fn spread(&self, place: &Node) -> Option<usize> {
        let first = match &place.kind {
            Kind::Map(entries, _) => entries.first()?.1.start,
            Kind::List(items, _) => items.first()?.span.start,
            Kind::Scalar(_) | Kind::Alias(_) => return None,
        };
        let before = &self.text[self.line_start(first)..first];
        before.trim().is_empty().then(|| self.column(first))
    }

    /// With quotes where JSON, or the key, wants them.
    fn flow_key(&self, key: &str) -> String {
        let is_json = matches!(self.root.kind, Kind::Map(_, Style::Flow) | Kind::List(_, Style::Flow));
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "./-_".contains(letter);
        let is_word = key.starts_with(|first: char| first.is_ascii_alphabetic()) && key.len() > "false".len();
        if !is_json && is_word && key.chars().all(is_plain) {
            key.to_owned()
        } else {
            Value::from(key).to_string()
        }
    }

    fn find(&self, path: &Path) -> Result<&Node, Refused> {
        let found = path.steps().iter().try_fold(self.root, |node, step| node.child(step));
        found.ok_or_else(|| self.not_to_be_changed(path))
    }

    /// The deepest place on the way that is there says what is in the way.
    fn not_to_be_changed(&self, path: &Path) -> Refused {
        let node = self.deepest(path);
        let reason = match &node.kind {
            Kind::Alias(_) => {
                let name = &self.text[node.span.clone()];
                format!("{path} is the alias {name}: write it out, so that it can be changed")
            }
            Kind::Scalar(_) | Kind::Map(..) | Kind::List(..) => {
                format!("{path} cannot be found as text: is it merged from elsewhere?")
            }
        };
        self.refused(node.span.start, reason)
    }

    fn deepest(&self, path: &Path) -> &Node {
        let mut node = self.root;
        for step in path.steps() {
            let Some(child) = node.child(step) else { break };
            node = child;
        }
        node
    }

    fn refused(&self, at: usize, reason: String) -> Refused {
        Refused { line: Some(1 + self.text[..at].matches('\n').count()), reason }
    }

    fn of_entry(&self, (_, key, node): &(String, Range<usize>, Node)) -> Range<usize> {
        key.start..node.span.end.max(key.end)
    }

    /// Where the dash of an item is, whose content begins at `item`.
    fn dash(&self, item: usize) -> Result<usize, Refused> {
        let mut line = self.line_start(item);
        loop {
            let written = &self.text[line..item];
            let dash = line + written.len() - written.trim_start().len();
            if self.text[dash..item].starts_with('-') {
                return Ok(dash);
            }
            // The content of an item may begin on a later line than its dash.
            if line == 0 || !self.text[line..item].lines().next().is_none_or(is_nothing) {
                return Err(self.refused(item, "not the beginning of an item".to_owned()));
            }
            line = self.line_start(line - 1);
        }
    }

    /// Comments that stand right above a line belong to it.
    fn above_comments(&self, mut line: usize) -> usize {
        while line > 0 {
            let above = self.line_start(line - 1);
            if !self.text[above..line].trim_start().starts_with('#') {
                break;
            }
            line = above;
        }
        line
    }

    /// How this document writes lists below keys.
    fn lists(&self) -> Lists {
        self.habit(self.root).unwrap_or(Lists::Deeper)
    }

    fn habit(&self, node: &Node) -> Option<Lists> {
        match &node.kind {
            Kind::Map(entries, Style::Block) => {
                entries.iter().find_map(|(_, key, child)| match &child.kind {
                    Kind::List(items, Style::Block) => {
                        let dash = self.dash(items.first()?.span.start).ok()?;
                        let deeper = self.column(dash) > self.column(key.start);
                        Some(if deeper { Lists::Deeper } else { Lists::AsDeep })
                    }
                    Kind::Scalar(_) | Kind::Map(..) | Kind::List(..) | Kind::Alias(_) => self.habit(child),
                })
            }
            Kind::List(items, Style::Block) => items.iter().find_map(|item| self.habit(item)),
            Kind::Scalar(_) | Kind::Map(..) | Kind::List(..) | Kind::Alias(_) => None,
        }
    }

    fn with(&self, at: usize, said: &str) -> String {
        format!("{}{}{}", &self.text[..at], self.native(said), &self.text[at..])
    }

    fn with_lines_behind(&self, last: usize, lines: &str) -> String {
        let end = self.line_end(last);
        match self.text[..end].ends_with('\n') {
            true => self.with(end, lines),
            false => self.with(end, &format!("\n{}", lines.trim_end_matches('\n'))),
        }
    }

    /// With the line ends that this text has.
    fn native(&self, said: &str) -> String {
        if self.text.contains("\r\n") { said.replace('\n', "\r\n") } else { said.to_owned() }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Behind the newline.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }
}

fn is_nothing(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}
