//! References to secrets. A configuration file names a secret; only this module ever fetches one.

use serde::Deserialize;

/// `secret:env/NAME`, `secret:file/PATH`, `secret:aws/NAME#FIELD`. The value is fetched when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    Env(String),
    File(std::path::PathBuf),
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
