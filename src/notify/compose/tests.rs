//! Tests of composing: the mail is read back by another parser.

use chrono::TimeZone;
use mail_parser::{HeaderValue, MessageParser, MimeHeaders};

use super::*;
use crate::domain::ids::NoticeId;
use crate::notify::Auto;

pub(in crate::notify) fn sample() -> Outgoing {
    Outgoing {
        id: NoticeId::new(),
        from: Address::named("Countersign", "ap@acme.example"),
        to: Address::named("Olivia Brandt", "olivia@acme.example"),
        reply_to: Some(Address::new("ap+t0ken@acme.example")),
        message_id: "0199-abc@acme.example".into(),
        in_reply_to: None,
        references: vec![],
        subject: "Approve?".into(),
        text: "Hello\nWorld\n".into(),
        html: None,
        attachments: vec![],
        auto: Auto::Generated,
        date: chrono::Utc.with_ymd_and_hms(2026, 11, 22, 9, 30, 0).unwrap(),
    }
}

fn composed(change: impl FnOnce(&mut Outgoing)) -> String {
    let mut mail = sample();
    change(&mut mail);
    String::from_utf8(compose(&mail).unwrap().bytes).unwrap()
}

fn parsed<T>(raw: &str, look: impl FnOnce(&mail_parser::Message<'_>) -> T) -> T {
    look(&MessageParser::default().parse(raw.as_bytes()).unwrap())
}

#[test]
fn a_mail_carries_every_field_that_correlates_it_and_keeps_loops_out() {
    let raw = composed(|mail| {
        mail.in_reply_to = Some("second@x.example".into());
        mail.references = vec!["first@x.example".into(), "second@x.example".into()];
        mail.html = Some("<p>Hello</p>".into());
        mail.auto = Auto::Replied;
    });
    for line in [
        "From: Countersign <ap@acme.example>",
        "To: \"Olivia Brandt\" <olivia@acme.example>",
        "Reply-To: ap+t0ken@acme.example",
        "Message-ID: <0199-abc@acme.example>",
        "In-Reply-To: <second@x.example>",
        "References: <first@x.example>\r\n <second@x.example>",
        "Date: Sun, 22 Nov 2026 09:30:00 +0000",
        "Auto-Submitted: auto-replied",
        "X-Auto-Response-Suppress: All",
        "MIME-Version: 1.0",
    ] {
        assert!(raw.contains(&format!("{line}\r\n")), "{line} in {raw}");
    }
    parsed(&raw, |mail| {
        assert_eq!(mail.content_type().unwrap().subtype(), Some("alternative"));
        assert_eq!(mail.body_text(0).unwrap(), "Hello\r\nWorld\r\n");
        assert_eq!(mail.body_html(0).unwrap(), "<p>Hello</p>");
        assert!(matches!(mail.references(), HeaderValue::TextList(ids) if ids.len() == 2));
    });
}

#[test]
fn odd_names_and_subjects_come_back_as_they_were() {
    let long = format!("Freigabe für {} – „Größe“ 発注書", "Zulieferung ".repeat(40).trim_end());
    for name in ["Łukasz Ćwikła", "O'Neil, \"Bob\" <x>", "王小明", "a\\b", "=?utf-8?q?odd?=", "x@y.example"] {
        let raw = composed(|mail| {
            mail.to = Address::named(name, "olivia@acme.example");
            mail.subject = long.clone();
        });
        assert!(raw.lines().all(|line| line.len() <= 998) && raw.is_ascii(), "{raw}");
        parsed(&raw, |mail| {
            let to = mail.to().unwrap().first().unwrap();
            assert_eq!((to.name(), to.address()), (Some(name), Some("olivia@acme.example")));
            assert_eq!(mail.subject(), Some(long.as_str()));
        });
    }
}

#[test]
fn line_breaks_in_values_add_no_field_and_no_recipient() {
    let evil = "x\r\nBcc: eve@evil.example\r\n\r\nbody\n\u{2028}y\u{0}";
    let raw = composed(|mail| {
        mail.subject = evil.into();
        mail.to.name = Some(evil.into());
        mail.in_reply_to = Some(format!("a@b>{evil}"));
        mail.references = vec![evil.into(), "fine@x.example".into(), "with blank@x".into(), String::new()];
        mail.attachments = vec![File { name: evil.into(), content_type: evil.into(), bytes: b"1".to_vec() }];
    });
    parsed(&raw, |mail| {
        assert!(mail.bcc().is_none() && mail.header("In-Reply-To").is_none());
        assert_eq!(mail.subject(), Some("x Bcc: eve@evil.example body y"));
        assert_eq!(mail.references().as_text(), Some("fine@x.example"));
        assert_eq!(mail.to().unwrap().iter().count(), 1);
        assert_eq!(mail.attachment(0).unwrap().attachment_name(), Some("x Bcc: eve@evil.example body y"));
    });
    for (field, change) in [
        ("To", (|mail, bad| mail.to = Address::new(bad)) as fn(&mut Outgoing, &str)),
        ("From", |mail, bad| mail.from = Address::new(bad)),
        ("Reply-To", |mail, bad| mail.reply_to = Some(Address::new(bad))),
    ] {
        for bad in ["", "nobody", "a@b\r\nBcc: c@d.example", "a@b.example, c@d.example", "a b@c.example"] {
            let mut mail = sample();
            change(&mut mail, bad);
            let error = compose(&mail).unwrap_err();
            assert!(matches!(error, ComposeError::Address { field: named, .. } if named == field), "{error}");
        }
    }
    let mut mail = sample();
    mail.message_id = "a@b>\r\nBcc: c@d.example".into();
    assert!(matches!(compose(&mail), Err(ComposeError::MessageId(_))));
}

#[test]
fn attachments_arrive_byte_for_byte_with_their_names() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let files = [
        ("Rechnung Größe 4711.pdf", "application/pdf", bytes.clone(), "application/pdf"),
        ("a \"b\".csv", "text/csv; charset=utf-8", b"a\nb\r\nc\rd".to_vec(), "text/csv"),
        ("was.eml", "message/rfc822", b"From: x\n\r\ny".to_vec(), "application/octet-stream"),
        ("", "nonsense", vec![], "application/octet-stream"),
    ];
    for html in [None, Some("<p>x</p>".to_owned())] {
        let raw = composed(|mail| {
            mail.html = html;
            let file = |(name, kind, bytes, _): &(&str, &str, Vec<u8>, &str)| File {
                name: (*name).into(),
                content_type: (*kind).into(),
                bytes: bytes.clone(),
            };
            mail.attachments = files.iter().map(file).collect();
        });
        parsed(&raw, |mail| {
            assert_eq!(mail.attachment_count(), files.len());
            for (part, (name, _, bytes, kind)) in mail.attachments().zip(&files) {
                assert_eq!(part.contents(), bytes, "{name}");
                assert_eq!(part.attachment_name(), Some(if name.is_empty() { "attachment" } else { name }));
                let found = part.content_type().unwrap();
                assert_eq!(format!("{}/{}", found.ctype(), found.subtype().unwrap()), *kind);
            }
            assert_eq!(mail.body_text(0).unwrap().trim_end(), "Hello\r\nWorld");
        });
    }
}

