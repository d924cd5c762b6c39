//! Why a run stands where it stands: why it waits and on whom, what happens next and when, what was said, why it failed.
//! In plain sentences. Pure.

use chrono::{DateTime, Utc};

use super::explain_ahead::{ahead, history, retries, then, to_go_on};
use super::picture::RunPicture;
use super::text;
use super::waiting::waiting;
use crate::domain::notice::NoticeStatus;
use crate::domain::run::RunStatus;
use crate::domain::step::StepStatus;
use crate::domain::wait::{Effect, WaitKind, WaitStatus};
use crate::store::answers::AnswerRow;
use crate::store::notices::NoticeRow;
use crate::store::waits::WaitRow;

/// The explanation of one run at an instant.
pub fn explain(picture: &RunPicture, now: DateTime<Utc>) -> String {
    let mut told = opening(picture, now);
    let open: Vec<_> = picture.waits.iter().filter(|wait| wait.status == WaitStatus::Open).collect();
    told.push_str(&history(picture));
    if picture.run.held {
        told.push_str(&held(picture));
    }
    for wait in &open {
        told.push_str(&why_it_waits(picture, wait, now));
    }
    told.push_str(&retries(picture));
    told.push_str(&partial(picture));
    if picture.run.status.is_final() {
        told.push_str(&to_go_on(picture));
    } else {
        told.push_str(&then(picture));
        told.push_str(&ahead(picture, &open));
    }
    told.push_str(&climbed(picture));
    told.push_str(&said(&picture.answers));
    told.push_str(&unsent(picture));
    told
}

/// What it is and how it stands, in one paragraph.
fn opening(picture: &RunPicture, now: DateTime<Utc>) -> String {
    let run = &picture.run;
    let name = &run.name;
    let origin = |key: &str| run.origin.get(key).and_then(|value| value.as_str()).map(text::one_line);
    let cause = match (origin("subject"), origin("from")) {
        (Some(subject), Some(from)) => format!(" for the mail \"{subject}\" from {from}"),
        _ => String::new(),
    };
    let launched = text::instant(run.created_at);
    let mut told = format!("{name} runs {} version {}{cause}, since {launched}.\n", run.workflow, run.workflow_version);
    let ended = run.finished_at.map_or_else(|| "at an unknown time".into(), text::instant);
    let took = run.finished_at.map(|at| text::lasted(at - run.created_at)).unwrap_or_default();
    match run.status {
        RunStatus::Queued if run.gated => told.push_str(&format!(
            "It is queued, and goes on when another run of {} with the key \"{}\" has ended.\n",
            run.workflow,
            run.concurrency_key.as_deref().map(text::one_line).unwrap_or_default()
        )),
        RunStatus::Queued => match run.not_before.filter(|at| *at > now) {
            Some(at) => told.push_str(&format!("It is queued, and starts on {}, not before.\n", text::weekday(at))),
            None => told.push_str("It is queued, and goes on as soon as a worker is free.\n"),
        },
        RunStatus::Running => told.push_str(&in_hand(picture, now)),
        RunStatus::Waiting => told.push_str(&it_waits(picture)),
        RunStatus::Completed => {
            told.push_str(&format!("It was completed on {ended}, after {took}.\n"));
            told.push_str(&outcomes(picture));
        }
        RunStatus::Failed => {
            told.push_str(&format!("It failed on {ended}, after {took}.\n"));
            told.push_str(&why_it_failed(picture));
        }
        RunStatus::Killed => {
            let by = picture.last_event("run.killed").map_or("an operator", |event| event.actor.as_str());
            let by = text::one_line(by);
            told.push_str(&format!("{by} killed it on {ended}, after {took}. It will not go on by itself.\n"));
        }
    }
    told
}

fn it_waits(picture: &RunPicture) -> String {
    let open: Vec<_> = picture.waits.iter().filter(|wait| wait.status == WaitStatus::Open).cloned().collect();
    let on = waiting(&picture.run, &open).map(|waiting| waiting.on).unwrap_or_default();
    if on.is_empty() { "It waits for its time.\n".into() } else { format!("It waits for {}.\n", text::list(&on)) }
}

