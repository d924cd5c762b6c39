//! A parsed TOML file in which every value knows its place, so that any later complaint can name file and line.
//! What the values mean is left to the loaders.

mod edit;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, in_words};

/// One TOML document, or several in layers.
#[derive(Debug, Clone)]
pub struct Located {
    layers: Vec<(PathBuf, String)>,
    root: Node,
}

#[derive(Debug, Clone)]
struct Node {
    layer: usize,
    key: Range<usize>,
    value: Range<usize>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Leaf(Value),
}

/// Which part of `key = value` a complaint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Key,
    Value,
}

/// Where a value is: keys, and indexes in decimal, from the root.
pub type At<'a> = &'a [&'a str];

impl Located {
    /// Reads a file. All its syntax errors are told, not only the first.
    ///
    /// # Errors
    /// When it cannot be read or is no TOML.
    pub fn read(file: &Path) -> Result<Self, Vec<Diagnostic>> {
        match std::fs::read_to_string(file) {
            Ok(source) => Self::parse(file, source),
            Err(error) => Err(vec![Diagnostic::whole(file, format!("cannot read the file: {error}"), None)]),
        }
    }

    /// As `read`, for text that is already here.
    ///
    /// # Errors
    /// When it is no TOML.
    pub fn parse(file: &Path, source: String) -> Result<Self, Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(&source);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| Diagnostic::toml_error(file, &source, error)).collect());
        }
        let root = Node { layer: 0, key: 0..0, value: 0..0, content: table_of(table.get_ref()) };
        Ok(Self { layers: vec![(file.to_owned(), source)], root })
    }

    /// Lays this document over a lower one: tables merge at every depth, unless they name
    /// different kinds; anything else replaces what was there.
    pub fn over(self, lower: Self) -> Self {
        let Self { mut layers, mut root } = lower;
        let mut upper = self.root;
        upper.raise(layers.len());
        layers.extend(self.layers);
        root.merge(upper);
        Self { layers, root }
    }

    /// The files, lowest layer first.
    pub fn files(&self) -> Vec<PathBuf> {
        self.layers.iter().map(|(file, _)| file.clone()).collect()
    }

    /// Whether somebody wrote this key.
    pub fn has(&self, at: At) -> bool {
        self.find(at).1.is_empty()
    }

    /// The value as written, if somebody wrote it. Dates come as text.
    pub fn value(&self, at: At) -> Option<Value> {
        let (node, rest) = self.find(at);
        rest.is_empty().then(|| node.to_json())
    }

    /// Names in a table, or how many elements an array has, as indexes. Empty for anything else.
    pub fn names(&self, at: At) -> Vec<String> {
        match self.find(at) {
            (Node { content: Content::Table(table), .. }, []) => table.keys().cloned().collect(),
            (Node { content: Content::Array(items), .. }, []) => (0..items.len()).map(|i| i.to_string()).collect(),
            _ => vec![],
        }
    }

    /// A complaint about a value, or about the nearest table around it when nobody wrote it.
    pub fn complain(&self, at: At, part: Part, what: impl Into<String>, mend: Option<String>) -> Diagnostic {
        let (node, rest) = self.find(at);
        let (file, source) = &self.layers[node.layer.min(self.layers.len() - 1)];
        let span = if part == Part::Key && rest.is_empty() { &node.key } else { &node.value };
        match span {
            Range { start: 0, end: 0 } => Diagnostic::whole(file, what, mend),
            span => Diagnostic::at(file, source, span.clone(), what, mend),
        }
    }

    /// Makes a `T` of the value at `at` (an empty table when nobody wrote it), telling everything that is wrong with
    /// it: what is at fault is taken away and the rest tried again. None when nothing can be made of it.
    /// `also_known` are keys that `T` takes but serde does not name when it meets an unknown one.
    pub fn take<T: DeserializeOwned>(&self, at: At, also_known: &[&str], told: &mut Vec<Diagnostic>) -> Option<T> {
        let mut json = self.value(at).unwrap_or_else(|| Value::Object(Map::new()));
        let mut pruned = BTreeSet::new();
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(&json) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let bare = error.inner().to_string();
            let message = with_known(bare.clone(), also_known);
            let mut culprit: Vec<String> = error.path().iter().filter_map(segment).collect();
            let is_missing = message.starts_with("missing field ");
            let named = message.split('`').nth(1).unwrap_or_default();
            if is_missing {
                culprit.push(named.to_owned());
                // It was there, and was taken away above.
                if pruned.contains(&culprit) {
                    return None;
                }
            } else {
                while let Some(Value::Object(table)) = inside(&mut json, &culprit) {
                    let found = if table.contains_key(named) { Some(named.to_owned()) } else { None };
                    let Some(key) = found.or_else(|| self.blame::<T>(&json, &culprit, &message, also_known)) else {
                        break;
                    };
                    culprit.push(key);
                }
            }
            let place: Vec<&str> = at.iter().copied().chain(culprit.iter().map(String::as_str)).collect();
            // A table that stands for a word, `{ move = "Done" }`: the key is the word, and nothing is left without it.
            let is_word = message.starts_with("unknown variant ") && culprit.last().is_some_and(|key| key == named);
            let part = if is_word || message.starts_with("unknown field ") { Part::Key } else { Part::Value };
            let (what, mend) = in_words(if culprit.len() > 1 { &bare } else { &message });
            told.push(self.complain(&place, part, what, mend));
            if is_word {
                culprit.pop();
            }
            let (key, table) = culprit.split_last()?;
            let Some(Value::Object(table)) = inside(&mut json, table) else { return None };
            if is_missing || table.shift_remove(key).is_none() {
                return None;
            }
            pruned.insert(culprit);
        }
    }

    /// The key in a table without which the error goes away. Serde forgets places inside tagged and flattened types;
    /// of the keys beside a flattened field, the `known` ones, it does not.
    fn blame<T: DeserializeOwned>(&self, json: &Value, at: &[String], message: &str, known: &[&str]) -> Option<String> {
        let Value::Object(table) = inside(&mut json.clone(), at)?.clone() else { return None };
        let suspects = table.keys().filter(|key| *key != "kind" && !known.contains(&key.as_str()));
        suspects.into_iter().find_map(|key| {
            let mut without = json.clone();
            if let Some(Value::Object(table)) = inside(&mut without, at) {
                table.shift_remove(key);
            }
            let changed = match serde_path_to_error::deserialize::<_, T>(&without) {
                Ok(_) => true,
                Err(error) => with_known(error.inner().to_string(), known) != message,
            };
            changed.then(|| key.clone())
        })
    }

    /// The deepest node on the way to `at`, and what of the way is left.
    fn find<'a>(&self, at: At<'a>) -> (&Node, At<'a>) {
        let (mut node, mut rest) = (&self.root, at);
        while let [key, deeper @ ..] = rest {
            let next = match &node.content {
                Content::Table(table) => table.get(*key),
                Content::Array(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
                Content::Leaf(_) => None,
            };
            let Some(next) = next else { break };
            (node, rest) = (next, deeper);
        }
        (node, rest)
    }
}

