//! A store in a bucket of S3 or of a server that speaks its protocol. Durable when the server has answered.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use secrecy::ExposeSecret;

use super::{BlobError, Entry, SCRATCH};
use crate::config::secret::Secrets;
use crate::config::sections::{Aws, Store};

/// Objects written at the same time for one caller.
const AT_ONCE: usize = 32;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(150);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// For servers that have no regions, but check the signature, which names one.
const ANY_REGION: &str = "us-east-1";

/// Objects of one bucket under a prefix.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ends with `/`.
    prefix: String,
    endpoint: Option<String>,
}

impl S3Store {
    pub(super) async fn open(store: &Store, secrets: &Secrets, aws: &Aws) -> Result<Self, BlobError> {
        let Store::S3 { bucket, prefix, endpoint, region, path_style, access_key_id, secret_access_key } = store else {
            return Err(BlobError::Refused {
                what: "open a bucket".into(),
                why: "the store is of another kind".into(),
            });
        };
        let region =
            region.clone().or_else(|| aws.region.clone()).or_else(|| endpoint.as_ref().map(|_| ANY_REGION.into()));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(FIRST_BACKOFF));
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let (Some(id), Some(key)) = (access_key_id, secret_access_key) {
            let (id, key) = (secrets.get(id).await?, secrets.get(key).await?);
            loader = loader.credentials_provider(Credentials::new(
                id.expose_secret(),
                key.expose_secret(),
                None,
                None,
                "configuration",
            ));
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(*path_style);
        if let Some(endpoint) = endpoint {
            // Other servers know few of the newer checksums.
            config = config
                .endpoint_url(endpoint)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        let prefix = prefix.trim_matches('/');
        Ok(Self {
            client: Client::from_conf(config.build()),
            bucket: bucket.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            endpoint: endpoint.clone(),
        })
    }

    /// Several at the same time, because each is a round trip.
    pub(super) async fn put_all(&self, files: Vec<(String, Bytes)>) -> Result<(), BlobError> {
        let puts = files.into_iter().map(|(path, bytes)| {
            let store = self.clone();
            async move { store.put(&path, bytes).await }
        });
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), BlobError> {
        let body = ByteStream::from(bytes);
        let put = self.client.put_object().bucket(&self.bucket).key(self.key(path)).body(body);
        put.send().await.map(drop).map_err(|error| self.refine("write", path, &error))
    }

    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>, BlobError> {
        let get = self.client.get_object().bucket(&self.bucket).key(self.key(path));
        let answer = get.send().await.map_err(|error| self.refine("read", path, &error))?;
        let body = answer.body.collect().await.map_err(|error| BlobError::Unavailable {
            what: format!("read {path} from {}", self.describe()),
            why: DisplayErrorContext(&error).to_string(),
        })?;
        Ok(body.to_vec())
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), BlobError> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(self.key(path));
        match delete.send().await.map_err(|error| self.refine("remove", path, &error)) {
            Err(error) if error.is_not_found() => Ok(()),
            removed => removed.map(drop),
        }
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Entry>, BlobError> {
        let below = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(&below));
        let mut pages = list.into_paginator().send();
        let mut entries = vec![];
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refine("list", prefix, &error))?;
            entries.extend(page.contents().iter().filter_map(|object| {
                let path = object.key()?.strip_prefix(&self.prefix)?.to_owned();
                Some(Entry { path, size_bytes: object.size().and_then(|size| size.try_into().ok()).unwrap_or(0) })
            }));
        }
        Ok(entries)
    }

    pub(super) async fn exists(&self, path: &str) -> Result<bool, BlobError> {
        let head = self.client.head_object().bucket(&self.bucket).key(self.key(path));
        match head.send().await.map_err(|error| self.refine("look for", path, &error)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn check(&self) -> Result<(), BlobError> {
        self.put(&format!("{SCRATCH}check"), Bytes::from_static(b"check")).await
    }

    pub(super) fn describe(&self) -> String {
        let Self { bucket, prefix, .. } = self;
        match &self.endpoint {
            Some(endpoint) => format!("s3://{bucket}/{prefix} at {}", without_user(endpoint)),
            None => format!("s3://{bucket}/{prefix}"),
        }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Tells apart what is missing, what may pass and what will not.
    fn refine<E>(&self, verb: &str, path: &str, error: &SdkError<E>) -> BlobError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let what = format!("{verb} {path} in {}", self.describe());
        let SdkError::ServiceError(answer) = error else {
            let why = DisplayErrorContext(error).to_string();
            return match error {
                SdkError::ConstructionFailure(_) => BlobError::Refused { what, why },
                _ => BlobError::Unavailable { what, why },
            };
        };
        let status = answer.raw().status().as_u16();
        let code = answer.err().code().unwrap_or_default();
        if status == 404 && code != "NoSuchBucket" {
            return BlobError::NotFound { path: path.to_owned(), place: self.describe() };
        }
        let why = match answer.err().message() {
            Some(message) => format!("{status} {code}: {message}"),
            None => format!("{status} {code}"),
        };
        // A conflict is another writer of the same key; expired keys are renewed by their provider.
        let passes = matches!(status, 408 | 409 | 429 | 500..)
            || matches!(code, "RequestTimeout" | "SlowDown" | "Throttling" | "ExpiredToken");
        if passes { BlobError::Unavailable { what, why } } else { BlobError::Refused { what, why } }
    }
}

/// An endpoint without the `user:password@` that somebody may have put there.
fn without_user(endpoint: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            if path.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{path}") }
        }
        None => endpoint.to_owned(),
    }
}
