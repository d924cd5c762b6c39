//! One contract, tried on every kind of store.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::secret::SecretRef;
use crate::domain::clock::SystemClock;

#[tokio::test]
async fn a_local_store_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let blob = Blob::local(root.path().join("deep/store"));
    assert_contract(&blob).await;
}

#[tokio::test]
async fn a_bucket_keeps_the_contract() {
    let (_root, endpoint) = s3_server().await;
    for prefix in ["", "mail/eu", "/slashed/"] {
        assert_contract(&bucket(&endpoint, "papers", prefix).await).await;
    }
}

async fn assert_contract(blob: &Blob) {
    let paths = |entries: Vec<Entry>| entries.into_iter().map(|e| (e.path, e.size_bytes)).collect::<Vec<_>>();
    assert_eq!(blob.list("").await.unwrap(), [], "{}", blob.describe());
    blob.check().await.unwrap();
    assert_eq!(blob.list("").await.unwrap(), [], "a check leaves nothing to see");

    // Written twice is written once; other bytes replace.
    for bytes in [&b"first"[..], b"first", b"other bytes", b""] {
        blob.put("acme/t1/message.eml", bytes).await.unwrap();
        assert_eq!(blob.get("acme/t1/message.eml").await.unwrap(), bytes);
    }
    let large: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    blob.put("acme/t1/parts/002-ä b+c%20.pdf", &large).await.unwrap();
    assert_eq!(blob.get("acme/t1/parts/002-ä b+c%20.pdf").await.unwrap(), large);
    blob.put("acme/t10/message.eml", b"x").await.unwrap();

    // A listing is of a directory, not of whatever begins alike.
    let t1 = [("acme/t1/message.eml".to_owned(), 0), ("acme/t1/parts/002-ä b+c%20.pdf".to_owned(), 3_000_000)];
    assert_eq!(paths(blob.list("acme/t1").await.unwrap()), t1);
    assert_eq!(paths(blob.list("acme/t1/").await.unwrap()), t1);
    assert_eq!(blob.list("").await.unwrap().len(), 3);
    assert_eq!(blob.list("nobody").await.unwrap(), []);

    assert!(blob.exists("acme/t1/message.eml").await.unwrap());
    assert!(!blob.exists("acme/t1/message.eml2").await.unwrap());
    // The file system behind the test server answers 500 here, where S3 says 404.
    if matches!(blob, Blob::Local(_)) {
        assert!(!blob.exists("acme/t1").await.unwrap(), "a directory is no file");
        assert!(blob.get("acme/t1").await.unwrap_err().is_not_found());
    }
    let missing = blob.get("acme/t2/message.eml").await.unwrap_err();
    assert!(missing.is_not_found() && !missing.is_transient(), "{missing}");

    // Removed twice is removed once, and of a directory only its own files.
    blob.remove("acme/t1/message.eml").await.unwrap();
    blob.remove("acme/t1/message.eml").await.unwrap();
    assert!(!blob.exists("acme/t1/message.eml").await.unwrap());
    assert_eq!(blob.remove_all("acme/t1").await.unwrap(), 1);
    assert_eq!(blob.remove_all("acme/t1").await.unwrap(), 0);
    assert_eq!(paths(blob.list("").await.unwrap()), [("acme/t10/message.eml".to_owned(), 1)]);
    blob.put("acme/t1/message.eml", b"again").await.unwrap();
    for bad in ["", "..", "acme/"] {
        assert!(matches!(blob.remove_all(bad).await.unwrap_err(), BlobError::BadPath { .. }), "{bad}");
    }

    for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\0b", "a/.tmp-1"] {
        for refused in [blob.put(bad, b"x").await.unwrap_err(), blob.get(bad).await.unwrap_err()] {
            assert!(matches!(refused, BlobError::BadPath { .. }) && !refused.is_transient(), "{bad}: {refused}");
        }
    }
    assert!(blob.list("../").await.is_err());
}

#[tokio::test]
async fn a_listing_longer_than_one_page_is_whole() {
    let (root, endpoint) = s3_server().await;
    // A page has at most 1,000 keys (S3 API, ListObjectsV2). The server keeps its objects as plain files.
    std::fs::create_dir(root.path().join("papers/many")).unwrap();
    for n in 0..1003 {
        std::fs::write(root.path().join(format!("papers/many/{n:04}")), "x").unwrap();
    }
    let entries = bucket(&endpoint, "papers", "").await.list("many").await.unwrap();
    assert_eq!((entries.len(), entries[1002].path.as_str()), (1003, "many/1002"));
}

