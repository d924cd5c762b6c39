//! Definitions by content hash, decoded once in a process: what a hash stands for never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::workflow::Workflow;
use crate::store::{StoreError, Tx, workflows};

/// Definitions kept at once; beyond it all are forgotten and read again at need.
const MOST: usize = 1000;

#[derive(Debug, Default)]
pub struct Definitions(Mutex<HashMap<String, Arc<Workflow>>>);

impl Definitions {
    /// The definition with this hash.
    ///
    /// # Errors
    /// When it is not in the database, or cannot be decoded by this version.
    pub async fn get(&self, tx: &mut Tx, hash: &str) -> Result<Arc<Workflow>, StoreError> {
        if let Some(known) = self.lock().get(hash) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(workflows::get(tx, hash).await?);
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hash.to_owned(), Arc::clone(&read));
        Ok(read)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Workflow>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
