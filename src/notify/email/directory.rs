//! Outgoing mail as files: one `<notice id>.eml` each, for the demo and for systems that pick mail up.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::super::compose::compose;
use super::super::{Medium, Outgoing, SendError};

/// Writes mails into a directory. A file that is there is whole and durable; a repeat leaves it as it is.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

#[async_trait]
impl Medium for Directory {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn send(&self, mail: &Outgoing) -> Result<String, SendError> {
        let composed = compose(mail).map_err(|error| SendError::permanent(error.to_string()))?;
        let directory = self.path.clone();
        let name = format!("{}.eml", mail.id);
        let shown = self.path.join(&name).display().to_string();
        // A thread that panics or is cancelled leaves at most a temporary file, so the mail did not go out.
        let written = tokio::task::spawn_blocking(move || write(&directory, &name, &composed.bytes)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(Written::Now) => Ok(format!("written to {shown}")),
            Ok(Written::Before) => Ok(format!("{shown} was there already")),
            Err(error) => Err(SendError::transient(format!("write {shown}: {error}"))),
        }
    }
}

enum Written {
    Now,
    Before,
}

/// Writes beside, syncs, renames, syncs the directory: after a crash there is all of it or nothing.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<Written> {
    fs::create_dir_all(directory)?;
    let target = directory.join(name);
    if target.try_exists()? {
        return Ok(Written::Before);
    }
    let beside = directory.join(format!(".{name}.{}.tmp", uuid::Uuid::new_v4()));
    let outcome = fill(&beside, bytes).and_then(|()| fs::rename(&beside, &target));
    if outcome.is_err() {
        // The reason of the failure is worth more than that of a second one.
        let _ = fs::remove_file(&beside);
    }
    outcome?;
    fs::File::open(directory)?.sync_all()?;
    Ok(Written::Now)
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::super::compose::tests::sample;
    use super::*;

    #[tokio::test]
    async fn a_repeat_leaves_the_file_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let medium = Directory::new(&dir.path().join("out"));
        let mail = sample();
        let first = medium.send(&mail).await.unwrap();
        let file = dir.path().join("out").join(format!("{}.eml", mail.id));
        assert_eq!(first, format!("written to {}", file.display()));
        let before = fs::read(&file).unwrap();
        assert!(medium.send(&mail).await.unwrap().ends_with("was there already"));
        assert_eq!(fs::read(&file).unwrap(), before);
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 1, "no temporary file is left");
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_is_tried_again_later() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("out"), "a file").unwrap();
        assert!(Directory::new(&dir.path().join("out")).send(&sample()).await.unwrap_err().is_transient());
    }
}
