//! What `approval` and `request_info` share: who is asked, and the ladder of what happens while nobody answers.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::Task;
use super::settings::{Names, Reader};
use crate::domain::calendar::Calendar;
use crate::domain::document::DocumentRef;
use crate::domain::duration::Span;
use crate::domain::failure::Failure;
use crate::domain::message::PartKind;
use crate::domain::notice::{Attachment, Draft};
use crate::domain::person::User;
use crate::domain::wait::{Asked, Fallback, Rung, RungAction};

/// When silence is answered by what. Every span counts from the opening of the wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patience {
    pub remind_after: Vec<Span>,
    pub escalate_after: Option<Span>,
    /// Ask the fallback instead of those asked before, rather than as well.
    pub replace: bool,
    pub expire_after: Option<Span>,
}

/// Reads `remind_after`, `escalate_after`, `escalate`, `expire_after` and `fallback`.
pub fn read_patience(with: &mut Reader) -> (Patience, Vec<String>) {
    let mut patience = Patience {
        remind_after: with.optional("remind_after").unwrap_or_default(),
        escalate_after: with.optional("escalate_after"),
        replace: match with.optional::<String>("escalate").as_deref() {
            None | Some("add") => false,
            Some("replace") => true,
            Some(other) => {
                with.say("escalate", format!("`{other}` is none of: add, replace"));
                false
            }
        },
        expire_after: with.optional("expire_after"),
    };
    patience.remind_after.sort();
    if let Some(end) = patience.expire_after {
        for (key, late) in [
            ("remind_after", patience.remind_after.last().is_some_and(|last| *last >= end)),
            ("escalate_after", patience.escalate_after.is_some_and(|after| after >= end)),
        ] {
            if late {
                with.say(key, format!("would come after `expire_after` ({end}), so never"));
            }
        }
    }
    let Names(fallback) = with.optional("fallback").unwrap_or_default();
    if with.has("escalate_after") && !with.has("fallback") {
        with.say("escalate_after", "needs `fallback`: somebody to escalate to");
    }
    (patience, fallback)
}

