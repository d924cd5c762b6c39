//! What a workflow takes in, as JSON Schema: enough for a form, and for clients that check before they ask.

use serde_json::{Map, Value, json};

use super::{Input, InputKind, Workflow};

impl Workflow {
    /// JSON Schema (draft 2020-12) of the inputs. Inputs that are optional or have a default are not required.
    pub fn input_schema(&self) -> Value {
        let of = |(name, input): (&String, &Input)| (name.clone(), of_input(input));
        let properties: Map<String, Value> = self.inputs.iter().map(of).collect();
        let is_required = |input: &Input| !input.optional && input.default.is_none();
        let required: Vec<&String> =
            self.inputs.iter().filter(|(_, input)| is_required(input)).map(|(name, _)| name).collect();
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": format!("urn:countersign:workflow:{}:{}", self.name, self.version),
            "title": if self.title.is_empty() { &self.name } else { &self.title },
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        if !self.description.is_empty() {
            schema["description"] = self.description.as_str().into();
        }
        schema
    }
}

fn of_input(input: &Input) -> Value {
    let mut schema = match input.kind {
        InputKind::String => json!({"type": "string"}),
        InputKind::Number => json!({"type": "number"}),
        InputKind::Boolean => json!({"type": "boolean"}),
        InputKind::List => json!({"type": "array"}),
        InputKind::Object => json!({"type": "object"}),
        InputKind::Date => json!({"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
        InputKind::Money => json!({
            "type": "object",
            "properties": {
                "amount": {"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$"},
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
            },
            "required": ["amount", "currency"],
            "additionalProperties": false,
        }),
        InputKind::File => json!({
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "name": {"type": "string"},
                "kind": {"type": "string"},
                "sha256": {"type": "string"},
                "size_bytes": {"type": "integer", "minimum": 0},
            },
            "required": ["path", "name", "kind", "sha256", "size_bytes"],
        }),
    };
    for (key, text) in [("title", &input.title), ("description", &input.description)] {
        if !text.is_empty() {
            schema[key] = text.as_str().into();
        }
    }
    if let Some(default) = &input.default {
        schema["default"] = default.clone();
    }
    if !input.choices.is_empty() {
        schema["enum"] = input.choices.clone().into();
    }
    // What may be left out may be none as well: that is what the run sees then.
    if input.optional { json!({"anyOf": [schema, {"type": "null"}]}) } else { schema }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_a_schema_that_a_form_can_be_made_of() {
        let workflow: Workflow = serde_json::from_value(json!({
            "name": "claim", "version": 2, "prefix": "CL", "title": "Claim",
            "inputs": {
                "total": {"type": "money", "title": "Total"},
                "kind": {"type": "string", "enum": ["travel", "meal"], "default": "meal"},
                "when": {"type": "date", "optional": true},
            },
        }))
        .unwrap();
        let schema = workflow.input_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!((&schema["title"], &schema["required"]), (&json!("Claim"), &json!(["total"])));
        assert_eq!(schema["properties"]["total"]["title"], "Total");
        assert_eq!(
            schema["properties"]["kind"],
            json!({"type": "string", "default": "meal", "enum": ["travel", "meal"]})
        );
        assert_eq!(schema["properties"]["when"]["anyOf"][1], json!({"type": "null"}));
        assert_eq!(schema["additionalProperties"], false);
    }
}
