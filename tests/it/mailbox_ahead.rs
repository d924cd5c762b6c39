//! Orders sent ahead of the answers to earlier ones, against a real Dovecot.

use std::collections::BTreeMap;

use countersign::config::sections::After;
use countersign::mailbox::flow::{Done, Flow, Order, Wanted};
use countersign::mailbox::{Mailbox, MailboxError};
use tokio::time::timeout;

use crate::imap_rig::{GUARD, LIMIT, encrypted, fresh_user, mail, opened, raw};

fn fetch(wanted: &[(u32, usize)], limit_bytes: u64) -> Order {
    let wanted = wanted.iter().map(|(uid, size)| Wanted { uid: uid.to_string(), size_bytes: *size as u64 });
    Order::Fetch { wanted: wanted.collect(), limit_bytes }
}

fn mark(uids: &[u32], after: After) -> Order {
    Order::Mark { uids: uids.iter().map(u32::to_string).collect(), after }
}

/// Gives the orders one after the other without waiting, and takes what comes of them.
async fn carried_out(mailbox: &mut dyn Mailbox, orders: Vec<Order>) -> (BTreeMap<u32, Result<Vec<u8>, String>>, usize) {
    let mut flow = Flow::new(mailbox);
    for order in orders {
        flow.order(order).await.expect("order");
    }
    let (mut bodies, mut marks) = (BTreeMap::new(), 0);
    while let Some(done) = timeout(GUARD, flow.next()).await.expect("no hang").expect("next") {
        match done {
            Done::Body { uid, body } => {
                let body = body.map_err(|error| match error {
                    MailboxError::Gone { .. } => "gone".to_owned(),
                    MailboxError::TooLarge { size_bytes, .. } => format!("too large: {size_bytes}"),
                    other => other.to_string(),
                });
                assert!(bodies.insert(uid.parse().unwrap(), body).is_none(), "uid {uid} came twice");
            }
            Done::Marked { result, .. } => {
                result.expect("marked");
                marks += 1;
            }
        }
    }
    (bodies, marks)
}

#[tokio::test]
async fn bodies_of_every_size_come_whole_and_marks_between_them_are_set() {
    let user = fresh_user();
    let mut person = raw(&user).await;
    const CHUNK: usize = 1 << 20;
    let sizes = [400, CHUNK - 1, CHUNK, CHUNK + 1, 3_000_001, 2 * CHUNK, 70_000, 500];
    person.append("INBOX", &sizes.map(mail)).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    let wanted: Vec<(u32, usize)> = (1..).zip(sizes).collect();
    let orders = vec![
        fetch(&wanted[..4], LIMIT),
        mark(&[1, 2], After::Seen),
        fetch(&wanted[4..], LIMIT),
        mark(&[3], After::Keyword("$Filed".into())),
        mark(&[8], After::Move("Done".into())),
    ];
    let (bodies, marks) = carried_out(mailbox.as_mut(), orders).await;
    assert_eq!((bodies.len(), marks), (sizes.len(), 3));
    for (uid, size) in wanted {
        assert!(bodies[&uid].as_ref().unwrap() == &mail(size), "uid {uid} of {size} bytes differs");
    }
    assert!(person.flags(1).await.contains("\\Seen") && person.flags(2).await.contains("\\Seen"));
    assert!(person.flags(3).await.contains("$Filed") && !person.flags(4).await.contains("Seen"));
    assert_eq!(mailbox.list(None).await.unwrap().len(), sizes.len() - 1, "one was moved, and the connection is good");
}

#[tokio::test]
async fn what_is_gone_or_too_large_or_larger_than_told_is_so_alone() {
    let user = fresh_user();
    raw(&user).await.append("INBOX", &[mail(300), mail(2_500_000), mail(300), mail(2_500_000)]).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    // 77 and 78 are not there; 2 is larger than told, and 4 larger than allowed.
    let wanted = [(1, 300), (77, 300), (2, 300), (78, 3_000_000), (3, 300)];
    let orders = vec![fetch(&wanted, LIMIT), fetch(&[(4, 2_500_000)], 2_000_000)];
    let (bodies, _) = carried_out(mailbox.as_mut(), orders).await;
    assert_eq!(bodies[&77], Err("gone".into()));
    assert_eq!(bodies[&78], Err("gone".into()));
    assert_eq!(bodies[&4], Err("too large: 2500000".into()));
    assert!(bodies[&2].as_ref().unwrap() == &mail(2_500_000));
    assert!(bodies[&1].as_ref().unwrap() == &mail(300) && bodies[&3].as_ref().unwrap() == &mail(300));
    assert_eq!(mailbox.list(None).await.unwrap().len(), 4, "the connection is still good");
}
