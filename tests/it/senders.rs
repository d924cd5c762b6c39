//! Verifying senders ourselves: real signatures and a real name server, on this machine.

mod dns;
mod signing;

use std::time::Instant;

use aws_lc_rs::rsa::KeySize;
use countersign::config::sections::Limits;
use countersign::domain::message::AuthResult::{self, Fail, None as NoResult, Pass, PermError, Policy, TempError};
use countersign::domain::message::{Authentication, Message};
use countersign::domain::run::RunStatus;
use countersign::mime;
use dns::{Else, NameServer};
use signing::{ed25519, rsa};

use crate::app::{Mail, NORDWIND, OLIVIA, TestApp, answer, invoice, mail};

const REJECT: &str = "_dmarc.acme.example TXT v=DMARC1; p=reject";

fn letter() -> Vec<u8> {
    mail(OLIVIA, "Lunch", "Approved").unproven().raw()
}

fn read(raw: &[u8]) -> Message {
    mime::parse(raw, &mime::Options { limits: &Limits::default(), authserv_ids: &[] }).expect("a mail")
}

/// Verifies a mail by these records.
async fn verify(raw: &[u8], records: &[String]) -> Authentication {
    let server = NameServer::start(records, Else::NoSuchName);
    server.verifier(10).verify(raw, &read(raw), &["mx.acme.example".into()]).await
}

/// `dkim dmarc proof`, and the evidence behind it for whoever reads a failure.
async fn check(raw: &[u8], records: &[String], dkim: &[AuthResult], dmarc: AuthResult, proven: bool) -> String {
    let found = verify(raw, records).await;
    let evidence = found.evidence.clone().unwrap_or_default();
    let results: Vec<_> = found.dkim.iter().map(|(result, _)| *result).collect();
    let proof = read(raw).author().and_then(|author| found.proves(author));
    assert_eq!((results.as_slice(), found.dmarc, proof.is_some()), (dkim, Some(dmarc), proven), "{evidence}");
    assert!(found.locally && found.authserv_id.is_none());
    evidence
}

#[tokio::test]
async fn a_signature_of_the_authors_domain_proves_them_and_says_how() {
    let key = ed25519("acme.example");
    let records = [key.record(), REJECT.into()];
    let signed = key.sign(&letter());
    let found = verify(&signed, &records).await;
    let author = read(&signed).author().cloned().expect("an author");
    assert_eq!(found.proves(&author).as_deref(), Some("dmarc=pass for acme.example, verified locally"));
    assert_eq!(
        found.evidence.as_deref(),
        Some(
            "locally;\n dkim=pass header.d=acme.example header.s=s1 header.a=ed25519-sha256;\n \
             (spf was not checked: no Received field says from where it came);\n \
             dmarc=pass header.from=acme.example policy.dmarc=reject"
        )
    );
    let key = rsa("acme.example", KeySize::Rsa2048);
    let records = [key.record()];
    check(&key.sign(&letter()), &records, &[Pass], NoResult, true).await;
}

#[tokio::test]
async fn what_is_signed_cannot_be_changed_and_what_is_not_can() {
    let key = ed25519("acme.example");
    let records = [key.record(), REJECT.into()];
    let signed = String::from_utf8(key.sign(&letter())).expect("text");
    for (old, new) in [("Approved", "Approvee"), ("Subject: Lunch", "Subject: Lunches"), ("olivia@", "oliver@")] {
        let changed = signed.replace(old, new);
        assert_ne!(changed, signed);
        check(changed.as_bytes(), &records, &[Fail], Fail, false).await;
    }
    let forwarded = format!("Received: from a by b\r\nX-Spam: no\r\n{signed}\r\n\r\n");
    check(forwarded.as_bytes(), &records, &[Pass], Pass, true).await;
    let stored = signed.replace("\r\n", "\n");
    check(stored.as_bytes(), &records, &[Pass], Pass, true).await;
}

