//! Everything about one run as text: inputs, steps, waits, answers, notices and files.

use super::picture::RunPicture;
use super::text;
use super::waiting::waiting;
use crate::blob::Entry;
use crate::domain::wait::{Rung, RungAction, WaitStatus};
use crate::store::waits::WaitRow;

/// The run as text. Tables fit `width`, if there is one.
pub fn show(picture: &RunPicture, files: &[Entry], width: Option<u16>) -> String {
    let mut told = head(picture);
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            told.push_str(&format!("\n{title}\n{}", text::indented(&body)));
        }
    };
    let inner = width.map(|width| width.saturating_sub(2).max(20));
    section("INPUTS", inputs(picture));
    section("STEPS", steps(picture, inner));
    section("WAITS", picture.waits.iter().map(wait).collect::<Vec<_>>().join("\n"));
    section("ANSWERS", answers(picture, inner));
    section("NOTICES", notices(picture, inner));
    section("MESSAGES", messages(picture, inner));
    section("FILES", files.iter().map(|file| format!("{}  {}\n", file.path, size(file))).collect());
    told
}

fn size(file: &Entry) -> String {
    text::size(i64::try_from(file.size_bytes).unwrap_or(i64::MAX))
}

fn head(picture: &RunPicture) -> String {
    let run = &picture.run;
    let origin = |key: &str| run.origin.get(key).and_then(|value| value.as_str()).map(text::one_line);
    let mut lines = vec![
        ("run", run.name.clone()),
        ("status", if run.held { format!("{}, held by an operator", run.status) } else { run.status.to_string() }),
    ];
    if let Some(waiting) = waiting(run, &open(picture)) {
        let on = if waiting.on.is_empty() { String::new() } else { format!("{}: ", text::list(&waiting.on)) };
        lines.push(("waiting", format!("{on}{}", waiting.what)));
    }
    if let Some(failure) = &run.failure {
        lines.push(("failure", format!("{} ({})", failure.0, criticality(&failure.0))));
    }
    lines.push(("workflow", format!("{} version {}", run.workflow, run.workflow_version)));
    lines.push(("customer", run.customer.clone()));
    if let (Some(from), subject) = (origin("from"), origin("subject")) {
        lines.push(("mail", format!("\"{}\" from {from}", subject.unwrap_or_default())));
    }
    lines.push(("launched", format!("{} by {}", text::instant(run.created_at), text::one_line(&run.created_by))));
    if let Some(at) = run.finished_at {
        lines.push(("finished", format!("{} after {}", text::instant(at), text::lasted(at - run.created_at))));
    }
    if let Some(at) = run.deadline_at.filter(|_| !run.status.is_final()) {
        lines.push(("deadline", text::instant(at)));
    }
    if run.generation > 1 {
        lines.push(("generation", format!("{}; it was restarted", run.generation)));
    }
    lines.push(("id", run.id.to_string()));
    lines.push(("transaction", run.transaction_id.to_string()));
    lines.into_iter().map(|(key, value)| format!("{key:<12} {value}\n")).collect()
}

