//! The parser as a whole: samples of ours, and inputs that nobody meant.

use std::fmt::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A message that must parse, with usual limits.
pub fn parsed(raw: &[u8]) -> Message {
    parse_with(raw, &Limits::default()).unwrap()
}

fn parse_with(raw: &[u8], limits: &Limits) -> Result<Message, Unparsable> {
    parse(raw, &Options { limits, authserv_ids: &["mx.acme.example".to_owned()] })
}

fn samples() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/mime");
    let paths = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "eml")).collect();
    paths.sort();
    assert!(paths.len() >= 200, "samples are missing from {}", folder.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// What is checked of a sample, as it stands in its `.facts` file.
fn facts(message: &Message) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(out, "{name}: {}", value.replace('\n', "\\n")).unwrap();
        }
    };
    let list = |people: &[Address]| people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    line("from", list(&message.from));
    line("reply-to", list(&message.reply_to));
    line("delivered-to", list(&message.delivered_to));
    line("return-path", message.return_path.as_ref().map(|path| format!("<{path}>")).unwrap_or_default());
    line("subject", message.subject.clone());
    line("answers", message.answers.join(" "));
    line("text", message.text.clone());
    line("fresh", reply::fresh_text(message));
    if message.text_is_from_html {
        line("text is from", "html".into());
    }
    for part in &message.parts {
        let mut text = format!("{} {} {} bytes", part.kind, part.role, part.size_bytes);
        if let Some(container) = part.container {
            write!(text, " in {container}").unwrap();
        }
        if let Some(twin) = part.twin_of {
            write!(text, " twin of {twin}").unwrap();
        }
        write!(text, " {}", part.name.as_deref().unwrap_or("-")).unwrap();
        line(&format!("part {}", part.index), text);
    }
    line("innermost from", message.innermost_from.as_ref().map(ToString::to_string).unwrap_or_default());
    line("automatic", message.automatic.map(|a| a.to_string()).unwrap_or_default());
    line("bounce", message.bounce.as_ref().map(|bounce| format!("{bounce:?}")).unwrap_or_default());
    line(
        "author proven",
        message.author().and_then(|author| message.authentication.proves(author)).unwrap_or_default(),
    );
    line("defects", message.defects.join("; "));
    out
}

