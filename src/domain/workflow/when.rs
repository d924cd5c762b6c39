//! Conditions of steps.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A condition: an expression, or a list of comparisons that must all hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum When {
    Expression(String),
    All(Vec<Comparison>),
}

/// One comparison: of what stands at `key` with each value that is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Comparison {
    /// A dotted name, as expressions use: `steps.verify.result`.
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_not: Option<Value>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub is_in: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gt: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gte: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lte: Option<Value>,
    /// The text or list at `key` has this in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<Value>,
    /// Whether there is anything at `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

impl When {
    /// The expression that says it: a list of comparisons means the same as one written by hand.
    pub fn expression(&self) -> String {
        match self {
            Self::Expression(text) => text.clone(),
            Self::All(comparisons) => {
                let all: Vec<String> = comparisons.iter().flat_map(Comparison::expressions).collect();
                if all.is_empty() { "true".to_owned() } else { all.join(" and ") }
            }
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.expression())
    }
}

impl Comparison {
    fn expressions(&self) -> Vec<String> {
        let key = &self.key;
        let list = |values: &Vec<Value>| literal(&Value::Array(values.clone()));
        let mut all = vec![];
        let signs = [
            ("==", &self.is),
            ("!=", &self.is_not),
            (">", &self.gt),
            (">=", &self.gte),
            ("<", &self.lt),
            ("<=", &self.lte),
        ];
        for (sign, value) in signs {
            all.extend(value.iter().map(|value| format!("{key} {sign} {}", literal(value))));
        }
        all.extend(self.is_in.iter().map(|values| format!("{key} in {}", list(values))));
        all.extend(self.not_in.iter().map(|values| format!("{key} not in {}", list(values))));
        all.extend(self.contains.iter().map(|value| format!("{} in {key}", literal(value))));
        match self.exists {
            Some(true) => all.push(format!("({key} is defined and {key} is not none)")),
            Some(false) => all.push(format!("({key} is not defined or {key} is none)")),
            None => {}
        }
        all
    }
}

/// A value as expressions write it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(values) => format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| format!("{}: {}", Value::from(name.as_str()), literal(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = When;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str(
                    "an expression, or a list of comparisons such as { key = \"inputs.kind\", is = \"order\" }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<When, E> {
                Ok(When::Expression(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<When, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(When::All)
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::expression;

    #[test]
    fn comparisons_mean_what_the_expression_says() {
        let context = json!({"inputs": {"total": 5, "kind": "order", "tags": ["a", "b\"c"], "none": null}});
        let holds = |comparison: Value| {
            let when: When = serde_json::from_value(json!([comparison])).unwrap();
            expression::holds(&when.expression(), &context)
        };
        for (comparison, expected) in [
            (json!({"key": "inputs.total", "gt": 4, "lte": 5}), true),
            (json!({"key": "inputs.total", "lt": 5}), false),
            (json!({"key": "inputs.kind", "is": "order", "is_not": "invoice"}), true),
            (json!({"key": "inputs.kind", "in": ["invoice", "order"]}), true),
            (json!({"key": "inputs.kind", "not_in": ["order"]}), false),
            (json!({"key": "inputs.tags", "contains": "b\"c"}), true),
            (json!({"key": "inputs.none", "exists": true}), false),
            (json!({"key": "inputs.nobody", "exists": false}), true),
            (json!({"key": "inputs.none", "is": null}), true),
        ] {
            assert_eq!(holds(comparison.clone()), Ok(expected), "{comparison}");
        }
        assert!(holds(json!({"key": "inputs.nobody", "is": 1})).is_err(), "an unknown fact is an error");
    }
}
