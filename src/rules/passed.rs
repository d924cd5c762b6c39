//! What of a large set did not match, told by name and by what ruled it out.

use super::compile::Rule;
use crate::domain::verdict::PassedOver;

/// The rules of a large set that did not match, by what ruled them out.
#[derive(Default)]
pub(super) struct Passed<'r> {
    groups: Vec<(&'static str, Vec<&'r Rule>)>,
    /// The nearest so far, which is told whole, and what ruled it out.
    pub nearest: Option<(&'r Rule, &'static str)>,
}

impl<'r> Passed<'r> {
    pub fn add(&mut self, key: &'static str, rule: &'r Rule) {
        match self.groups.iter_mut().find(|(of, _)| *of == key) {
            Some((_, rules)) => rules.push(rule),
            None => self.groups.push((key, vec![rule])),
        }
    }

    pub fn told(self) -> Vec<PassedOver> {
        let names = |rules: Vec<&Rule>| rules.into_iter().map(|rule| rule.name.clone()).collect();
        let group = |(key, rules): (&str, _)| PassedOver { condition: key.to_owned(), rules: names(rules) };
        self.groups.into_iter().map(group).collect()
    }
}
