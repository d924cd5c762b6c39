//! The words of Countersign as types: pure data and pure decisions. Nothing here does IO; everything above may use it.

pub mod also;
pub mod calendar;
pub mod clock;
pub mod crash;
pub mod document;
pub mod duration;
pub mod event;
pub mod expression;
pub mod failure;
pub mod ids;
pub mod message;
pub mod money;
pub mod nearest;
pub mod notice;
pub mod person;
pub mod run;
pub mod step;
pub mod token;
pub mod verdict;
pub mod wait;
pub mod words;
pub mod workflow;
