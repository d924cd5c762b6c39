//! Reads a step's `with` table: one description of the keys serves the check of a file and the performing of a step.
//!
//! While a file is checked, strings with `{{` are not known yet and pass; when a step is performed they are filled in.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::document::DocumentRef;
use crate::domain::duration::Span;
use crate::domain::failure::Failure;
use crate::domain::nearest::nearest;

/// Everything wrong with `with`, as (key, what is wrong).
pub fn check<T>(with: &Map<String, Value>, read: impl FnOnce(&mut Reader) -> T) -> Vec<(String, String)> {
    let mut reader = Reader { with, checking: true, known: vec![], problems: vec![] };
    read(&mut reader);
    reader.finish()
}

/// The settings of a step whose `{{ }}` are filled in.
///
/// # Errors
/// A failure `bad_settings` that names every key at fault.
pub fn filled<T>(with: &Map<String, Value>, read: impl FnOnce(&mut Reader) -> T) -> Result<T, Failure> {
    let mut reader = Reader { with, checking: false, known: vec![], problems: vec![] };
    let settings = read(&mut reader);
    let problems = reader.finish();
    if problems.is_empty() {
        return Ok(settings);
    }
    let details: Vec<_> = problems.iter().map(|(key, what)| format!("{key}: {what}")).collect();
    Err(Failure::high("bad_settings", details.join("; ")))
}

/// Hands out settings by key and remembers what was asked for and what was wrong.
pub struct Reader<'a> {
    with: &'a Map<String, Value>,
    checking: bool,
    known: Vec<&'static str>,
    problems: Vec<(String, String)>,
}

impl Reader<'_> {
    /// The value of `key`; its default when it is missing (which is then told), wrong, or not known yet.
    pub fn required<T: Setting + Default>(&mut self, key: &'static str) -> T {
        if self.with.get(key).is_none_or(Value::is_null) {
            let what = if self.with.contains_key(key) { "has no value" } else { "is missing" };
            self.say(key, format!("`{key}` {what}; it must be {}", T::WHAT));
        }
        self.optional(key).unwrap_or_default()
    }

    /// The value of `key`; none when it is missing, `none`, wrong (which is then told), or not known yet.
    pub fn optional<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let value = self.with.get(key).filter(|value| !value.is_null())?;
        if self.checking && is_unknown_yet(value) {
            return None;
        }
        match T::read(value, self.checking) {
            Ok(setting) => Some(setting),
            Err(why) if why.is_empty() => {
                self.say(key, format!("`{key}` must be {}", T::WHAT));
                None
            }
            Err(why) => {
                self.say(key, why);
                None
            }
        }
    }

    /// Whether the file says something about `key`, known yet or not.
    pub fn has(&self, key: &str) -> bool {
        self.with.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether `key` is there at all, even as `none`.
    pub fn mentions(&self, key: &str) -> bool {
        self.with.contains_key(key)
    }

    /// Adds a complaint that only the agent can make.
    pub fn say(&mut self, key: &str, what: impl Into<String>) {
        self.problems.push((key.to_owned(), what.into()));
    }

    fn finish(mut self) -> Vec<(String, String)> {
        for key in self.with.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let mend = nearest(key, self.known.iter().copied()).map_or_else(
                || format!("there are: {}", self.known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.problems.push((key.clone(), format!("unknown setting `{key}`; {mend}")));
        }
        self.problems
    }
}

fn is_unknown_yet(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

/// Something a setting can be. An empty error stands for "must be `WHAT`".
pub trait Setting: Sized {
    const WHAT: &'static str;

    /// # Errors
    /// What is wrong; with `checking`, parts that are not known yet pass.
    fn read(value: &Value, checking: bool) -> Result<Self, String>;
}

impl Setting for String {
    const WHAT: &'static str = "a text";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(String::new()),
        }
    }
}

impl Setting for bool {
    const WHAT: &'static str = "true or false";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        value.as_bool().ok_or_else(String::new)
    }
}

impl Setting for Span {
    const WHAT: &'static str = "a time span such as 2d";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        value.as_str().ok_or_else(String::new)?.parse()
    }
}

impl Setting for Map<String, Value> {
    const WHAT: &'static str = "a table";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        value.as_object().cloned().ok_or_else(String::new)
    }
}

