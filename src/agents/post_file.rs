//! `post_file`: posts a record into a JSON file, the demo's stand-in for an ERP. The same step posts once, whatever crashes.
//!
//! The file is an object from idempotency key to posting. It is replaced as a whole (write, fsync, rename) under a lock
//! that the operating system drops when its holder dies.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::settings::{self, Names, Reader, Setting};
use super::{Agent, Outcome, Task};
use crate::domain::crash;
use crate::domain::failure::Failure;

pub struct PostFile {
    /// Nothing outside this directory is written.
    pub directory: PathBuf,
}

#[derive(Default)]
struct Wants {
    file: String,
    record: Map<String, Value>,
    /// Fields of the record that no other run may have posted with the same values: supplier and invoice number.
    unique: Vec<String>,
}

fn read(with: &mut Reader) -> Wants {
    let InsideName(file) = with.required("file");
    let Names(unique) = with.optional("unique").unwrap_or_default();
    Wants { file, record: with.required("record"), unique }
}

/// A relative name that cannot leave its directory.
#[derive(Default)]
struct InsideName(String);

impl Setting for InsideName {
    const WHAT: &'static str = "a relative file name";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let name = value.as_str().ok_or_else(String::new)?;
        let mut parts = Path::new(name).components();
        let stays = parts.all(|part| matches!(part, Component::Normal(_)));
        if !stays || name.is_empty() || name.ends_with('/') || name.contains('\0') {
            return Err(format!("`{}` is no name inside the posting directory", name.escape_debug()));
        }
        Ok(Self(name.to_owned()))
    }
}

#[async_trait]
impl Agent for PostFile {
    fn name(&self) -> &'static str {
        "post_file"
    }

    fn about(&self) -> &'static str {
        "Posts `record` into the JSON file `file` of the posting directory, once, and gives it a number."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        let wants = match settings::filled(&task.with, read) {
            Ok(wants) => wants,
            Err(failure) => return Outcome::Fail(failure),
        };
        let path = self.directory.join(&wants.file);
        let posting = json!({"run": task.run_name, "posted_at": task.now, "record": wants.record});
        let key = task.idempotency_key();
        let unique = wants.unique;
        let posted = tokio::task::spawn_blocking(move || post(&path, &key, posting, &unique)).await;
        let failure = |why: String| Failure::high("post_failed", format!("cannot post to {}: {why}", wants.file));
        match posted {
            Ok(Ok(Posted::As(number))) => {
                task.log(&format!("posted to {} as {number}", wants.file));
                Outcome::done(json!({"posted": true, "number": number, "file": wants.file}))
            }
            Ok(Ok(Posted::Before { number, run })) => {
                let details = format!("the same was posted before, as {number} by {run}; nothing is posted twice");
                Outcome::Fail(Failure::high("already_posted", details))
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Outcome::Fail(failure(error.to_string())),
            Ok(Err(error)) => Outcome::Retry(failure(error.to_string())),
            Err(error) => Outcome::Retry(failure(error.to_string())),
        }
    }
}

/// What came of a posting.
enum Posted {
    /// Under this number: a new one, or the first one's when this very posting was made before.
    As(String),
    /// Another run has posted a record that is the same in its unique fields.
    Before { number: String, run: String },
}

/// Posts under `key`, once.
///
/// Durable when it returns. A crash leaves the file as it was or with the whole posting.
fn post(path: &Path, key: &str, mut posting: Value, unique: &[String]) -> io::Result<Posted> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let lock = File::create(beside(path, "lock"))?;
    lock.lock()?;
    let mut postings = load(path)?;
    if let Some(known) = postings.get(key) {
        // A crash may have come between the rename and its fsync.
        File::open(directory)?.sync_all()?;
        return Ok(Posted::As(text(&known["number"])));
    }
    let is_same = |known: &&Value| {
        !unique.is_empty() && unique.iter().all(|field| known["record"][field] == posting["record"][field])
    };
    if let Some(known) = postings.values().find(is_same) {
        return Ok(Posted::Before { number: text(&known["number"]), run: text(&known["run"]) });
    }
    let number = format!("ERP-{:06}", postings.len() + 1);
    posting["number"] = number.clone().into();
    postings.insert(key.to_owned(), posting);

    let scratch = beside(path, "tmp");
    let mut file = File::create(&scratch)?;
    file.write_all(&serde_json::to_vec_pretty(&postings)?)?;
    file.sync_all()?;
    fs::rename(&scratch, path)?;
    crash::point("post.written");
    File::open(directory)?.sync_all()?;
    Ok(Posted::As(number))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// # Errors
