//! Screening: signals, then rules in file order, the first match decides, and everything looked at is explained.

use std::cmp::Reverse;

use super::RuleSet;
use super::act::{act, say};
use super::action::OnError;
use super::compile::{Clause, Clauses, Rule};
use super::conditions::{Held, Look};
use super::facts::Facts;
use super::passed::Passed;
use super::seen::Seen;
use crate::domain::also::Also;
use crate::domain::verdict::{ConditionTrace, Decision, Explanation, RuleTrace, Severity, SignalHit, Verdict};

/// Most rules for one mailbox of which each is told condition by condition.
const TOLD_WHOLE: usize = 50;

/// How much of what led to a decision is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// The rule and the score.
    Least,
    /// Everything; of a large set, rules far from matching by name and what ruled them out.
    Brief,
    /// Each rule condition by condition, however many there are.
    Whole,
}

/// The decision, the same however much is told.
pub(super) fn screen(rules: &RuleSet, facts: &Facts, telling: Telling) -> Decision {
    let mut decision = decide(rules, facts, telling);
    // Told only when a rule asked: it takes long to find out.
    if let Some(Some(language)) = facts.language.get() {
        decision.explanation.facts.insert("language".into(), (*language).into());
    }
    decision
}

fn decide(rules: &RuleSet, facts: &Facts, telling: Telling) -> Decision {
    let mut seen = Seen::new(facts, &rules.banks);
    let mut told = Explanation { ruleset: Some(rules.hash.clone()), ..Default::default() };
    add_signals(rules, &mut seen, &mut told);
    if telling != Telling::Least {
        told.facts = facts.to_json(false);
        told.facts.insert("score".into(), told.score.into());
    }
    let mut nearest = Nearest::new(telling);
    // Telling of a thousand rules what each of their conditions met would take longer than screening.
    let count = || rules.covering(&facts.mailbox).map(|file| file.rules.len()).sum::<usize>();
    let is_large = telling == Telling::Least || telling == Telling::Brief && count() > TOLD_WHOLE;
    let (mut passed, open) = (Passed::default(), rules.rule_gates.for_message());
    for (number, rule) in rules.numbered(&facts.mailbox, |file| &file.rules) {
        let closed = || open.closed_by(number, &seen).filter(|_| nearest.is_nearer_than(&rule.clauses));
        if is_large && let Some(key) = closed().or_else(|| rules_out(&rule.clauses, &seen, nearest.rank())) {
            if telling != Telling::Least {
                passed.add(key, rule);
            }
            continue;
        }
        let mut weighed = weigh(&rule.clauses, &seen);
        let outcome = match weighed.held {
            Held::Yes => act(&rule.action, &seen, &weighed.captures),
            Held::Failed => Err(weighed.failure.take().unwrap_or_default()),
            Held::No | Held::Unknown if telling == Telling::Least => continue,
            Held::No | Held::Unknown => {
                let is_nearest = nearest.consider(rule, &mut weighed);
                if !is_large {
                    told.rules.push(trace(rule, false, weighed.traces));
                } else if is_nearest {
                    // What was nearest before is one of many now.
                    if let Some((before, key)) = passed.nearest.replace((rule, weighed.ruled_out_by)) {
                        told.rules.retain(|trace| trace.rule != before.name);
                        passed.add(key, before);
                    }
                    told.rules.push(trace(rule, false, weighed.traces));
                } else {
                    passed.add(weighed.ruled_out_by, rule);
                }
                continue;
            }
        };
        let decided = match outcome {
            Ok(started) => {
                told.also = rule.also.iter().cloned().map(Also::from).collect();
                say(&rule.action, started, &mut told, || format!("rule `{}` matched", rule.name))
            }
            Err(why) => {
                let condition = "error".to_owned();
                weighed.traces.push(ConditionTrace { condition, held: false, because: why.clone() });
                match &rule.on_error {
                    OnError::Next => {
                        told.rules.push(trace(rule, false, weighed.traces));
                        continue;
                    }
                    OnError::Quarantine { reason, severity } => {
                        let failed = || format!("rule `{}` could not be worked out: {why}", rule.name);
                        let verdict = Verdict::Quarantine { severity: *severity };
                        (verdict, reason.clone().unwrap_or_else(failed))
                    }
                }
            }
        };
        told.rules.push(trace(rule, true, weighed.traces));
        told.rule = Some(rule.name.clone());
        told.passed_over = passed.told();
        told.nearest_miss = nearest.told();
        return Decision::new(decided.0, decided.1, told);
    }
    told.passed_over = passed.told();
    told.nearest_miss = nearest.told();
    by_default(rules, &seen, told)
}

