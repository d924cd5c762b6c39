//! Dates, and IDLE against a server in memory.

use async_imap::Client;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::super::guard::Guard;
use super::bodies::internal_date;
use super::*;

#[test]
fn dates_of_receipt_are_instants() {
    for (text, expected) in [
        ("17-Jul-1996 02:44:25 -0700", Some("1996-07-17T09:44:25+00:00")),
        (" 7-Jul-1996 02:44:25 +0200", Some("1996-07-07T00:44:25+00:00")),
        ("yesterday", None),
    ] {
        assert_eq!(internal_date(text).map(|at| at.to_rfc3339()).as_deref(), expected, "{text}");
    }
}

#[tokio::test]
async fn idle_is_issued_again_before_the_server_gives_up_on_us() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = tokio::spawn(async move {
        let (read, mut write) = tokio::io::split(theirs);
        let mut lines = BufReader::new(read).lines();
        let (mut tag, mut idles) = (String::new(), 0);
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match line.split_once(' ') {
                Some((of, "IDLE")) => {
                    tag = of.to_owned();
                    idles += 1;
                    let news = if idles == 3 { "* 1 EXISTS\r\n" } else { "" };
                    format!("+ idling\r\n{news}")
                }
                None if line == "DONE" => format!("{tag} OK done\r\n"),
                Some((of, _)) => format!("{of} OK done\r\n"),
                None => panic!("{line}"),
            };
            write.write_all(answer.as_bytes()).await.unwrap();
            if line == "DONE" && idles == 3 {
                break;
            }
        }
        idles
    });
    let session = Client::new(Guard::new(ours)).login("u", "p").await.map_err(|(error, _)| error).unwrap();
    let wire = Wire::new(session, Duration::from_secs(30));
    let mut imap = Imap {
        wire,
        uid_validity: 1,
        abilities: Abilities::default(),
        permanent: None,
        under_way: UnderWay::default(),
    };
    let wake = Notify::new();
    let waited = imap.idle(Duration::from_secs(600), Duration::from_millis(1), &wake);
    tokio::time::timeout(Duration::from_secs(60), waited).await.expect("woken by EXISTS").unwrap();
    assert_eq!(server.await.unwrap(), 3);
}
