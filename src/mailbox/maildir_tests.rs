//! Tests of the Maildir: what is listed, fetched, marked and waited for.

use super::*;

async fn opened() -> (tempfile::TempDir, Maildir) {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path()).unwrap();
    let maildir = Maildir::open(dir.path()).await.unwrap();
    (dir, maildir)
}

/// Every file of the Maildir, as `cur/name:2,S`.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for part in fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for entry in fs::read_dir(part.path()).unwrap().flatten() {
            found.push(entry.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

fn uids(listed: &[Listed]) -> Vec<&str> {
    listed.iter().map(|one| one.uid.as_str()).collect()
}

#[tokio::test]
async fn a_delivered_message_is_listed_and_read_as_it_was_without_being_touched() {
    let (dir, mut maildir) = opened().await;
    let bytes = b"From: a@x.example\r\n\r\n\0\xff body";
    let uid = deliver(dir.path(), bytes).unwrap();
    let listed = maildir.list(None).await.unwrap();
    assert_eq!(uids(&listed), [uid.as_str()]);
    assert_eq!(listed[0].size_bytes, bytes.len() as u64);
    assert!(listed[0].received_at.is_some());
    assert_eq!(maildir.fetch(&uid, 1_000).await.unwrap(), bytes);
    assert_eq!(files(dir.path()), [format!("new/{uid}")]);
}

#[tokio::test]
async fn new_and_cur_are_listed_oldest_first_by_unique_name() {
    let (dir, mut maildir) = opened().await;
    for (name, secs) in
        [("cur/2.b.host:2,FS", 200), ("new/3.a.host", 100), ("cur/1.c.host:2,", 300), ("new/.hidden", 1)]
    {
        fs::write(dir.path().join(name), "x").unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        File::options().append(true).open(dir.path().join(name)).unwrap().set_modified(at).unwrap();
    }
    assert_eq!(uids(&maildir.list(Some("3.a.host")).await.unwrap()), ["3.a.host", "2.b.host", "1.c.host"]);
}

#[tokio::test]
async fn seen_is_flagged_in_order_once_and_moves_to_cur() {
    for after in [After::Seen, After::Keyword("filed".into())] {
        let (dir, mut maildir) = opened().await;
        fs::write(dir.path().join("new/1.a"), "x").unwrap();
        fs::write(dir.path().join("cur/2.b:2,FT"), "x").unwrap();
        let all = ["1.a".to_owned(), "2.b".to_owned(), "9.gone".to_owned()];
        for _repeat in 0..2 {
            maildir.mark(&all, &after).await.unwrap();
            assert_eq!(files(dir.path()), ["cur/1.a:2,S", "cur/2.b:2,FST"]);
        }
    }
}

#[tokio::test]
async fn moving_makes_the_folder_and_takes_the_flags_along() {
    let (dir, mut maildir) = opened().await;
    fs::write(dir.path().join("new/1.a"), "x").unwrap();
    fs::write(dir.path().join("cur/2.b:2,F"), "x").unwrap();
    let all = ["1.a".to_owned(), "2.b".to_owned()];
    for _repeat in 0..2 {
        maildir.mark(&all, &After::Move("Fertig/März".into())).await.unwrap();
    }
    let moved = dir.path().join(".Fertig.M&AOQ-rz");
    assert_eq!(files(&moved), ["cur/2.b:2,F", "new/1.a"]);
    assert!(moved.join("maildirfolder").is_file());
    assert!(maildir.list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_folder_name_cannot_leave_the_maildir() {
    let (dir, mut maildir) = opened().await;
    let uid = deliver(dir.path(), b"x").unwrap();
    for name in ["", "..", "../x", "/etc", "a//b"] {
        let error = maildir.mark(std::slice::from_ref(&uid), &After::Move(name.into())).await.unwrap_err();
        assert!(matches!(error, MailboxError::Protocol { .. }), "{name}: {error}");
    }
    assert_eq!(files(dir.path()), [format!("new/{uid}")]);
}

#[tokio::test]
async fn a_message_that_another_program_flagged_meanwhile_is_still_found() {
    let (dir, mut maildir) = opened().await;
    let uid = deliver(dir.path(), b"x").unwrap();
    maildir.list(None).await.unwrap();
    fs::rename(dir.path().join("new").join(&uid), dir.path().join(format!("cur/{uid}:2,F"))).unwrap();
    assert_eq!(maildir.fetch(&uid, 10).await.unwrap(), b"x");
    maildir.mark(std::slice::from_ref(&uid), &After::Seen).await.unwrap();
    assert_eq!(files(dir.path()), [format!("cur/{uid}:2,FS")]);
}

#[tokio::test]
async fn what_is_gone_or_too_large_says_so_and_breaks_nothing() {
    let (dir, mut maildir) = opened().await;
    let uid = deliver(dir.path(), &[b'x'; 11]).unwrap();
    let error = maildir.fetch(&uid, 10).await.unwrap_err();
    assert!(matches!(error, MailboxError::TooLarge { size_bytes: 11, limit_bytes: 10, .. }) && !error.is_broken());
    let error = maildir.fetch("1.gone", 10).await.unwrap_err();
    assert!(matches!(error, MailboxError::Gone { .. }) && !error.is_broken());
    assert_eq!(maildir.fetch(&uid, 11).await.unwrap().len(), 11);
}

#[tokio::test]
async fn a_delivery_ends_the_wait_and_so_does_one_made_just_before_it() {
    let guard = Duration::from_secs(60);
    let (dir, mut maildir) = opened().await;
    maildir.list(None).await.unwrap();
    let path = dir.path().to_owned();
    let wake = Notify::new();
    let (waited, delivered) = tokio::join!(
        tokio::time::timeout(guard, maildir.wait(guard * 2, &wake)),
        blocking(move || Ok(deliver(&path, b"x")))
    );
    waited.expect("woken by the delivery").unwrap();
    let uid = delivered.unwrap().unwrap();
    assert_eq!(uids(&maildir.list(None).await.unwrap()), [uid]);
    // Nothing new: the wait lasts its time.
    maildir.wait(Duration::from_millis(1), &Notify::new()).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_no_maildir_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let error = Maildir::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, MailboxError::Unreachable { .. }) && error.to_string().contains("no Maildir"), "{error}");
}
