//! Countersign: mail in, decision out. The floors are listed from the ground up; imports run downwards only.

pub mod config;
pub mod domain;

pub mod blob;
pub mod mailbox;
pub mod malware;
pub mod mime;
pub mod notify;
pub mod rules;
pub mod senders;
pub mod store;

pub mod agents;
pub mod behaviour;

pub mod engine;

pub mod delivery;
pub mod people;
pub mod publish;
pub mod reports;

pub mod intake;
pub mod scenarios;

pub mod cli;
pub mod http;

pub mod app;
pub mod demo;
