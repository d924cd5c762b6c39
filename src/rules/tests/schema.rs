//! `rules/schema.json`, for editors: made here from the keys and words that the language has, and compared. After a change of
//! the language: `CS_WRITE_SCHEMA=1 cargo nextest run schema`.

use serde_json::Map;

use super::*;
use crate::domain::document::Repeated;
use crate::domain::verdict::Severity;
use crate::rules::compile::{FILE_KEYS, RULE_KEYS};
use crate::rules::language::LANGUAGES;
use crate::rules::{action, also, sample, starts, trial};

#[test]
fn the_shipped_schema_is_the_language() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/schema.json");
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("CS_WRITE_SCHEMA").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap_or_default() == made, "run it with CS_WRITE_SCHEMA=1");
}

#[test]
fn the_shipped_rules_name_the_schema_and_keep_to_it() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let schema = schema();
    for name in ["ap.toml", "examples/orders.toml", "examples/helpdesk.toml", "examples/claims.toml"] {
        let text = std::fs::read_to_string(rules.join(name)).unwrap();
        assert!(text.starts_with("#:schema ") && text.lines().next().unwrap().ends_with("schema.json"), "{name}");
        let root = toml::de::DeTable::parse(&text).unwrap();
        let value = crate::rules::read::to_json(&toml::de::DeValue::Table(root.into_inner()));
        assert_eq!(refused(&schema, &schema, &value), None, "{name}");
    }
    for wrong in [
        json!({"rules": []}),
        json!({"rule": [{"name": "r", "subjct": "x"}]}),
        json!({"rule": [{"name": "r", "dmarc": "passed"}]}),
        json!({"rule": [{"name": "r", "attachment": {"kynd": "pdf"}}]}),
        json!({"signal": [{"name": "s", "points": "1"}]}),
        json!({"default": {"ignore": "x"}}),
        json!({"rule": [{"name": "r", "also": {"forwrad": "a@b.example"}}]}),
    ] {
        assert!(refused(&schema, &schema, &wrong).is_some(), "{wrong}");
    }
}

fn schema() -> Value {
    let conditions: Map<String, Value> = Registry::standard()
        .unwrap()
        .keys()
        .map(|key| (key.to_owned(), condition(key).unwrap_or_else(|| panic!("say what `{key}` takes"))))
        .collect();
    let also = |keys: &[&str], of: fn(&str) -> Value| {
        let refer = |key: &String| (key.clone(), reference(&format!("conditions/properties/{key}")));
        let mut all: Map<String, Value> = conditions.keys().map(refer).collect();
        all.extend(keys.iter().map(|key| ((*key).to_owned(), of(key))));
        all
    };
    let mut rule = also(&RULE_KEYS, key);
    rule.extend(action::KEYS.map(|name| (name.to_owned(), key(name))));
    let default = action::KEYS.iter().filter(|name| !["ignore", "resume"].contains(*name));
    let default = default.chain([&"also"]);
    let default: Map<String, Value> = default.map(|name| ((*name).to_owned(), key(name))).collect();
    let test: Map<String, Value> =
        sample::KEYS.iter().chain(&trial::KEYS).map(|name| ((*name).to_owned(), of_test(name))).collect();
    let file = FILE_KEYS.map(|name| {
        let what = match name {
            "mailboxes" => strings(),
            "lists" => json!({"type": "object", "additionalProperties": one_of([strings(), list_source()])}),
            "default" => reference("default"),
            table => one_or_more(reference(table)),
        };
        (name.to_owned(), what)
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Rules of Countersign",
        "type": "object",
        "properties": Map::from_iter(file),
        "additionalProperties": false,
        "definitions": {
            "signal": object(also(&["name", "points", "unless"], key), &["name", "points"]),
            "rule": object(rule, &["name"]),
            "default": object(default, &[]),
            "conditions": object(conditions, &[]),
            "test": object(test, &[]),
        },
    })
}

/// What a key of a rule, a signal or the default takes.
fn key(name: &str) -> Value {
    match name {
        "points" => json!({"type": "integer"}),
        "unless" => one_or_more(reference("conditions")),
        "test" => one_or_more(reference("test")),
        "inputs" => json!({"type": "object"}),
        "also" => besides(),
        "resume" => json!({"const": true}),
        "severity" => words_of(Severity::ALL),
        "on_error" => {
            let own = json!({"quarantine": string(), "severity": words_of(Severity::ALL)});
            one_of([json!({"enum": ["quarantine", "next"]}), object(own.as_object().unwrap().clone(), &["quarantine"])])
        }
        "start" => one_or_more(one_of([string(), object(start(), &["workflow"])])),
        "name" | "ignore" | "quarantine" | "reply" | "wait" | "reason" => string(),
        other => panic!("say what `{other}` takes"),
    }
}

/// What one entry of `start` takes.
fn start() -> Map<String, Value> {
    let of = |name: &str| match name {
        "workflow" => string(),
        "kinds" => some_of(PartKind::ALL),
        "each" => words_of(starts::Each::ALL),
        "inputs" => key("inputs"),
        other => panic!("say what `{other}` takes"),
    };
    starts::KEYS.iter().map(|name| ((*name).to_owned(), of(name))).collect()
}

