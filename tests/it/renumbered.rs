//! A server that changes a folder's UIDVALIDITY: what was dealt with is recognised by its bytes, one to one, and nothing of
//! it happens again.

use chrono::TimeDelta;
use countersign::cli::{self, Command, Mailbox, Quarantine};
use countersign::store::quarantine;

use crate::app::{TestApp, invoice, mail};
use crate::holds::letters;
use crate::intake_features::told;
use crate::ledger::{Shelf, balance, newsletter, poll, row_of};

async fn show(app: &TestApp, id: String) -> String {
    cli::tell(Command::Show { id }, &app.app.context(), None).await.unwrap().text
}

#[tokio::test]
async fn a_renumbered_folder_is_recognised_one_to_one_and_nothing_happens_again() {
    let app = TestApp::configured("plus_address = true", "burst = 5").await;
    let stranger = mail("clerk@elsewhere.example", "Invoice 1", "Pay me.").raw();
    let unreadable = b"no mail at all\n".to_vec();
    let mails = [invoice().raw(), stranger, newsletter(), newsletter(), unreadable];
    let mails: Vec<_> = (1..).zip(mails).collect();
    let mut shelf = Shelf::with(&mails);
    poll(&app, &mut shelf).await;
    let before = balance(&app, &mut shelf).await;
    assert_eq!((before.run, before.on_server), (1, 5));
    let held = quarantine::held(&mut app.tx().await).await.unwrap().len();
    let first = app.messages().await;

    for turn in 1..=2 {
        shelf.uid_validity += 1;
        shelf.mails = mails.iter().rev().zip(20..).map(|((_, raw), uid)| (uid, raw.clone())).collect();
        shelf.marked.clear();
        poll(&app, &mut shelf).await;
        assert_eq!(balance(&app, &mut shelf).await, before, "each in the class that it had");
        assert_eq!(shelf.marked.len(), 5, "shown on the server again");
        assert_eq!((app.runs().await.len(), quarantine::held(&mut app.tx().await).await.unwrap().len()), (1, held));
        let rows = app.messages().await;
        let here: Vec<_> = rows.iter().filter(|row| row.uid_validity == i64::from(shelf.uid_validity)).collect();
        let mut stands_for: Vec<_> = here.iter().map(|row| row.duplicate_of.expect("an earlier one")).collect();
        stands_for.sort();
        let mut expected: Vec<_> = first.iter().map(|row| row.id).collect();
        expected.sort();
        assert_eq!(stands_for, expected, "one to one, and the first of all");
        for row in here {
            assert!(told(row).starts_with("ignore renumbered: the server renumbered the folder"), "{}", told(row));
            assert!(app.stored(row).await.is_empty(), "nothing is stored again");
            let shown = show(&app, row.id.to_string()).await;
            assert!(shown.contains(&format!("kept with message {}\n", row.duplicate_of.unwrap())), "{shown}");
        }
        let event = app.events("mailbox.renumbered").await.pop().unwrap();
        assert_eq!((&event.data["known"], &event.data["listed"]), (&5.into(), &5.into()));
        assert_eq!(app.events("mailbox.renumbered").await.len(), turn);
    }

    // A third of two is new, and decided as such.
    shelf.mails.push((40, newsletter()));
    poll(&app, &mut shelf).await;
    let last = row_of(&app, "40").await;
    assert_eq!((last.earlier_verdict, last.duplicate_of), (None, None));
    app.finish().await;
}

#[tokio::test]
async fn what_was_not_read_under_its_old_number_is_decided_under_the_new_one() {
    let app = TestApp::demo().await;
    let mut shelf = Shelf::with(&[(1, invoice().raw())]);
    let pause = Mailbox::Pause { name: "ap".into(), reason: "wait".into(), as_user: "frank".into() };
    cli::tell(Command::Mailbox { what: pause }, &app.app.context(), None).await.unwrap();
    poll(&app, &mut shelf).await;
    shelf.uid_validity += 1;
    poll(&app, &mut shelf).await;
    let (name, as_user) = ("ap".into(), "frank".into());
    let resume = Mailbox::Resume { name, leave_older_than: None, leave_all: false, as_user };
    cli::tell(Command::Mailbox { what: resume }, &app.app.context(), None).await.unwrap();
    poll(&app, &mut shelf).await;
    let mut told: Vec<_> = app.messages().await.iter().map(|row| told(row)[..14].to_owned()).collect();
    told.sort();
    assert_eq!(told, ["ignore uid-val", "start ap-known"]);
    assert_eq!(app.runs().await.len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn a_renumbered_folder_is_no_burst_and_a_burst_beside_it_is() {
    let check = async |new: u32, held: bool| {
        let app = TestApp::configured("plus_address = true", "burst = 3").await;
        let mut shelf = Shelf::with(&letters(1..=3));
        poll(&app, &mut shelf).await;
        app.pass(TimeDelta::hours(2)).await;
        shelf.uid_validity += 1;
        shelf.mails.extend(letters(10..10 + new));
        poll(&app, &mut shelf).await;
        assert_eq!(app.events("mailbox.held").await.len(), usize::from(held), "{new} new");
    };
    check(0, false).await;
    check(3, false).await;
    check(4, true).await;
}

#[tokio::test]
async fn a_renumbered_quarantine_is_released_once_under_its_first_number() {
    let app = TestApp::demo().await;
    let mut shelf = Shelf::with(&[(1, mail("clerk@elsewhere.example", "Invoice 1", "Pay me.").raw())]);
    poll(&app, &mut shelf).await;
    shelf.uid_validity += 1;
    poll(&app, &mut shelf).await;
    let rows = app.messages().await;
    let (first, second): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.earlier_verdict.is_none());
    let discard = |id: String| Quarantine::Discard { id, as_user: "frank".into(), reason: "spam".into() };
    let perform = async |what| cli::tell(Command::Quarantine { what }, &app.app.context(), None).await;
    let refused = perform(discard(second[0].id.to_string())).await.unwrap_err().to_string();
    assert!(refused.ends_with("is not in quarantine; its verdict is ignore"), "{refused}");
    perform(discard(first[0].id.to_string())).await.unwrap();
    shelf.uid_validity += 1;
    poll(&app, &mut shelf).await;
    assert!(quarantine::held(&mut app.tx().await).await.unwrap().is_empty(), "what is discarded does not come back");
    app.finish().await;
}
