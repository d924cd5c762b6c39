//! Whose mail it is, where several customers share a mailbox: by where it was delivered. Pure; never a guess.
//!
//! The sender chooses every recipient, so this is no proof of anything about him; it keeps the mail of two customers apart.
//! The fields that our own server wrote count first, because To does not show who got a blind copy.

use crate::config::recipients::UnknownRecipient;
use crate::config::sections::Mailbox;
use crate::domain::message::Message;
use crate::domain::person::Address;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::store::notices::NoticeRow;

/// Header fields that say where a mail was delivered, in lower case.
const DELIVERY: [&str; 4] = ["delivered-to", "x-original-to", "envelope-to", "x-envelope-to"];

/// The customer whose mail this is. `asked_by` is the customer of the notice that it answers, if it answers one of ours:
/// that settles it where the recipients say nothing, and for a bounce, which comes to the address that our mails are from.
///
/// # Errors
/// Why it is nobody's for sure: its recipients belong to several customers, to another one than asked, or to none.
pub fn customer_of<'a>(mailbox: &'a Mailbox, message: &Message, asked_by: Option<&'a str>) -> Result<&'a str, String> {
    if let Some(asked_by) = asked_by.filter(|_| message.bounce.is_some() || mailbox.recipients.is_empty()) {
        return Ok(asked_by);
    }
    let found = tiers(mailbox, message).into_iter().map(|tier| named(mailbox, &tier, asked_by.is_some()));
    let found = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    let mut customers: Vec<&str> = found.iter().map(|(_, customer)| *customer).chain(asked_by).collect();
    customers.sort_unstable();
    customers.dedup();
    match (customers.as_slice(), asked_by) {
        ([one], _) => Ok(one),
        ([], _) if mailbox.unknown_recipient == UnknownRecipient::Customer => Ok(&mailbox.customer),
        ([], _) => Err(unknown(message)),
        (_, Some(asked_by)) => Err(format!("it answers a notice of {asked_by}, and was sent to {}", list(&found))),
        (_, None) => Err(format!("its recipients belong to several customers: {}", list(&found))),
    }
}

/// The quarantine of a message that is filed under `customer` and may not be his; a person looks at it. `answers` is the
/// notice that it answers.
pub fn refuse(mailbox: &Mailbox, message: &Message, answers: Option<&NoticeRow>, customer: &str) -> Option<Decision> {
    let reason = match customer_of(mailbox, message, answers.map(|notice| notice.customer.as_str())) {
        Ok(found) if found == customer => return None,
        Ok(found) => format!("it is filed under {customer}, and its recipients are {found}'s now; inject it anew"),
        Err(reason) => reason,
    };
    Some(Decision::by_guard("recipient", Verdict::Quarantine { severity: Severity::Medium }, reason))
}

/// Recipients, the most trustworthy first; of these the first that names anybody counts.
fn tiers<'a>(mailbox: &Mailbox, message: &'a Message) -> Vec<Vec<&'a Address>> {
    // What stands above the first Received was written by the last server (RFC 5321, 4.4), which is ours.
    let top = message.headers.iter().take_while(|(name, _)| name != "received");
    let top: Vec<&str> =
        top.filter(|(name, _)| DELIVERY.contains(&name.as_str())).flat_map(|(_, value)| words(value)).collect();
    let is_ours = |address: &&Address| top.iter().any(|word| address.same_as(word));
    let (ours, others): (Vec<_>, Vec<_>) = message.delivered_to.iter().partition(is_ours);
    let mut tiers = vec![ours, others];
    if mailbox.believe_to || message.delivered_to.is_empty() {
        tiers.push(message.to.iter().chain(&message.cc).collect());
    }
    tiers
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| c.is_whitespace() || "<>,;".contains(c)).filter(|word| !word.is_empty())
}

/// Each recipient that the table names, with its customer. Every answer comes to the mailbox's own address, so for an
/// answer it says nothing.
fn named<'a, 'm>(mailbox: &'a Mailbox, tier: &[&'m Address], is_answer: bool) -> Vec<(&'m str, &'a str)> {
    let own = mailbox.address.as_str();
    let says_something = |address: &&&Address| !is_answer || !is_own(&address.address, own);
    let named = tier.iter().filter(says_something).filter_map(|address| {
        let customer = mailbox.recipients.customer_of(&address.address, own)?;
        Some((address.address.as_str(), customer))
    });
    named.collect()
}

/// Whether it is the mailbox's own address, as it is or with the tag of an answer.
fn is_own(address: &str, own: &str) -> bool {
    let Some(((local, domain), (own_local, own_domain))) = address.rsplit_once('@').zip(own.rsplit_once('@')) else {
        return false;
    };
    let (base, tag) = local.split_once('+').unwrap_or((local, "c-"));
    tag.get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case("c-"))
        && base.eq_ignore_ascii_case(own_local)
        && domain.eq_ignore_ascii_case(own_domain)
}

fn unknown(message: &Message) -> String {
    let known = if message.delivered_to.is_empty() { &message.to } else { &message.delivered_to };
    match known.first() {
        Some(first) => format!("no customer is configured for its recipient {}", first.address),
        None => "nothing tells who it was sent to".to_owned(),
    }
}