fn of_test(name: &str) -> Value {
    match name {
        "from" | "to" | "workflow" | "came_before" | "supplier_domains" => strings(),
        "headers" => json!({"type": "object", "additionalProperties": string()}),
        "attachments" => one_or_more(one_of([string(), object(part(&["name", "kind", "role", "size", "twin"]), &[])])),
        "dmarc" | "spf" => words_of(AuthResult::ALL),
        "dkim" => some_of(AuthResult::ALL),
        "automatic" => words_of(Automatic::ALL),
        "language" => words_of(LANGUAGES),
        "severity" => words_of(Severity::ALL),
        "expect" => json!({"enum": trial::VERDICTS}),
        "matches" | "first_time_sender" | "answers_reply" => json!({"type": "boolean"}),
        "score" => json!({"type": "integer"}),
        "runs" => json!({"type": "integer", "minimum": 0}),
        "now" => json!({}),
        "also" => besides(),
        _ => string(),
    }
}

fn besides() -> Value {
    let of = |key: &&str| match *key {
        "template" => json!({"enum": also::TEMPLATES}),
        "move" => string(),
        _ => strings(),
    };
    let keys = also::KEYS.iter().map(|key| ((*key).to_owned(), of(key))).collect();
    one_or_more(object(keys, &[]))
}

/// What a condition takes; none for one that is new.
fn condition(key: &str) -> Option<Value> {
    let fields = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), strings())).collect();
    Some(match key {
        "mailbox" | "customer" | "from" | "from_domain" | "innermost_from" | "to" | "subject" | "body" | "any_text"
        | "expr" => strings(),
        "header" => json!({"type": "object", "additionalProperties": strings()}),
        "attachment" => {
            let keys = ["name", "kind", "role", "size_min", "size_max", "count_min"];
            one_or_more(object(part(&keys), &[]))
        }
        "documents_min" | "score_min" | "score_max" => json!({"type": "integer"}),
        "usable_documents" => {
            let bounds = part(&["min", "max"]);
            one_of([json!({"type": "integer"}), object(bounds, &[])])
        }
        "duplicate" | "authenticated" | "known_supplier" | "known_user" | "lookalike_domain" | "first_time_sender"
        | "answers_reply" => json!({"type": "boolean"}),
        "duplicate_documents" => some_of(Repeated::ALL),
        "dmarc" | "spf" | "dkim" => some_of(AuthResult::ALL),
        "automatic" => some_of(Automatic::ALL),
        "language" => some_of(LANGUAGES),
        "in_list" => object(fields(&["from", "from_domain", "innermost_from", "to", "subject"]), &[]),
        "window" => object(fields(&["weekday", "hours", "zone"]), &["zone"]),
        _ => return None,
    })
}

fn part(keys: &[&str]) -> Map<String, Value> {
    let of = |key: &str| match key {
        "kind" => some_of(PartKind::ALL),
        "role" => some_of(PartRole::ALL),
        "size" | "size_min" | "size_max" => json!({"type": ["integer", "string"]}),
        "name" => strings(),
        "twin" => json!({"type": "boolean"}),
        _ => json!({"type": "integer", "minimum": 0}),
    };
    keys.iter().map(|key| ((*key).to_owned(), of(key))).collect()
}

fn list_source() -> Value {
    let sources = json!({"csv": string(), "from": {"enum": ["suppliers", "users"]}});
    object(sources.as_object().unwrap().clone(), &[])
}

fn string() -> Value {
    json!({"type": "string"})
}

fn strings() -> Value {
    one_or_more(string())
}

fn one_or_more(what: Value) -> Value {
    one_of([what.clone(), json!({"type": "array", "items": what})])
}

fn one_of<const N: usize>(choices: [Value; N]) -> Value {
    json!({"anyOf": choices.to_vec()})
}

fn words_of<T: ToString>(all: &[T]) -> Value {
    json!({"enum": all.iter().map(ToString::to_string).collect::<Vec<_>>()})
}

fn some_of<T: ToString>(all: &[T]) -> Value {
    one_or_more(words_of(all))
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false, "required": required})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

/// Where a value does not keep to the schema, as far as this schema goes.
fn refused(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(target) = schema["$ref"].as_str() {
        return refused(root, root.pointer(target.trim_start_matches('#'))?, value);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let all: Vec<_> = choices.iter().filter_map(|choice| refused(root, choice, value)).collect();
        return (all.len() == choices.len()).then(|| all.join("; "));
    }
    let is = |wanted: &str| match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        _ => value.is_boolean(),
    };
    let types = schema["type"].as_array().map_or_else(|| vec![&schema["type"]], |all| all.iter().collect());
    if !types.iter().any(|wanted| wanted.as_str().is_none_or(is)) {
        return Some(format!("{value} is no {}", schema["type"]));
    }
    let is_word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !is_word || schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{value} is none of the words"));
    }
    if let Some(lacking) =
        schema["required"].as_array().into_iter().flatten().find(|key| value.get(key.as_str().unwrap()).is_none())
    {
        return Some(format!("{lacking} is missing"));
    }
    let within = value.as_array().into_iter().flatten().find_map(|item| refused(root, &schema["items"], item));
    within.or_else(|| {
        value.as_object()?.iter().find_map(|(key, inner)| {
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(known), _) => refused(root, known, inner),
                (None, Value::Bool(false)) => Some(format!("no key {key}")),
                (None, further) => refused(root, further, inner),
            }
        })
    })
}
