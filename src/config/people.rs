//! Loading of people files: customers with their suppliers and users, on their way into the database.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::diagnostic::Diagnostic;
use crate::domain::person::Customer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "customer")]
    customers: Vec<Customer>,
}

/// Reads a people file.
///
/// # Errors
/// What is wrong with it, with its place where TOML knows it.
pub fn load(file: &Path) -> Result<Vec<Customer>, Vec<Diagnostic>> {
    let source = std::fs::read_to_string(file)
        .map_err(|error| vec![Diagnostic::whole(file, format!("cannot be read: {error}"), None)])?;
    let File { customers } =
        toml::from_str(&source).map_err(|error| vec![Diagnostic::toml_error(file, &source, &error)])?;
    let told: Vec<_> = customers.iter().flat_map(|customer| problems(file, &source, customer)).collect();
    if told.is_empty() { Ok(customers) } else { Err(told) }
}

fn problems(file: &Path, source: &str, customer: &Customer) -> Vec<Diagnostic> {
    let mut told = vec![];
    let mut say = |needle: &str, what: String, mend: &str| {
        // The value stands in the file as written; its first mention is near enough for a person.
        let start = source.find(needle).unwrap_or(0);
        told.push(Diagnostic::at(file, source, start..start + needle.len(), what, Some(mend.to_owned())));
    };
    let mut names = BTreeSet::new();
    for user in &customer.users {
        if !names.insert(&user.name) {
            say(&user.name, format!("two users of {} are named `{}`", customer.name, user.name), "rename one of them");
        }
        if !is_address(&user.address) {
            let what = format!("`{}` is no mail address", user.address);
            say(&user.address, what, "write local@domain");
        }
    }
    let mut names = BTreeSet::new();
    for supplier in &customer.suppliers {
        if !names.insert(&supplier.name) {
            let what = format!("two suppliers of {} are named `{}`", customer.name, supplier.name);
            say(&supplier.name, what, "rename one of them");
        }
        if supplier.domains.is_empty() && supplier.addresses.is_empty() {
            let what = format!("nothing tells which mail is from `{}`", supplier.name);
            say(&supplier.name, what, "give it `domains` or `addresses`");
        }
        for address in supplier.addresses.iter().filter(|address| !is_address(address)) {
            say(address, format!("`{address}` is no mail address"), "write local@domain");
        }
    }
    told
}

fn is_address(address: &str) -> bool {
    matches!(address.split_once('@'), Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("people.toml");
        std::fs::write(&file, text).unwrap();
        let told = load(&file).unwrap_err().iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains(expected) && told.contains("people.toml:"), "{told} lacks {expected}");
    }

    #[test]
    fn a_people_file_that_cannot_work_is_refused_with_its_place() {
        check("[[customer]]\nname = \"a\"\ncolour = \"red\"\n", "colour");
        check(
            "[[customer]]\nname = \"a\"\n[[customer.user]]\nname = \"o\"\naddress = \"nowhere\"\n",
            "is no mail address",
        );
        check("[[customer]]\nname = \"a\"\n[[customer.supplier]]\nname = \"s\"\n", "nothing tells which mail");
    }
}
