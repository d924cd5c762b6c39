//! Reading of TOML values with their positions: every refusal knows its place and, where it can, its mend.

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::diagnostic::Diagnostic;
use crate::domain::nearest::nearest;

pub(super) type Node<'a> = Spanned<DeValue<'a>>;

/// Something wrong at one place of one file; the file is known to whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub span: Range<usize>,
    pub what: String,
    pub mend: Option<String>,
}

impl Fault {
    pub fn new(span: Range<usize>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { span, what: what.into(), mend: Some(mend.into()) }
    }

    /// A name that nobody knows, with the nearest known one as the mend.
    pub fn unknown<'k>(
        span: Range<usize>,
        kind: &str,
        name: &str,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> Self {
        let mend = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match known.into_iter().collect::<Vec<_>>().as_slice() {
                [] => format!("there is no {kind} yet"),
                all => format!("known: {}", all.join(", ")),
            },
        };
        Self::new(span, format!("there is no {kind} `{name}`"), mend)
    }

    pub fn at(self, file: &Path, source: &str) -> Diagnostic {
        Diagnostic::at(file, source, self.span, self.what, self.mend)
    }
}

/// One key of a table with its value and place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub key: &'a str,
    key_span: (usize, usize),
    pub value: &'a Node<'a>,
}

impl Entry<'_> {
    pub fn key_span(&self) -> Range<usize> {
        self.key_span.0..self.key_span.1
    }

    /// The condition as an admin would write it on one line.
    pub fn written(&self) -> String {
        format!("{} = {}", self.key, shorten(&show(self.value.get_ref()), 160))
    }
}

/// Entries in the order of the file.
pub(super) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry { key: key.get_ref().as_ref(), key_span: (key.span().start, key.span().end), value })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.0);
    entries
}

/// A table of a file: its place and its entries.
pub(super) type Table<'a> = (Range<usize>, Vec<Entry<'a>>);

pub(super) fn table<'a>(node: &'a Node<'a>) -> Result<Vec<Entry<'a>>, Fault> {
    match node.get_ref() {
        DeValue::Table(inner) => Ok(entries(inner)),
        _ => Err(wrong(node, "a table", "write it as { key = value }")),
    }
}

/// The tables of an array, or the one table that stands alone.
pub(super) fn tables<'a>(node: &'a Node<'a>) -> Result<Vec<Table<'a>>, Fault> {
    match node.get_ref() {
        DeValue::Table(inner) => Ok(vec![(node.span(), entries(inner))]),
        DeValue::Array(items) => items.iter().map(|item| Ok((item.span(), table(item)?))).collect(),
        _ => Err(wrong(node, "a table or a list of tables", "write it as { key = value }")),
    }
}

pub(super) fn text<'a>(node: &'a Node<'a>) -> Result<&'a str, Fault> {
    node.get_ref().as_str().ok_or_else(|| wrong(node, "a text", "put it in quotes"))
}

/// A text that says something.
pub(super) fn words<'a>(node: &'a Node<'a>) -> Result<&'a str, Fault> {
    let text = text(node)?;
    if text.trim().is_empty() {
        return Err(Fault::new(node.span(), "this text is empty", "write a few words"));
    }
    Ok(text)
}

/// One text or a list of at least one.
pub(super) fn texts<'a>(node: &'a Node<'a>) -> Result<Vec<(Range<usize>, &'a str)>, Fault> {
    match node.get_ref() {
        DeValue::String(text) => Ok(vec![(node.span(), text)]),
        DeValue::Array(items) if items.is_empty() => {
            Err(Fault::new(node.span(), "this list is empty", "name at least one value, or remove the key"))
        }
        DeValue::Array(items) => items.iter().map(|item| Ok((item.span(), text(item)?))).collect(),
        _ => Err(wrong(node, "a text or a list of texts", "put it in quotes")),
    }
}

pub(super) fn boolean(node: &Node<'_>) -> Result<bool, Fault> {
    node.get_ref().as_bool().ok_or_else(|| wrong(node, "true or false", "write true or false, without quotes"))
}

pub(super) fn integer(node: &Node<'_>) -> Result<i64, Fault> {
    let number = node.get_ref().as_integer().and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok());
    number.ok_or_else(|| wrong(node, "a whole number", "write digits only, without quotes"))
}

/// A count, zero or more.
pub(super) fn count(node: &Node<'_>) -> Result<usize, Fault> {
    usize::try_from(integer(node)?).map_err(|_| wrong(node, "a count", "write zero or more"))
}

/// A size in bytes: a number, or a text such as `20 kB`, `2 MB` (thousands), `2 MiB` (1,024).
pub(super) fn size(node: &Node<'_>) -> Result<u64, Fault> {
    if node.get_ref().is_integer() {
        return Ok(count(node)? as u64);
    }
    let refuse = || wrong(node, "a size", "write bytes as a number, or \"20 kB\", \"2 MB\", \"2 MiB\"");
    let text = node.get_ref().as_str().ok_or_else(refuse)?;
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        _ => return Err(refuse()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(refuse)
}

/// Words of a closed set, one or a list.
pub(super) fn closed<T>(node: &Node<'_>, kind: &str, all: &[T]) -> Result<Vec<T>, Fault>
where
    T: Copy + std::fmt::Display,
{
    let known: Vec<String> = all.iter().map(ToString::to_string).collect();
    texts(node)?
        .into_iter()
        .map(|(span, word)| {
            let at = known.iter().position(|known| known == word);
            at.map(|at| all[at])
                .ok_or_else(|| Fault::unknown(span, kind, word, known.iter().map(String::as_str).collect::<Vec<_>>()))
        })
        .collect()
}

/// The value as JSON; dates become texts, numbers that JSON lacks become null.
pub(super) fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => {
            number.as_str().parse::<f64>().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            entries(table).iter().map(|e| (e.key.to_owned(), to_json(e.value.get_ref()))).collect::<Map<_, _>>(),
        ),
    }
}

/// The value on one line, as in a file.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(items) => {
            let shown: Vec<_> = items.iter().map(|item| show(item.get_ref())).collect();
            format!("[{}]", shown.join(", "))
        }
        DeValue::Table(table) => {
            let shown: Vec<_> =
                entries(table).iter().map(|entry| format!("{} = {}", entry.key, show(entry.value.get_ref()))).collect();
            format!("{{ {} }}", shown.join(", "))
        }
        other => to_json(other).to_string(),
    }
}

pub(super) fn wrong(node: &Node<'_>, wanted: &str, mend: &str) -> Fault {
    let found = match node.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Fault::new(node.span(), format!("expected {wanted}, found {found}"), mend)
}

/// The text on one line, cut to `limit` characters.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == limit {
            line.push('…');
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}
