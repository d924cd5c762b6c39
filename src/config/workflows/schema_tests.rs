//! `config/workflows/schema.json` and `config/agents/schema.json`, for editors: made here and held against the types, key by key.
//! After a change of the language: `CS_WRITE_SCHEMA=1 cargo nextest run schema`.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::presets::Preset;
use crate::domain::calendar::Calendar;
use crate::domain::workflow::{
    Comparison, Concurrency, Input, InputKind, Notify, Retry, Step, Tell, Timeout, Workflow,
};

type Made = fn() -> Value;

const FILES: [(&str, Made); 2] = [("config/workflows/schema.json", workflow), ("config/agents/schema.json", preset)];

#[test]
fn the_shipped_schemas_are_the_language() {
    for (name, schema) in FILES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("CS_WRITE_SCHEMA").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        assert!(std::fs::read_to_string(&file).unwrap_or_default() == made, "{name}: run it with CS_WRITE_SCHEMA=1");
    }
}

#[test]
fn the_schemas_know_the_keys_that_the_types_take_and_no_others() {
    let schema = workflow();
    let of = |name: &str| schema["definitions"][name]["properties"].as_object().unwrap().clone();
    let own = ["add", "replace", "remove", "configure"];
    let whole: Map<String, Value> = schema["properties"]
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .filter(|(key, _)| !own.contains(&key.as_str()))
        .collect();
    check::<Workflow>("workflow", &whole);
    check::<Step>("step", &of("step"));
    check::<Input>("input", &of("input"));
    check::<Retry>("retry", &of("retry"));
    check::<Timeout>("timeout", &of("timeout"));
    check::<Notify>("notify", &of("notify"));
    check::<Tell>("tell", &of("tell"));
    check::<Comparison>("comparison", &of("comparison"));
    check::<Concurrency>("concurrency", &of("concurrency"));
    check::<Calendar>("calendar", &of("calendar"));
    check::<Preset>("preset", preset()["properties"].as_object().unwrap());
}

/// Serde names all keys that a type takes when it meets one that it does not.
fn check<T: DeserializeOwned>(name: &str, known: &Map<String, Value>) {
    let error = serde_json::from_value::<T>(json!({"no such key": 1})).err().unwrap().to_string();
    let mut taken: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    let mut written: Vec<&str> = known.keys().map(String::as_str).collect();
    taken.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, taken, "{name}: {error}");
}

#[test]
fn the_shipped_files_name_the_schema() {
    for directory in ["config/workflows", "config/agents"] {
        for file in super::toml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap() {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("#:schema schema.json\n"), "{}", file.display());
        }
    }
}

fn workflow() -> Value {
    let step = step();
    let change = {
        let mut change = step.clone();
        change["required"] = json!(["name"]);
        change
    };
    let mut properties = json!({
        "name": text("Unique name, such as ap-invoice."),
        "version": {"type": "integer", "minimum": 1, "description": "Raise it with every change of a published version."},
        "title": text("For people."),
        "description": text("For people."),
        "extends": text("The version that this definition is made of, such as ap-invoice@3."),
        "customers": texts("For whom it is; all when missing. What extends another takes its place for these."),
        "prefix": {"type": "string", "pattern": "^[A-Z0-9]+$", "description": "Letters before the number of a run."},
        "owner": text("User or role that notices about the run go to."),
        "restartable": {"type": "boolean", "description": "Whether a completed run may be restarted."},
        "may_start": texts("Users or roles that may start it by hand; every operator when missing."),
        "number_by": text("A template over inputs: runs with the same value are numbered by themselves."),
        "concurrency": refer("concurrency"),
        "deadline": any([refer("span"), object(&json!({"soft": refer("span"), "hard": refer("span")}), &[])]),
        "calendar": refer("calendar"),
        "inputs": {"type": "object", "additionalProperties": refer("input")},
        "defaults": object(&json!({"retry": refer("retry"), "timeout": refer("timeout")}), &[]),
        "notify": refer("notify"),
        "outputs": {"type": "object", "description": "What a completed run gives, by templates."},
        "step": {"type": "array", "items": refer("step")},
    });
    for key in ["add", "replace"] {
        properties[key] = json!({"type": "array", "items": refer("step"), "description": "With extends: whole steps."});
    }
    properties["configure"] =
        json!({"type": "array", "items": refer("change"), "description": "With extends: what is otherwise in a step."});
    properties["remove"] = texts("With extends: names of steps that are left out.");
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Workflow of Countersign",
        "type": "object",
        "properties": properties,
        "required": ["name", "version"],
        "additionalProperties": false,
        "definitions": definitions(&step, &change),
    })
}