/// No rule matched: the default of a file for this mailbox, else of a file for all, else quarantine.
fn by_default(rules: &RuleSet, seen: &Seen<'_>, mut told: Explanation) -> Decision {
    let quarantine = |severity| Verdict::Quarantine { severity };
    let defaults = || rules.covering(&seen.facts.mailbox).filter(|file| file.default.is_some());
    let chosen = defaults().find(|file| file.mailboxes.is_some()).or_else(|| defaults().next());
    let Some(default) = chosen.and_then(|file| file.default.as_ref()) else {
        return Decision::new(quarantine(Severity::Medium), "no rule matched, and there is no default", told);
    };
    match act(&default.action, seen, &[]) {
        Ok(started) => {
            told.also = default.also.iter().cloned().map(Also::from).collect();
            let (verdict, reason) = say(&default.action, started, &mut told, || "no rule matched".to_owned());
            Decision::new(verdict, reason, told)
        }
        Err(why) => {
            Decision::new(quarantine(Severity::Medium), format!("the default could not be worked out: {why}"), told)
        }
    }
}

fn add_signals(rules: &RuleSet, seen: &mut Seen<'_>, told: &mut Explanation) {
    let open = rules.signal_gates.for_message();
    for (number, signal) in rules.numbered(&seen.facts.mailbox, |file| &file.signals) {
        if open.closed_by(number, seen).is_some() || rules_out(&signal.clauses, seen, Some(ANY_IS_FARTHER)).is_some() {
            continue;
        }
        let weighed = weigh(&signal.clauses, seen);
        if weighed.held == Held::Yes {
            told.score = told.score.saturating_add(signal.points);
            let because: Vec<_> = weighed.traces.iter().filter(|t| t.held).map(|t| t.because.as_str()).collect();
            let because = because.join(", ");
            told.signals.push(SignalHit { signal: signal.name.clone(), points: signal.points, because });
        }
    }
    seen.set_score(told.score);
}

/// What the conditions of one rule come to.
struct Weighed {
    held: Held,
    captures: Vec<(String, String)>,
    traces: Vec<ConditionTrace>,
    missing: Vec<Missing>,
    /// Conditions that held.
    fulfilled: usize,
    failure: Option<String>,
    /// Key of the first condition that did not hold.
    ruled_out_by: &'static str,
}

/// What would have to be otherwise. Put into words for the nearest miss only.
#[derive(Clone, Copy)]
enum Missing {
    /// The condition at this place.
    Condition(usize),
    /// The group of `unless` at this place, and whether it is known to hold.
    Unless(usize, bool),
}

impl Missing {
    fn wish(self, clauses: &Clauses) -> Option<String> {
        match self {
            Self::Condition(at) => Some(clauses.all.get(at)?.condition.wish()),
            Self::Unless(at, holds) => {
                let written: Vec<_> = clauses.unless.get(at)?.iter().map(|clause| clause.written.as_str()).collect();
                let is = if holds { "did not hold" } else { "were known not to hold" };
                Some(format!("its `unless` ({}) {is}", written.join(", ")))
            }
        }
    }
}

impl Weighed {
    fn rule_out(&mut self, key: &'static str) {
        if self.ruled_out_by.is_empty() {
            self.ruled_out_by = key;
        }
    }
}

/// How far a rule is from matching: what it misses, then what it has.
type Rank = (usize, Reverse<usize>);

/// A rank that none is nearer than.
const ANY_IS_FARTHER: Rank = (0, Reverse(usize::MAX));

/// Whether what misses `missing` of these conditions at least is no nearer than `nearest`.
fn is_farther(clauses: &Clauses, missing: usize, nearest: Rank) -> bool {
    let all = clauses.all.len() + clauses.unless.len();
    (missing, Reverse(all - missing)) >= nearest
}