/// `high`, as in files and JSON.
fn criticality(failure: &crate::domain::failure::Failure) -> String {
    let word = serde_json::to_value(failure.criticality).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

fn open(picture: &RunPicture) -> Vec<WaitRow> {
    picture.waits.iter().filter(|wait| wait.status == WaitStatus::Open).cloned().collect()
}

fn inputs(picture: &RunPicture) -> String {
    picture.run.inputs.iter().map(|(name, value)| format!("{name}: {}\n", text::value(value))).collect()
}

fn steps(picture: &RunPicture, width: Option<u16>) -> String {
    if picture.steps.is_empty() {
        return "none has started\n".into();
    }
    let rows = picture.steps.iter().map(|step| {
        let result = match (&step.failure, &step.output) {
            (Some(failure), _) => failure.0.to_string(),
            (None, Some(output)) => text::value(&output.0),
            (None, None) => "-".into(),
        };
        let started = if step.attempt > 0 { text::instant(step.started_at) } else { "-".into() };
        vec![
            step.name.clone(),
            step.agent.clone(),
            step.status.to_string(),
            step.attempt.to_string(),
            started,
            text::maybe_instant(step.finished_at),
            text::short(&result),
        ]
    });
    text::table(&["STEP", "AGENT", "STATUS", "ATTEMPT", "STARTED", "FINISHED", "RESULT"], rows.collect(), width)
}

fn wait(wait: &WaitRow) -> String {
    let asked: Vec<_> = wait.asked.iter().map(|asked| asked.person.clone()).collect();
    let opened = text::instant(wait.opened_at);
    let mut told = format!("{} ({}), {}, opened {opened}\n", wait.step, wait.kind, wait.status);
    told.push_str(&format!("  question  {}\n", text::one_line(&wait.question)));
    if !asked.is_empty() {
        told.push_str(&format!("  asked     {}\n", text::list(&asked)));
    }
    for (label, value) in wait.facts.iter() {
        told.push_str(&format!("  fact      {}: {}\n", text::one_line(label), text::value(value)));
    }
    match (&wait.answer, wait.closed_at) {
        (Some(answer), Some(at)) => {
            let by = text::one_line(&answer.by);
            told.push_str(&format!(
                "  answer    {} by {by} on {} ({})\n",
                answer.choice,
                text::instant(at),
                answer.via
            ));
        }
        (None, Some(at)) => told.push_str(&format!("  closed    {}\n", text::instant(at))),
        (_, None) => {
            let next = rungs_ahead(wait).next().map(|(at, rung)| format!("{} at {at}", rung.action.name()));
            told.push_str(&format!("  next      {}\n", next.unwrap_or_else(|| "nothing by itself".into())));
        }
    }
    told
}

/// The rungs that are still to come, each with when. The first one may have been put off, by a grace after a downtime.
pub(super) fn rungs_ahead(wait: &WaitRow) -> impl Iterator<Item = (String, &Rung)> {
    let next = usize::try_from(wait.rung).unwrap_or_default();
    let at = move |index: usize, rung: &Rung| if index == next { wait.due_at } else { rung.at };
    let ahead = wait.ladder.iter().enumerate().skip(next).filter(|_| wait.status == WaitStatus::Open);
    ahead.filter_map(move |(index, rung)| Some((text::weekday(at(index, rung)?), rung)))
}

fn answers(picture: &RunPicture, width: Option<u16>) -> String {
    if picture.answers.is_empty() {
        return String::new();
    }
    let rows = picture.answers.iter().map(|answer| {
        vec![
            text::instant(answer.at),
            answer.person.clone(),
            answer.choice.map_or_else(|| "-".into(), |choice| choice.to_string()),
            answer.via.to_string(),
            answer.effect.to_string(),
            text::short(answer.comment.as_deref().unwrap_or("-")),
            answer.verified.clone(),
        ]
    });
    text::table(&["AT", "WHO", "SAID", "VIA", "EFFECT", "COMMENT", "VERIFIED"], rows.collect(), width)
}

fn notices(picture: &RunPicture, width: Option<u16>) -> String {
    if picture.notices.is_empty() {
        return String::new();
    }
    let rows = picture.notices.iter().map(|notice| {
        vec![
            text::instant(notice.created_at),
            notice.template.clone(),
            notice.person.clone(),
            notice.medium.clone(),
            notice.status.to_string(),
            notice.attempts.to_string(),
            text::short(notice.error.as_deref().or(notice.receipt.as_deref()).unwrap_or("-")),
        ]
    });
    text::table(
        &["WRITTEN", "TEMPLATE", "TO", "MEDIUM", "STATUS", "ATTEMPTS", "RECEIPT OR ERROR"],
        rows.collect(),
        width,
    )
}

fn messages(picture: &RunPicture, width: Option<u16>) -> String {
    if picture.messages.is_empty() {
        return String::new();
    }
    let rows = picture.messages.iter().map(|message| {
        vec![
            message.id.to_string(),
            text::instant(message.received_at.unwrap_or(message.listed_at)),
            message.verdict.clone().unwrap_or_else(|| "-".into()),
            text::short(message.reason.as_deref().unwrap_or("-")),
        ]
    });
    text::table(&["MESSAGE", "RECEIVED", "VERDICT", "REASON"], rows.collect(), width)
}

/// What a rung that only tells people does.
pub(super) fn rung_in_words(action: &RungAction, asked: &[String]) -> String {
    let is = |people: &[String]| if people.len() == 1 { "is" } else { "are" };
    match action {
        RungAction::Remind { .. } => format!("{} {} reminded", text::list(asked), is(asked)),
        RungAction::Escalate { to, replace, .. } => {
            let to: Vec<_> = to.iter().map(|asked| text::one_line(&asked.person)).collect();
            format!("{} {} asked {}", text::list(&to), is(&to), if *replace { "instead" } else { "as well" })
        }
        RungAction::Expire { failure } => format!("the step fails with {failure}"),
    }
}