fn definitions(step: &Value, change: &Value) -> Value {
    let tell = refer("tell");
    json!({
        "span": {"type": "string", "pattern": "^[0-9]+ *[smhdw]$", "description": "Such as 90s, 15m, 4h, 2d, 1w."},
        "step": step,
        "change": change,
        "concurrency": object(&json!({"key": text("A template over inputs."), "width": count(1)}), &["key"]),
        "calendar": object(
            &json!({"zone": text("Such as Europe/Berlin."), "opens": text("09:00"), "closes": text("17:00"), "holidays": {"type": "array"}}),
            &[],
        ),
        "input": object(
            &json!({
                "type": {"enum": InputKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()},
                "optional": {"type": "boolean"},
                "default": {},
                "title": text("For people."),
                "description": text("For people."),
                "enum": {"type": "array", "description": "The only values that are taken."},
            }),
            &["type"],
        ),
        "retry": retry(),
        "timeout": timeout(),
        "notify": object(&json!({"completion": tell, "retry": tell, "timeout": tell, "failure": tell}), &[]),
        "tell": object(
            &json!({"to": texts("Users, role:NAME or addresses; the owner when missing."), "template": text("notify when missing.")}),
            &[],
        ),
        "comparison": object(
            &json!({
                "key": text("A dotted name, such as steps.verify.result."),
                "is": {}, "is_not": {}, "in": {"type": "array"}, "not_in": {"type": "array"},
                "gt": {}, "gte": {}, "lt": {}, "lte": {}, "contains": {}, "exists": {"type": "boolean"},
            }),
            &["key"],
        ),
    })
}

fn step() -> Value {
    let comparisons = json!({"type": "array", "items": refer("comparison")});
    object(
        &json!({
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
            "title": text("For people."),
            "agent": text("Agent or preset; countersign agents list tells them."),
            "with": {"type": "object", "description": "Settings of the agent; texts may hold {{ }}."},
            "needs": texts("Steps that must be over first; route:high for one case of a switch."),
            "join": any([json!({"enum": ["all", "any"]}), count(1)]),
            "when": any([text("An expression."), comparisons]),
            "for_each": text("A template that gives a list: performed once for each item."),
            "width": count(1),
            "retry": refer("retry"),
            "timeout": refer("timeout"),
            "on_error": any([json!({"enum": ["fail", "continue"]}), object(&json!({"go_to": text("A later step.")}), &["go_to"])]),
            "notify": refer("notify"),
            "outputs": {"type": "object", "description": "What the output is made of; templates also see output."},
        }),
        &["name", "agent"],
    )
}

fn retry() -> Value {
    object(
        &json!({
            "count": count(0),
            "interval": refer("span"),
            "backoff": {"enum": ["fixed", "exponential"]},
            "cap": refer("span"),
            "jitter_percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "never_on": texts("Reasons of failures that no repeat will mend."),
        }),
        &["count", "interval"],
    )
}

fn timeout() -> Value {
    object(&json!({"soft": refer("span"), "hard": refer("span"), "heartbeat": refer("span")}), &[])
}

fn preset() -> Value {
    let mut schema = object(
        &json!({
            "name": {"type": "string", "pattern": "^[a-z0-9_-]+$", "description": "What steps write as their agent."},
            "title": text("For people."),
            "description": text("For people."),
            "agent": text("The agent that performs it."),
            "with": {"type": "object", "description": "Settings; what a step says goes before."},
            "retry": refer("retry"),
            "timeout": refer("timeout"),
        }),
        &["name", "agent"],
    );
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "Agent preset of Countersign".into();
    schema["definitions"] =
        json!({"span": definitions(&json!({}), &json!({}))["span"], "retry": retry(), "timeout": timeout()});
    schema
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn texts(about: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": about})
}

fn count(least: u32) -> Value {
    json!({"type": "integer", "minimum": least})
}

fn any<const N: usize>(choices: [Value; N]) -> Value {
    json!({"anyOf": choices.to_vec()})
}

fn refer(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}
