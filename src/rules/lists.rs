//! Lists of a rule file: inline, the first column of a CSV file beside it, or whom the customer knows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Component, Path};
use std::sync::Arc;

use toml::de::DeValue;

use super::facts::Facts;
use super::pattern::{Pattern, PatternBank};
use super::read::{Entry, Fault, Node, table, text, texts, wrong};

/// Values without regard to case; those with `*` or `?` are globs.
#[derive(Debug, Clone, Default)]
pub(super) struct List(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    known: Option<Known>,
    exact: HashSet<String>,
    /// What stands behind the star of globs such as `*.nordwind.example`, of which there may be thousands.
    endings: HashSet<String>,
    /// Lengths of the endings, in bytes.
    lengths: BTreeSet<usize>,
    globs: PatternBank,
}

/// People of the customer, as the database has them.
#[derive(Debug, Clone, Copy)]
enum Known {
    Suppliers,
    Users,
}

impl List {
    /// The same for all copies of a list, and for no other one.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether a value of the message is in it.
    pub fn contains(&self, facts: &Facts, value: &str) -> bool {
        let among = |values: &[String]| values.contains(&value.to_lowercase());
        match self.0.known {
            Some(Known::Suppliers) => among(&facts.of_suppliers),
            Some(Known::Users) => among(&facts.of_users),
            None => self.holds(value),
        }
    }

    /// Whether a value is written in it.
    fn holds(&self, value: &str) -> bool {
        let Inside { exact, endings, lengths, globs, .. } = &*self.0;
        let lower = value.to_lowercase();
        let ending = |length: &usize| lower.get(lower.len().checked_sub(*length)?..);
        exact.contains(&lower)
            || lengths.iter().filter_map(ending).any(|ending| endings.contains(ending))
            || globs.is_match(value)
    }

    fn of<'v>(values: impl IntoIterator<Item = &'v str>) -> Result<Self, String> {
        let mut inside = Inside::default();
        for value in values {
            match value.contains(['*', '?']) {
                // A value never is a regex: it may come from a table of another program.
                true => {
                    let glob = Pattern::parse(value.trim_start_matches('/'))?;
                    match value.strip_prefix('*').filter(|ending| !ending.contains(['*', '?', '\\'])) {
                        Some(ending) => {
                            let ending = ending.to_lowercase();
                            inside.lengths.insert(ending.len());
                            inside.endings.insert(ending);
                        }
                        None => drop(inside.globs.add(glob)),
                    }
                }
                false => drop(inside.exact.insert(value.to_lowercase())),
            }
        }
        inside.globs.prepare();
        Ok(Self(Arc::new(inside)))
    }
}

/// Reads `[lists]`. Bytes of CSV files are handed to `note`, as part of what the rules say.
pub(super) fn read(
    node: &Node<'_>,
    directory: &Path,
    note: &mut dyn FnMut(&str, &[u8]),
) -> Result<BTreeMap<String, List>, Fault> {
    table(node)?.into_iter().map(|entry| Ok((entry.key.to_owned(), one(&entry, directory, note)?))).collect()
}

fn one(entry: &Entry<'_>, directory: &Path, note: &mut dyn FnMut(&str, &[u8])) -> Result<List, Fault> {
    let node = entry.value;
    match node.get_ref() {
        DeValue::Array(_) => {
            let values = texts(node)?;
            List::of(values.iter().map(|(_, value)| *value))
                .map_err(|why| Fault::new(node.span(), why, "mend the glob"))
        }
        DeValue::Table(_) => {
            let keys = table(node)?;
            let [csv] = keys.as_slice() else {
                return Err(Fault::new(node.span(), "a list has one source", "write { csv = \"file.csv\" }"));
            };
            if csv.key == "from" {
                let known = match text(csv.value)? {
                    "suppliers" => Known::Suppliers,
                    "users" => Known::Users,
                    other => return Err(Fault::unknown(csv.value.span(), "source", other, ["suppliers", "users"])),
                };
                return Ok(List(Arc::new(Inside { known: Some(known), ..Inside::default() })));
            }
            if csv.key != "csv" {
                return Err(Fault::unknown(csv.key_span(), "key", csv.key, ["csv", "from"]));
            }
            let name = text(csv.value)?;
            let beside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            let refuse = |what: String, mend: &str| Fault::new(csv.value.span(), what, mend);
            if name.is_empty() || !beside {
                return Err(refuse(format!("`{name}` is not beside the rules"), "name a file below this directory"));
            }
            let bytes = std::fs::read(directory.join(name))
                .map_err(|error| refuse(format!("cannot read {name}: {error}"), "name a CSV file beside this one"))?;
            note(name, &bytes);
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_start_matches('\u{feff}');
            List::of(first_column(text).iter().map(String::as_str))
                .map_err(|why| refuse(format!("{name}: {why}"), "mend the glob in that file"))
        }
        _ => Err(wrong(node, "a list, { csv = … } or { from = … }", "write [\"a\", \"b\"] or { csv = \"file.csv\" }")),
    }
}

/// First column of each line that has one (RFC 4180 quoting; comma, semicolon or tab; `#` starts a comment).
fn first_column(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cells = lines.map(|line| match line.strip_prefix('"') {
        Some(quoted) => {
            let mut cell = String::new();
            let mut rest = quoted.chars().peekable();
            while let Some(c) = rest.next() {
                match c {
                    '"' if rest.peek() == Some(&'"') => {
                        rest.next();
                        cell.push('"');
                    }
                    '"' => break,
                    other => cell.push(other),
                }
            }
            cell.trim().to_owned()
        }
        None => line.split([',', ';', '\t']).next().unwrap_or_default().trim().to_owned(),
    });
    cells.filter(|cell| !cell.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_of_a_csv_file_is_the_list() {
        let text = "domain,name\nnordwind.example,Nordwind\n\n# old\n\"a, \"\"b\"\".example\";x\n kraft.example \n";
        assert_eq!(first_column(text), ["domain", "nordwind.example", "a, \"b\".example", "kraft.example"]);
    }

    #[test]
    fn values_match_without_case_and_as_globs() {
        let list = List::of(["Nordwind.example", "*.kraft.example"]).unwrap();
        assert!(list.holds("nordwind.EXAMPLE") && list.holds("mail.kraft.example"));
        assert!(!list.holds("kraft.example") && !list.holds("nordwind.example.evil"));
    }

    #[test]
    fn thousands_of_globs_are_one_look() {
        let globs: Vec<_> = (0..20_000).map(|n| format!("*.D{n}.example")).collect();
        let list = List::of(globs.iter().map(String::as_str).chain(["billing@*", "*@ärzte.example"])).unwrap();
        assert!(list.0.lengths.len() < 10 && list.0.globs.is_one_set());
        assert!(list.holds("Billing@elsewhere.example") && list.holds("x@ÄRZTE.example"));
        assert!(list.holds("mail.d1999.example") && !list.holds("mail.d20000.example") && !list.holds("d7.example"));
    }
}
