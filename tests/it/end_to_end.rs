//! The main job with real servers: SMTP in, IMAP poll, files in the store, approval mail by SMTP, reply by SMTP, run completes.
//! Both databases and both stores; each with another keeper of its secrets.

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::Credentials;
use serde_json::Map;
use uuid::Uuid;

use crate::daemon::{Keeper, Site, mailbox};
use crate::rig;
use crate::story::{Decided, Repeats};

/// What one test varies.
struct Way {
    postgres: bool,
    s3: bool,
    keeper: Keeper,
    plus_address: bool,
    smtps: bool,
}

#[tokio::test]
async fn end_to_end_with_sqlite_and_a_directory() {
    check(Way { postgres: false, s3: false, keeper: Keeper::File, plus_address: true, smtps: false }).await;
}

#[tokio::test]
async fn end_to_end_with_sqlite_and_a_bucket() {
    check(Way { postgres: false, s3: true, keeper: Keeper::Env, plus_address: false, smtps: true }).await;
}

#[tokio::test]
async fn end_to_end_with_postgresql_and_a_directory() {
    check(Way { postgres: true, s3: false, keeper: Keeper::Env, plus_address: false, smtps: false }).await;
}

#[tokio::test]
async fn end_to_end_with_postgresql_and_a_bucket() {
    check(Way { postgres: true, s3: true, keeper: Keeper::Aws, plus_address: true, smtps: true }).await;
}

async fn check(way: Way) {
    let mut site = Site::new();
    let mut sections = site.sections();
    let bucket = format!("papers-{}", Uuid::now_v7().simple());
    let mut secrets =
        vec![("imap", rig::PASSWORD), ("smtp", rig::PASSWORD), ("db", rig::PASSWORD), ("id", "key"), ("key", "test")];
    let kept = match way.keeper {
        Keeper::Aws => keep_at_aws(&mut site, &secrets).await,
        keeper => secrets.drain(..).map(|(name, value)| site.secret(keeper, name, value)).collect(),
    };
    let [imap, smtp, db, id, key] = kept.try_into().expect("five references");
    sections.mailboxes = mailbox("ap", &site.mailbox, rig::imaps_port(), &imap, way.plus_address);
    sections.smtp_password = smtp;
    if way.smtps {
        sections.smtp_port = rig::smtps_port();
    }
    if way.postgres {
        site.database = rig::fresh_database().await;
        let without = site.database.replacen(":secret@", "@", 1);
        assert_ne!(without, site.database, "the rig's URL has its password");
        sections.database = format!("url = \"{without}\"\npassword = \"{db}\"");
    }
    let moto = rig::moto_url();
    if way.s3 {
        s3().await.create_bucket().bucket(&bucket).send().await.expect("make a bucket");
        sections.store = format!(
            "kind = \"s3\"\nbucket = \"{bucket}\"\nprefix = \"mail\"\nendpoint = \"{moto}\"\npath_style = true\n\
             access_key_id = \"{id}\"\nsecret_access_key = \"{key}\""
        );
    }
    if matches!(way.keeper, Keeper::Aws) {
        sections.more = format!("[aws]\nsecretsmanager_endpoint = \"{moto}\"\n");
    }
    site.write(&sections);

    let daemon = site.start().await;
    site.mail_in(&site.mailbox).await;
    let asked = site.approval().await;
    assert_eq!(asked.subject, "[AP-000001] Approve invoice 4711 from Nordwind Papier GmbH over 1,190.00 EUR?");
    assert_eq!(asked.documents().count(), 2, "invoice and order are attached");
    let reply_to = &asked.reply_to[0].address;
    assert_eq!(reply_to.contains("+c-"), way.plus_address, "{reply_to}");
    site.approve(&asked).await;
    let state = site.ends_well(Decided::ByMail, Repeats::Never).await;

    let files = if way.s3 { in_bucket(&bucket).await } else { in_directory(&site) };
    let [first, reply] = state.messages.as_slice() else { panic!("two messages") };
    let received = rig::inbox(&site.mailbox).await;
    for (message, raw) in [first, reply].into_iter().zip(received) {
        let directory = format!("acme/{}", message.transaction_id);
        assert_eq!(
            files.get(&format!("{directory}/message.eml")),
            Some(&raw),
            "stored as received: {:?}",
            files.keys()
        );
        let record: Map<_, _> =
            serde_json::from_slice(&files[&format!("{directory}/transaction.json")]).expect("transaction.json");
        assert_eq!(record["mailbox"], "ap");
    }
    let invoice =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo/documents/invoice-4711.pdf")).unwrap();
    let parts = format!("acme/{}/parts/", first.transaction_id);
    let stored: Vec<_> = files.iter().filter(|(path, _)| path.starts_with(&parts)).collect();
    assert_eq!(stored.len(), 2, "{:?}", files.keys());
    assert!(stored.iter().any(|(_, bytes)| **bytes == invoice), "the invoice as sent");
    daemon.stop().await;
}

/// Puts all into one JSON secret, and its keeper's address and keys into the program's environment.
async fn keep_at_aws(site: &mut Site, secrets: &[(&str, &str)]) -> Vec<String> {
    let name = format!("countersign/{}", Uuid::now_v7().simple());
    let fields: Map<_, _> = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let config = aws_sdk_secretsmanager::config::Builder::from(&shared().await).endpoint_url(rig::moto_url()).build();
    let manager = aws_sdk_secretsmanager::Client::from_conf(config);
    let text = serde_json::Value::from(fields).to_string();
    manager.create_secret().name(&name).secret_string(text).send().await.expect("make a secret");
    site.set("AWS_ACCESS_KEY_ID", "testing");
    site.set("AWS_SECRET_ACCESS_KEY", "testing");
    secrets.iter().map(|(field, _)| format!("secret:aws/{name}#{field}")).collect()
}

async fn shared() -> aws_config::SdkConfig {
    let keys = Credentials::new("testing", "testing", None, None, "test");
    let loader = aws_config::defaults(BehaviorVersion::latest()).credentials_provider(keys);
    loader.region(aws_config::Region::new("us-east-1")).load().await
}

pub async fn s3() -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&shared().await).endpoint_url(rig::moto_url());
    aws_sdk_s3::Client::from_conf(config.force_path_style(true).build())
}

type Files = std::collections::BTreeMap<String, Vec<u8>>;

/// Every object below the prefix, by the path that follows it.
async fn in_bucket(bucket: &str) -> Files {
    let s3 = s3().await;
    let listed = s3.list_objects_v2().bucket(bucket).prefix("mail/").send().await.expect("list");
    let mut files = Files::new();
    for object in listed.contents() {
        let key = object.key().expect("a key");
        let answer = s3.get_object().bucket(bucket).key(key).send().await.expect("get");
        let bytes = answer.body.collect().await.expect("a body").to_vec();
        files.insert(key.strip_prefix("mail/").expect("the prefix").to_owned(), bytes);
    }
    files
}

/// Every file of the store's directory, by its path there.
fn in_directory(site: &Site) -> Files {
    let root = site.path("state/store");
    let (mut files, mut open) = (Files::new(), vec![root.clone()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
            files.insert(name, std::fs::read(path).expect("a file"));
        }
    }
    files
}
