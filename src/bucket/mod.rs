//! S3-compatible storage: objects below a prefix of a bucket, `s3://bucket/prefix`.
//!
//! A blocking client over `object_store`, behind the feature `s3`. Credentials and the endpoint come from where the tools
//! of AWS have them (environment, profiles, web identity, the machine's role). No credential is in a message, in `Debug`
//! text or in the log: messages quote the code and the sentence of a server's answer, never all of it, because some
//! answers repeat the signed request.
#![cfg_attr(not(feature = "s3"), allow(dead_code, reason = "without the feature no bucket can be opened"))]

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(not(feature = "s3"))]
mod absent;
#[cfg(feature = "s3")]
mod client;
#[cfg(feature = "s3")]
mod failure;
#[cfg(feature = "s3")]
mod profile;
#[cfg(test)]
#[cfg(feature = "s3")]
pub(crate) mod requests;
#[cfg(feature = "s3")]
mod settings;

#[cfg(not(feature = "s3"))]
pub(crate) use absent::{Bucket, Pending};
#[cfg(feature = "s3")]
pub(crate) use client::{Bucket, Pending};

/// What every URL of a bucket begins with.
pub(crate) const SCHEME: &str = "s3://";

/// Whether a path is the URL of a bucket or of a place in one.
pub(crate) fn is_url(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(SCHEME.as_bytes())
}

/// The URL of what an object is in, and the object's name there; `None` of the URL of a whole bucket.
pub(crate) fn split(url: &Path) -> Option<(PathBuf, String)> {
    let (bucket, prefix) = parse(url.as_os_str()).ok()?;
    let (above, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    (!name.is_empty()).then(|| (PathBuf::from(format!("{SCHEME}{bucket}/{above}")), name.to_string()))
}

/// The bucket and the prefix of a URL, the prefix without `/` at its ends.
fn parse(url: &OsStr) -> Result<(&str, &str), Error> {
    let refused = |why: &str| {
        Error::new(Kind::Other, url.to_string_lossy(), format!("{why}; write s3://BUCKET or s3://BUCKET/PREFIX"))
    };
    let text = url.to_str().ok_or_else(|| refused("the URL is not UTF-8"))?;
    let rest = text.strip_prefix(SCHEME).ok_or_else(|| refused("not the URL of a bucket"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(refused("the URL names no bucket"));
    }
    if let Some(sign) = bucket.chars().find(|sign| !(sign.is_ascii_alphanumeric() || "-._".contains(*sign))) {
        return Err(refused(&format!("{sign:?} cannot be in the name of a bucket")));
    }
    let prefix = prefix.trim_matches('/');
    if prefix.split('/').any(|part| matches!(part, "." | "..")) || prefix.contains("//") {
        return Err(refused("a prefix has no empty parts, and none that are `.` or `..`"));
    }
    Ok((bucket, prefix))
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its key below the prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Time of its last change, in nanoseconds since 1970.
    pub modified_ns: Option<i64>,
    /// What tells it from an object that replaces it.
    pub version: Version,
}

/// What tells an object from the one that replaces it under the same key: its ETag, and the id of its version where the
/// store keeps versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Version {
    /// As the server writes it, with quotes.
    pub e_tag: Option<String>,
    /// `None` in listings, which do not state it.
    pub id: Option<String>,
}

/// What an object must be for [`Bucket::put`] to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Anything.
    Always,
    /// Absent.
    New,
    /// Still of this version.
    Unchanged(Version),
}

/// What became of a [`Bucket::put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// The object has the bytes, as this version.
    Done(Version),
    /// The condition did not hold, and the object is as it was.
    Refused,
}

/// Why a request failed, as far as callers distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no such object.
    Missing,
    /// The object is no longer of the version that was asked for.
    Changed,
    /// The server refuses the credentials, or there are none.
    Denied,
    /// No server answers.
    Unreachable,
    /// Anything else.
    Other,
}

/// A failed request: the URL, what is wrong with it, and what to check.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    pub kind: Kind,
    /// Empty where the caller names it.
    url: String,
    what: String,
}

impl Error {
    fn new(kind: Kind, url: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind, url: url.into(), what: what.into() }
    }

    /// The same without the URL, for a message that names it.
    pub(crate) fn without_url(self) -> Self {
        Self { url: String::new(), ..self }
    }

    /// No object is at a URL or below it.
    pub(crate) fn nothing_at(url: &Path) -> Self {
        let what = "there is no such object, and none below it; check the URL";
        Self::new(Kind::Missing, url.display().to_string(), what)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, what, .. } = self;
        if url.is_empty() { f.write_str(what) } else { write!(f, "{url}: {what}") }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::Missing => io::ErrorKind::NotFound,
            Kind::Denied => io::ErrorKind::PermissionDenied,
            Kind::Unreachable => io::ErrorKind::NotConnected,
            Kind::Changed | Kind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// The result of a request.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_a_bucket_and_a_prefix() {
        let parsed = |url| parse(OsStr::new(url)).map_err(|error| error.to_string());
        assert_eq!(parsed("s3://raw"), Ok(("raw", "")));
        assert_eq!(parsed("s3://raw/"), Ok(("raw", "")));
        assert_eq!(parsed("s3://raw/a b/c%20/"), Ok(("raw", "a b/c%20")));
        for (url, word) in [
            ("s3://", "no bucket"),
            ("s3:///a", "no bucket"),
            ("s3://key:secret@raw/a", "':'"),
            ("s3://raw/a/../b", "`..`"),
            ("s3://raw/a//b", "empty"),
        ] {
            assert!(parsed(url).unwrap_err().contains(word), "{url}");
        }
        assert!(is_url(Path::new("s3://raw/a")) && !is_url(Path::new("raw/s3://a")));
    }
}
