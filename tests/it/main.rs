//! The integration tests: the whole product and its real servers, in one binary so that it is linked once.
//! Servers are started by `tests/run`; see `rig.rs`.

mod browser;
mod outgoing;
mod pdf;
mod rig;
mod tidy;