#[test]
fn every_sample_tells_its_facts() {
    let mut wrong = vec![];
    for (path, raw) in samples() {
        let found = facts(&parsed(&raw));
        let expected = std::fs::read_to_string(path.with_extension("facts"))
            .unwrap_or_else(|error| panic!("{} has no facts beside it: {error}", path.display()));
        if found != expected {
            wrong.push(format!("{}\n-- found\n{found}-- expected\n{expected}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_message_is_refused_with_its_reason() {
    let check = |raw: &[u8], expected: &str| {
        let limits = Limits { message_bytes: 100, ..Limits::default() };
        let reason = parse_with(raw, &limits).err().map(|error| error.reason);
        assert_eq!(reason.as_deref(), Some(expected), "{:?}", String::from_utf8_lossy(raw));
    };
    check(b"", "empty");
    check(b"no header at all\nreally none\n", "not_mime");
    check(b"\n\nbody only", "not_mime");
    check(&[0; 50], "not_mime");
    check(&[b'A'; 101], "too_large");
}

#[test]
fn a_redelivered_mail_has_the_same_stable_hash() {
    for (path, raw) in samples() {
        let first = parsed(&raw);
        let again = [b"Delivered-To: other@acme.example\nReceived: by other.example\n".as_slice(), &raw].concat();
        // What must stand on top cannot be delivered with more above it.
        if raw.starts_with(b"From ") || raw.starts_with(b"\xef\xbb\xbf") {
            continue;
        }
        let second = parsed(&again);
        assert_eq!(first.stable_sha256, second.stable_sha256, "{}", path.display());
        assert_ne!(first.raw_sha256, second.raw_sha256);
    }
    let changed =
        |subject: &str| parsed(format!("From: a@b.example\nSubject: {subject}\n\nx").as_bytes()).stable_sha256;
    assert_ne!(changed("one"), changed("two"));
    let body = |body: &str| parsed(format!("From: a@b.example\n\n{body}").as_bytes()).stable_sha256;
    assert_ne!(body("one"), body("two"));
    assert_eq!(body("one\ntwo\n"), body("one\r\ntwo\r\n\r\n"), "line ends are the transport's");
}

#[test]
fn a_spent_budget_refuses_parts_and_says_so() {
    let check = |sample: &str, limits: Limits, role_count: usize, defect: &str| {
        let (_, raw) = samples().into_iter().find(|(path, _)| path.ends_with(format!("{sample}.eml"))).unwrap();
        let message = parse_with(&raw, &limits).unwrap();
        let refused = message.parts.iter().filter(|p| p.role == crate::domain::message::PartRole::Refused).count();
        assert_eq!(refused, role_count, "{sample}: {:?}", message.parts);
        assert!(message.defects.iter().any(|found| found.contains(defect)), "{sample}: {:?}", message.defects);
    };
    check(
        "pdf-attached",
        Limits { unpacked_bytes: 60, ..Limits::default() },
        1,
        "larger than what may still be unpacked",
    );
    check("zip-in-zip", Limits { depth: 1, ..Limits::default() }, 1, "nested too deeply");
    check("zip-in-zip", Limits { depth: 0, ..Limits::default() }, 1, "nested too deeply");
    // What was unpacked in vain is paid for all the same.
    let two_bombs = Limits { unpacked_bytes: 2 << 20, ..Limits::default() };
    check("zip-of-bombs", two_bombs, 4, "part 6 unpacks to more than is allowed");
    check("zip-with-folder", Limits { parts: 4, ..Limits::default() }, 0, "too many parts");
    check("pdf-attached", Limits { parts: 2, ..Limits::default() }, 0, "too many parts");
}

#[test]
fn endless_nesting_ends() {
    let mut deep = String::from("From: a@b.example\n");
    for level in 0..500 {
        write!(deep, "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n").unwrap();
    }
    let message = parsed(deep.as_bytes());
    assert!(message.defects.iter().any(|defect| defect.contains("nested too deeply")), "{:?}", message.defects);
    let forwarded = "From: a@b.example\nContent-Type: message/rfc822\n\n".repeat(500);
    let message = parsed(forwarded.as_bytes());
    assert!(message.parts.len() < 50 && message.defects.iter().any(|defect| defect.contains("nested too deeply")));
}

#[test]
fn a_large_message_is_one_copy_of_its_parts() {
    let attachment = "QUJD".repeat(19).to_owned() + "\r\n";
    let mut raw = b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_vec();
    raw.extend(b"Content-Transfer-Encoding: base64\r\nContent-Type: application/octet-stream\r\n\r\n");
    raw.extend(attachment.repeat((24 << 20) / attachment.len()).as_bytes());
    raw.extend(b"\r\n--b--\r\n");
    let message = parsed(&raw);
    let parts = message.parts.len();
    let held: usize =
        message.parts.into_iter().map(|part| part.content.try_into_mut().expect("nobody else has it").capacity()).sum();
    assert!(parts == 1 && held < raw.len(), "{held} bytes held for {}", raw.len());
}

#[test]
fn texts_never_hold_what_a_database_refuses() {
    for (path, raw) in samples() {
        let message = parsed(&raw);
        assert!(!serde_json::to_string(&message).unwrap().contains("\\u0000"), "{}", path.display());
    }
}

/// Budget small enough to be reached.
fn tight() -> Limits {
    Limits { unpacked_bytes: 20_000, parts: 12, depth: 4, ..Limits::default() }
}

/// Holds for whatever comes in.
fn stays_within_bounds(raw: &[u8]) {
    let limits = tight();
    let Ok(message) = parse_with(raw, &limits) else { return };
    let bytes: u64 = message.parts.iter().map(|part| part.size_bytes).sum();
    assert!(bytes <= limits.unpacked_bytes && message.parts.len() <= 2 * limits.parts as usize);
    let again = parse_with(raw, &limits).unwrap();
    assert_eq!(message.stable_sha256, again.stable_sha256);
    let hashes = |message: &Message| message.parts.iter().map(|part| part.sha256.clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&message), hashes(&again));
    reply::fresh_text(&message);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(parse_with(&body, &tight()).err().is_none_or(|error| error.reason != "parser_panicked"));
        stays_within_bounds(&[b"From: a@b.example\nContent-Type: text/html\n\n".as_slice(), &body].concat());
        stays_within_bounds(&[b"From: ".as_slice(), &body].concat());
    }

    #[test]
    fn mutated_samples_stay_within_bounds(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let samples = samples();
        let mut raw = samples[which.index(samples.len())].1.clone();
        for (at, byte) in changes {
            let at = at.index(raw.len());
            raw[at] = byte;
        }
        if cuts {
            raw.truncate(cut.index(raw.len()));
        }
        let panicked = parse_with(&raw, &tight()).err().is_some_and(|error| error.reason == "parser_panicked");
        prop_assert!(!panicked);
        stays_within_bounds(&raw);
    }
}