impl Node {
    fn raise(&mut self, by: usize) {
        self.layer += by;
        match &mut self.content {
            Content::Table(table) => table.values_mut().for_each(|node| node.raise(by)),
            Content::Array(items) => items.iter_mut().for_each(|node| node.raise(by)),
            Content::Leaf(_) => {}
        }
    }

    fn merge(&mut self, upper: Self) {
        match (&mut self.content, upper) {
            (Content::Table(below), Self { content: Content::Table(above), layer, key, value })
                if same_kind(below, &above) =>
            {
                (self.layer, self.key, self.value) = (layer, key, value);
                for (name, node) in above {
                    match below.get_mut(&name) {
                        Some(lower) => lower.merge(node),
                        None => drop(below.insert(name, node)),
                    }
                }
            }
            (_, upper) => *self = upper,
        }
    }

    fn to_json(&self) -> Value {
        match &self.content {
            Content::Table(table) => table.iter().map(|(name, node)| (name.clone(), node.to_json())).collect(),
            Content::Array(items) => items.iter().map(Self::to_json).collect(),
            Content::Leaf(value) => value.clone(),
        }
    }
}

/// Tables of different kinds have different keys, so that merging them would make neither.
fn same_kind(below: &BTreeMap<String, Node>, above: &BTreeMap<String, Node>) -> bool {
    match (below.get("kind"), above.get("kind")) {
        (Some(below), Some(above)) => below.to_json() == above.to_json(),
        _ => true,
    }
}

fn table_of(table: &DeTable<'_>) -> Content {
    let node = |key: &Spanned<_>, value| (AsRef::<str>::as_ref(key.get_ref()).to_owned(), node_of(key.span(), value));
    Content::Table(table.iter().map(|(key, value)| node(key, value)).collect())
}

fn node_of(key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Node {
    let content = match value.get_ref() {
        DeValue::Table(table) => table_of(table),
        DeValue::Array(items) => Content::Array(items.iter().map(|item| node_of(item.span(), item)).collect()),
        DeValue::String(text) => Content::Leaf(Value::from(text.as_ref())),
        DeValue::Boolean(truth) => Content::Leaf(Value::from(*truth)),
        // What is too large for an integer becomes a float, and serde says that it is no integer.
        DeValue::Integer(number) => Content::Leaf(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.as_str().parse::<f64>().map_or(Value::Null, Value::from), Value::from),
        ),
        DeValue::Float(number) => Content::Leaf(number.as_str().parse::<f64>().map_or(Value::Null, Value::from)),
        DeValue::Datetime(date) => Content::Leaf(Value::from(date.to_string())),
    };
    Node { layer: 0, key, value: value.span(), content }
}

fn inside<'a>(json: &'a mut Value, at: &[String]) -> Option<&'a mut Value> {
    at.iter().try_fold(json, |value, key| match value {
        Value::Object(table) => table.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn with_known(mut message: String, also_known: &[&str]) -> String {
    if message.starts_with("unknown field ") {
        for key in also_known {
            message.push_str(&format!(", `{key}`"));
        }
    }
    message
}