/// `InvalidData` when the file holds something else than postings.
fn load(path: &Path) -> io::Result<Map<String, Value>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is no JSON object: {error}")))
}

/// `erp.json` -> `.erp.json.lock`
fn beside(path: &Path, extension: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{perform, task};
    use crate::domain::ids::RunId;

    fn agent(directory: &tempfile::TempDir) -> PostFile {
        PostFile { directory: directory.path().to_owned() }
    }

    fn posting() -> Task {
        task(json!({"file": "erp.json", "record": {"invoice": "4711", "total": "1190.00"}}))
    }

    async fn number(agent: &PostFile, task: &Task) -> String {
        match perform(agent, task).await {
            Outcome::Done { output, .. } => output["number"].as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_same_step_posts_once_and_another_step_posts_again() {
        let directory = tempfile::tempdir().unwrap();
        let (agent, mut task) = (agent(&directory), posting());
        assert_eq!(number(&agent, &task).await, "ERP-000001");
        task.attempt = 2;
        assert_eq!(number(&agent, &task).await, "ERP-000001");
        task.run_id = RunId::new();
        assert_eq!(number(&agent, &task).await, "ERP-000002");
        let file = load(&directory.path().join("erp.json")).unwrap();
        assert_eq!(file.len(), 2);
        assert_eq!(file[&task.idempotency_key()]["record"]["total"], "1190.00");
    }

    #[tokio::test]
    async fn postings_at_the_same_time_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let posts = (0..20).map(|place| {
            let (agent, mut task) = (agent(&directory), posting());
            // Every run posts twice, as after a crash.
            task.run_id = RunId(uuid::Uuid::from_u128(place / 2));
            tokio::spawn(async move { number(&agent, &task).await })
        });
        let mut numbers = vec![];
        for post in posts.collect::<Vec<_>>() {
            numbers.push(post.await.unwrap());
        }
        numbers.sort();
        let expected: Vec<_> = (0..20).map(|place| format!("ERP-{:06}", place / 2 + 1)).collect();
        assert_eq!(numbers, expected);
    }

    #[tokio::test]
    async fn a_name_outside_the_directory_and_a_damaged_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["../erp.json", "/tmp/erp.json", "a/../../b", "", "a/"] {
            let with = json!({"file": file, "record": {}});
            assert_eq!(agent(&directory).check(with.as_object().unwrap()).len(), 1, "{file}");
            let Outcome::Fail(failure) = perform(&agent(&directory), &task(with)).await else { panic!("{file}") };
            assert_eq!(failure.reason, "bad_settings");
        }
        fs::write(directory.path().join("erp.json"), "[").unwrap();
        let Outcome::Fail(failure) = perform(&agent(&directory), &posting()).await else { panic!("must fail") };
        assert_eq!(failure.reason, "post_failed");
        assert_eq!(fs::read(directory.path().join("erp.json")).unwrap(), b"[", "what was there stays");
    }

    #[tokio::test]
    async fn the_same_business_record_of_another_run_is_not_posted_again() {
        let directory = tempfile::tempdir().unwrap();
        let agent = agent(&directory);
        let posting = |invoice: &str| {
            let record = json!({"invoice": invoice, "supplier": "Nordwind"});
            let mut task = task(json!({"file": "erp.json", "record": record, "unique": ["supplier", "invoice"]}));
            task.run_id = RunId::new();
            task
        };
        assert_eq!(number(&agent, &posting("4711")).await, "ERP-000001");
        let Outcome::Fail(failure) = perform(&agent, &posting("4711")).await else { panic!("posted twice") };
        assert!(failure.reason == "already_posted" && failure.details.contains("ERP-000001"), "{failure}");
        assert_eq!(number(&agent, &posting("4712")).await, "ERP-000002");
    }
}
