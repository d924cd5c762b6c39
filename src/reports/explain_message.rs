//! Why a message went where it went, and what would have changed it, in plain sentences. Pure.

use super::answered;
use super::picture::MessagePicture;
use super::text;
use crate::domain::also::Also;
use crate::domain::ids::MessageId;
use crate::domain::message::Message;
use crate::domain::verdict::{ConditionTrace, Decision, Explanation, RuleTrace, Verdict};
use crate::store::messages::MessageRow;

/// The explanation of one message.
pub fn explain(picture: &MessagePicture) -> String {
    let row = &picture.row;
    let from = row.from_address.as_deref().map_or_else(String::new, |from| format!(" from {}", text::one_line(from)));
    let subject = row.subject.as_deref().map_or_else(String::new, |about| format!(" \"{}\"", text::one_line(about)));
    let received = text::instant(row.received_at.unwrap_or(row.listed_at));
    let mut told = format!("The message{subject}{from} came to mailbox {} on {received}.\n", row.mailbox);
    let Some(verdict) = &row.verdict else {
        told.push_str(&undecided(row));
        return told;
    };
    let reason = row.reason.as_deref().map(text::sentence).unwrap_or_default();
    let what = if row.disposition.is_some() { "It was put in quarantine" } else { verdict_in_words(verdict) };
    told.push_str(&format!("{what}: {reason}\n"));
    told.push_str(&also_done(row.explanation.as_ref().map(|explanation| &*explanation.also).unwrap_or_default()));
    told.push_str(&disposed(row));
    told.extend(
        picture.also_at_release.iter().map(|also| format!("At its release, also: {}.\n", text::one_line(also))),
    );
    if !picture.tags.is_empty() {
        told.push_str(&format!("Its tags: {}.\n", picture.tags.join(", ")));
    }
    told.push_str(&replied(picture));
    for run in &picture.runs {
        let did = if row.released_as.as_ref().unwrap_or(verdict) == "start" { "It started" } else { "It belongs to" };
        told.push_str(&format!(
            "{did} {}, which is {}; see `countersign explain {}`.\n",
            run.name, run.status, run.name
        ));
    }
    told.push_str(&repeats(picture));
    for answer in &picture.answers {
        let choice = answer.choice.map_or_else(|| "nothing that decides".to_owned(), |choice| choice.to_string());
        let who = text::one_line(&answer.person);
        told.push_str(&format!("It was heard as {choice} from {who}; effect: {}.\n", answer.effect));
        told.push_str(&format!("The sender was verified so: {}.\n", text::one_line(&answer.verified)));
    }
    let verified = picture.mail.as_ref().map(|mail| &mail.authentication).filter(|known| known.locally);
    if let Some(evidence) = verified.and_then(|known| known.evidence.as_ref()) {
        told.push_str("\nWHAT WE VERIFIED OF ITS SENDER\n");
        told.extend(evidence.lines().map(|line| format!("  {}\n", text::one_line(line))));
    }
    if let Some(explanation) = &row.explanation {
        told.push_str(&why(explanation, picture.original.as_ref()));
    }
    told
}

/// The explanation of a decision that nothing came of: what would become of `message`, found in a file.
pub fn foretell(message: &Message, mailbox: &str, decision: &Decision) -> String {
    let from = message.from.first().map_or_else(String::new, |from| format!(" from {}", text::one_line(&from.address)));
    let subject = text::one_line(&message.subject);
    let Decision { verdict, reason, explanation } = decision;
    let what = match verdict {
        Verdict::Start(starts) => {
            let runs = if starts.len() > 1 { format!(" in {} runs", starts.len()) } else { String::new() };
            let mut workflows: Vec<&str> = verdict.workflows().collect();
            workflows.dedup();
            format!("It would start {}{runs}", workflows.join(", "))
        }
        Verdict::Resume => "It would answer a run".into(),
        Verdict::Ignore => "It would be ignored".into(),
        Verdict::Quarantine { severity } => format!("It would be put in quarantine (severity {severity})"),
        Verdict::Reply { template, wait } => {
            let waits =
                wait.map_or_else(String::new, |wait| format!(", wait {} for what its sender says", wait.within));
            format!("It would get the answer {template}{waits}, and start nothing")
        }
    };
    let mut told = format!("The message \"{subject}\"{from}, as mail to mailbox {mailbox} now. Nothing was done.\n");
    told.push_str(&format!("{what}: {}\n", text::sentence(reason)));
    told.extend(explanation.answers.iter().map(|answers| format!("{}\n", text::sentence(&answers.told))));
    told.extend(explanation.also.iter().map(|also| format!("Also: {}.\n", text::one_line(&also.deed.to_string()))));
    told + &why(explanation, None)
}

