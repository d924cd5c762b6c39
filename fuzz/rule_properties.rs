//! What holds for whatever comes in as a rule file. Called by the fuzzer (`rules.rs`) and by the tests (`tests/it/fuzz.rs`).

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::DateTime;
use countersign::domain::message::Message;
use countersign::domain::person::Customer;
use countersign::rules::{Facts, Known, RuleSet, Surroundings};

/// More than any input of a fuzzer's size may take, on a busy machine too.
const LONGEST: Duration = Duration::from_secs(10);

/// The text of a rule file: it loads, or every fault names the file and shows its place; and what loads decides.
pub fn hold(text: &[u8]) {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let directory = std::env::temp_dir().join(format!("countersign-rules-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("make a directory for rules");
        directory
    });
    let start = Instant::now();
    let file = DIRECTORY.join("fuzz.toml");
    std::fs::write(&file, text).expect("write the rules");
    match RuleSet::load(&DIRECTORY, &known(), &|_| Err("no samples here".into())) {
        Ok(rules) => {
            let message = Message { subject: "Invoice 4711".into(), ..Message::default() };
            let customer = Customer { name: "acme".into(), aliases: vec![], suppliers: vec![], users: vec![] };
            let around = Surroundings {
                mailbox: "ap",
                customer: &customer,
                duplicate_of: None,
                earlier: &[],
                first_time_sender: None,
                joined: None,
                now: DateTime::UNIX_EPOCH,
                documents: &[],
            };
            let facts = Facts::gather(&message, &around);
            assert_eq!(rules.screen(&facts), rules.screen(&facts));
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let told = fault.to_string();
                assert!(fault.file == file && told.contains("fuzz.toml"), "{told}");
                assert!(fault.line().is_some() || std::str::from_utf8(text).is_err(), "no line: {told}");
            }
        }
    }
    assert!(start.elapsed() < LONGEST, "it took {:?}", start.elapsed());
}

fn known() -> Known {
    Known {
        workflows: vec!["ap-invoice".into()],
        templates: vec!["reply-no-document".into()],
        mailboxes: vec!["ap".into()],
        ..Known::default()
    }
}