/// The users behind names and `role:` names, in order, each person and each address once. Unknown names give nobody.
pub fn resolve(names: &[String], users: &[User]) -> Vec<Asked> {
    let mut found: Vec<Asked> = vec![];
    for name in names {
        let is_meant = |user: &&User| match name.strip_prefix("role:") {
            Some(role) => user.roles.iter().any(|known| known == role),
            None => user.name == *name,
        };
        for user in users.iter().filter(is_meant).filter(|user| user.address.contains('@')) {
            if !found.iter().any(|known| known.address.eq_ignore_ascii_case(&user.address)) {
                found.push(Asked { person: user.name.clone(), address: user.address.clone() });
            }
        }
    }
    found
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    First,
    /// The how manieth reminder, from 1.
    Reminder(usize),
    /// Asked because these did not answer.
    Escalation(&'a [Asked]),
}

/// Makes notices of one wait: everything that is the same for all of them.
pub struct Notices<'a> {
    pub task: &'a Task,
    pub patience: &'a Patience,
    /// Templates for the first notice, a reminder and an escalation.
    pub templates: [&'static str; 3],
    pub data: Map<String, Value>,
    pub attachments: Vec<Attachment>,
    pub in_reply_to: Option<String>,
}

impl Notices<'_> {
    /// Notices for everybody, in the words of why they are told. `due` is told as people of the calendar's zone read it.
    pub fn tell(&self, people: &[Asked], told: Told) -> Vec<Draft> {
        let [first, reminder, escalation] = self.templates;
        let (template, number, instead_of) = match told {
            Told::First => (first, 0, &[][..]),
            Told::Reminder(number) => (reminder, number, &[][..]),
            Told::Escalation(before) => (escalation, 0, before),
        };
        let mut data = self.data.clone();
        data.insert("due".into(), self.due(matches!(told, Told::Escalation(_))).into());
        data.insert("number".into(), number.into());
        let before: Vec<_> = instead_of.iter().map(|asked| self.name_of(asked)).collect();
        data.insert("instead_of".into(), json!(before));
        let draft = |asked: &Asked| Draft {
            medium: "email".into(),
            person: asked.person.clone(),
            address: asked.address.clone(),
            template: template.into(),
            data: data.clone(),
            attachments: self.attachments.clone(),
            answerable: true,
            in_reply_to: self.in_reply_to.clone(),
        };
        people.iter().map(draft).collect()
    }

    /// The rungs in order of time. `second` are asked at the escalation; with nobody there, there is none.
    pub fn ladder(&self, first: &[Asked], second: &[Asked], expired: Failure) -> Vec<Rung> {
        let patience = self.patience;
        let second: Vec<Asked> =
            second.iter().filter(|asked| patience.replace || !first.contains(asked)).cloned().collect();
        let escalates = patience.escalate_after.filter(|_| !second.is_empty() && second != first);
        let asked_at = |after: Span| match escalates {
            Some(turn) if after >= turn && patience.replace => second.clone(),
            Some(turn) if after >= turn => [first, second.as_slice()].concat(),
            _ => first.to_vec(),
        };
        let mut ladder: Vec<Rung> = vec![];
        let mut climb = |after, action| ladder.push(Rung { after, at: None, action });
        for (place, after) in patience.remind_after.iter().enumerate() {
            let notices = self.tell(&asked_at(*after), Told::Reminder(place + 1));
            climb(*after, RungAction::Remind { notices });
        }
        if let Some(after) = escalates {
            let notices = self.tell(&second, Told::Escalation(first));
            climb(after, RungAction::Escalate { to: second.clone(), replace: patience.replace, notices });
        }
        if let Some(after) = patience.expire_after {
            climb(after, RungAction::Expire { failure: expired });
        }
        ladder.sort_by_key(|rung| rung.after);
        ladder
    }

    /// Those of `second` who are not among the first, with what they are told when none of the first can be reached.
    pub fn fallback(&self, first: &[Asked], second: &[Asked]) -> Option<Fallback> {
        let to: Vec<Asked> = second.iter().filter(|asked| !first.contains(asked)).cloned().collect();
        let notices = self.tell(&to, Told::Escalation(first));
        (!to.is_empty()).then_some(Fallback { to, notices })
    }

    /// Until when those asked can answer; empty when there is no end. With a replacing escalation, the first lose their turn then.
    fn due(&self, escalated: bool) -> String {
        let turn = self.patience.escalate_after.filter(|_| self.patience.replace && !escalated);
        let end = turn.into_iter().chain(self.patience.expire_after).min();
        let at = end.and_then(|span| self.task.now.checked_add_signed(span.delta()));
        at.map(|at| local_time(&self.task.calendar, self.task.calendar.next_open(at))).unwrap_or_default()
    }

    fn name_of(&self, asked: &Asked) -> String {
        let user = self.task.users.iter().find(|user| user.name == asked.person);
        user.map(|user| user.full_name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| asked.person.clone())
    }
}

/// `Monday 16 March 2026, 10:00 CET`
fn local_time(calendar: &Calendar, at: DateTime<Utc>) -> String {
    at.with_timezone(&calendar.zone).format("%A %-d %B %Y, %H:%M %Z").to_string()
}

/// Documents as attachments of a notice.
pub fn attach(documents: &[DocumentRef]) -> Vec<Attachment> {
    let content_type = |kind| match kind {
        PartKind::Pdf => "application/pdf",
        PartKind::Xml => "application/xml",
        PartKind::Text => "text/plain",
        PartKind::Csv => "text/csv",
        _ => "application/octet-stream",
    };
    documents
        .iter()
        .map(|document| Attachment {
            path: document.path.clone(),
            name: document.name.clone(),
            content_type: content_type(document.kind).into(),
        })
        .collect()
}
