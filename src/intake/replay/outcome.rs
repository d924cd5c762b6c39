//! What screening came to, as far as the record knows it, so that two can be compared. Pure.

use serde::Serialize;

use crate::domain::also::Deed;
use crate::domain::duration::Span;
use crate::domain::verdict::{Decision, Explanation, Severity, Verdict};
use crate::store::past::PastRow;

/// A verdict with whatever makes it another one, and the rule that gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outcome {
    pub verdict: String,
    /// Of a start: the workflow of each run; empty when the record does not tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<String>,
    /// Of a reply; the record does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How long a reply waits for its answer; the record does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
    /// Of a quarantine; none when the record does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What happens besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Deed>,
    /// None: the default.
    pub rule: Option<String>,
}

impl Outcome {
    pub fn of(decision: &Decision) -> Self {
        let template = match &decision.verdict {
            Verdict::Reply { template, .. } => Some(template.clone()),
            _ => None,
        };
        let workflows = sorted(decision.verdict.workflows());
        let wait = decision.verdict.wait();
        let severity = decision.verdict.severity().or(wait.map(|wait| wait.severity));
        let wait = wait.map(|wait| wait.within);
        let rule = decision.explanation.rule.clone();
        let also = deeds(&decision.explanation);
        Self { verdict: decision.verdict.name().to_owned(), workflows, template, wait, severity, also, rule }
    }

    pub fn recorded(row: &PastRow, explanation: &Explanation) -> Self {
        let verdict = row.verdict.clone().unwrap_or_default();
        // A release may have started a run since; that is not what the rules said.
        let workflows = match explanation.taken.as_slice() {
            _ if verdict != "start" => vec![],
            [] => row.workflow.clone().into_iter().collect(),
            taken => sorted(taken.iter().map(|taken| taken.workflow.as_str())),
        };
        let (also, rule) = (deeds(explanation), explanation.rule.clone());
        Self { verdict, workflows, template: None, wait: None, severity: row.severity, also, rule }
    }

    /// Whether the same becomes of the message. What the record does not tell is no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        self.verdict == other.verdict
            && self.also == other.also
            && (self.workflows.is_empty() || other.workflows.is_empty() || self.workflows == other.workflows)
            && (self.template.is_none() || other.template.is_none() || self.replies() == other.replies())
            && agree(&self.severity, &other.severity)
    }

    /// `start ap-invoice`, `start ap-invoice (3 runs), price-list`, `quarantine (high), tag contract`.
    pub fn told(&self) -> String {
        let severity = self.severity.map(|severity| format!(" ({severity})"));
        let runs = self.workflows.chunk_by(|one, next| one == next).map(|runs| match runs {
            [one] => one.clone(),
            all => format!("{} ({} runs)", all[0], all.len()),
        });
        let waits = self.wait.map(|wait| format!(" (waits {wait})")).unwrap_or_default();
        let template = self.template.as_ref().map(|template| format!("{template}{waits}"));
        let named: Vec<String> = runs.chain(template).collect();
        let named = if named.is_empty() { String::new() } else { format!(" {}", named.join(", ")) };
        let also: String = self.also.iter().map(|deed| format!(", {deed}")).collect();
        format!("{}{named}{}{also}", self.verdict, severity.unwrap_or_default())
    }

    fn replies(&self) -> (&Option<String>, Option<Span>) {
        (&self.template, self.wait)
    }

    /// The rule in words.
    pub fn by(&self) -> &str {
        self.rule.as_deref().unwrap_or("the default")
    }
}

/// What the rule wanted besides, done or not, in one order.
fn deeds(explanation: &Explanation) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = explanation.also.iter().map(|also| also.deed.clone()).collect();
    deeds.sort();
    deeds
}

fn sorted<'a>(workflows: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut workflows: Vec<String> = workflows.map(str::to_owned).collect();
    workflows.sort();
    workflows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: &str, workflows: &[&str], severity: Option<Severity>) -> Outcome {
        let workflows = sorted(workflows.iter().copied());
        Outcome {
            verdict: verdict.to_owned(),
            workflows,
            template: None,
            wait: None,
            severity,
            also: vec![],
            rule: None,
        }
    }

    #[test]
    fn only_what_both_sides_tell_can_differ() {
        let check = |one: &Outcome, other: &Outcome, expected: bool| {
            assert_eq!((one.is_same(other), other.is_same(one)), (expected, expected), "{one:?} {other:?}");
        };
        let start = |workflows| outcome("start", workflows, None);
        check(&start(&["a"]), &start(&["a"]), true);
        check(&start(&["a"]), &start(&["b"]), false);
        check(&start(&["a"]), &start(&[]), true);
        check(&start(&["a"]), &start(&["a", "a"]), false);
        check(&start(&["a", "b"]), &start(&["b", "a"]), true);
        check(&start(&[]), &outcome("ignore", &[], None), false);
        assert_eq!(start(&["b", "a", "b"]).told(), "start a, b (2 runs)");
        let held = |severity| outcome("quarantine", &[], severity);
        check(&held(Some(Severity::Low)), &held(Some(Severity::High)), false);
        check(&held(Some(Severity::Low)), &held(None), true);
        let renamed = Outcome { rule: Some("new".into()), ..held(None) };
        check(&renamed, &held(None), true);
        assert_eq!((held(Some(Severity::Low)).told(), renamed.by()), ("quarantine (low)".into(), "new"));
    }
}
