//! Tests that rule files carry: a sample mail, written out or as `.eml`, and what must become of it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::action::within;
use super::also;
use super::read::{Entry, Fault, boolean, closed, count, integer, text, texts, words};
use super::sample::{self, Sample};
use super::{Parse, RuleSet};
use crate::domain::also::Deed;
use crate::domain::duration::Span;
use crate::domain::verdict::{Decision, Severity, Verdict};

/// One `[[test]]` or `[[rule.test]]`.
#[derive(Debug)]
pub(super) struct Trial {
    pub name: String,
    pub span: Range<usize>,
    /// `file:line`.
    pub at: String,
    sample: Sample,
    expected: Expected,
}

#[derive(Debug, Default)]
struct Expected {
    /// The rule that must match, or must not.
    rule: Option<(String, bool)>,
    verdict: Option<String>,
    /// Every workflow that must be started.
    workflows: Option<BTreeSet<String>>,
    runs: Option<usize>,
    template: Option<String>,
    /// How long a reply waits for its answer.
    wait: Option<Span>,
    severity: Option<Severity>,
    score: Option<i64>,
    /// Everything that happens besides, in any order.
    also: Option<Vec<Deed>>,
}

pub(super) const KEYS: [&str; 11] =
    ["name", "matches", "rule", "expect", "workflow", "runs", "template", "wait", "severity", "score", "also"];
pub(super) const VERDICTS: [&str; 5] = ["start", "resume", "ignore", "quarantine", "reply"];

/// Reads a test that stands `at` this `file:line`; `of_rule` is the rule that it stands in.
pub(super) fn read(
    span: Range<usize>,
    at: String,
    keys: Vec<Entry<'_>>,
    of_rule: Option<&str>,
) -> Result<Trial, Fault> {
    let mut trial = Trial { name: String::new(), span, at, sample: Sample::default(), expected: Expected::default() };
    let expected = &mut trial.expected;
    expected.rule = of_rule.map(|rule| (rule.to_owned(), true));
    for key in &keys {
        let node = key.value;
        let own = |text: Result<&str, Fault>| text.map(str::to_owned);
        let only = |values: Vec<_>| values.into_iter().next();
        match key.key {
            "name" => trial.name = own(words(node))?,
            "matches" => match &mut expected.rule {
                Some((_, matches)) if of_rule.is_some() => *matches = boolean(node)?,
                _ => {
                    let mend = "write rule = \"name\" in a [[test]]";
                    return Err(Fault::new(key.key_span(), "`matches` belongs in a [[rule.test]]", mend));
                }
            },
            "rule" if of_rule.is_none() => expected.rule = Some((own(words(node))?, true)),
            "rule" => return Err(Fault::new(key.key_span(), "the rule is known: it is this one", "remove `rule`")),
            "expect" => {
                let verdict = text(node)?;
                if !VERDICTS.contains(&verdict) {
                    return Err(Fault::unknown(node.span(), "verdict", verdict, VERDICTS));
                }
                expected.verdict = Some(verdict.to_owned());
            }
            "workflow" => {
                let named = texts(node)?.into_iter().map(|(_, name)| name.to_owned());
                expected.workflows = Some(named.collect());
            }
            "runs" => expected.runs = Some(count(node)?),
            "template" => expected.template = Some(own(words(node))?),
            "wait" => expected.wait = Some(within(key)?),
            "severity" => expected.severity = only(closed(node, "severity", Severity::ALL)?),
            "score" => expected.score = Some(integer(node)?),
            "also" => expected.also = Some(sorted(also::read_expected(key)?)),
            _ if trial.sample.take(key)? => {}
            other => {
                let known: Vec<&str> = KEYS.into_iter().chain(sample::KEYS).collect();
                return Err(Fault::unknown(key.key_span(), "key", other, known));
            }
        }
    }
    if expected.says_nothing() {
        let mend = "add expect = \"start\" or rule = \"name\"";
        return Err(Fault::new(trial.span, "the test expects nothing", mend));
    }
    if trial.name.is_empty() {
        trial.name = of_rule.map_or_else(|| "test".to_owned(), |rule| format!("test of {rule}"));
    }
    Ok(trial)
}

impl Trial {
    /// The rule it is about, if any.
    pub fn rule(&self) -> Option<&str> {
        self.expected.rule.as_ref().map(|(rule, _)| rule.as_str())
    }

