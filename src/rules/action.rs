//! What a rule does when it matches, and when it cannot be worked out.

use std::ops::Range;

use serde_json::Value;

use super::Known;
use super::expressions::check_fill_names;
use super::read::{Entry, Fault, closed, shorten, table, text, words};
use super::starts::{self, Starts};
use crate::domain::duration::Span;
use crate::domain::expression;
use crate::domain::verdict::{AnswerWait, Severity, Verdict};

/// A verdict whose inputs and reason may still hold `{{ }}`.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub does: Does,
    pub reason: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Does {
    Start(Starts),
    /// What is the same for every message.
    Always(Verdict),
}

/// What a rule that cannot be worked out does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnError {
    Quarantine {
        reason: Option<String>,
        severity: Severity,
    },
    /// Goes on with the next rule.
    Next,
}

/// The keys that say it.
pub(super) const KEYS: [&str; 9] =
    ["start", "inputs", "ignore", "quarantine", "severity", "reply", "wait", "resume", "reason"];

/// Reads the verdict among `keys`; exactly one must be there. `captures` are the names that its texts may use.
pub(super) fn read(
    span: Range<usize>,
    keys: &[Entry<'_>],
    captures: &[String],
    known: &Known,
    in_rule: bool,
) -> Result<Action, Fault> {
    let find = |name: &str| keys.iter().find(|entry| entry.key == name);
    let is_verdict = |entry: &&Entry<'_>| !matches!(entry.key, "inputs" | "severity" | "wait" | "reason");
    let mut verdicts = keys.iter().filter(is_verdict);
    let choices = if in_rule { "start, resume, ignore, quarantine or reply" } else { "start, quarantine or reply" };
    let Some(chosen) = verdicts.next() else {
        return Err(Fault::new(span, "there is no verdict", format!("add one of {choices}")));
    };
    if let Some(second) = verdicts.next() {
        let what = format!("there are two verdicts, `{}` and `{}`", chosen.key, second.key);
        return Err(Fault::new(second.key_span(), what, "keep one, or make two rules"));
    }
    let waits = find("wait").filter(|_| chosen.key == "reply");
    for (key, of, fits) in [
        ("inputs", "`start`", chosen.key == "start"),
        ("wait", "`reply`", waits.is_some()),
        ("severity", "`quarantine`, or with `wait`", chosen.key == "quarantine" || waits.is_some()),
    ] {
        if let Some(stray) = find(key).filter(|_| !fits) {
            return Err(Fault::new(stray.key_span(), format!("`{key}` goes with {of}"), "remove it"));
        }
    }
    let mut reason = find("reason").map(|entry| read_reason(entry, captures)).transpose()?;
    let verdict = match chosen.key {
        "start" => {
            let starts = starts::read(chosen, find("inputs"), captures, known)?;
            return Ok(Action { does: Does::Start(starts), reason });
        }
        "reply" => {
            let severity = find("severity").map(severity).transpose()?.unwrap_or(Severity::Low);
            let wait = |entry| Ok(AnswerWait { within: within(entry)?, severity });
            let template = known_name(chosen, "template", &known.templates)?;
            Verdict::Reply { template, wait: waits.map(wait).transpose()? }
        }
        "resume" => {
            if chosen.value.get_ref().as_bool() != Some(true) {
                return Err(Fault::new(chosen.value.span(), "`resume` is true or not there", "write resume = true"));
            }
            Verdict::Resume
        }
        // `ignore` or `quarantine`, whose value is the reason.
        word => {
            if let Some(stray) = find("reason") {
                let what = format!("the reason stands in `{word}` already");
                return Err(Fault::new(stray.key_span(), what, "remove `reason`"));
            }
            reason = Some(read_reason(chosen, captures)?);
            match word {
                "ignore" => Verdict::Ignore,
                _ => Verdict::Quarantine {
                    severity: find("severity").map(severity).transpose()?.unwrap_or(Severity::Medium),
                },
            }
        }
    };
    Ok(Action { does: Does::Always(verdict), reason })
}

fn read_reason(entry: &Entry<'_>, captures: &[String]) -> Result<String, Fault> {
    let reason = words(entry.value)?;
    let (span, value) = (entry.value.span(), Value::String(reason.to_owned()));
    expression::check_fill(&value).map_err(|why| Fault::new(span.clone(), why, "write \"{{ subject }}\""))?;
    check_fill_names(span, &value, captures, &["group"])?;
    Ok(reason.to_owned())
}

fn known_name(entry: &Entry<'_>, kind: &str, known: &[String]) -> Result<String, Fault> {
    let name = text(entry.value)?;
    match known.iter().any(|known| known == name) {
        true => Ok(name.to_owned()),
        false => Err(Fault::unknown(entry.value.span(), kind, name, known.iter().map(String::as_str))),
    }
}

/// How long an answer is waited for.
pub(super) fn within(entry: &Entry<'_>) -> Result<Span, Fault> {
    let within: Result<Span, String> = text(entry.value)?.parse();
    match within {
        Ok(span) if span.secs > 0 => Ok(span),
        Ok(_) => Err(Fault::new(entry.value.span(), "nobody answers at once", "write \"7d\"")),
        Err(why) => Err(Fault::new(entry.value.span(), why, "write \"7d\"")),
    }
}

fn severity(entry: &Entry<'_>) -> Result<Severity, Fault> {
    let chosen = closed(entry.value, "severity", Severity::ALL)?;
    match chosen.as_slice() {
        [one] => Ok(*one),
        _ => Err(Fault::new(entry.value.span(), "there are several severities", "keep one")),
    }
}

/// `"quarantine"`, `"next"`, or `{ quarantine = "reason", severity = "high" }`.
pub(super) fn read_on_error(entry: &Entry<'_>) -> Result<OnError, Fault> {
    let node = entry.value;
    let mend = "write \"quarantine\", \"next\", or { quarantine = \"reason\", severity = \"high\" }";
    match node.get_ref().as_str() {
        Some("quarantine") => return Ok(OnError::Quarantine { reason: None, severity: Severity::Medium }),
        Some("next") => return Ok(OnError::Next),
        Some(other) => {
            return Err(Fault::new(node.span(), format!("on_error cannot be `{}`", shorten(other, 40)), mend));
        }
        None => {}
    }
    let (mut reason, mut wanted) = (None, Severity::Medium);
    for key in table(node)? {
        match key.key {
            "quarantine" => reason = Some(words(key.value)?.to_owned()),
            "severity" => wanted = severity(&key)?,
            other => return Err(Fault::unknown(key.key_span(), "key", other, ["quarantine", "severity"])),
        }
    }
    if reason.is_none() {
        return Err(Fault::new(node.span(), "on_error does not say what to do", mend));
    }
    Ok(OnError::Quarantine { reason, severity: wanted })
}
