//! Configuration: typed sections, layers, secret references. Every error names file, line and mend.

mod checks;
pub mod diagnostic;
pub mod load;
pub mod located;
pub mod mailboxes;
pub mod malware;
pub mod oauth;
pub mod people;
pub mod publish;
pub mod quarantine;
pub mod receivers;
pub mod recipients;
pub mod secret;
pub mod sections;
pub mod senders;
pub mod start;
pub mod workflows;

pub use sections::Config;
