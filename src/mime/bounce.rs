//! Delivery status notifications (RFC 3464): which mail was not delivered, to whom, and why.

use crate::domain::message::Bounce;

use super::fields::{Entity, clean_line};

/// Reads the body of a `message/delivery-status` part; `of` are the Message-IDs of the returned mail or header.
/// Of several recipients the first that failed is told, else the first.
pub fn read(delivery_status: &[u8], of: Vec<String>) -> Bounce {
    let mut found: Option<Bounce> = None;
    let mut rest = delivery_status;
    // Each group of fields is a header section; more groups than recipients of one mail are noise.
    for _ in 0..200 {
        rest = rest.trim_ascii_start();
        let group = Entity::split(rest);
        if group.fields.is_empty() {
            break;
        }
        rest = group.body;
        if group.field("action").is_none() && group.field("final-recipient").is_none() {
            continue;
        }
        let recipient = ["final-recipient", "original-recipient"].into_iter().find_map(|name| group.field(name));
        let action = group.value("action").split([' ', '(', ';']).next().unwrap_or("").to_lowercase();
        let status = group.value("status").split([' ', '(']).next().unwrap_or("").to_owned();
        let fails = action == "failed";
        if found.is_none() || fails {
            let (action, status) = (clean_line(&action), clean_line(&status));
            found = Some(Bounce { of: vec![], recipient: recipient.and_then(|f| address(&f.value)), action, status });
        }
        if fails {
            break;
        }
    }
    Bounce { of, ..found.unwrap_or_default() }
}

/// The address of `rfc822; <local@domain>`.
fn address(value: &str) -> Option<String> {
    let address = value.split_once(';').map_or(value, |(_, address)| address);
    let address = clean_line(address.trim().trim_start_matches('<').trim_end_matches('>'));
    (!address.is_empty()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_recipient_is_told() {
        let status =
            b"Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: delayed\r\n\
            Status: 4.4.1\r\n\r\nFinal-Recipient: RFC822; <c@d.example>\r\nAction: Failed\r\nStatus: 5.1.1 (bad)\r\n";
        let expected = Bounce {
            of: vec!["m@x".into()],
            recipient: Some("c@d.example".into()),
            action: "failed".into(),
            status: "5.1.1".into(),
        };
        assert_eq!(read(status, vec!["m@x".into()]), expected);
    }

    #[test]
    fn control_characters_are_no_part_of_a_status() {
        let found = read(b"Final-Recipient: rfc822; a\0@b.example\nAction: fai\0led\nStatus: \0\x055.1.1\n", vec![]);
        let expected = ("fai led".into(), "5.1.1".into(), Some("a @b.example".into()));
        assert_eq!((found.action, found.status, found.recipient), expected);
    }

    #[test]
    fn rubbish_is_a_bounce_without_facts() {
        assert_eq!(read(b"no fields here", vec![]), Bounce::default());
        assert_eq!(read(b"", vec![]), Bounce::default());
    }
}
