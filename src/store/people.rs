//! Master data: customers, their suppliers and users.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{Json, StoreError, Tx};
use crate::domain::person::{Customer, Supplier, User};

row! {
    pub struct CustomerRow { pub name: String, pub aliases: Json<Vec<String>> }
}
row! {
    pub struct SupplierRow {
        pub name: String, pub domains: Json<Vec<String>>, pub addresses: Json<Vec<String>>, pub ibans: Json<Vec<String>>,
    }
}
row! {
    pub struct UserRow { pub name: String, pub full_name: String, pub address: String, pub roles: Json<Vec<String>> }
}
row! {
    pub struct BelongingRow {
        pub customer: String, pub name: String, pub full_name: String, pub address: String, pub roles: Json<Vec<String>>,
    }
}

/// Writes a customer with its suppliers and users; those that the file no longer names are removed.
pub async fn import(tx: &mut Tx, customer: &Customer, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into customers (name, aliases, updated_at) values ($1, $2, $3)
         on conflict (name) do update set aliases = excluded.aliases, updated_at = excluded.updated_at",
        &customer.name,
        Json(&customer.aliases),
        now
    )?;
    execute!(tx, "delete from suppliers where customer = $1", &customer.name)?;
    execute!(tx, "delete from users where customer = $1", &customer.name)?;
    for supplier in &customer.suppliers {
        execute!(
            tx,
            "insert into suppliers (customer, name, domains, addresses, ibans) values ($1, $2, $3, $4, $5)",
            &customer.name,
            &supplier.name,
            Json(&supplier.domains),
            Json(&supplier.addresses),
            Json(&supplier.ibans)
        )?;
    }
    for user in &customer.users {
        execute!(
            tx,
            "insert into users (customer, name, full_name, address, roles) values ($1, $2, $3, $4, $5)",
            &customer.name,
            &user.name,
            &user.full_name,
            &user.address,
            Json(&user.roles)
        )?;
    }
    Ok(())
}

/// A customer with everybody who belongs to it; one without any when nobody has imported it yet.
pub async fn customer(tx: &mut Tx, name: &str) -> Result<Customer, StoreError> {
    let sql = format!("select {} from customers where name = $1", CustomerRow::COLUMNS);
    let aliases = fetch!(maybe CustomerRow, tx, sql, name)?.map(|row| row.aliases.0).unwrap_or_default();
    let sql = format!("select {} from suppliers where customer = $1 order by name", SupplierRow::COLUMNS);
    let suppliers = fetch!(all SupplierRow, tx, sql, name)?
        .into_iter()
        .map(|row| Supplier { name: row.name, domains: row.domains.0, addresses: row.addresses.0, ibans: row.ibans.0 })
        .collect();
    Ok(Customer { name: name.to_owned(), aliases, suppliers, users: users(tx, name).await? })
}

/// Whether a customer was ever imported.
pub async fn is_known(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    let sql = format!("select {} from customers where name = $1", CustomerRow::COLUMNS);
    Ok(fetch!(maybe CustomerRow, tx, sql, name)?.is_some())
}

/// The names of all customers, in order.
pub async fn customers(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let sql = format!("select {} from customers order by name", CustomerRow::COLUMNS);
    Ok(fetch!(all CustomerRow, tx, sql)?.into_iter().map(|row| row.name).collect())
}

/// The users of several customers, by customer, each list by name.
pub async fn users_of(tx: &mut Tx, customers: &[&str]) -> Result<HashMap<String, Vec<User>>, StoreError> {
    let mut found: HashMap<String, Vec<User>> = HashMap::new();
    if let [only] = customers {
        found.insert((*only).to_owned(), users(tx, only).await?);
        return Ok(found);
    }
    let sql =
        format!("select {} from users where customer in {} order by name", BelongingRow::COLUMNS, tx.each_of("$1"));
    for row in fetch!(all BelongingRow, tx, sql, Json(customers))? {
        let user = User { name: row.name, full_name: row.full_name, address: row.address, roles: row.roles.0 };
        found.entry(row.customer).or_default().push(user);
    }
    Ok(found)
}

/// The users of a customer, by name.
pub async fn users(tx: &mut Tx, customer: &str) -> Result<Vec<User>, StoreError> {
    let sql = format!("select {} from users where customer = $1 order by name", UserRow::COLUMNS);
    Ok(fetch!(all UserRow, tx, sql, customer)?
        .into_iter()
        .map(|row| User { name: row.name, full_name: row.full_name, address: row.address, roles: row.roles.0 })
        .collect())
}
