//! S3 and Secrets Manager as moto serves them: what the SDKs of AWS say to a server that is not our own code.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use chrono::{TimeDelta, Utc};
use countersign::blob::{self, Blob};
use countersign::config::secret::{SecretRef, Secrets};
use countersign::config::sections::{Aws, Store};
use countersign::domain::clock::{ManualClock, SystemClock};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use uuid::Uuid;

#[tokio::test]
async fn a_working_directory_in_a_bucket_reads_back_as_written() {
    let place = Place::new().await;
    let blob = place.blob().await;
    blob.check().await.unwrap();
    let names = ["t1/message.eml", "t1/parts/001-ä +%&?#.pdf", "t10/message.eml"];
    for name in names {
        blob.put(name, b"once").await.unwrap();
        blob.put(name, b"once").await.unwrap();
        assert_eq!(blob.get(name).await.unwrap(), b"once");
    }
    let paths = |entries: Vec<blob::Entry>| entries.into_iter().map(|entry| entry.path).collect::<Vec<_>>();
    assert_eq!(paths(blob.list("t1").await.unwrap()), names[..2]);
    assert_eq!(paths(blob.list("").await.unwrap()), names);
    assert!(blob.exists(names[0]).await.unwrap() && !blob.exists("t1").await.unwrap());
    assert!(blob.get("t2/message.eml").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_for_good() {
    let mut place = Place::new().await;
    place.bucket = format!("absent-{}", Uuid::new_v4());
    let error = place.blob().await.check().await.unwrap_err();
    assert!(!error.is_transient() && !error.is_not_found(), "{error}");
    assert!(error.to_string().contains(&place.bucket), "{error}");
}

#[tokio::test]
async fn a_secret_is_kept_for_five_minutes_and_then_asked_for_again() {
    let place = Place::new().await;
    let clock = ManualClock::new(Utc::now());
    let secrets = Secrets::new(place.aws(), Arc::new(clock.clone()), place.directory.path());
    let name = format!("imap/{}", Uuid::new_v4());
    let whole = SecretRef::Aws { name: name.clone(), field: None };
    let field = SecretRef::Aws { name: name.clone(), field: Some("password".into()) };

    let absent = secrets.get(&whole).await.unwrap_err();
    assert!(!absent.is_transient(), "{absent}");
    assert!(absent.to_string().contains(&format!("secret:aws/{name}")), "{absent}");

    let manager = place.manager().await;
    manager.create_secret().name(&name).secret_string(r#"{"password": "first"}"#).send().await.unwrap();
    assert_eq!(secrets.get(&field).await.unwrap().expose_secret(), "first");
    assert_eq!(secrets.get(&whole).await.unwrap().expose_secret(), r#"{"password": "first"}"#);

    manager.put_secret_value().secret_id(&name).secret_string(r#"{"password": "second"}"#).send().await.unwrap();
    clock.advance(TimeDelta::minutes(4));
    assert_eq!(secrets.get(&field).await.unwrap().expose_secret(), "first");
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(secrets.get(&field).await.unwrap().expose_secret(), "second");

    let missing = SecretRef::Aws { name: name.clone(), field: Some("passwort".into()) };
    let error = secrets.get(&missing).await.unwrap_err().to_string();
    assert!(error.contains("no field `passwort`") && !error.contains("second"), "{error}");
}

#[tokio::test]
async fn a_keeper_of_secrets_that_is_away_is_worth_another_attempt() {
    let place = Place::new().await;
    // Bound, so that nobody else gets the port, but not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let aws = Aws { region: None, secretsmanager_endpoint: Some(endpoint) };
    let secrets = Secrets::new(aws, Arc::new(SystemClock), place.directory.path());
    let reference = SecretRef::Aws { name: "imap".into(), field: None };
    let error = secrets.get(&reference).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().starts_with("secret:aws/imap: "), "{error}");
}

/// A bucket of our own at the server, and keys as the configuration refers to them.
struct Place {
    url: String,
    bucket: String,
    directory: TempDir,
}

impl Place {
    async fn new() -> Self {
        let url =
            std::env::var("CS_RIG_MOTO_URL").expect("CS_RIG_MOTO_URL is not set: run this test through tests/run");
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "testing\n").unwrap();
        let place = Self { url, bucket: format!("papers-{}", Uuid::new_v4()), directory };
        let shared = place.shared().await;
        let config = aws_sdk_s3::config::Builder::from(&shared).endpoint_url(&place.url).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config).create_bucket().bucket(&place.bucket).send().await.unwrap();
        place
    }

    async fn blob(&self) -> Blob {
        let key = Some(SecretRef::File("key".into()));
        let store = Store::S3 {
            bucket: self.bucket.clone(),
            prefix: "mail/eu".into(),
            endpoint: Some(self.url.clone()),
            region: None,
            path_style: true,
            access_key_id: key.clone(),
            secret_access_key: key,
        };
        let secrets = Secrets::new(self.aws(), Arc::new(SystemClock), self.directory.path());
        blob::open(&store, &secrets, &self.aws()).await.unwrap()
    }

    fn aws(&self) -> Aws {
        Aws { region: None, secretsmanager_endpoint: Some(self.url.clone()) }
    }

    async fn manager(&self) -> aws_sdk_secretsmanager::Client {
        let config =
            aws_sdk_secretsmanager::config::Builder::from(&self.shared().await).endpoint_url(&self.url).build();
        aws_sdk_secretsmanager::Client::from_conf(config)
    }

    async fn shared(&self) -> aws_config::SdkConfig {
        let keys = aws_sdk_s3::config::Credentials::new("testing", "testing", None, None, "test");
        let loader = aws_config::defaults(BehaviorVersion::latest()).credentials_provider(keys);
        loader.region(aws_config::Region::new("us-east-1")).load().await
    }
}
