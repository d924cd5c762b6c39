//! Where in the file stands what a definition found wrong with itself.

use serde_json::Value;

use crate::config::diagnostic::Diagnostic;
use crate::config::located::{Located, Part};
use crate::domain::workflow::Workflow;
use crate::domain::workflow::check::Problem;

/// A problem that the definition found in itself, at the place in the file that it is about.
pub(super) fn place(located: &Located, workflow: &Workflow, problem: Problem) -> Diagnostic {
    let Problem { step, key, what, mend } = problem;
    let mut at: Vec<String> = vec![];
    if let Some(name) = step {
        let mut named = workflow.steps.iter().enumerate().filter(|(_, step)| step.name == name);
        // Of two steps with one name the later one is at fault.
        let found = if key == "name" { named.next_back() } else { named.next() };
        at.extend(found.into_iter().flat_map(|(index, _)| ["step".to_owned(), index.to_string()]));
    }
    at.extend(key.split('.').map(str::to_owned));
    // `needs` is a list: the name in the text is the element. `with` is a table: the text begins with the keys.
    let inside = |at: &[String], next: &str| {
        let deeper: Vec<&str> = at.iter().map(String::as_str).chain([next]).collect();
        located.has(&deeper)
    };
    let quoted = what.split('`').nth(1).map(Value::from);
    let element = located.names(&strs(&at)).into_iter().find(|index| {
        let deeper: Vec<&str> = at.iter().map(String::as_str).chain([index.as_str()]).collect();
        quoted.is_some() && located.value(&deeper) == quoted
    });
    at.extend(element);
    for key in what.split(": ") {
        if !inside(&at, key) {
            break;
        }
        at.push(key.to_owned());
    }
    located.complain(&strs(&at), Part::Value, what, Some(mend))
}

fn strs(at: &[String]) -> Vec<&str> {
    at.iter().map(String::as_str).collect()
}
