//! Guards: what is settled before any rule, and cannot be switched off. Pure.

use crate::domain::ids::NoticeId;
use crate::domain::message::{Automatic, Message};
use crate::domain::person::same_base;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::engine::notice::header_message_id;

/// Header that every mail of ours carries.
const OURS: &str = "x-countersign-notice";

/// More hops than any real way has; RFC 5321, 6.3 asks for a limit of at least 100, but loops through us add few hops a turn.
const MAX_RECEIVED: usize = 60;

/// Mail that must reach neither people nor rules: our own, and loops. `sent_by_us`: the Message-ID is that of a notice;
/// after the loss of a database the header and From still tell.
pub fn refuse(message: &Message, own_address: &str, sent_by_us: bool) -> Option<Decision> {
    let from_us = message.from.iter().any(|from| from.same_as(own_address) || same_base(&from.address, own_address));
    let is_ours = sent_by_us || (message.header(OURS).is_some() && from_us);
    if is_ours && message.bounce.is_none() {
        return Some(Decision::by_guard("own-mail", Verdict::Ignore, "our own mail came back to us"));
    }
    let hops = message.headers.iter().filter(|(name, _)| name == "received").count();
    if hops > MAX_RECEIVED {
        let reason = format!("it has passed {hops} servers: a mail loop");
        return Some(Decision::by_guard("loop", Verdict::Quarantine { severity: Severity::Medium }, reason));
    }
    None
}

/// Mail that a machine wrote in answer to nothing of ours, or to a reply of ours, which `told` says. An automatic invoice passes.
pub fn refuse_automatic(message: &Message, told: Option<&str>) -> Option<Decision> {
    if message.bounce.is_some() {
        let reason = "a delivery report for a mail that is not ours";
        return Some(Decision::by_guard("bounce", Verdict::Ignore, reason));
    }
    if message.automatic == Some(Automatic::Reply) {
        let reason = told.unwrap_or("an automatic reply to nothing that we asked");
        return Some(Decision::by_guard("auto-reply", Verdict::Ignore, reason));
    }
    None
}

/// Message-IDs of ours that this mail may answer: what it names itself, and what the address it came to says.
pub fn answered(message: &Message, own_address: &str) -> Vec<String> {
    let mut ids = message.answers.clone();
    if let Some(bounce) = &message.bounce {
        ids.extend(bounce.of.iter().cloned());
    }
    let came_to = message.delivered_to.iter().chain(&message.to).chain(&message.cc);
    ids.extend(came_to.filter_map(|address| tagged(&address.address, own_address)));
    ids
}

fn tagged(address: &str, own_address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let (own_local, own_domain) = own_address.rsplit_once('@')?;
    let (base, tag) = local.split_once('+')?;
    let id = tag.strip_prefix("c-").or_else(|| tag.strip_prefix("C-"))?.parse().ok()?;
    (base.eq_ignore_ascii_case(own_local) && domain.eq_ignore_ascii_case(own_domain))
        .then(|| header_message_id(NoticeId(id), Some(own_address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::person::Address;
    use crate::engine::notice::tagged_address;

    const AP: &str = "ap@acme.example";

    #[test]
    fn our_own_mail_and_loops_go_no_further() {
        let header = |name: &str| (name.to_owned(), String::new());
        let ours = Message { headers: vec![header(OURS)], from: vec![Address::new(AP)], ..Default::default() };
        assert_eq!(refuse(&ours, AP, false).unwrap().explanation.guard.as_deref(), Some("own-mail"));
        let quoted =
            Message { headers: vec![header(OURS)], from: vec![Address::new("x@y.example")], ..Default::default() };
        assert!(refuse(&quoted, AP, true).is_some(), "From may be another address of ours");
        assert!(refuse(&quoted, AP, false).is_none(), "somebody else's mail is theirs whatever headers it has");
        let looping = Message { headers: vec![header("received"); 61], ..Default::default() };
        assert_eq!(refuse(&looping, AP, false).unwrap().explanation.guard.as_deref(), Some("loop"));
    }

    #[test]
    fn an_automatic_invoice_passes_and_an_automatic_reply_does_not() {
        let automatic = |kind| Message { automatic: Some(kind), ..Default::default() };
        assert!(refuse_automatic(&automatic(Automatic::Generated), None).is_none());
        assert!(refuse_automatic(&automatic(Automatic::Bulk), None).is_none());
        assert!(refuse_automatic(&automatic(Automatic::Reply), None).is_some());
    }

    #[test]
    fn a_tagged_address_leads_back_to_its_notice() {
        let id = NoticeId::new();
        let to = tagged_address(AP, id);
        let reply = |address: &str| Message { to: vec![Address::new(address)], ..Default::default() };
        assert_eq!(answered(&reply(&to), AP), [header_message_id(id, Some(AP))]);
        assert_eq!(answered(&reply(&to.to_uppercase()), AP).len(), 1);
        for other in
            ["ap+c-nonsense@acme.example", "ap@acme.example", &to.replace("acme", "evil"), &to.replace("ap+", "xx+")]
        {
            assert_eq!(answered(&reply(other), AP), [""; 0], "{other}");
        }
    }
}