#[tokio::test]
async fn writers_of_the_same_file_never_mix_and_leave_no_scratch_files() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let blob = Arc::new(Blob::local(root.path().into()));
    let writers = (0..8u8).map(|n| {
        let blob = Arc::clone(&blob);
        tokio::spawn(async move { blob.put("a/b/file", &vec![n; 100_000]).await })
    });
    for writer in futures_util::future::join_all(writers).await {
        writer.unwrap().unwrap();
    }
    let bytes = blob.get("a/b/file").await.unwrap();
    assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
    let names: Vec<_> = std::fs::read_dir(root.path().join("a/b")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    let mode = std::fs::metadata(root.path().join("a/b/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "mode {mode:o}: others read nothing, nobody executes");
}

#[tokio::test]
async fn a_scratch_file_of_a_crash_is_never_listed() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(".tmp-0190"), b"half").unwrap();
    assert_eq!(Blob::local(root.path().into()).list("").await.unwrap(), []);
}

#[tokio::test]
async fn a_place_where_nothing_can_be_written_fails_the_check_for_good() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), b"x").unwrap();
    let error = Blob::local(root.path().join("file/store")).check().await.unwrap_err();
    assert!(!error.is_transient() && !error.is_not_found(), "{error}");

    let endpoint = canned_server("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>").await;
    let error = bucket(&endpoint, "nosuchbucket", "").await.check().await.unwrap_err();
    assert!(!error.is_transient() && !error.is_not_found(), "{error}");
    assert!(error.to_string().contains("s3://nosuchbucket/"), "{error}");
}

#[tokio::test]
async fn answers_of_a_bucket_are_told_apart() {
    let check = async |status: &'static str, body: &'static str, transient: bool, not_found: bool| {
        let endpoint = canned_server(status, body).await;
        let error = bucket(&endpoint, "papers", "").await.get("a").await.unwrap_err();
        assert_eq!((error.is_transient(), error.is_not_found()), (transient, not_found), "{error}");
        assert!(!error.to_string().contains("testtest"), "{error}");
    };
    check("503 Slow Down", "<Error><Code>SlowDown</Code></Error>", true, false).await;
    check("500 Internal Server Error", "", true, false).await;
    check("400 Bad Request", "<Error><Code>ExpiredToken</Code></Error>", true, false).await;
    check("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>", false, false).await;
    check("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>", false, false).await;
    check("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>", false, true).await;
    check("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>", false, false).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_worth_another_attempt() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://user:testtest@{}/x", socket.local_addr().unwrap());
    let blob = bucket(&endpoint, "papers", "").await;
    let error = blob.put("a", b"x").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(!blob.describe().contains("testtest"), "{}", blob.describe());
}

async fn bucket(endpoint: &str, name: &str, prefix: &str) -> Blob {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("id"), "test\n").unwrap();
    std::fs::write(keys.path().join("key"), "testtest\n").unwrap();
    let store = Store::S3 {
        bucket: name.into(),
        prefix: prefix.into(),
        endpoint: Some(endpoint.into()),
        region: None,
        path_style: true,
        access_key_id: Some(SecretRef::File(keys.path().join("id"))),
        secret_access_key: Some(SecretRef::File(keys.path().join("key"))),
    };
    let aws = Aws::default();
    open(&store, &Secrets::new(aws.clone(), Arc::new(SystemClock), keys.path()), &aws).await.unwrap()
}

/// An S3 server over a directory, with one bucket `papers` for every test.
async fn s3_server() -> (tempfile::TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("papers")).unwrap();
    let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
    builder.set_auth(s3s::auth::SimpleAuth::from_single("test", "testtest"));
    let service = builder.build();
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
            });
        }
    });
    (root, format!("http://{address}"))
}

/// A server that gives every request the same answer.
async fn canned_server(status: &'static str, body: &'static str) -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 16 << 10];
                let _ = connection.read(&mut request).await;
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = connection.write_all(answer.as_bytes()).await;
                // Closing with bytes unread would reset the connection before the answer is seen.
                let _ = connection.shutdown().await;
                while connection.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    format!("http://{address}")
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
