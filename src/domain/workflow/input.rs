//! What a workflow takes in, and whether it fits.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Workflow;
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
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String | Self::Date => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Money | Self::File | Self::Object => value.is_object(),
        }
    }
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
                    return Err(format!("input `{name}` of workflow {} is no {}", self.name, input.kind));
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
        assert!(accept(json!({"documents": [], "x": 1})).unwrap_err().contains("no input `x`"));
        assert!(accept(json!({"documents": [], "pace": 3})).unwrap_err().contains("is 3, not one of: 1, 2"));
    }
}
