//! The client of a program that was compiled without the feature `s3`: no bucket can be opened.

use std::convert::Infallible;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use super::{Condition, Error, Kind, Object, Put, Result, Version};

/// A request that nothing can begin.
pub(crate) struct Pending(Infallible);

impl Pending {
    pub(crate) fn wait(self) -> Result<Vec<u8>> {
        match self.0 {}
    }
}

/// A bucket that nothing can open.
#[derive(Debug, Clone)]
pub(crate) struct Bucket(Infallible);

#[allow(clippy::unused_self, reason = "the methods are those of the client")]
impl Bucket {
    /// # Errors
    /// Always.
    pub(crate) fn open(url: &Path) -> Result<Self> {
        let what =
            "this medcosmos was compiled without S3 storage; compile it with the feature `s3`, which is on by default";
        Err(Error::new(Kind::Other, url.display().to_string(), what))
    }

    pub(crate) fn url(&self, _: &str) -> String {
        match self.0 {}
    }

    pub(crate) fn server(&self) -> &str {
        match self.0 {}
    }

    pub(crate) fn list(&self, _: &str) -> Result<Vec<Object>> {
        match self.0 {}
    }

    pub(crate) fn head(&self, _: &str) -> Result<Option<Object>> {
        match self.0 {}
    }

    pub(crate) fn read(&self, _: &str) -> Result<Option<(Vec<u8>, Version)>> {
        match self.0 {}
    }

    pub(crate) fn read_range(&self, _: &str, _: Range<u64>) -> Result<Vec<u8>> {
        match self.0 {}
    }

    pub(crate) fn read_unchanged(&self, _: &str, _: Range<u64>, _: &Version) -> Result<Vec<u8>> {
        match self.0 {}
    }

    pub(crate) fn read_into(&self, _: &str, _: u64, _: &mut [u8], _: &Version) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn begin(&self, _: &str, _: Range<u64>, _: &Version) -> Result<Pending> {
        match self.0 {}
    }

    pub(crate) fn download(&self, _: &str, _: &mut dyn Write) -> Result<u64> {
        match self.0 {}
    }

    pub(crate) fn upload(&self, _: &str, _: &Path) -> Result<Version> {
        match self.0 {}
    }

    pub(crate) fn put(&self, _: &str, _: Vec<u8>, _: Condition) -> Result<Put> {
        match self.0 {}
    }

    pub(crate) fn delete(&self, _: &str) -> Result<()> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_refused_with_what_to_do() {
        let error = Bucket::open(Path::new("s3://raw/a")).unwrap_err().to_string();
        assert!(error.starts_with("s3://raw/a: ") && error.contains("the feature `s3`"), "{error}");
        let tree = crate::raw::Tree::open(Path::new("s3://raw/a")).unwrap_err().to_string();
        assert!(tree.starts_with("s3://raw/a: ") && tree.contains("the feature `s3`"), "{tree}");
    }
}
