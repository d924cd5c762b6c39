//! References to secrets. A configuration file names a secret; only this module ever fetches one.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Region;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use super::sections::Aws;
use crate::domain::clock::SharedClock;

/// `secret:env/NAME`, `secret:file/PATH`, `secret:aws/NAME#FIELD`. The value is fetched when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    Env(String),
    File(PathBuf),
    Aws { name: String, field: Option<String> },
}

impl TryFrom<String> for SecretRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mend = "write a reference: secret:env/NAME, secret:file/PATH or secret:aws/NAME#FIELD";
        let body = text.strip_prefix("secret:").ok_or_else(|| format!("a secret never stands in a file; {mend}"))?;
        match body.split_once('/') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("aws", name)) if !name.is_empty() => Ok(match name.split_once('#') {
                Some((name, field)) => Self::Aws { name: name.to_owned(), field: Some(field.to_owned()) },
                None => Self::Aws { name: name.to_owned(), field: None },
            }),
            _ => Err(format!("this is no secret reference; {mend}")),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "secret:env/{name}"),
            Self::File(path) => write!(f, "secret:file/{}", path.display()),
            Self::Aws { name, field: Some(field) } => write!(f, "secret:aws/{name}#{field}"),
            Self::Aws { name, field: None } => write!(f, "secret:aws/{name}"),
        }
    }
}

/// Why a secret could not be had. Texts name the reference, never a value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// It is not there, or not as referred to, or we may not read it.
    #[error("{reference}: {why}")]
    Absent { reference: SecretRef, why: String },
    /// Its keeper cannot be reached.
    #[error("{reference}: {why}")]
    Unavailable { reference: SecretRef, why: String },
}

