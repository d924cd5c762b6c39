//! People: what their replies mean, whose answers count, links, and the ladder that climbs while nobody answers.

pub mod bounce;
pub mod interpret;
pub mod ladder;
pub mod link;
pub mod operator;
pub mod reply;
pub mod unanswered;
