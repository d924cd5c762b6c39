//! Working directories as paths and bytes, in a local directory or in S3. A closed set, so an enum.

#[derive(Debug)]
pub enum Blob {}
