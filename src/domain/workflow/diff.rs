//! What differs between two definitions, step by step.

use serde_json::Value;

use super::{Step, Workflow};

/// One line for each thing that differs: keys above the steps, then the steps. Empty when both mean the same.
pub fn diff(old: &Workflow, new: &Workflow) -> Vec<String> {
    let whole = |workflow: &Workflow| {
        let mut json = serde_json::to_value(workflow).unwrap_or_default();
        if let Value::Object(table) = &mut json {
            for key in ["step", "name", "version"] {
                table.shift_remove(key);
            }
        }
        json
    };
    let mut lines = vec![];
    compare("", &whole(old), &whole(new), &mut lines);
    for step in &old.steps {
        match new.step(&step.name) {
            None => lines.push(format!("- step {} ({})", step.name, step.agent)),
            Some(now) if now != step => {
                lines.push(format!("~ step {}", step.name));
                let json = |step: &Step| serde_json::to_value(step).unwrap_or_default();
                let mut inside = vec![];
                compare("", &json(step), &json(now), &mut inside);
                lines.extend(inside.into_iter().map(|line| format!("    {line}")));
            }
            Some(_) => {}
        }
    }
    let added = new.steps.iter().filter(|step| old.step(&step.name).is_none());
    lines.extend(added.map(|step| {
        let needs = if step.needs.is_empty() { String::new() } else { format!(", needs {}", step.needs.join(", ")) };
        format!("+ step {} ({}{needs})", step.name, step.agent)
    }));
    let order = |of: &Workflow, other: &Workflow| -> Vec<String> {
        of.steps.iter().map(|step| step.name.clone()).filter(|name| other.step(name).is_some()).collect()
    };
    if order(old, new) != order(new, old) {
        lines.push("the steps are written in another order".to_owned());
    }
    lines
}

fn compare(at: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    if let (Value::Object(before), Value::Object(after)) = (old, new) {
        let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
        for key in keys {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            let none = Value::Null;
            compare(&at, before.get(key).unwrap_or(&none), after.get(key).unwrap_or(&none), lines);
        }
        return;
    }
    let told = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    lines.push(format!("{at}: {} -> {}", told(old), told(new)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_step_by_step() {
        let make = |more: Value, steps: Value| -> Workflow {
            let mut json = json!({"name": "w", "version": 1, "prefix": "W", "step": steps});
            json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(json).unwrap()
        };
        let step = |name: &str, with: Value| json!({"name": name, "agent": "noop", "with": with});
        let old = make(json!({"title": "A"}), json!([step("a", json!({"x": {"y": 1}})), step("b", json!({}))]));
        let new = make(
            json!({"title": "B", "version": 2, "owner": "jo"}),
            json!([step("a", json!({"x": {"y": 2}})), {"name": "c", "agent": "delay", "needs": ["a"]}]),
        );
        let expected = [
            "title: \"A\" -> \"B\"",
            "owner: nothing -> \"jo\"",
            "~ step a",
            "    with.x.y: 1 -> 2",
            "- step b (noop)",
            "+ step c (delay, needs a)",
        ];
        assert_eq!(diff(&old, &new), expected);
        assert_eq!(diff(&old, &old), Vec::<String>::new());
        let turned = make(json!({"title": "A"}), json!([step("b", json!({})), step("a", json!({"x": {"y": 1}}))]));
        assert_eq!(diff(&old, &turned), ["the steps are written in another order"]);
    }
}