    /// Screens the sample, without effects.
    ///
    /// # Errors
    /// What came out other than expected and, where it can be told, why.
    pub fn run(&self, rules: &RuleSet, mailbox: Option<&str>, parse: Parse<'_>) -> Result<(), String> {
        let facts = self.sample.facts(&rules.directory, mailbox.unwrap_or("test"), parse)?;
        let decision = rules.decide(&facts);
        match self.expected.missed(&decision) {
            None => Ok(()),
            Some(missed) => Err(format!("{missed}, but {}", told(&rules.explain(&facts), self.rule()))),
        }
    }
}

impl Expected {
    fn says_nothing(&self) -> bool {
        let Self { rule, verdict, workflows, runs, template, wait, severity, score, also } = self;
        rule.is_none()
            && verdict.is_none()
            && workflows.is_none()
            && runs.is_none()
            && template.is_none()
            && wait.is_none()
            && severity.is_none()
            && score.is_none()
            && also.is_none()
    }

    /// What was expected and did not come, in words.
    fn missed(&self, decision: &Decision) -> Option<String> {
        let rule = decision.explanation.rule.as_deref();
        let (severity, wait) = (decision.verdict.severity(), decision.verdict.wait());
        let template = match &decision.verdict {
            Verdict::Reply { template, .. } => Some(template),
            _ => None,
        };
        let started: BTreeSet<String> = decision.verdict.workflows().map(str::to_owned).collect();
        let started_runs = decision.verdict.workflows().count();
        let miss = |missed: bool, text: String| missed.then_some(text);
        let by_rule = self.rule.as_ref().and_then(|(name, matches)| {
            let not = if *matches { "" } else { "not " };
            miss((rule == Some(name)) != *matches, format!("expected rule `{name}` {not}to match"))
        });
        let or_verdict = |v: &String| miss(v != decision.verdict.name(), format!("expected {v}"));
        let or_workflows = |wanted: &BTreeSet<String>| {
            let names: Vec<_> = wanted.iter().map(|name| format!("`{name}`")).collect();
            miss(*wanted != started, format!("expected workflow {}", names.join(" and ")))
        };
        let or_runs = |runs: usize| miss(runs != started_runs, format!("expected {runs} runs, got {started_runs}"));
        let or_template = |t: &String| miss(Some(t) != template, format!("expected template `{t}`"));
        let or_wait = |w: Span| miss(Some(w) != wait.map(|wait| wait.within), format!("expected to wait {w}"));
        let severity = severity.or(wait.map(|wait| wait.severity));
        let or_severity = |s: Severity| miss(Some(s) != severity, format!("expected severity {s}"));
        let or_score = |s: i64| miss(s != decision.explanation.score, format!("expected score {s}"));
        let or_also = |wanted: &Vec<Deed>| {
            let found = sorted(decision.explanation.also.iter().map(|also| also.deed.clone()).collect());
            miss(*wanted != found, format!("expected besides: {}, got: {}", listed(wanted), listed(&found)))
        };
        by_rule
            .or_else(|| self.verdict.as_ref().and_then(or_verdict))
            .or_else(|| self.workflows.as_ref().and_then(or_workflows))
            .or_else(|| self.runs.and_then(or_runs))
            .or_else(|| self.template.as_ref().and_then(or_template))
            .or_else(|| self.wait.and_then(or_wait))
            .or_else(|| self.severity.and_then(or_severity))
            .or_else(|| self.score.and_then(or_score))
            .or_else(|| self.also.as_ref().and_then(or_also))
    }
}

fn sorted(mut deeds: Vec<Deed>) -> Vec<Deed> {
    deeds.sort();
    deeds
}

fn listed(deeds: &[Deed]) -> String {
    let told: Vec<_> = deeds.iter().map(ToString::to_string).collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

fn told(decision: &Decision, about: Option<&str>) -> String {
    let explanation = &decision.explanation;
    let by = explanation.rule.as_ref().map_or("no rule".to_owned(), |rule| format!("rule `{rule}`"));
    let mut told = format!("{by} matched: {} ({})", decision.verdict.name(), decision.reason);
    let trace = explanation.rules.iter().find(|trace| Some(trace.rule.as_str()) == about && !trace.matched);
    if let Some(trace) = trace {
        let failed = trace.conditions.iter().filter(|c| c.held == c.condition.starts_with("unless "));
        let failed: Vec<_> = failed.map(|c| format!("{}: {}", c.condition, c.because)).collect();
        told.push_str(&format!("; `{}` was passed over for {}", trace.rule, failed.join("; ")));
    }
    if explanation.score != 0 {
        told.push_str(&format!("; the score was {}", explanation.score));
    }
    told
}
