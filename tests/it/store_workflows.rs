//! Workflow versions in the store, on both databases: published once, and the same for good.

use countersign::domain::workflow::Workflow;
use countersign::store::workflows::{self, Published};
use serde_json::json;

use crate::store_contract::{at, odd, on_both};

#[tokio::test]
async fn a_version_is_published_once_and_says_the_same_for_good() {
    on_both(async |store| {
        let make = |title: &str| -> Workflow {
            let step = json!([{"name": "a", "agent": "noop", "with": odd()}]);
            serde_json::from_value(json!({"name": "p", "version": 3, "prefix": "P", "title": title, "step": step}))
                .unwrap()
        };
        let (first, other) = (make("it's"), make("other"));
        let mut tx = store.begin().await.unwrap();
        let Published::New { hash } = workflows::publish(&mut tx, &first, "o'neil", at(1)).await.unwrap() else {
            panic!("it was published before")
        };
        let before = |is_withdrawn| Published::Before { hash: hash.clone(), is_withdrawn };
        assert_eq!(workflows::publish(&mut tx, &first, "frank", at(2)).await.unwrap(), before(false));
        assert_eq!(workflows::publish(&mut tx, &other, "frank", at(2)).await.unwrap(), Published::Otherwise);
        assert_eq!(workflows::counts(&mut tx).await.unwrap(), (1, 0));
        for (name, version, by, expected) in [
            ("p", 3, None, false),
            ("p", 4, Some("frank"), false),
            ("p", 3, Some("frank"), true),
            ("p", 3, Some("olivia"), false),
        ] {
            let withdrawn = by.map(|by| (by, at(3)));
            let done = workflows::set_withdrawn(&mut tx, (name, version), withdrawn).await.unwrap();
            assert_eq!(done, expected, "{name}@{version} {by:?}");
        }
        assert_eq!(workflows::publish(&mut tx, &first, "frank", at(4)).await.unwrap(), before(true));
        let rows = workflows::published(&mut tx).await.unwrap();
        assert_eq!((rows.len(), &rows[0].definition.0, rows[0].published_by.as_str()), (1, &first, "o'neil"));
        assert_eq!((rows[0].published_at, rows[0].withdrawn_at), (at(1), Some(at(3))));
        assert!(workflows::set_withdrawn(&mut tx, ("p", 3), None).await.unwrap());
        assert_eq!(workflows::counts(&mut tx).await.unwrap(), (1, 0));
    })
    .await;
}