/// `a@acme.example (acme), b@globex.example (globex)`
fn list(found: &[(&str, &str)]) -> String {
    let told: Vec<_> = found.iter().take(10).map(|(address, customer)| format!("{address} ({customer})")).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::{Maildir, Source};

    fn mailbox(more: &str) -> Mailbox {
        let source = "name = 'ap'\ncustomer = 'shared'\nkind = 'maildir'\npath = 'x'\naddress = 'ap@shared.example'\n";
        let table =
            "recipients = {'pay@acme.example' = 'acme', '@globex.example' = 'globex', '+initech' = 'initech'}\n";
        let mailbox: Mailbox = toml::from_str(&format!("{source}plus_address = true\n{table}{more}")).unwrap();
        assert!(matches!(mailbox.source, Source::Maildir(Maildir { .. })));
        mailbox
    }

    /// Whose a mail with these header fields is, or why it is nobody's.
    fn whose(mailbox: &Mailbox, header: &str, asked_by: Option<&'static str>) -> String {
        let raw = format!("{header}From: a@b.example\n\nHello\n");
        let options = crate::mime::Options { limits: &Default::default(), authserv_ids: &[] };
        let message = crate::mime::parse(raw.as_bytes(), &options).unwrap();
        let found = customer_of(mailbox, &message, asked_by);
        found.map_or_else(|reason| reason, str::to_owned)
    }

    #[test]
    fn where_it_was_delivered_says_whose_it_is() {
        let mailbox = mailbox("");
        let check = |header: &str, expected: &str| assert_eq!(whose(&mailbox, header, None), expected, "{header}");
        check("Delivered-To: PAY@Acme.example\n", "acme");
        check("X-Original-To: anybody@globex.example\nDelivered-To: ap@shared.example\n", "globex");
        check("Envelope-To: <ap+Initech@shared.example>\nTo: pay@acme.example\n", "initech");
        check("Delivered-To: ap@shared.example\nTo: pay@acme.example\n", "shared"); // To is the sender's word
        check("Delivered-To: pay@acme.example\nTo: x@globex.example\n", "acme"); // a blind copy
        check("To: x@elsewhere.example\nCc: pay@acme.example\n", "acme"); // nothing else is there
        check("To: x@elsewhere.example\n", "shared");
        check("", "shared");
        // A forwarding on the way: the last server knows only the shared mailbox, the one before it whose mail it was.
        let hop = "Received: from a.example by b.example; Mon, 02 Mar 2026 09:00:00 +0000\n";
        check(&format!("Delivered-To: ap@shared.example\n{hop}Delivered-To: pay@acme.example\n"), "acme");
        // What our server wrote counts before what stands below, which may be the sender's.
        check(&format!("Delivered-To: pay@acme.example\n{hop}Delivered-To: x@globex.example\n"), "acme");
        check(&format!("Delivered-To: xpay@acme.example\n{hop}Delivered-To: pay@acme.example\n"), "acme");
    }

    #[test]
    fn recipients_of_two_customers_are_never_guessed() {
        let ambiguous = |header: &str, told: &str| {
            let expected = format!("its recipients belong to several customers: {told}");
            assert_eq!(whose(&mailbox(""), header, None), expected, "{header}");
        };
        let both = "pay@acme.example (acme), x@globex.example (globex)";
        ambiguous("Delivered-To: pay@acme.example\nDelivered-To: x@globex.example\n", both);
        ambiguous("To: pay@acme.example\nCc: x@globex.example\n", both);
        let same = "Delivered-To: x@globex.example\nX-Original-To: y@globex.example\n";
        assert_eq!(whose(&mailbox(""), same, None), "globex");
    }

    #[test]
    fn an_admin_may_quarantine_the_unknown_and_believe_to() {
        let strict = mailbox("unknown_recipient = 'quarantine'\n");
        let told = "no customer is configured for its recipient ap@shared.example";
        assert_eq!(whose(&strict, "Delivered-To: ap@shared.example\nTo: pay@acme.example\n", None), told);
        assert_eq!(whose(&strict, "", None), "nothing tells who it was sent to");
        let believing = mailbox("believe_to = true\nunknown_recipient = 'quarantine'\n");
        assert_eq!(whose(&believing, "Delivered-To: ap@shared.example\nTo: pay@acme.example\n", None), "acme");
        assert_eq!(whose(&believing, "Delivered-To: x@globex.example\nTo: pay@acme.example\n", None), "globex");
    }

    #[test]
    fn an_answer_belongs_to_whoever_asked() {
        let strict = mailbox("unknown_recipient = 'quarantine'\n");
        let check =
            |header: &str, expected: &str| assert_eq!(whose(&strict, header, Some("acme")), expected, "{header}");
        check("Delivered-To: ap@shared.example\n", "acme");
        check("Delivered-To: ap+c-0123@shared.example\n", "acme");
        check("Delivered-To: pay@acme.example\n", "acme");
        check("", "acme");
        let told = "it answers a notice of acme, and was sent to x@globex.example (globex)";
        check("Delivered-To: x@globex.example\n", told);
        let own: Mailbox =
            Mailbox { recipients: toml::from_str("'ap@shared.example' = 'globex'").unwrap(), ..mailbox("") };
        assert_eq!(whose(&own, "Delivered-To: ap@shared.example\n", Some("acme")), "acme");
        assert_eq!(whose(&own, "Delivered-To: ap@shared.example\n", None), "globex");
    }

    #[test]
    fn without_a_table_it_is_the_mailboxes_own_customer() {
        let plain = Mailbox { recipients: Default::default(), ..mailbox("") };
        assert_eq!(whose(&plain, "Delivered-To: pay@acme.example\n", None), "shared");
    }
}
