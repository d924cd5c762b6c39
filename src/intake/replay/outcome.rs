//! What screening came to, as far as the record knows it, so that two can be compared. Pure.

use serde::Serialize;

use crate::domain::also::Deed;
use crate::domain::verdict::{Decision, Explanation, Severity, Verdict};
use crate::store::past::PastRow;

/// A verdict with whatever makes it another one, and the rule that gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outcome {
    pub verdict: String,
    /// Of a start; none when the record does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Of a reply; the record does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
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
        let (mut workflow, mut template) = (None, None);
        match &decision.verdict {
            Verdict::Start { workflow: name, .. } => workflow = Some(name.clone()),
            Verdict::Reply { template: name } => template = Some(name.clone()),
            Verdict::Resume | Verdict::Ignore | Verdict::Quarantine { .. } => {}
        }
        let severity = decision.verdict.severity();
        let rule = decision.explanation.rule.clone();
        let also = deeds(&decision.explanation);
        Self { verdict: decision.verdict.name().to_owned(), workflow, template, severity, also, rule }
    }

    pub fn recorded(row: &PastRow, explanation: &Explanation) -> Self {
        let verdict = row.verdict.clone().unwrap_or_default();
        // A release may have started a run since; that is not what the rules said.
        let workflow = row.workflow.clone().filter(|_| verdict == "start");
        let (also, rule) = (deeds(explanation), explanation.rule.clone());
        Self { verdict, workflow, template: None, severity: row.severity, also, rule }
    }

    /// Whether the same becomes of the message. What the record does not tell is no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        self.verdict == other.verdict
            && self.also == other.also
            && agree(&self.workflow, &other.workflow)
            && agree(&self.template, &other.template)
            && agree(&self.severity, &other.severity)
    }

    /// `start ap-invoice`, `quarantine (high), tag contract`.
    pub fn told(&self) -> String {
        let severity = self.severity.map(|severity| format!(" ({severity})"));
        let named = self.workflow.iter().chain(&self.template).map(|name| format!(" {name}"));
        let also = self.also.iter().map(|deed| format!(", {deed}"));
        let (named, severity, also) =
            (named.collect::<String>(), severity.unwrap_or_default(), also.collect::<String>());
        format!("{}{named}{severity}{also}", self.verdict)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: &str, workflow: Option<&str>, severity: Option<Severity>) -> Outcome {
        let (verdict, workflow) = (verdict.to_owned(), workflow.map(str::to_owned));
        Outcome { verdict, workflow, template: None, severity, also: vec![], rule: None }
    }

    #[test]
    fn only_what_both_sides_tell_can_differ() {
        let check = |one: &Outcome, other: &Outcome, expected: bool| {
            assert_eq!((one.is_same(other), other.is_same(one)), (expected, expected), "{one:?} {other:?}");
        };
        let start = |workflow| outcome("start", workflow, None);
        check(&start(Some("a")), &start(Some("a")), true);
        check(&start(Some("a")), &start(Some("b")), false);
        check(&start(Some("a")), &start(None), true);
        check(&start(None), &outcome("ignore", None, None), false);
        let held = |severity| outcome("quarantine", None, severity);
        check(&held(Some(Severity::Low)), &held(Some(Severity::High)), false);
        check(&held(Some(Severity::Low)), &held(None), true);
        let renamed = Outcome { rule: Some("new".into()), ..held(None) };
        check(&renamed, &held(None), true);
        assert_eq!((held(Some(Severity::Low)).told(), renamed.by()), ("quarantine (low)".into(), "new"));
    }
}