/// Our reply to it and what came of that, or the message whose reply it answers.
fn replied(picture: &MessagePicture) -> String {
    let mut told: String = picture.reply_wait.iter().map(|wait| format!("{}\n", answered::waits(wait))).collect();
    for answer in &picture.answered_by {
        let counts = answered::counts(answer).map(text::one_line).unwrap_or_default();
        told.push_str(&format!("In answer came message {}: {counts}.\n", answer.id));
    }
    if let Some(first) = &picture.answer_to {
        let counts = answered::counts(&picture.row).map(text::sentence).unwrap_or_default();
        told.push_str(&format!(
            "{counts}\nMessage {} {}; see `countersign explain {}`.\n",
            first.id,
            answered::lies(first),
            first.id
        ));
    }
    told
}

/// What happened besides its verdict.
fn also_done(also: &[Also]) -> String {
    also.iter().map(|also| format!("Also: {}.\n", text::one_line(&also.told()))).collect()
}

/// What of it came before.
fn repeats(picture: &MessagePicture) -> String {
    // The guard's own reason names it already.
    let is_told = |first: &MessageId| picture.row.reason.as_ref().is_some_and(|why| why.contains(&first.to_string()));
    let whole = picture
        .row
        .duplicate_of
        .filter(|first| !is_told(first))
        .map_or_else(String::new, |first| format!("It repeats message {first}.\n"));
    let known = picture.parts.iter().filter_map(|part| {
        let name = part.name.as_deref().map_or_else(|| format!("part {}", part.idx), text::one_line);
        Some(format!("Its document {name} came before, in message {}.\n", part.duplicate_of?))
    });
    whole + &known.collect::<String>()
}

/// What a person made of its quarantine, if anybody did.
fn disposed(row: &MessageRow) -> String {
    let (Some(disposition), Some(by)) = (row.disposition, &row.disposed_by) else { return String::new() };
    let (by, at) = (text::one_line(by), text::maybe_instant(row.disposed_at));
    let reason = row.disposed_reason.as_deref().map(text::sentence).unwrap_or_default();
    let screened = row.released_as.as_ref().map_or_else(String::new, |verdict| format!(" The verdict was {verdict}."));
    format!("{by} {disposition} it on {at}: {reason}{screened}\n")
}

fn undecided(row: &MessageRow) -> String {
    let mut told = String::from("It has no verdict yet: it is listed, and waits to be taken in.\n");
    if let Some(error) = &row.error {
        let times = if row.attempts == 1 { "time" } else { "times" };
        let error = text::one_line(error);
        told.push_str(&format!(
            "It was tried {} {times} and will be tried again; the last time: {error}.\n",
            row.attempts
        ));
    }
    told
}

fn verdict_in_words(verdict: &str) -> &str {
    match verdict {
        "start" => "It starts a workflow",
        "resume" => "It answers a run",
        "ignore" => "It is ignored",
        "quarantine" => "It is in quarantine",
        "reply" => "It got an answer by template, and starts nothing",
        other => other,
    }
}

fn why(explanation: &Explanation, original: Option<&MessageRow>) -> String {
    let mut told = String::from("\nWHY\n");
    if let Some(guard) = &explanation.guard {
        told.push_str(&format!(
            "  The guard `{guard}` settled it before any rule looked at it. Guards cannot be switched off.\n"
        ));
        told.push_str(&format!("\nWHAT WOULD HAVE CHANGED IT\n  {}\n", guard_mend(guard, original)));
        return told;
    }
    let (matched, passed): (Vec<_>, Vec<_>) = explanation.rules.iter().partition(|rule| rule.matched);
    match (matched.first(), &explanation.rule) {
        (Some(rule), _) => {
            told.push_str(&format!("  Rule `{}` ({}) matched:\n", rule.rule, rule.at));
            told.extend(rule.conditions.iter().map(|condition| format!("  - {}\n", fulfilled(condition))));
        }
        (None, Some(rule)) => told.push_str(&format!("  Rule `{rule}` matched.\n")),
        (None, None) => told.push_str("  No rule matched, so the default of the rule files decided.\n"),
    }
    told.push_str(&shares(explanation));
    if let Some(ruleset) = &explanation.ruleset {
        told.push_str(&format!("  The rule set was {}.\n", text::one_line(ruleset)));
    }
    if !explanation.signals.is_empty() {
        told.push_str(&format!("  Its score is {}:\n", explanation.score));
        for hit in &explanation.signals {
            let because = text::one_line(&hit.because);
            told.push_str(&format!("  - {:+} {}, because {because}\n", hit.points, hit.signal));
        }
    }
    if !passed.is_empty() {
        told.push_str("\nRULES PASSED OVER, IN THEIR ORDER\n");
        told.extend(passed.into_iter().map(passed_over));
    }
    for group in &explanation.passed_over {
        told.push_str(&format!("  Passed over for their `{}`: {}\n", group.condition, group.rules.join(", ")));
    }
    told.push_str("\nWHAT WOULD HAVE CHANGED IT\n");
    match &explanation.nearest_miss {
        Some(miss) => {
            let miss = text::one_line(miss);
            let it = if miss.starts_with("would ") { "It " } else { "" };
            told.push_str(&format!("  {it}{miss}.\n"));
        }
        None if explanation.rule.is_some() => told.push_str("  Nothing stands before this rule; only an edit of it.\n"),
        None => told.push_str("  There is no rule that could have matched it.\n"),
    }
    told
}