impl Setting for DocumentRef {
    const WHAT: &'static str = "a document";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        DocumentRef::deserialize(value).map_err(|error| format!("is no document: {error}"))
    }
}

impl<T: Setting> Setting for Vec<T> {
    const WHAT: &'static str = "a list";
    fn read(value: &Value, checking: bool) -> Result<Self, String> {
        let items = value.as_array().ok_or_else(String::new)?;
        let known = items.iter().filter(|item| !(checking && is_unknown_yet(item)));
        known
            .map(|item| {
                T::read(item, checking)
                    .map_err(|why| if why.is_empty() { format!("every item must be {}", T::WHAT) } else { why })
            })
            .collect()
    }
}

/// One or several texts: `"frank"` or `["frank", "role:budget-owner"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Setting for Names {
    const WHAT: &'static str = "a text or a list of texts";
    fn read(value: &Value, checking: bool) -> Result<Self, String> {
        match value {
            Value::Array(_) => Vec::read(value, checking).map(Self),
            _ => String::read(value, checking).map(|name| Self(vec![name])),
        }
    }
}

/// Facts in order: a table `{ Supplier = "…" }`, or a list of `{ label = "…", value = … }` where a database may sort tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts(pub Vec<(String, Value)>);

impl Setting for Facts {
    const WHAT: &'static str = "a table, or a list of tables with `label` and `value`";
    fn read(value: &Value, checking: bool) -> Result<Self, String> {
        let pair = |item: &Value| {
            let label = item.get("label")?.as_str()?.to_owned();
            (item.as_object()?.len() == 2).then_some((label, item.get("value")?.clone()))
        };
        match value {
            Value::Object(table) => Ok(Self(table.clone().into_iter().collect())),
            Value::Array(items) => {
                let known = items.iter().filter(|item| !(checking && is_unknown_yet(item)));
                known.map(pair).collect::<Option<_>>().map(Self).ok_or_else(String::new)
            }
            _ => Err(String::new()),
        }
    }
}

/// A value as people read it in a fact or a mail.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not stated".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(with: &mut Reader) -> (String, Option<Span>, Vec<DocumentRef>) {
        (with.required("question"), with.optional("expire_after"), with.optional("documents").unwrap_or_default())
    }

    #[test]
    fn a_file_is_told_what_is_wrong_with_its_settings() {
        let told = |with: Value| {
            let problems = super::check(with.as_object().unwrap(), read);
            problems.into_iter().map(|(key, what)| format!("{key}: {what}")).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(
            told(json!({"question": "{{ x }}", "expire_after": "2d", "documents": "{{ inputs.documents }}"})),
            ""
        );
        assert_eq!(told(json!({"question": "?", "documents": ["{{ a }}"]})), "", "an unknown item passes");
        assert_eq!(told(json!({})), "question: `question` is missing; it must be a text");
        assert_eq!(told(json!({"question": ["?"]})), "question: `question` must be a text");
        assert!(told(json!({"question": "?", "qestion": 1})).contains("did you mean `question`?"));
        assert!(told(json!({"question": "?", "expire_after": "soon"})).contains("`soon` is no time span"));
        assert!(told(json!({"question": "?", "documents": [1]})).contains("is no document"));
    }

    #[test]
    fn what_is_filled_in_must_be_there_and_braces_in_outside_text_are_text() {
        let outside = json!({"question": "re: {{ 1 }}"});
        assert_eq!(filled(outside.as_object().unwrap(), read).unwrap().0, "re: {{ 1 }}");
        let none = json!({"question": null});
        let failure = filled(none.as_object().unwrap(), read).unwrap_err();
        assert_eq!((failure.reason.as_str(), failure.details.contains("has no value")), ("bad_settings", true));
    }

    #[test]
    fn facts_keep_their_order_as_a_list_or_a_table() {
        let expected = Facts(vec![("Total".into(), json!("1")), ("IBAN".into(), json!(null))]);
        let check = |value: Value| assert_eq!(Facts::read(&value, false).unwrap(), expected);
        check(json!({"Total": "1", "IBAN": null}));
        check(json!([{"label": "Total", "value": "1"}, {"label": "IBAN", "value": null}]));
        assert!(Facts::read(&json!([{"label": "Total"}]), false).is_err());
    }
}