/// The condition that keeps it from matching for certain, as soon as it can be no nearer miss than `nearest` either. None: `weigh` has
/// to say. What is cheap is asked first.
fn rules_out(clauses: &Clauses, seen: &Seen<'_>, nearest: Option<Rank>) -> Option<&'static str> {
    let nearest = nearest?;
    let (mut missing, mut by, mut unknown, mut has_failed) = (0, None, None, false);
    let costly = |clause: &&Clause| clause.condition.is_costly();
    let is_cheap = |group: &&Vec<Clause>| !group.iter().any(|clause| clause.condition.is_costly());
    let each = |clause: &Clause| (clause.condition.held(seen), clause.key);
    let veto = |group: &Vec<Clause>| {
        let held = all_of(group.iter().map(|clause| clause.condition.held(seen)));
        (
            if held == Held::No {
                Held::Yes
            } else if held == Held::Yes {
                Held::No
            } else {
                held
            },
            "unless",
        )
    };
    let cheap = clauses.all.iter().filter(|clause| !costly(clause)).map(each);
    let cheap = cheap.chain(clauses.unless.iter().filter(is_cheap).map(veto));
    let dear = clauses.all.iter().filter(costly).map(each);
    let dear = dear.chain(clauses.unless.iter().filter(|group| !is_cheap(group)).map(veto));
    for (held, key) in cheap.chain(dear) {
        if held == Held::Yes {
            continue;
        }
        missing += 1;
        match held {
            Held::No => drop(by.get_or_insert(key)),
            Held::Unknown => drop(unknown.get_or_insert(key)),
            Held::Failed => has_failed = true,
            Held::Yes => {}
        }
        if by.is_some() && is_farther(clauses, missing, nearest) {
            return by;
        }
    }
    unknown.filter(|_| !has_failed && is_farther(clauses, missing, nearest))
}

/// All must hold and no group of `unless` may; a definite no is stronger than a failure, a failure than the unknown.
fn weigh(clauses: &Clauses, seen: &Seen<'_>) -> Weighed {
    let mut weighed = Weighed {
        held: Held::Yes,
        captures: vec![],
        traces: vec![],
        missing: vec![],
        fulfilled: 0,
        failure: None,
        ruled_out_by: "",
    };
    let mut verdicts = vec![];
    for (at, clause) in clauses.all.iter().enumerate() {
        let look = clause.condition.look(seen);
        verdicts.push(look.held);
        match look.held {
            Held::Yes => weighed.fulfilled += 1,
            Held::Failed => drop(weighed.failure.get_or_insert_with(|| look.because.clone())),
            Held::No | Held::Unknown => {}
        }
        if look.held != Held::Yes {
            weighed.missing.push(Missing::Condition(at));
            weighed.rule_out(clause.key);
        }
        weighed.captures.extend(look.captures.iter().cloned());
        weighed.traces.push(tell(clause, "", look));
    }
    for (at, group) in clauses.unless.iter().enumerate() {
        let looks: Vec<Look> = group.iter().map(|clause| clause.condition.look(seen)).collect();
        let held = all_of(looks.iter().map(|look| look.held));
        match held {
            Held::No => weighed.fulfilled += 1,
            Held::Failed => {
                let why = looks.iter().find(|look| look.held == Held::Failed).map(|look| look.because.clone());
                weighed.failure = weighed.failure.take().or(why);
            }
            Held::Yes | Held::Unknown => {}
        }
        if held != Held::No {
            weighed.missing.push(Missing::Unless(at, held == Held::Yes));
            weighed.rule_out("unless");
        }
        // What cannot be ruled out vetoes: an unknown here keeps the rule from matching.
        verdicts.push(match held {
            Held::No => Held::Yes,
            Held::Yes => Held::No,
            other => other,
        });
        weighed.traces.extend(group.iter().zip(looks).map(|(clause, look)| tell(clause, "unless ", look)));
    }
    weighed.held = all_of(verdicts);
    weighed
}

fn all_of(verdicts: impl IntoIterator<Item = Held>) -> Held {
    let rank = |held: &Held| match held {
        Held::Yes => 0,
        Held::Unknown => 1,
        Held::Failed => 2,
        Held::No => 3,
    };
    verdicts.into_iter().max_by_key(rank).unwrap_or(Held::Yes)
}

fn tell(clause: &Clause, before: &str, look: Look) -> ConditionTrace {
    let condition = format!("{before}{}", clause.written);
    ConditionTrace { condition, held: look.held == Held::Yes, because: look.because }
}

fn trace(rule: &Rule, matched: bool, conditions: Vec<ConditionTrace>) -> RuleTrace {
    RuleTrace { rule: rule.name.clone(), at: rule.at.clone(), matched, conditions }
}

/// The passed-over rule with the fewest conditions that did not hold; among equals the one that held most, then the first.
struct Nearest<'r> {
    miss: Option<Miss<'r>>,
    /// Nobody asks for it.
    is_idle: bool,
}

struct Miss<'r> {
    rank: Rank,
    rule: &'r Rule,
    missing: Vec<Missing>,
}

impl<'r> Nearest<'r> {
    fn new(telling: Telling) -> Self {
        Self { miss: None, is_idle: telling == Telling::Least }
    }

    fn rank(&self) -> Option<Rank> {
        if self.is_idle { Some(ANY_IS_FARTHER) } else { self.miss.as_ref().map(|miss| miss.rank) }
    }

    /// Whether no rule of these conditions, one of which does not hold, can be nearer.
    fn is_nearer_than(&self, clauses: &Clauses) -> bool {
        self.rank().is_some_and(|nearest| is_farther(clauses, 1, nearest))
    }

    /// Whether it is the nearest so far.
    fn consider(&mut self, rule: &'r Rule, weighed: &mut Weighed) -> bool {
        let rank = (weighed.missing.len(), Reverse(weighed.fulfilled));
        let is_nearest = self.rank().is_none_or(|best| rank < best);
        if is_nearest {
            self.miss = Some(Miss { rank, rule, missing: std::mem::take(&mut weighed.missing) });
        }
        is_nearest
    }

    fn told(&self) -> Option<String> {
        let Miss { rule, missing, .. } = self.miss.as_ref()?;
        let wishes: Vec<_> = missing.iter().filter_map(|missing| missing.wish(&rule.clauses)).collect();
        Some(format!("would have matched `{}` if {}", rule.name, wishes.join(" and ")))
    }
}