impl SecretError {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Fetches secrets. Those in Secrets Manager are kept in memory for five minutes, so that a changed one is
/// taken up without a restart.
#[derive(Debug)]
pub struct Secrets {
    aws: Aws,
    clock: SharedClock,
    /// What relative paths of `secret:file/` are relative to.
    directory: PathBuf,
    client: OnceCell<Client>,
    cache: Mutex<HashMap<String, (DateTime<Utc>, SecretString)>>,
}

const CACHED_FOR: TimeDelta = TimeDelta::minutes(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

impl Secrets {
    /// Relative paths are looked up under `$CREDENTIALS_DIRECTORY` where systemd sets it (systemd.exec(5),
    /// `LoadCredential=`), else under `directory`, that of the configuration file. Nothing is fetched yet.
    pub fn new(aws: Aws, clock: SharedClock, directory: &Path) -> Self {
        let given = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self::under(aws, clock, given.unwrap_or_else(|| directory.to_owned()))
    }

    fn under(aws: Aws, clock: SharedClock, directory: PathBuf) -> Self {
        Self { aws, clock, directory, client: OnceCell::new(), cache: Mutex::default() }
    }

    /// The value behind a reference. An empty value counts as absent. Cancelling is safe.
    ///
    /// # Errors
    /// Names the reference and what was wrong with it.
    pub async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let absent = |why: String| SecretError::Absent { reference: reference.clone(), why };
        let value = match reference {
            SecretRef::Env(name) => match std::env::var(name) {
                Ok(value) => SecretString::from(value),
                Err(std::env::VarError::NotPresent) => return Err(absent("the variable is not set".into())),
                Err(_) => return Err(absent("the variable is not UTF-8".into())),
            },
            SecretRef::File(path) => {
                let path = self.directory.join(path);
                let why = |why: &dyn fmt::Display| absent(format!("read {}: {why}", path.display()));
                let bytes = tokio::fs::read(&path).await.map_err(|error| why(&error))?;
                let text = String::from_utf8(bytes).map_err(|_| why(&"it is not UTF-8"))?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                SecretString::from(line.strip_suffix('\r').unwrap_or(line))
            }
            SecretRef::Aws { name, field } => {
                let whole = self.ask_aws(reference, name).await?;
                match field {
                    Some(field) => field_of(&whole, field).map_err(absent)?,
                    None => whole,
                }
            }
        };
        if value.expose_secret().is_empty() {
            return Err(absent("it is empty".into()));
        }
        Ok(value)
    }

    /// The whole text of a secret in Secrets Manager. One request at a time, so that many steps ask once.
    async fn ask_aws(&self, reference: &SecretRef, name: &str) -> Result<SecretString, SecretError> {
        let mut cache = self.cache.lock().await;
        if let Some((fetched_at, value)) = cache.get(name)
            && self.clock.now() - fetched_at < CACHED_FOR
        {
            return Ok(value.clone());
        }
        let client = self.client.get_or_init(|| connect(&self.aws)).await;
        let answer =
            client.get_secret_value().secret_id(name).send().await.map_err(|error| refine(reference, &error))?;
        let Some(text) = answer.secret_string() else {
            let why = "the secret is binary; store it as text".into();
            return Err(SecretError::Absent { reference: reference.clone(), why });
        };
        let value = SecretString::from(text);
        cache.insert(name.to_owned(), (self.clock.now(), value.clone()));
        Ok(value)
    }
}

async fn connect(aws: &Aws) -> Client {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    // A server that is not AWS's own has no regions, but checks the signature, which names one.
    let region = aws.region.clone().or_else(|| aws.secretsmanager_endpoint.as_ref().map(|_| "us-east-1".to_owned()));
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    let mut config = aws_sdk_secretsmanager::config::Builder::from(&loader.load().await);
    if let Some(endpoint) = &aws.secretsmanager_endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

fn refine<E>(reference: &SecretRef, error: &SdkError<E>) -> SecretError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let reference = reference.clone();
    let SdkError::ServiceError(answer) = error else {
        let why = format!("ask Secrets Manager: {}", DisplayErrorContext(error));
        return SecretError::Unavailable { reference, why };
    };
    let status = answer.raw().status().as_u16();
    let code = answer.err().code().unwrap_or("no code");
    let why = format!("Secrets Manager answered {status} {code}: {}", answer.err().message().unwrap_or("no message"));
    // Throttling and expired keys come as 400.
    let passes = status == 429 || status >= 500 || code.starts_with("Throttl") || code.starts_with("ExpiredToken");
    if passes { SecretError::Unavailable { reference, why } } else { SecretError::Absent { reference, why } }
}

/// One field of a secret that is a JSON object. Errors never quote the secret.
fn field_of(whole: &SecretString, field: &str) -> Result<SecretString, String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(whole.expose_secret()) else {
        return Err("the secret is no JSON object, so it has no fields".into());
    };
    match fields.get(field) {
        Some(serde_json::Value::String(text)) => Ok(SecretString::from(text.as_str())),
        Some(serde_json::Value::Number(number)) => Ok(SecretString::from(number.to_string())),
        Some(_) => Err(format!("field `{field}` of the secret is no text")),
        None => Err(format!("the secret has no field `{field}`")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::clock::SystemClock;

    /// What `reference` gives with these files in the directory of secrets: the value, or the error's text.
    async fn check(files: &[(&str, &[u8])], reference: &str, expected: Result<&str, &str>) {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let secrets = Secrets::under(Aws::default(), Arc::new(SystemClock), directory.path().to_owned());
        let got = secrets.get(&SecretRef::try_from(reference.to_owned()).unwrap()).await;
        match (got, expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value.expose_secret(), expected, "{reference}"),
            (Err(error), Err(expected)) => {
                let text = error.to_string();
                assert!(text.starts_with(reference) && text.contains(expected), "{text} lacks {expected}");
                assert!(!text.contains("hunter2") && !error.is_transient());
            }
            (got, _) => panic!("{reference}: {got:?}"),
        }
    }

    #[tokio::test]
    async fn secrets_come_from_the_environment_and_from_files_without_the_last_line_end() {
        check(&[], "secret:env/CARGO_PKG_NAME", Ok("countersign")).await;
        check(&[], "secret:env/NO_SUCH_VARIABLE", Err("is not set")).await;
        check(&[("imap", b"hunter2\n")], "secret:file/imap", Ok("hunter2")).await;
        check(&[("imap", b"hunter2\r\n")], "secret:file/imap", Ok("hunter2")).await;
        check(&[("imap", b" hunter2\n\n")], "secret:file/imap", Ok(" hunter2\n")).await;
        check(&[("imap", b"\n")], "secret:file/imap", Err("empty")).await;
        check(&[("imap", b"hunter2\xff")], "secret:file/imap", Err("not UTF-8")).await;
        check(&[], "secret:file/imap", Err("No such file")).await;
    }

    #[test]
    fn a_reference_prints_as_written_and_anything_else_is_refused_unseen() {
        for text in ["secret:env/A", "secret:file/a/b", "secret:file//etc/a", "secret:aws/a/b", "secret:aws/a#b"] {
            assert_eq!(SecretRef::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["hunter2", "secret:env/", "secret:vault/hunter2", "secret:hunter2", ""] {
            let refused = SecretRef::try_from(text.to_owned()).unwrap_err();
            assert!(!refused.contains("hunter2") && refused.contains("secret:env/NAME"), "{refused}");
        }
    }

    #[test]
    fn a_field_is_taken_from_a_json_secret() {
        let check = |whole: &str, expected: Result<&str, &str>| {
            let got = field_of(&SecretString::from(whole), "password");
            assert_eq!(got.as_ref().map(|value| value.expose_secret()).map_err(String::as_str), expected);
        };
        check(r#"{"password": "x", "user": "y"}"#, Ok("x"));
        check(r#"{"password": 7}"#, Ok("7"));
        check(r#"{"user": "y"}"#, Err("the secret has no field `password`"));
        check(r#"{"password": ["x"]}"#, Err("field `password` of the secret is no text"));
        check("hunter2", Err("the secret is no JSON object, so it has no fields"));
    }
}
