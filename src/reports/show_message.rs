//! Everything about one message as text: what it says, its verdict, its parts and its run.

use super::picture::MessagePicture;
use super::text;
use crate::store::messages::MessageRow;

/// The message as text. Tables fit `width`, if there is one.
pub fn show(picture: &MessagePicture, width: Option<u16>) -> String {
    let row = &picture.row;
    let mut lines = vec![("message", row.id.to_string())];
    let verdict = row.verdict.clone().unwrap_or_else(|| "none yet".into());
    lines.push(("verdict", verdict));
    lines.extend(row.reason.as_ref().map(|reason| ("reason", text::one_line(reason))));
    lines.extend(row.severity.map(|severity| ("severity", severity.to_string())));
    if let (Some(disposition), Some(by)) = (row.disposition, &row.disposed_by) {
        let at = text::maybe_instant(row.disposed_at);
        let to = row.released_as.as_ref().map_or_else(String::new, |verdict| format!(" to {verdict}"));
        lines.push((disposition.as_str(), format!("by {} on {at}{to}", text::one_line(by))));
    }
    if row.verdict.is_none() {
        lines.push(("attempts", row.attempts.to_string()));
        lines.extend(row.error.as_ref().map(|error| ("error", text::one_line(error))));
    }
    lines.extend(picture.runs.iter().map(|run| ("run", format!("{} ({})", run.name, run.status))));
    lines.extend(row.duplicate_of.map(|id| ("same as", id.to_string())));
    lines.extend(row.documents_of.map(|id| ("brings from", id.to_string())));
    lines.extend(row.from_address.as_ref().map(|from| ("from", text::one_line(from))));
    lines.extend(row.subject.as_ref().map(|subject| ("subject", text::one_line(subject))));
    if let Some(mail) = &picture.mail {
        let addresses: Vec<_> = mail.to.iter().chain(&mail.cc).map(|to| text::one_line(&to.address)).collect();
        if !addresses.is_empty() {
            lines.push(("to", addresses.join(", ")));
        }
        lines.extend(mail.date.map(|at| ("date", text::instant(at))));
        let proven = mail.author().and_then(|author| mail.authentication.proves(author));
        lines.push(("sender", proven.unwrap_or_else(|| "not proven by anybody we trust".into())));
        let evidence = mail.authentication.evidence.iter().flat_map(|text| text.lines());
        lines.extend(evidence.map(|line| ("evidence", text::one_line(line))));
        lines.extend(mail.automatic.map(|kind| ("automatic", kind.to_string())));
        lines.extend(mail.defects.iter().map(|defect| ("defect", text::one_line(defect))));
    }
    lines.extend(row.header_message_id.as_ref().map(|id| ("message-id", text::one_line(id))));
    lines.push(("mailbox", format!("{}, uid {}", row.mailbox, row.uid)));
    lines.push(("received", text::instant(row.received_at.unwrap_or(row.listed_at))));
    lines.extend(row.decided_at.map(|at| ("decided", text::instant(at))));
    lines.push(("size", text::size(row.size_bytes)));
    lines.extend(row.raw_sha256.as_ref().map(|hash| ("sha256", hash.clone())));
    lines.push(("transaction", row.transaction_id.to_string()));
    lines.push(("raw", raw_path(row)));
    let mut told: String = lines.into_iter().map(|(key, value)| format!("{key:<12} {value}\n")).collect();
    if !picture.parts.is_empty() {
        let inner = width.map(|width| width.saturating_sub(2).max(20));
        told.push_str(&format!("\nPARTS\n{}", text::indented(&parts(picture, inner))));
    }
    told
}

/// Where the raw message lies in the store, or what became of it.
pub(super) fn raw_path(row: &MessageRow) -> String {
    if let Some(at) = row.purged_at {
        return format!("its bytes were removed on {} by retention", text::instant(at));
    }
    if let (Some(_), Some(earlier)) = (&row.earlier_verdict, row.duplicate_of) {
        return format!("kept with message {earlier}");
    }
    format!("{}/{}/message.eml", row.customer, row.transaction_id)
}

pub(super) fn parts(picture: &MessagePicture, width: Option<u16>) -> String {
    let rows = picture.parts.iter().map(|part| {
        vec![
            part.idx.to_string(),
            part.duplicate_of.map_or_else(|| part.role.to_string(), |_| format!("{}, known", part.role)),
            part.kind.to_string(),
            part.name.clone().unwrap_or_else(|| "-".into()),
            text::size(part.size_bytes),
            if picture.row.purged_at.is_some() { "removed".into() } else { part.path.clone() },
        ]
    });
    text::table(&["PART", "ROLE", "KIND", "NAME", "SIZE", "PATH"], rows.collect(), width)
}