#[tokio::test]
async fn a_signature_of_another_domain_proves_nothing() {
    for domain in ["evil.example", "notacme.example", "example"] {
        let key = ed25519(domain);
        let records = [key.record(), REJECT.into()];
        check(&key.sign(&letter()), &records, &[Pass], Fail, false).await;
    }
    let key = ed25519("mail.acme.example");
    let records = [key.record(), REJECT.into()];
    check(&key.sign(&letter()), &records, &[Pass], Pass, true).await;
    let key = ed25519("mail.acme.example");
    let records = [key.record(), format!("{REJECT}; adkim=s")];
    check(&key.sign(&letter()), &records, &[Pass], Fail, false).await;
}

#[tokio::test]
async fn customers_of_a_registry_with_a_record_do_not_speak_for_each_other() {
    let key = ed25519("mallory.gov.example");
    let records = [key.record(), "_dmarc.gov.example TXT v=DMARC1; p=reject".into()];
    let raw = mail("alice@treasury.gov.example", "Hello", "Approved").unproven().raw();
    check(&key.sign(&raw), &records, &[Pass], Policy, false).await;
}

#[tokio::test]
async fn several_authors_are_nobody() {
    let two = mail("olivia@acme.example, mallory@evil.example", "Hello", "Approved").unproven().raw();
    let key = ed25519("acme.example");
    let records = [key.record(), REJECT.into()];
    check(&key.sign(&two), &records, &[Policy], PermError, false).await;

    let key = ed25519("evil.example");
    let records = [key.record(), REJECT.into()];
    let signed = key.sign(&mail("mallory@evil.example", "Hello", "Approved").unproven().raw());
    let on_top = [b"From: olivia@acme.example\r\n", signed.as_slice()].concat();
    check(&on_top, &records, &[Policy], PermError, false).await;
}

#[tokio::test]
async fn a_header_that_readers_could_disagree_on_proves_nothing() {
    let key = ed25519("acme.example");
    let records = [key.record(), REJECT.into()];
    let signed = key.sign(&letter());
    for prefix in ["X: y\r\nnonsense\r\nApprove\r\n\r\n", "X: y\r\n \r\n", "From olivia Mon Mar 2\r\n", "X : y\r\n"] {
        let raw = [prefix.as_bytes(), &signed].concat();
        check(&raw, &records, &[], PermError, false).await;
    }
}

#[tokio::test]
async fn a_weak_signature_is_no_proof() {
    let key = ed25519("acme.example");
    let records = [key.record()];
    check(&key.sign_fields(&letter(), &["To", "Subject"]), &records, &[Policy], NoResult, false).await;

    let key = ed25519("acme.example");
    let records = [key.record_with(" t=y;")];
    let evidence = check(&key.sign(&letter()), &records, &[Policy], NoResult, false).await;
    assert!(evidence.contains("in testing"), "{evidence}");

    let key = ed25519("acme.example");
    let revoked = "s1._domainkey.acme.example TXT v=DKIM1; p=".to_owned();
    check(&key.sign(&letter()), &[revoked], &[PermError], NoResult, false).await;
}

#[tokio::test]
async fn without_records_nothing_is_proven_and_nothing_fails() {
    let evidence = check(&letter(), &[], &[], NoResult, false).await;
    assert!(evidence.contains("dkim=none"), "{evidence}");
    let key = ed25519("acme.example");
    check(&key.sign(&letter()), &[], &[PermError], NoResult, false).await;
}

/// As our border writes it, from a client at this address.
fn received(client: &str, mail_from: &str, raw: &[u8]) -> Vec<u8> {
    let head = format!(
        "Return-Path: <{mail_from}>\r\nReceived: from out.acme.example (unknown [{client}])\r\n\tby mx.acme.example \
         (Postfix) with ESMTPS id 4; Mon, 2 Mar 2026 09:00:00 +0000\r\n"
    );
    [head.as_bytes(), raw].concat()
}