/// What each run takes, where the rule divides the documents.
fn shares(explanation: &Explanation) -> String {
    let names = |names: &[String]| names.iter().map(|name| text::one_line(name)).collect::<Vec<_>>().join(", ");
    let mut told = String::new();
    for taken in &explanation.taken {
        let what = if taken.documents.is_empty() { "no document".to_owned() } else { names(&taken.documents) };
        told.push_str(&format!("  A run of {} takes {what}.\n", taken.workflow));
    }
    if !explanation.left.is_empty() {
        told.push_str(&format!("  No run takes {}.\n", names(&explanation.left)));
    }
    told
}

fn passed_over(rule: &RuleTrace) -> String {
    let failed: Vec<_> = rule.conditions.iter().filter(|condition| failed(condition)).collect();
    let shown = if failed.is_empty() { rule.conditions.iter().collect() } else { failed };
    let why: Vec<_> = shown
        .iter()
        .map(|told| format!("`{}`: {}", text::one_line(&told.condition), text::one_line(&told.because)))
        .collect();
    format!("  `{}` ({})\n{}", rule.rule, rule.at, why.iter().map(|why| format!("  - {why}\n")).collect::<String>())
}

/// A condition that kept its rule from matching; one behind `unless` does so when it holds.
fn failed(condition: &ConditionTrace) -> bool {
    condition.held == condition.condition.starts_with("unless ")
}

fn fulfilled(condition: &ConditionTrace) -> String {
    format!("`{}`: {}", text::one_line(&condition.condition), text::one_line(&condition.because))
}

/// What a person can do about the decision of a guard.
fn guard_mend(guard: &str, original: Option<&MessageRow>) -> String {
    match guard {
        "own-mail" => "Nothing: mail that we sent ourselves never starts anything.".into(),
        "loop" => "Fewer servers on its way: mend the forwarding that sends it in circles.".into(),
        "duplicate" => {
            let first = original.map_or_else(String::new, |first| {
                format!(" The first one is message {}, received {}.", first.id, text::instant(first.listed_at))
            });
            format!("Another content: the very same mail had been dealt with.{first}")
        }
        "recipient" => "Recipients of one customer; see `recipients` of its mailbox in the configuration.".into(),
        "correlation" => "No reference to a notice of ours: the rules would then have screened it as new mail.".into(),
        "bounce" => "Nothing: it reports on a mail that is not ours.".into(),
        "auto-reply" => "Being written by a person: the rules never see automatic replies.".into(),
        "unparsable" => "Being well-formed: its raw bytes are kept; ask the sender to send it again.".into(),
        "too-large" => "A smaller mail, or a larger `limits.message_bytes` in the configuration.".into(),
        "gone" => "Being there still when it was fetched: leave the mailbox to countersign alone.".into(),
        "attempts" => "The trouble named above not coming back: mend it, then inject the message again.".into(),
        "start" => "An earlier `start` of its mailbox, at the first contact; now, inject the message.".into(),
        "renumbered" => "Other bytes: under its old number the very same mail had been dealt with.".into(),
        "left" => "Being taken in when its mailbox was resumed; now, inject the message.".into(),
        "uid-validity" => {
            "Nothing: the server renumbered the mailbox; the mail is taken in under its new number.".into()
        }
        _ => "See the reason above.".into(),
    }
}
