//! What is done on the server with a message that is dealt with: what its rule says, else what its mailbox says. Pure.

use crate::config::sections::{After, Mailbox};

/// What decides how a message is marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The folder that its rule has it moved to.
    pub folder: Option<String>,
    pub is_quarantined: bool,
}

impl Mark {
    pub fn after(&self, config: &Mailbox) -> After {
        match &self.folder {
            Some(folder) => After::Move(folder.clone()),
            None if self.is_quarantined => after_quarantine(config).clone(),
            None => config.after.clone(),
        }
    }
}

/// What is done on the server with quarantined messages.
fn after_quarantine(config: &Mailbox) -> &After {
    config.after_quarantine.as_ref().unwrap_or(&config.after)
}

/// Messages by what is done with them. What the mailbox says comes first: a folder that the server refuses keeps nothing
/// else from being marked.
pub(super) fn by_after<T>(config: &Mailbox, messages: Vec<T>, mark: impl Fn(&T) -> Mark) -> Vec<(After, Vec<T>)> {
    let mut groups = vec![(config.after.clone(), vec![]), (after_quarantine(config).clone(), vec![])];
    for message in messages {
        let mark = mark(&message);
        let usual = usize::from(mark.is_quarantined);
        match (mark.after(config), &mark.folder) {
            (_, None) => groups[usual].1.push(message),
            (after, Some(_)) => match groups.iter_mut().skip(2).find(|(known, _)| *known == after) {
                Some((_, group)) => group.push(message),
                None => groups.push((after, vec![message])),
            },
        }
    }
    groups.retain(|(_, group)| !group.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_folder_comes_before_what_the_mailbox_says_and_is_ordered_last() {
        let config: Mailbox = toml::from_str(
            "name = 'ap'\ncustomer = 'a'\nkind = 'maildir'\npath = 'm'\naddress = 'a@b.example'\nafter_quarantine = { move = 'Held' }",
        )
        .unwrap();
        let mark = |(folder, is_quarantined): &(Option<&str>, bool)| Mark {
            folder: folder.map(str::to_owned),
            is_quarantined: *is_quarantined,
        };
        let mails = vec![(Some("A"), true), (None, true), (Some("A"), false), (None, false), (Some("B"), false)];
        let groups = by_after(&config, mails, mark);
        let told: Vec<_> = groups.iter().map(|(after, group)| (after.clone(), group.len())).collect();
        let to = |folder: &str| After::Move(folder.into());
        assert_eq!(told, [(After::Seen, 1), (to("Held"), 1), (to("A"), 2), (to("B"), 1)]);
    }
}