#[tokio::test]
async fn spf_speaks_for_the_domain_by_the_client_of_our_own_host() {
    let records = [
        "acme.example TXT v=spf1 ip4:192.0.2.0/28 include:spf.acme.example -all",
        "spf.acme.example TXT v=spf1 a:out.acme.example -all",
        "out.acme.example A 198.51.100.9",
        "evil.example TXT v=spf1 +all",
        REJECT,
    ]
    .map(str::to_owned);
    let check = async |raw: Vec<u8>, spf: Option<AuthResult>, dmarc: AuthResult| {
        let found = verify(&raw, &records).await;
        assert_eq!((found.spf, found.dmarc), (spf, Some(dmarc)), "{:?}", found.evidence);
        assert_eq!(found.proves(read(&raw).author().expect("an author")).is_some(), dmarc == Pass);
    };
    check(received("192.0.2.7", "olivia@acme.example", &letter()), Some(Pass), Pass).await;
    check(received("198.51.100.9", "olivia@acme.example", &letter()), Some(Pass), Pass).await;
    check(received("203.0.113.5", "olivia@acme.example", &letter()), Some(Fail), Fail).await;
    check(received("203.0.113.5", "m@evil.example", &letter()), Some(Pass), Fail).await;
    let forged = received("192.0.2.7", "olivia@acme.example", &letter());
    check(received("203.0.113.5", "m@evil.example", &forged), Some(Pass), Fail).await;
    check([b"Received: from a by relay.isp.example\r\n", forged.as_slice()].concat(), None, Fail).await;
}

#[tokio::test]
async fn a_forwarder_who_changes_the_mail_seals_it_and_proves_nobody() {
    let (author, forwarder) = (ed25519("acme.example"), ed25519("list.example"));
    let records = [author.record(), forwarder.record(), REJECT.into()];
    let signed = author.sign(&letter());
    let sealed = forwarder.seal(&signed);
    let evidence = check(&sealed, &records, &[Pass], Pass, true).await;
    assert!(evidence.contains("arc=pass header.d=list.example"), "{evidence}");

    let forwarder = ed25519("list.example");
    let records = [records[0].clone(), forwarder.record(), REJECT.into()];
    let changed = [signed.as_slice(), b"-- \r\nthe list\r\n"].concat();
    let evidence = check(&forwarder.seal(&changed), &records, &[Fail], Fail, false).await;
    assert!(evidence.contains("arc=pass header.d=list.example"), "{evidence}");
}

#[tokio::test]
async fn dns_that_does_not_answer_is_a_temporary_error_in_time() {
    let raw = received("192.0.2.7", "olivia@acme.example", &ed25519("acme.example").sign(&letter()));
    for otherwise in [Else::Silent, Else::Fails] {
        let server = NameServer::start(&[], otherwise);
        let started = Instant::now();
        let found = server.verifier(1).verify(&raw, &read(&raw), &["mx.acme.example".into()]).await;
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
        let dkim = vec![(TempError, "acme.example".to_owned())];
        let evidence = &found.evidence;
        assert_eq!((&found.dkim, found.spf, found.dmarc), (&dkim, Some(TempError), Some(TempError)), "{evidence:?}");
    }
}

#[tokio::test]
async fn one_dead_domain_takes_nothing_from_the_others_proof() {
    let (key, slow) = (ed25519("acme.example"), ed25519("slow.example"));
    let records = [key.record(), REJECT.into(), "s1._domainkey.slow.example SILENT".into()];
    let signed = slow.sign(&key.sign(&letter()));
    let server = NameServer::start(&records, Else::NoSuchName);
    let found = server.verifier(4).verify(&signed, &read(&signed), &[]).await;
    let results: Vec<_> = found.dkim.iter().map(|(result, _)| *result).collect();
    assert_eq!((results, found.dmarc), (vec![Pass, TempError], Some(Pass)), "{:?}", found.evidence);
}

