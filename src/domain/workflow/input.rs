//! What a workflow takes in, and whether it fits.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Workflow;
use crate::domain::document::DocumentRef;
use crate::domain::money::Money;
use crate::domain::words::words;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(rename = "type")]
    pub kind: InputKind,
    #[serde(default)]
    pub optional: bool,
    #[serde(default)]
    pub default: Option<Value>,
    #[serde(default)]
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The only values that are taken; any of the type when empty.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
}

words! {
    /// Type of a workflow input.
    InputKind {
        String = "string", Number = "number", Money = "money", Date = "date", File = "file", List = "list", Object = "object",
        Boolean = "boolean",
    }
}

impl InputKind {
    /// Whether a value is of this type. A date is a text such as `2026-12-31`; money has its amount as text.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::Date => value.as_str().is_some_and(is_date),
            Self::Money => is_money(value),
            Self::File => DocumentRef::deserialize(value).is_ok(),
        }
    }

    /// What a value must be, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Object => "a table",
            Self::Date => "a date such as \"2026-12-31\"",
            Self::Money => "money such as { amount = \"12.50\", currency = \"EUR\" }",
            Self::File => "a stored document with path, name, kind, sha256 and size_bytes",
        }
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<NaiveDate>().is_ok()
}

/// Numbers are refused: what a float says of cents depends on who reads it.
fn is_money(value: &Value) -> bool {
    let exact = value.get("amount").is_some_and(Value::is_string);
    let known = value.as_object().is_some_and(|fields| fields.len() == 2);
    let read = Money::deserialize(value).ok().and_then(|money| {
        let again = Money::new(money.amount, &money.currency).ok()?;
        Some(again.currency == money.currency)
    });
    exact && known && read == Some(true)
}

impl Workflow {
    /// Takes raw inputs: fills in defaults, refuses unknown and missing ones.
    ///
    /// # Errors
    /// Names the input and what is wrong with it.
    pub fn accept(&self, mut given: Map<String, Value>) -> Result<Map<String, Value>, String> {
        if let Some(unknown) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            return Err(format!("workflow {} has no input `{unknown}`", self.name));
        }
        for (name, input) in &self.inputs {
            let value = given.remove(name).filter(|value| !value.is_null()).or_else(|| input.default.clone());
            match value {
                Some(value) if !input.kind.fits(&value) => {
                    let (workflow, expected) = (&self.name, input.kind.expected());
                    return Err(format!(
                        "input `{name}` of workflow {workflow} is no {}; it must be {expected}",
                        input.kind
                    ));
                }
                Some(value) if !input.choices.is_empty() && !input.choices.contains(&value) => {
                    let known: Vec<String> = input.choices.iter().map(Value::to_string).collect();
                    let known = known.join(", ");
                    return Err(format!("input `{name}` of workflow {} is {value}, not one of: {known}", self.name));
                }
                Some(value) => drop(given.insert(name.clone(), value)),
                None if input.optional => drop(given.insert(name.clone(), Value::Null)),
                None => return Err(format!("workflow {} needs input `{name}`", self.name)),
            }
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_are_checked_before_a_run_exists() {
        let mut definition: Workflow =
            serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "step": []})).unwrap();
        let input = |value| serde_json::from_value(value).unwrap();
        definition.inputs.insert("documents".into(), input(json!({"type": "list"})));
        definition.inputs.insert("note".into(), input(json!({"type": "string", "default": "-"})));
        definition.inputs.insert("pace".into(), input(json!({"type": "number", "enum": [1, 2], "optional": true})));
        let accept = |value: Value| definition.accept(value.as_object().unwrap().clone());
        let accepted = Value::from(accept(json!({"documents": [1], "pace": 2})).unwrap());
        assert_eq!(accepted, json!({"documents": [1], "note": "-", "pace": 2}));
        assert!(accept(json!({})).unwrap_err().contains("needs input `documents`"));
        assert!(accept(json!({"documents": "x"})).unwrap_err().contains("is no list"));
        assert!(accept(json!({"documents": "x"})).unwrap_err().ends_with("it must be a list"));
        assert!(accept(json!({"documents": [], "x": 1})).unwrap_err().contains("no input `x`"));
        assert!(accept(json!({"documents": [], "pace": 3})).unwrap_err().contains("is 3, not one of: 1, 2"));
    }

    #[test]
    fn each_type_takes_what_it_means_and_nothing_that_looks_like_it() {
        let document = json!({"path": "a/b.pdf", "name": "b.pdf", "kind": "pdf", "sha256": "00", "size_bytes": 1});
        for (kind, good, bad) in [
            (InputKind::String, json!("x"), json!(1)),
            (InputKind::Number, json!(1.5), json!("1.5")),
            (InputKind::Boolean, json!(false), json!("false")),
            (InputKind::List, json!([]), json!({})),
            (InputKind::Object, json!({}), json!([])),
            (InputKind::Date, json!("2028-02-29"), json!("2026-02-29")),
            (InputKind::Date, json!("2026-01-02"), json!("2026-1-2")),
            (InputKind::Money, json!({"amount": "12.50", "currency": "EUR"}), json!({"amount": "12.50"})),
            (InputKind::Money, json!({"amount": "12", "currency": "EUR"}), json!({"amount": 12.5, "currency": "EUR"})),
            (InputKind::Money, json!({"amount": "-1", "currency": "USD"}), json!({"amount": "1", "currency": "eur"})),
            (InputKind::Money, json!({"amount": "1", "currency": "USD"}), json!({"amount": "one", "currency": "USD"})),
            (InputKind::File, document, json!({"path": "a/b.pdf"})),
        ] {
            assert!(kind.fits(&good) && !kind.fits(&bad), "{kind}: {good}, {bad}");
        }
    }
}
