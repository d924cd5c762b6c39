//! When a workflow file comes into force for new runs.

use serde::Deserialize;

/// How definitions are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workflows {
    pub publish: Publish,
}

/// What new runs start with. Either way a published version never changes again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// What the files say; a version is published by its first launch.
    #[default]
    Files,
    /// What was published by hand, whether or not there is still a file of it.
    Explicit,
}
