//! How many messages a second the rules screen, at 10, 100 and 1,000 rules: `cargo bench --bench screening`. It shows that
//! the number of rules hardly matters: patterns of all rules are matched together, and few rules are told in words. Counted is
//! processor time, so that other work on the machine does not show.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use countersign::domain::message::{AuthResult, Authentication, Message, Part, PartKind, PartRole};
use countersign::domain::person::{Address, Customer};
use countersign::rules::{Facts, Known, RuleSet, Surroundings};

/// Each figure is the best of this many rounds, which take turns.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(800);

fn main() -> ExitCode {
    // Only `cargo bench` says so. A test runner that asks every target for its tests is told of none.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mails: Vec<Facts> = (0..60).map(mail).collect();
    let mut sets = vec![];
    for count in [10, 100, 1_000] {
        let started = busy();
        let set = load(count)?;
        println!("{count:>5} rules load in {:>6} ms, their tests run", (busy() - started).as_millis());
        sets.push((count, set, 0.0_f64));
    }
    for _ in 0..ROUNDS {
        for (_, set, best) in &mut sets {
            *best = best.max(rate(set, &mails));
        }
    }
    for (count, _, rate) in &sets {
        println!("{count:>5} rules: {rate:>9.0} messages/s, {:>7.1} µs each", 1e6 / rate);
    }
    if let [(_, _, few), .., (_, _, many)] = sets.as_slice() {
        println!("1,000 rules take {:.2} times as long as 10", few / many);
    }
    Ok(())
}

fn rate(set: &RuleSet, mails: &[Facts]) -> f64 {
    let (started, mut screened) = (busy(), 0_u32);
    while busy() - started < ROUND {
        for facts in mails {
            std::hint::black_box(set.screen(std::hint::black_box(facts)));
            screened += 1;
        }
    }
    f64::from(screened) / (busy() - started).as_secs_f64()
}

/// Processor time of this thread; without `/proc`, the time since the first call.
fn busy() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| FIRST.elapsed(), Duration::from_nanos)
}

/// So many rules with a test each, and a signal for every tenth. Most name a sender, a number or a word of their own.
fn load(count: usize) -> Result<RuleSet, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut text = String::from("[lists]\npartners = ['*.partner.example', 'kraft.example', 'werft.example']\n");
    for n in 0..count / 10 {
        let _ = writeln!(
            text,
            "[[signal]]\nname = 's{n}'\npoints = 1\nany_text = ['*urgent case {n}*', '/\\b(pay|wire) {n} (eur|usd)\\b/i']"
        );
    }
    for n in 0..count {
        let condition = match n % 5 {
            0 => format!("from_domain = ['supplier{n}.example', '*.supplier{n}.example']\nauthenticated = true"),
            1 => format!(
                "subject = '/\\b(order|bestellung)\\s+(no\\.?\\s*)?(?P<number>{n}\\d{{3}})\\b/i'\ndmarc = 'pass'"
            ),
            2 => format!("body = ['*contract {n} of*', '*vertrag {n} vom*']\nin_list = {{ from_domain = 'partners' }}"),
            3 => format!(
                "attachment = {{ kind = 'pdf', name = '*statement-{n}-*.pdf' }}\nheader = {{ x-mailer = 'ERP {n}*' }}"
            ),
            _ => format!("to = 'desk{n}@*'\nexpr = 'document_count > 0 and score < {}'", n + 5),
        };
        let _ = writeln!(text, "[[rule]]\nname = 'rule-{n}'\n{condition}\nunless = {{ score_min = 50 }}");
        let _ = writeln!(text, "start = 'case'\ninputs = {{ documents = '{{{{ documents }}}}' }}");
        let _ = writeln!(text, "[[rule.test]]\nfrom = 'x@elsewhere.example'\nsubject = 'hello {n}'\nmatches = false");
    }
    text.push_str("[default]\nquarantine = 'nobody knows it'\n");
    std::fs::write(directory.path().join("many.toml"), text).map_err(|error| error.to_string())?;
    let known = Known { workflows: vec!["case".into()], ..Known::default() };
    RuleSet::load(directory.path(), &known, &|path: &Path| Err(format!("no sample {}", path.display())))
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// One mail of about 2 kB; one in ten matches a rule of every set.
fn mail(n: u32) -> Facts {
    let matches = n.is_multiple_of(10);
    let domain = if matches { "supplier5.example".to_owned() } else { format!("sender{n}.example") };
    let body =
        "Dear all, as agreed on the phone we send you what we spoke of, and ask for a word by the end of the week. ";
    let message = Message {
        from: vec![Address::named("Billing", &format!("billing@{domain}"))],
        to: vec![Address::new("desk@acme.example")],
        subject: format!("About our delivery {n} and what comes next"),
        text: body.repeat(18),
        headers: vec![("x-mailer".into(), "Mailer 9".into()), ("list-id".into(), "<x.example>".into())],
        parts: vec![part("scan.pdf"), part("terms.pdf")],
        authentication: Authentication {
            authserv_id: Some("mx.acme.example".into()),
            dmarc: Some(AuthResult::Pass),
            dmarc_from: Some(domain),
            ..Default::default()
        },
        ..Default::default()
    };
    let customer = Customer { name: "acme".into(), aliases: vec![], suppliers: vec![], users: vec![] };
    let around = Surroundings {
        mailbox: "desk",
        customer: &customer,
        duplicate_of: None,
        earlier: &[],
        first_time_sender: Some(true),
        joined: None,
        now: DateTime::<Utc>::UNIX_EPOCH,
        documents: &[],
    };
    Facts::gather(&message, &around)
}

fn part(name: &str) -> Part {
    Part {
        index: 1,
        container: None,
        name: Some(name.into()),
        declared_type: "application/pdf".into(),
        kind: PartKind::Pdf,
        role: PartRole::Document,
        sha256: "ab".repeat(32),
        size_bytes: 40_000,
        content_id: None,
        twin_of: None,
        content: Default::default(),
    }
}