fn in_hand(picture: &RunPicture, now: DateTime<Utc>) -> String {
    let running = picture.steps.iter().filter(|step| step.status == StepStatus::Running);
    let steps: Vec<_> = running
        .map(|step| format!("step {} (attempt {}, since {})", step.name, step.attempt, text::instant(step.started_at)))
        .collect();
    let what = if steps.is_empty() { "what comes next".to_owned() } else { text::list(&steps) };
    let run = &picture.run;
    match run.lease_until {
        Some(until) if until < now => {
            format!("The process that worked on {what} has said nothing since; another one takes over.\n")
        }
        until => {
            let who = run
                .lease_owner
                .as_deref()
                .map_or_else(|| "A worker".into(), |owner| format!("Worker {}", text::one_line(owner)));
            let lease = until
                .map(|until| format!("; unless it says so again, another one takes over on {}", text::instant(until)));
            format!("{who} has {what} in hand{}.\n{}", lease.unwrap_or_default(), stopping(picture))
        }
    }
}

/// Who is ending it, and when that is done.
fn stopping(picture: &RunPicture) -> String {
    let run = &picture.run;
    if !run.stopping {
        return String::new();
    }
    let by = picture.last_event("run.stopping").map_or("an operator".into(), |event| text::one_line(&event.actor));
    let latest = run.kill_at.map(|at| format!(", at {} at the latest", at.format("%H:%M:%S UTC"))).unwrap_or_default();
    format!("{by} is ending it: nothing else starts, and it is killed when that has ended{latest}.\n")
}

fn held(picture: &RunPicture) -> String {
    let run = &picture.run;
    let (by, since) = match picture.last_event("run.paused") {
        Some(event) => (text::one_line(&event.actor), format!(" since {}", text::instant(event.at))),
        None => ("an operator".into(), String::new()),
    };
    let name = &run.name;
    format!(
        "It is held by {by}{since}: no step starts until `countersign resume {name}`. Answers are still taken, and \
         reminders still go out.\n"
    )
}

fn why_it_waits(picture: &RunPicture, wait: &WaitRow, now: DateTime<Utc>) -> String {
    let since = format!("since {} ({})", text::instant(wait.opened_at), text::lasted(now - wait.opened_at));
    let asked: Vec<_> = wait.asked.iter().map(|asked| text::one_line(&asked.person)).collect();
    let question = text::one_line(&wait.question);
    let step = &wait.step;
    if wait.kind == WaitKind::Timer {
        let until = wait.due_at.map_or_else(|| "its time".into(), text::weekday);
        return format!("Step {step} waits for {until}, {since}. Nobody has to do anything.\n");
    }
    if wait.kind == WaitKind::External && asked.is_empty() {
        return format!("Step {step} waits for {question}, {since}.\n");
    }
    let what = match wait.kind {
        WaitKind::Approval => "an approval from",
        WaitKind::Reply => "an answer from",
        _ => "word from",
    };
    let mut told = format!("Step {step} waits for {what} {}, {since}:\n  {question}\n", text::list(&asked));
    let notices = picture.notices.iter().filter(|notice| notice.wait_id == Some(wait.id));
    let sent: Vec<_> = notices
        .filter_map(|notice| {
            Some(format!(
                "{} to {} on {}",
                notice.template,
                text::one_line(&notice.person),
                text::instant(notice.sent_at?)
            ))
        })
        .collect();
    if !sent.is_empty() {
        told.push_str(&format!("Sent so far: {}.\n", text::list(&sent)));
    }
    if wait.kind == WaitKind::Approval {
        let name = &picture.run.name;
        told.push_str(&format!(
            "They answer by replying to the mail or on its link; an operator may do it for them: `countersign approve \
             {name} --as {}`.\n",
            asked.first().map_or("USER", String::as_str)
        ));
    }
    told
}

/// Steps that are done, but not wholly.
fn partial(picture: &RunPicture) -> String {
    let done = picture.steps.iter().filter(|step| step.status == StepStatus::Success);
    let why = done.filter_map(|step| Some((&step.name, &step.failure.as_ref()?.0)));
    why.map(|(name, why)| format!("Step {name} is done only in part: {}\n", text::one_line(&why.to_string()))).collect()
}

