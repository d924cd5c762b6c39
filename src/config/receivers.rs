//! Section `[publish]`: who outside is told events.

use std::path::PathBuf;

use serde::Deserialize;

use super::secret::SecretRef;
use crate::domain::duration::Span;

/// Without the section nobody is told anything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publish {
    #[serde(rename = "webhook")]
    pub webhooks: Vec<Webhook>,
    pub otlp: Option<Otlp>,
}

/// A receiver of events, each by a POST.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Unique; where it stopped is kept under it.
    pub name: String,
    pub url: String,
    /// Kinds of events; `*` stands for any letters: `run.*`.
    #[serde(default = "any")]
    pub events: Vec<String>,
    /// Whose events; everybody's when empty.
    #[serde(default)]
    pub customers: Vec<String>,
    /// Key of the signature: `whsec_` and base64, or any text.
    pub secret: SecretRef,
    /// Longest wait for one answer.
    #[serde(default = "fifteen_seconds")]
    pub timeout: Span,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// A collector of traces: OTLP over HTTP, as JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Without `/v1/traces`.
    pub endpoint: String,
    /// Value of the header `Authorization`.
    #[serde(default)]
    pub authorization: Option<SecretRef>,
    #[serde(default = "fifteen_seconds")]
    pub timeout: Span,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// The name that the collector of traces is kept under; no webhook may have it.
pub const OTLP: &str = "otlp";

impl Publish {
    /// Every receiver.
    pub fn names(&self) -> Vec<String> {
        let webhooks = self.webhooks.iter().map(|webhook| webhook.name.clone());
        webhooks.chain(self.otlp.as_ref().map(|_| OTLP.to_owned())).collect()
    }
}

fn any() -> Vec<String> {
    vec!["*".into()]
}

fn fifteen_seconds() -> Span {
    Span::from_secs(15)
}
