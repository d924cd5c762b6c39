//! `countersign import`: customers, suppliers and users from a file into the database.

use std::path::Path;

use super::check::diagnostics_text;
use super::{Ending, Told};
use crate::config::people;
use crate::domain::person::Customer;
use crate::engine::Engine;
use crate::store;

pub async fn import(engine: &Engine, file: &Path) -> anyhow::Result<Told> {
    let customers = match people::load(file) {
        Ok(customers) => customers,
        Err(diagnostics) => return Ok(Told { text: diagnostics_text(&diagnostics), ending: Ending::Misused }),
    };
    let mut tx = engine.store.begin().await?;
    for customer in &customers {
        store::people::import(&mut tx, customer, engine.clock.now()).await?;
    }
    tx.commit().await?;
    Ok(Told::done(customers.iter().map(counts).collect::<String>() + &total(&customers)))
}

fn counts(customer: &Customer) -> String {
    format!("{}: {} suppliers, {} users\n", customer.name, customer.suppliers.len(), customer.users.len())
}

fn total(customers: &[Customer]) -> String {
    match customers.len() {
        1 => "imported 1 customer\n".into(),
        more => format!("imported {more} customers\n"),
    }
}