#[tokio::test]
async fn hundreds_of_signatures_and_huge_keys_are_bounded() {
    let key = ed25519("acme.example");
    let mut records = vec![key.record(), REJECT.into()];
    let mut raw = key.sign(&letter());
    let end = raw.windows(7).position(|bytes| bytes == b"\r\nFrom:").expect("a From field") + 2;
    let signature = String::from_utf8(raw[..end].to_vec()).expect("text");
    for number in 0..300 {
        let other = signature.replace("d=acme.example", &format!("d=n{number}.example"));
        assert_ne!(other, signature);
        raw = [other.as_bytes(), &raw].concat();
        records.push(format!("s1._domainkey.n{number}.example TXT v=DKIM1; k=rsa; p={}", "A".repeat(2000)));
    }
    let server = NameServer::start(&records, Else::NoSuchName);
    let found = server.verifier(10).verify(&raw, &read(&raw), &[]).await;
    assert_eq!((found.dkim.len(), found.dmarc), (8, Some(Pass)), "{:?}", found.evidence);
    assert!(found.evidence.expect("evidence").contains("293 more signatures"));
    assert!(server.asked() < 40, "{} questions", server.asked());

    let short = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAJx";
    for p in [short.to_owned(), "MII".to_owned() + &"/".repeat(3000), "====".into(), "MP//////////".into()] {
        let record = format!("s1._domainkey.acme.example TXT v=DKIM1; k=rsa; p={p}");
        let found = verify(&rsa("acme.example", KeySize::Rsa2048).sign(&letter()), &[record]).await;
        let Some((result, _)) = found.dkim.first() else { panic!("{:?}", found.evidence) };
        assert_ne!(*result, Pass);
    }
    let many = vec!["from"; 5000].join(":");
    let raw = String::from_utf8(raw).expect("text").replacen("h=", &format!("h={many}:"), 1);
    let found = verify(raw.as_bytes(), &records).await;
    assert_eq!(found.dmarc, Some(Pass), "{:?}", found.evidence);
}

#[tokio::test]
async fn a_mail_of_microsoft_365_is_proven_by_its_signature() {
    let key = ed25519("acme.example");
    let records = [key.record(), "_dmarc.acme.example TXT v=DMARC1; p=quarantine".into()];
    let signed = key.sign(&letter());
    // No authserv-id at all, which no configuration can name.
    let head = "Received: from DU2.eurprd05.prod.example (2001:db8:206::10)\r\n by DB9.eurprd05.prod.example \
        (2001:db8:10:1d9::19) with Microsoft SMTP Server; Mon, 2 Mar 2026 09:00:00 +0000\r\nAuthentication-Results: spf=pass \
        (sender IP is 192.0.2.7)\r\n smtp.mailfrom=evil.example; dkim=pass header.d=evil.example;\r\n dmarc=pass \
        action=none header.from=evil.example;compauth=pass reason=100\r\n";
    let raw = [head.as_bytes(), &signed].concat();
    let evidence = check(&raw, &records, &[Pass], Pass, true).await;
    assert!(evidence.contains("spf was not checked"), "{evidence}");
}

/// The product, which verifies by these records, with an invoice that waits for olivia.
async fn product(verify: &str, records: &[String], invoice: Vec<u8>) -> TestApp {
    let server = NameServer::start(records, Else::NoSuchName);
    let dns = format!("{verify}\n[dns]\nnameservers = [\"{}\"]", server.address);
    let app = TestApp::configured("authserv_ids = [\"mx.acme.example\"]", &dns).await;
    let row = app.receive(invoice).await;
    assert_eq!(row.verdict.as_deref(), Some("start"), "{:?}", row.reason);
    app
}

#[tokio::test]
async fn a_signed_reply_decides_where_no_server_is_believed() {
    let (nordwind, acme) = (ed25519("nordwind.example"), ed25519("acme.example"));
    let policies = ["nordwind.example", "acme.example"].map(|name| format!("_dmarc.{name} TXT v=DMARC1; p=reject"));
    let records = [&[nordwind.record(), acme.record()], policies.as_slice()].concat();
    let signed = nordwind.sign(&Mail::unproven(invoice()).raw());
    assert_eq!(read(&signed).author().map(|author| author.address.as_str()), Some(NORDWIND));
    let app = product("verify = \"locally\"", &records, signed).await;
    let asked = app.last_to(OLIVIA);
    let reply = answer(OLIVIA, &asked, "approve").unproven().raw();
    app.receive(reply.clone()).await;
    assert_eq!(app.said("AP-000001").await, ["olivia refused -"]);
    let asked = app.last_to(OLIVIA);
    let row = app.receive(acme.sign(&answer(OLIVIA, &asked, "approve").unproven().raw())).await;
    assert_eq!(app.said("AP-000001").await, ["olivia refused -", "olivia decided approve"]);
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Completed);
    let kept = countersign::store::reports::facts(&mut app.tx().await, row.id).await.expect("facts").expect("a mail");
    assert!(kept.authentication.evidence.is_some_and(|text| text.contains("dkim=pass header.d=acme.example")));
    app.finish().await;
}