#[test]
fn text_survives_long_lines_dots_and_any_line_end() {
    let text = format!("first\r\nsecond\rthird\n.\n.dot\nFrom here\n{}\n€ ende", "long ".repeat(600));
    let raw = composed(|mail| mail.text = text.clone());
    assert!(raw.is_ascii() && raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
    let body = parsed(&raw, |mail| mail.body_text(0).unwrap().into_owned());
    assert_eq!(body.replace("\r\n", "\n").trim_end(), text.replace("\r\n", "\n").replace('\r', "\n"));
}

#[test]
fn a_long_thread_keeps_its_first_and_its_latest_ids_whole() {
    let long = format!("{}@x.example", "i".repeat(300));
    let raw = composed(|mail| {
        mail.references = (0..50).map(|n| format!("id{n}@x.example")).chain([long.clone()]).collect();
        mail.in_reply_to = Some(long.clone());
    });
    assert!(raw.contains(&format!("\r\nIn-Reply-To: <{long}>\r\n")));
    parsed(&raw, |mail| match mail.references() {
        HeaderValue::TextList(ids) => {
            assert_eq!((ids.len(), &*ids[0], &*ids[1], &*ids[19]), (20, "id0@x.example", "id32@x.example", &*long));
        }
        other => panic!("{other:?}"),
    });
}

#[test]
fn the_address_of_a_configuration_file_is_read_with_or_without_a_name() {
    assert_eq!(address("Countersign <AP@Acme.Example>").unwrap(), Address::named("Countersign", "AP@acme.example"));
    assert_eq!(address("ap@acme.example").unwrap(), Address::new("ap@acme.example"));
    assert_eq!(address("nobody").unwrap_err().to_string(), "address: `nobody` is no mail address");
}

#[test]
fn a_whole_mail_goes_as_one_byte_for_byte_and_as_a_file_where_that_could_change_it() {
    let check = |raw: &[u8], expected: Option<&[u8]>| {
        let mail = File { name: "message.eml".into(), content_type: "message/rfc822".into(), bytes: raw.to_vec() };
        let composed = composed(|outgoing| outgoing.attachments = vec![mail]);
        assert_eq!(composed.contains("Content-Type: message/rfc822\r\n"), expected.is_some(), "{composed}");
        match expected {
            Some(bytes) => assert!(composed.contains(&format!("\r\n\r\n{}\r\n--", String::from_utf8_lossy(bytes)))),
            None => parsed(&composed, |mail| assert_eq!(mail.attachments().next().unwrap().contents(), raw)),
        }
    };
    let mail = b"Subject: x\r\n\r\nHello\r\n.\r\n  \r\n\r\n";
    check(mail, Some(mail));
    check(b"Subject: x\n\nas a Maildir keeps it\n", Some(b"Subject: x\r\n\r\nas a Maildir keeps it\r\n"));
    check("Subject: x\r\n\r\nf\u{fc}r\r\n".as_bytes(), None);
    check(b"Subject: x\r\n\r\na lone \r and\r\n", None);
    check(b"Subject: x\r\n\r\none\ntwo\r\n", None);
    check(&[b"Subject: x\r\n\r\n".to_vec(), vec![b'a'; 1200]].concat(), None);
}
