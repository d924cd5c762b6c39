//! What holds for whatever comes in as mail. Called by the fuzzer (`message.rs`) and by the tests (`tests/it/fuzz.rs`), which
//! send the corpus and the samples through it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::DateTime;
use countersign::config::sections::Limits;
use countersign::domain::document::DocumentRef;
use countersign::domain::event::sha256_hex;
use countersign::domain::message::{Message, PartKind};
use countersign::domain::person::{Customer, Supplier};
use countersign::domain::verdict::{Decision, Verdict};
use countersign::mime::{self, Options, Unparsable, reply};
use countersign::rules::{Facts, Known, RuleSet, Surroundings};
use unicode_normalization::is_nfc;

/// More than any input of a fuzzer's size may take, on a busy machine too.
const LONGEST: Duration = Duration::from_secs(10);
/// Fields and bytes of a header section that leave room for those that a second delivery adds.
const ROOM_FOR_FIELDS: usize = 900;
const ROOM_FOR_BYTES: usize = 200 << 10;

/// The rules of the product, with the workflow and the template that they name.
static RULES: LazyLock<RuleSet> = LazyLock::new(|| {
    RuleSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"), &known(), &|_| Err("no samples here".into()))
        .unwrap_or_else(|faults| panic!("rules/ap.toml is at fault: {}", faults[0]))
});

/// A customer with one supplier, whom every third sample comes from.
static CUSTOMER: LazyLock<Customer> = LazyLock::new(|| Customer {
    name: "acme".into(),
    aliases: vec![],
    suppliers: vec![Supplier {
        name: "Nordwind GmbH".into(),
        domains: vec!["nordwind.example".into()],
        addresses: vec![],
        ibans: vec![],
    }],
    users: vec![],
});

/// Bytes of a mail: no panic, within the budget, the same each time, safe to store and to show, and screened.
pub fn hold(raw: &[u8]) {
    let start = Instant::now();
    let limits = tight();
    let message = match parse(raw, &limits, &["mx.acme.example"]) {
        Ok(message) => message,
        Err(why) => return assert_ne!(why.reason, "parser_panicked"),
    };
    stays_within(&message, &limits);
    is_the_same_each_time(&message, raw, &limits);
    is_the_same_when_delivered_again(&message, raw, &limits);
    is_safe_to_keep(&message);
    is_screened(&message);
    claims_are_no_proof(raw, &limits);
    assert!(start.elapsed() < LONGEST, "it took {:?}", start.elapsed());
}

/// Limits small enough to be reached.
fn tight() -> Limits {
    Limits { unpacked_bytes: 64 << 10, parts: 20, depth: 5, ..Limits::default() }
}

fn known() -> Known {
    Known {
        workflows: vec!["ap-invoice".into()],
        templates: vec!["reply-no-document".into()],
        mailboxes: vec!["ap".into()],
        ..Known::default()
    }
}

fn parse(raw: &[u8], limits: &Limits, authserv_ids: &[&str]) -> Result<Message, Unparsable> {
    let authserv_ids: Vec<String> = authserv_ids.iter().map(|&id| id.to_owned()).collect();
    mime::parse(raw, &Options { limits, authserv_ids: &authserv_ids })
}

/// The budget is one for the whole message, containers included.
fn stays_within(message: &Message, limits: &Limits) {
    let held: u64 = message.parts.iter().map(|part| part.content.len() as u64).sum();
    assert!(held <= limits.unpacked_bytes, "{held} bytes unpacked");
    assert!(message.parts.len() <= limits.parts as usize, "{} parts", message.parts.len());
    let mut depths: HashMap<u32, u32> = HashMap::new();
    for (at, part) in message.parts.iter().enumerate() {
        assert_eq!(part.index as usize, at + 1);
        let depth = part.container.map_or(0, |container| depths[&container] + 1);
        assert!(depth <= limits.depth, "part {} is {depth} deep", part.index);
        depths.insert(part.index, depth);
        assert!(part.twin_of.is_none_or(|twin| twin != part.index && twin as usize <= message.parts.len()));
    }
    assert!(message.text.len() <= 4 * limits.unpacked_bytes as usize, "{} bytes of text", message.text.len());
}

