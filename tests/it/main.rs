//! The integration tests: the whole product and its real servers, in one binary so that it is linked once.
//! Servers are started by `tests/run`; see `rig.rs`.

mod ap_invoice;
mod app;
mod aws;
mod browser;
mod commands;
mod daemon;
mod end_to_end;
mod engine_features;
mod engine_workers;
mod faults;
mod gate;
mod imap_rig;
mod intake_faults;
mod intake_features;
mod kill;
mod ledger;
mod mailbox;
mod mailbox_faults;
mod migrations;
mod outgoing;
mod pages;
mod pages_browser;
mod pdf;
mod people_features;
mod quarantine;
mod readme;
mod review;
mod rig;
mod state;
mod store_contract;
mod store_ledger;
mod story;
mod tidy;
mod trouble;
