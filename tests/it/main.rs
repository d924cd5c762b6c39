//! The integration tests: the whole product and its real servers, in one binary so that it is linked once.
//! Servers are started by `tests/run`; see `rig.rs`.

mod ap_invoice;
mod aws;
mod browser;
mod commands;
mod imap_rig;
mod mailbox;
mod mailbox_faults;
mod outgoing;
mod pages;
mod pages_browser;
mod pdf;
mod rig;
mod tidy;