fn is_the_same_each_time(message: &Message, raw: &[u8], limits: &Limits) {
    let again = parse(raw, limits, &["mx.acme.example"]).expect("it parsed before");
    assert_eq!(serde_json::to_string(message).unwrap(), serde_json::to_string(&again).unwrap());
    assert_eq!(message.raw_sha256, sha256_hex(raw));
    for part in &message.parts {
        assert_eq!((part.sha256.clone(), part.size_bytes), (sha256_hex(&part.content), part.content.len() as u64));
    }
}

/// What a second way through the net adds on top changes the raw bytes only.
fn is_the_same_when_delivered_again(message: &Message, raw: &[u8], limits: &Limits) {
    const ADDED: &[u8] = b"Return-Path: <other@nordwind.example>\r\nDelivered-To: other@acme.example\r\n\
        Received: from a.example by b.example;\r\n\tMon, 2 Mar 2026 10:00:00 +0100\r\n";
    // Not on top of a mark or of mbox's own line; and a header that was cut is cut elsewhere then.
    let header_bytes: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let has_room =
        message.headers.len() < ROOM_FOR_FIELDS && header_bytes < ROOM_FOR_BYTES && raw.len() < ROOM_FOR_BYTES;
    if !has_room || !raw[0].is_ascii_graphic() || raw.starts_with(b"From ") || raw.starts_with(b">From ") {
        return;
    }
    let again = parse(&[ADDED, raw].concat(), limits, &["mx.acme.example"]).expect("it parsed before");
    assert_eq!(message.stable_sha256, again.stable_sha256);
    assert_ne!(message.raw_sha256, again.raw_sha256);
}

/// Texts hold nothing that a database refuses; names nothing that a shell, a page or a person reads otherwise.
fn is_safe_to_keep(message: &Message) {
    let json = serde_json::to_string(message).unwrap();
    assert!(!json.contains("\\u0000"), "NUL in {json}");
    assert!(!reply::fresh_text(message).contains('\0'));
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    for name in message.parts.iter().filter_map(|part| part.name.as_deref()) {
        assert!(!name.is_empty() && name.chars().count() <= 160 && name != "." && name != "..", "{name:?}");
        assert!(
            !name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']) && !name.chars().any(is_hidden),
            "{name:?}"
        );
        assert!(is_nfc(name), "{name:?} is not NFC");
    }
    for part in &message.parts {
        let stored = part.stored_name();
        assert!(stored.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'), "{stored}");
    }
}

/// Screening has a verdict and a reason for everything, and nothing unknown starts anything.
fn is_screened(message: &Message) {
    let decision = screened(&RULES, message);
    assert!(!decision.reason.is_empty() && !decision.reason.contains('\0'));
    assert_eq!(decision, screened(&RULES, message));
    match decision.verdict {
        Verdict::Start(_) | Verdict::Reply { .. } => {
            let author = message.author().expect("an author");
            assert!(author.domain().eq_ignore_ascii_case("nordwind.example"), "{author}");
            assert!(message.authentication.proves(author).is_some(), "nothing proves {author}");
        }
        Verdict::Resume => panic!("rules cannot answer a wait"),
        Verdict::Ignore | Verdict::Quarantine { .. } => {}
    }
    if matches!(decision.verdict, Verdict::Start(_)) {
        assert!(message.documents().any(|part| part.kind == PartKind::Pdf), "started without a document");
    }
}

/// Where no server is believed, no mail proves its author.
fn claims_are_no_proof(raw: &[u8], limits: &Limits) {
    let message = parse(raw, limits, &[]).expect("it parsed before");
    assert_eq!(message.authentication, Default::default());
    assert!(matches!(screened(&RULES, &message).verdict, Verdict::Quarantine { .. } | Verdict::Ignore));
}

fn screened(rules: &RuleSet, message: &Message) -> Decision {
    let reference = |part: &countersign::domain::message::Part| DocumentRef {
        path: part.stored_name(),
        name: part.name.clone().unwrap_or_default(),
        kind: part.kind,
        sha256: part.sha256.clone(),
        size_bytes: part.size_bytes,
    };
    let documents: Vec<DocumentRef> = message.documents().map(reference).collect();
    let around = Surroundings {
        mailbox: "ap",
        customer: &CUSTOMER,
        duplicate_of: None,
        earlier: &[],
        first_time_sender: None,
        joined: None,
        now: DateTime::UNIX_EPOCH,
        documents: &documents,
    };
    rules.screen(&Facts::gather(message, &around))
}
