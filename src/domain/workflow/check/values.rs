//! Single values: prefix, inputs with their defaults, spans that fit each other, people.

use serde_json::Value;

use super::{Problems, is_name};
use crate::domain::duration::Span;
use crate::domain::person::Address;
use crate::domain::workflow::{Input, Notify, Retry, Timeout, Workflow};

pub(super) fn check(workflow: &Workflow, told: &mut Problems) {
    if workflow.prefix.is_empty() || !workflow.prefix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        let what = format!("`{}` is no prefix", workflow.prefix);
        told.say(None, "prefix", what, "use capital letters and digits, such as AP");
    }
    for (name, input) in &workflow.inputs {
        of_input(name, input, told);
    }
    if let Some(owner) = &workflow.owner {
        person("owner", None, owner, told);
    }
    for who in &workflow.may_start {
        person("may_start", None, who, told);
        if who.contains('@') {
            told.say(None, "may_start", format!("`{who}` is an address"), "name a user, or a role as `role:finance`");
        }
    }
    for customer in workflow.customers.iter().filter(|customer| !is_plain(customer)) {
        told.say(
            None,
            "customers",
            format!("`{customer}` is no customer"),
            "write the name that people and mailboxes use",
        );
    }
    if workflow.concurrency.as_ref().is_some_and(|concurrency| concurrency.width == 0) {
        told.say(None, "concurrency.width", "no run would ever work", "write at least 1");
    }
    if let Some(deadline) = workflow.deadline {
        spans("deadline", None, [("soft", deadline.soft), ("hard", deadline.hard)], told);
    }
    notices(None, &workflow.notify, told);
    limits("defaults.", None, workflow.defaults.retry.as_ref(), workflow.defaults.timeout.as_ref(), told);
    for step in &workflow.steps {
        let name = Some(step.name.as_str());
        limits("", name, step.retry.as_ref(), step.timeout.as_ref(), told);
        notices(name, &step.notify, told);
    }
}

fn of_input(name: &str, input: &Input, told: &mut Problems) {
    let key = |last: &str| format!("inputs.{name}.{last}");
    if !is_name(name) {
        let mend = "use a lower-case letter, then letters, digits and `_`, so that expressions can name it";
        told.say(None, &format!("inputs.{name}"), format!("`{name}` is no input name"), mend);
    }
    let expected =
        |what: &str, value: &Value| format!("{what} {value} does not fit: it must be {}", input.kind.expected());
    for choice in input.choices.iter().filter(|choice| !input.kind.fits(choice)) {
        told.say(None, &key("enum"), expected("the choice", choice), "change it, or the type");
    }
    let Some(default) = &input.default else { return };
    if !input.kind.fits(default) {
        told.say(None, &key("default"), expected("the default", default), "change it, or the type");
    } else if !input.choices.is_empty() && !input.choices.contains(default) {
        told.say(None, &key("default"), format!("the default {default} is not one of `enum`"), "add it there");
    }
}

fn limits(below: &str, step: Option<&str>, retry: Option<&Retry>, timeout: Option<&Timeout>, told: &mut Problems) {
    if let Some(timeout) = timeout {
        let key = format!("{below}timeout");
        if *timeout == (Timeout { soft: None, hard: None, heartbeat: None }) {
            told.say(step, &key, "the table says nothing", "write `soft`, `hard` or `heartbeat`");
        }
        spans(&key, step, [("soft", timeout.soft), ("hard", timeout.hard)], told);
        spans(&key, step, [("heartbeat", timeout.heartbeat), ("hard", timeout.hard)], told);
    }
    let Some(retry) = retry else { return };
    if retry.cap.is_some_and(|cap| cap < retry.interval) {
        let what = "the longest pause is shorter than the first one";
        told.say(step, &format!("{below}retry.cap"), what, "write at least `interval`");
    }
    if retry.jitter_percent > 100 {
        let what = format!("{} percent is more than twice the pause", retry.jitter_percent);
        told.say(step, &format!("{below}retry.jitter_percent"), what, "write at most 100");
    }
    for reason in retry.never_on.iter().filter(|reason| !is_name(reason)) {
        let what = format!("`{reason}` is no reason of a failure");
        told.say(step, &format!("{below}retry.never_on"), what, "write it as failures do, such as `bad_settings`");
    }
}

/// Two limits of one thing, the first of which must come before the second.
fn spans(key: &str, step: Option<&str>, [first, second]: [(&str, Option<Span>); 2], told: &mut Problems) {
    for (name, span) in [first, second] {
        if span.is_some_and(|span| span.secs == 0) && (name != "hard" || first.0 == "soft") {
            told.say(step, &format!("{key}.{name}"), "no time at all would be left", "write at least 1s, or remove it");
        }
    }
    match (first.1, second.1) {
        (None, None) if key == "deadline" => {
            told.say(step, key, "the table says nothing", "write `soft`, `hard` or both");
        }
        (Some(one), Some(other)) if one >= other && other.secs > 0 => {
            let what = format!("`{}` ({one}) would never come before `{}` ({other})", first.0, second.0);
            told.say(step, &format!("{key}.{}", first.0), what, format!("write less than {other}"));
        }
        _ => {}
    }
}

fn notices(step: Option<&str>, notify: &Notify, told: &mut Problems) {
    for (when, tell) in notify.all() {
        for who in &tell.to {
            person(&format!("notify.{when}.to"), step, who, told);
        }
    }
}

/// Told are only spellings that can be nobody; who there is, is known when somebody is told.
fn person(key: &str, step: Option<&str>, who: &str, told: &mut Problems) {
    let is_good = match who.strip_prefix("role:") {
        Some(role) => is_plain(role),
        None if who.contains('@') => {
            let address = Address::new(who);
            is_plain(&address.address) && address.domain().contains('.') && !address.address.starts_with('@')
        }
        None => is_plain(who) && !who.contains(':'),
    };
    if !is_good {
        let what = format!("`{who}` names nobody");
        told.say(step, key, what, "name a user, a role as `role:finance`, or an address as `jo@acme.example`");
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "{}<>,;".contains(c))
}
