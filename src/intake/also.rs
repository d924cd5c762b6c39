//! What a rule has done besides its verdict, in the commit of the verdict: mails into the outbox, words kept with the message.
//! A move waits for the flag; see `mark`. What cannot be done is said, and keeps nothing else from being done.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::case::Case;
use super::mark::Mark;
use super::{Intake, IntakeError, filing};
use crate::agents;
use crate::config::sections::{After, Mailbox};
use crate::domain::also::{Also, Deed};
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::domain::notice::{Attachment, Draft, FORWARD};
use crate::domain::person::same_base;
use crate::domain::verdict::{Decision, Explanation};
use crate::domain::wait::Asked;
use crate::store::messages::MessageRow;
use crate::store::{Tx, events, runs, tags};

/// The name that a forwarded mail is attached under.
const ATTACHED_AS: &str = "message.eml";

impl Intake {
    /// Does what the deciding rule wants besides; what is not done gets its reason. Done once for a message, even if its row
    /// of the ledger was lost and written anew: the trail knows.
    pub(super) async fn carry_out_also(
        &self,
        tx: &mut Tx,
        case: &Case<'_>,
        decision: &mut Decision,
        run_id: Option<RunId>,
    ) -> Result<(), IntakeError> {
        if decision.explanation.also.iter().all(|also| also.not_done.is_some()) {
            return Ok(());
        }
        let told = events::of_message(tx, case.row.id).await?;
        let before: HashSet<&str> = told.iter().flat_map(done_by).collect();
        let data = data(case, decision);
        let mut reached = HashSet::new();
        for also in decision.explanation.also.iter_mut().filter(|also| also.not_done.is_none()) {
            let is_mail = matches!(also.deed, Deed::Forward { .. } | Deed::Notify { .. });
            if is_mail && before.contains(also.told().as_str()) {
                also.not_done = Some("it was done before".into());
                continue;
            }
            let done = match &also.deed {
                Deed::Tag { tag } => Ok(tags::insert(tx, case.row.id, tag).await?),
                Deed::Move { .. } => may_move(case.row, case.mailbox),
                Deed::Forward { forward } => match self.may_forward(case, forward) {
                    Ok(()) => {
                        let attached = Attachment {
                            path: filing::raw_path(&case.row.customer, case.row.transaction_id),
                            name: ATTACHED_AS.into(),
                            content_type: "message/rfc822".into(),
                        };
                        let to = Asked { person: forward.clone(), address: forward.clone() };
                        self.tell(tx, case, run_id, draft(&to, FORWARD, &data, vec![attached])).await?;
                        Ok(())
                    }
                    Err(why) => Err(why),
                },
                Deed::Notify { notify, template } => match self.meant_by(case, notify) {
                    Ok(people) => {
                        // Whoever is a user and has a role is told once.
                        for to in people.iter().filter(|to| reached.insert((to.address.clone(), template.clone()))) {
                            self.tell(tx, case, run_id, draft(to, template, &data, vec![])).await?;
                        }
                        Ok(())
                    }
                    Err(why) => Err(why),
                },
            };
            also.not_done = done.err();
        }
        Ok(())
    }

    /// # Errors
    /// Why it would go in circles.
    fn may_forward(&self, case: &Case<'_>, address: &str) -> Result<(), String> {
        if self.is_own(address) {
            return Err("a mailbox of ours reads that address".into());
        }
        let wrote = case.message.from.iter().chain(&case.message.reply_to);
        if wrote.map(|from| from.address.as_str()).any(|from| same_base(from, address)) {
            return Err("the mail came from there".into());
        }
        Ok(())
    }

    /// # Errors
    /// Why it means nobody.
    fn meant_by(&self, case: &Case<'_>, name: &str) -> Result<Vec<Asked>, String> {
        let people = match name.contains('@') {
            true => vec![Asked { person: name.to_owned(), address: name.to_owned() }],
            false => agents::resolve(&[name.to_owned()], &case.customer.users),
        };
        if people.is_empty() {
            return Err(format!("nobody of {} is meant by it", case.customer.name));
        }
        match people.iter().find(|to| self.is_own(&to.address)) {
            Some(own) => Err(format!("a mailbox of ours reads {}", own.address)),
            None => Ok(people),
        }
    }

    fn is_own(&self, address: &str) -> bool {
        self.mailboxes.iter().any(|mailbox| same_base(address, &mailbox.address))
    }

    async fn tell(&self, tx: &mut Tx, case: &Case<'_>, run_id: Option<RunId>, draft: Draft) -> Result<(), IntakeError> {
        match run_id {
            Some(id) => {
                let run = runs::get(tx, id).await?;
                self.engine.write_notice(tx, &run, None, &draft).await?;
            }
            None => {
                let (row, mailbox) = (case.row, case.mailbox);
                self.engine.write_reply(tx, &row.customer, &mailbox.name, &mailbox.address, &draft).await?;
            }
        }
        Ok(())
    }
}

/// Says in an event what else was done.
pub(super) fn tell(event: Event, explanation: &Explanation) -> Event {
    match explanation.also.iter().map(Also::told).collect::<Vec<_>>() {
        told if told.is_empty() => event,
        told => event.with(KEY, told),
    }
}

/// Where an event says what else was done.
const KEY: &str = "also";

fn done_by(event: &Event) -> impl Iterator<Item = &str> {
    event.data.get(KEY).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A message out of quarantine lies where it was put then: it can be moved from the folder that is read, from no other.
fn may_move(row: &MessageRow, mailbox: &Mailbox) -> Result<(), String> {
    if row.uid.starts_with("injected-") {
        return Err("it came from a file and lies in no mailbox".into());
    }
    let mark = Mark { folder: row.move_to.clone(), is_quarantined: true };
    match (row.verdict.is_some() && row.flagged_at.is_some()).then(|| mark.after(mailbox)) {
        Some(After::Move(folder)) => Err(format!("it lies in folder {folder} since it was quarantined")),
        _ => Ok(()),
    }
}

fn draft(to: &Asked, template: &str, data: &Map<String, Value>, attachments: Vec<Attachment>) -> Draft {
    Draft {
        medium: "email".into(),
        person: to.person.clone(),
        address: to.address.clone(),
        template: template.to_owned(),
        data: data.clone(),
        attachments,
        answerable: false,
        in_reply_to: None,
    }
}

/// What templates may say of a message and its verdict.
fn data(case: &Case<'_>, decision: &Decision) -> Map<String, Value> {
    let from = case.message.author().map(ToString::to_string);
    let rule = decision.explanation.rule.as_deref();
    let verdict = decision.verdict.name();
    let received = case.row.received_at.map(|at| at.format("%A %-d %B %Y, %H:%M UTC").to_string());
    let facts: Vec<_> = [
        ("Subject", Some(case.message.subject.clone())),
        ("From", from.clone()),
        ("Mailbox", Some(case.mailbox.name.clone())),
        ("Received", received),
        ("Verdict", Some(verdict.to_owned())),
        ("Reason", Some(decision.reason.clone())),
        ("Rule", Some(rule.unwrap_or("the default").to_owned())),
    ]
    .into_iter()
    .filter_map(|(label, value)| Some(json!({"label": label, "value": value?})))
    .collect();
    let subject = &case.message.subject;
    let data = json!({
        "title": format!("{verdict}: {subject}"),
        "text": decision.reason,
        "facts": facts,
        "subject": subject,
        "from": from,
        "verdict": verdict,
        "reason": decision.reason,
    });
    data.as_object().cloned().unwrap_or_default()
}
