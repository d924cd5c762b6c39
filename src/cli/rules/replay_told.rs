//! What a replay found, as text. Pure.

use std::path::Path;

use crate::intake::replay::{Against, Change, Example, People, Replay};
use crate::reports::text;

/// What was looked at, and how many verdicts change; then each kind of change with examples, or what each rule decided.
pub fn told(replay: &Replay, rules: &Path, is_candidate: bool, diff: bool, width: Option<u16>) -> String {
    let hash = replay.ruleset.get(..8).unwrap_or(&replay.ruleset);
    let mailbox = replay.mailbox.as_ref().map_or_else(String::new, |name| format!(" of mailbox {name}"));
    let (since, messages) = (text::instant(replay.since), counted(replay.messages, "message"));
    let people = match replay.people {
        People::Then => "as it was then",
        People::Now => "with the suppliers and users of now",
    };
    let mut told = format!(
        "{messages}{mailbox} since {since}, screened by {} ({hash}) {people}. Nothing was changed.\n",
        rules.display()
    );
    if replay.guarded > 0 {
        told.push_str(&format!("{} settled by a guard: that stays, whatever the rules.\n", replay.guarded));
    }
    if replay.unreadable > 0 {
        told.push_str(&format!("{} could not be read again.\n", replay.unreadable));
    }
    told.push_str(&summary(replay, is_candidate));
    if !diff {
        if replay.changed > 0 {
            told.push_str("Which: --diff.\n");
        }
        return told + "\nWHAT EACH RULE DECIDED\n" + &text::indented(&rules_table(replay, width));
    }
    if !replay.changes.is_empty() {
        told.push_str("\nCHANGES\n");
        told.push_str(&text::indented(&changes_table(replay, is_candidate, width)));
        told.push_str("\nEXAMPLES\n");
        told.extend(replay.changes.iter().map(examples));
    }
    told
}

fn summary(replay: &Replay, is_candidate: bool) -> String {
    let with = match replay.against {
        Against::Recorded => "what was decided then",
        Against::Current => "what the rules in force make of it",
    };
    let (changed, screened) = (replay.changed, counted(replay.screened, "verdict"));
    let mut told = match changed {
        0 => format!("Compared with {with}, none of {screened} changes.\n"),
        _ => format!("Compared with {with}, {changed} of {screened} change.\n"),
    };
    if is_candidate && changed > 0 && replay.against == Against::Recorded {
        let (by_candidate, others) = (replay.by_candidate, replay.changed - replay.by_candidate);
        told.push_str(&match others {
            0 => "The candidate rules make the whole difference.\n".to_owned(),
            _ => format!(
                "Of these, {by_candidate} change by the candidate rules; {others} would change by the rules in force as well: \
                 something else was changed since.\n"
            ),
        });
    }
    if replay.by_another_rule > 0 {
        told.push_str(&format!("{} keep their verdict by another rule.\n", replay.by_another_rule));
    }
    told
}

fn changes_table(replay: &Replay, is_candidate: bool, width: Option<u16>) -> String {
    let split = is_candidate && replay.against == Against::Recorded;
    let row = |change: &Change| {
        let (before, after) = (&change.before, &change.after);
        let mut cells = vec![
            change.count.to_string(),
            before.told(),
            before.by().to_owned(),
            after_told(change),
            after.by().to_owned(),
        ];
        if split {
            cells.push(if change.by_candidate { "candidate" } else { "earlier change" }.to_owned());
        }
        cells
    };
    let mut head = vec!["messages", "before", "by", "after", "by"];
    if split {
        head.push("through");
    }
    text::table(&head, replay.changes.iter().map(row).collect(), inner(width))
}

fn after_told(change: &Change) -> String {
    let inputs = if change.other_inputs { ", other inputs" } else { "" };
    format!("{}{inputs}", change.after.told())
}

fn examples(change: &Change) -> String {
    let (before, after) = (&change.before, &change.after);
    let head = format!("  {} by {} -> {} by {}\n", before.told(), before.by(), after_told(change), after.by());
    let line = |Example { id, received_at, from, subject, before, after }: &Example| {
        let (from, subject) = (from.as_deref().unwrap_or("nobody known"), subject.as_deref().unwrap_or_default());
        format!(
            "    {id}  {}  {}  \"{}\"\n      before  {}\n      after   {}\n",
            text::instant(*received_at),
            text::short(from),
            text::short(subject),
            text::short(before),
            text::short(after)
        )
    };
    head + &change.examples.iter().map(line).collect::<String>()
}

fn rules_table(replay: &Replay, width: Option<u16>) -> String {
    let rows = replay.rules.iter().flat_map(|caught| {
        let rule = caught.rule.as_deref().unwrap_or("the default");
        let nothing = || vec![rule.to_owned(), "0".to_owned(), "-".to_owned()];
        let mut rows: Vec<_> = caught
            .verdicts
            .iter()
            .map(|(verdict, count)| vec![rule.to_owned(), count.to_string(), verdict.clone()])
            .collect();
        if rows.is_empty() {
            rows.push(nothing());
        }
        rows
    });
    text::table(&["rule", "messages", "verdict"], rows.collect(), inner(width))
}

fn inner(width: Option<u16>) -> Option<u16> {
    width.map(|width| width.saturating_sub(2).max(20))
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