/// What was done because nobody answered.
fn climbed(picture: &RunPicture) -> String {
    let mut told = String::new();
    for event in picture.events.iter().filter(|event| event.kind == "wait.climbed") {
        let field = |key: &str| event.data.get(key).map(text::value).unwrap_or_default();
        let done = match field("action").as_str() {
            "remind" => format!("reminded {}", field("asked")),
            "escalate" if event.data.contains_key("unreachable") => {
                format!("our mail to {} came back; asked since then: {}", field("unreachable"), field("asked"))
            }
            "escalate" => format!("escalated: asked since then: {}", field("asked")),
            "expire" => "gave up waiting".into(),
            other => other.to_owned(),
        };
        let step = event.step.as_deref().unwrap_or_default();
        told.push_str(&format!("  {}  {step}: {done}\n", text::instant(event.at)));
    }
    if told.is_empty() { told } else { format!("\nWHAT WAS DONE ABOUT THE SILENCE\n{told}") }
}

/// Everything that was said, and what it did.
fn said(answers: &[AnswerRow]) -> String {
    if answers.is_empty() {
        return String::new();
    }
    let line = |answer: &AnswerRow| {
        let who = text::one_line(&answer.person);
        let said = match (answer.choice, answer.comment.as_deref().map(text::short)) {
            (Some(choice), Some(comment)) => format!("{choice}, with the words \"{comment}\""),
            (Some(choice), None) => choice.to_string(),
            (None, Some(comment)) => format!("\"{comment}\""),
            (None, None) => "nothing that can be read".into(),
        };
        let at = text::instant(answer.at);
        format!(
            "  {at}  {who} by {}: {said}; {} ({})\n",
            answer.via,
            effect(answer.effect),
            text::one_line(&answer.verified)
        )
    };
    format!("\nWHAT WAS SAID SO FAR\n{}", answers.iter().map(line).collect::<String>())
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Decided => "it decided",
        Effect::Repeated => "it repeated what had been said",
        Effect::Late => "it came too late",
        Effect::Comment => "it decided nothing",
        Effect::Ambiguous => "it could be read in two ways and decided nothing",
        Effect::Refused => "it was refused",
    }
}

/// Whether a notice did not go out, or came back.
fn is_lost(notice: &NoticeRow) -> bool {
    notice.sent_at.is_none() || notice.status == NoticeStatus::Undelivered
}

/// Notices that did not arrive: whoever should have got them may not know.
fn unsent(picture: &RunPicture) -> String {
    let mut told = String::new();
    for notice in &picture.notices {
        let Some(error) = notice.error.as_deref().filter(|_| is_lost(notice)).map(text::short) else {
            continue;
        };
        let (template, person) = (&notice.template, text::one_line(&notice.person));
        told.push_str(&format!("  {template} to {person} is {}: {error}\n", notice.status));
    }
    if told.is_empty() { told } else { format!("\nNOT DELIVERED\n{told}") }
}

fn why_it_failed(picture: &RunPicture) -> String {
    let Some(failure) = &picture.run.failure else { return String::new() };
    let mut told = format!("The reason is {}: {}\n", failure.reason, text::sentence(&failure.details));
    let criticality = serde_json::to_value(failure.criticality).unwrap_or_default();
    told.push_str(&format!("It is of {} criticality.\n", criticality.as_str().unwrap_or("unknown")));
    if let Some(step) = picture.steps.iter().find(|step| step.failure.as_ref().is_some_and(|f| f.0 == failure.0)) {
        told.push_str(&format!("It failed in step {} ({}), at attempt {}.\n", step.name, step.agent, step.attempt));
    }
    for wait in picture.waits.iter().filter(|wait| wait.status == WaitStatus::Expired) {
        let asked: Vec<_> = wait.asked.iter().map(|asked| text::one_line(&asked.person)).collect();
        let question = text::one_line(&wait.question);
        told.push_str(&format!("{} had been asked, and did not answer: {question}\n", text::list(&asked)));
    }
    told
}

fn outcomes(picture: &RunPicture) -> String {
    let mut told = String::new();
    for wait in &picture.waits {
        let (Some(answer), Some(at)) = (&wait.answer, wait.closed_at) else { continue };
        let by = text::one_line(&answer.by);
        let at = text::instant(at);
        told.push_str(&format!("Step {}: {} by {by} ({}) on {at}.\n", wait.step, answer.choice, answer.via));
    }
    let skipped = picture.steps.iter().filter(|step| step.status == StepStatus::Skipped);
    let skipped: Vec<_> = skipped.map(|step| step.name.clone()).collect();
    if !skipped.is_empty() {
        told.push_str(&format!("Not needed, so skipped: {}.\n", text::list(&skipped)));
    }
    told
}
