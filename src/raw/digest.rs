//! SHA-256 digests of members, and a cache of them.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::tree::Place;
use super::{Error, Member, Tree};
use crate::digest::{Hasher, sha256};
use crate::whole_file::WholeFile;

impl Tree {
    /// SHA-256 of a member's bytes, in hexadecimal. The bytes are not kept in memory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn digest(&self, member: &Member) -> Result<String, Error> {
        let mut hasher = Hasher::default();
        self.copy(member, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// SHA-256 of each of `members`, in their order, in parallel; each archive that can only be decoded forward is
    /// decoded once, in order. What `cache` knows is not read, and what it does not know is added to it; saving it is
    /// the caller's. What is read stays in memory until it is read next, as far as there is room
    /// ([`Options::digested_bytes`](super::Options::digested_bytes)).
    pub fn digests(&self, members: &[&Member], cache: Option<&mut DigestCache>) -> Vec<Result<String, Error>> {
        let known = |member: &&Member| {
            let read = self.known_digest(member).map(Ok);
            read.or_else(|| {
                let cached = cache.as_ref()?.get(self, member)?;
                Some(self.compare(member, cached).map(|()| cached.to_owned()))
            })
        };
        let mut digests: Vec<Option<Result<String, Error>>> = members.iter().map(known).collect();
        let unknown: Vec<usize> = (0..members.len()).filter(|&i| digests[i].is_none()).collect();
        let wanted: Vec<&Member> = unknown.iter().map(|&index| members[index]).collect();
        let computed = self.each(&wanted, |member| self.digest_keeping(member));
        if let Some(cache) = cache {
            for (member, digest) in wanted.iter().zip(&computed) {
                if let Ok(digest) = digest {
                    cache.insert(self, member, digest.clone());
                }
            }
        }
        for (index, digest) in unknown.into_iter().zip(computed) {
            digests[index] = Some(digest);
        }
        digests.into_iter().flatten().collect()
    }

    /// As [`Self::digest`]; the bytes are kept for whoever reads them next, if there is room. Every later read must give
    /// the same.
    fn digest_keeping(&self, member: &Member) -> Result<String, Error> {
        let bytes = match self.take_digested(member) {
            Some(bytes) => bytes,
            None if self.keeps_digested(member) => self.read(member)?,
            None => {
                let digest = self.digest(member)?;
                self.compare(member, &digest)?;
                return Ok(digest);
            }
        };
        // Bytes that `read` gave have a digest by now.
        let digest = self.known_digest(member).unwrap_or_else(|| sha256(&bytes));
        self.keep_digested(member, bytes);
        Ok(digest)
    }

    /// What `read` makes of each of `members`, in their order. They are read in parallel, but those of an archive that
    /// can only be decoded forward one after the other in the order of the archive, so that it is decoded once.
    pub fn each<T: Send>(&self, members: &[&Member], read: impl Fn(&Member) -> T + Sync) -> Vec<T> {
        let runs = self.runs(members, (0..members.len()).collect());
        let all = || {
            let runs = runs.into_par_iter().with_max_len(1);
            runs.flat_map_iter(|run| run.into_iter().map(|index| (index, read(members[index])))).collect()
        };
        let mut made: Vec<(usize, T)> = match &self.waiting {
            Some(threads) => threads.install(all),
            None => all(),
        };
        made.sort_by_key(|&(index, _)| index);
        made.into_iter().map(|(_, made)| made).collect()
    }

    /// Groups the wanted ones of `members` into runs to be read one after the other: all of a sequential archive in the
    /// order of the archive, and each other one for itself.
    fn runs(&self, members: &[&Member], wanted: Vec<usize>) -> Vec<Vec<usize>> {
        let mut sequential: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut runs = Vec::new();
        for index in wanted {
            match members[index].place {
                Place::Entry { archive, .. } if self.archives.get(archive).is_some_and(|a| a.is_sequential()) => {
                    sequential.entry(archive).or_default().push(index);
                }
                _ => runs.push(vec![index]),
            }
        }
        let mut long: Vec<_> = sequential.into_values().collect();
        for run in &mut long {
            run.sort_by_key(|&index| members[index].place);
        }
        // The long runs first: they decide when all is done.
        long.append(&mut runs);
        long
    }
}

/// Digests of an earlier run, in a text file of one JSON object a line.
///
/// A digest holds for a member of the same path and size whose file on disk (its outermost archive, or itself) has the
/// same size, time of last change and, of an object in a bucket, ETag. A file that is copied without its time is hashed again.
#[derive(Debug)]
pub struct DigestCache {
    file: PathBuf,
    rows: HashMap<String, Row>,
}

/// What a digest holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    path: String,
    size: u64,
    outer_size: u64,
    outer_modified_ns: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outer_version: Option<String>,
    sha256: String,
}

impl DigestCache {
    /// Loads a cache file. One that is missing, or lines that are damaged, are as if they were empty; damaged lines are
    /// written to the log.
    pub fn load(file: &Path) -> Self {
        let mut cache = Self { file: file.to_owned(), rows: HashMap::new() };
        if std::fs::metadata(file).is_ok_and(|found| !found.is_file()) {
            warn!("digest cache {}: not a file; all digests are computed", file.display());
            return cache;
        }
        let reader = match std::fs::File::open(file) {
            Ok(opened) => BufReader::new(opened),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("digest cache {}: cannot be read: {error}; all digests are computed", file.display());
                }
                return cache;
            }
        };
        let mut damaged = 0;
        for line in reader.split(b'\n') {
            let Ok(line) = line else {
                damaged += 1;
                break;
            };
            match serde_json::from_slice::<Row>(&line) {
                Ok(row) if row.sha256.len() == 64 && row.sha256.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    cache.rows.insert(row.path.clone(), row);
                }
                _ => damaged += 1,
            }
        }
        if damaged > 0 {
            warn!("digest cache {}: {damaged} damaged lines; their digests are recomputed", file.display());
        }
        cache
    }

    /// Number of digests.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no digest.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the cache to its file, sorted by path. The file is replaced as a whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> io::Result<()> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut out = WholeFile::replacing(&self.file)?;
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        for row in rows {
            serde_json::to_writer(&mut out, row)?;
            out.write_all(b"\n")?;
        }
        out.finish()
    }

    /// Removes the digests of members whose bytes were found to be others, or that could not be read any more: the next
    /// run computes them.
    pub(crate) fn forget_contradicted(&mut self, tree: &Tree) {
        for member in tree.contradicted() {
            self.rows.remove(&member.path);
        }
    }

    fn get(&self, tree: &Tree, member: &Member) -> Option<&str> {
        let row = self.rows.get(&member.path)?;
        let outer = tree.enclosing.get(member.outer)?;
        let same = row.size == member.size
            && row.outer_size == outer.size()
            && Some(row.outer_modified_ns) == outer.modified_ns
            && row.outer_version == outer.version;
        same.then_some(row.sha256.as_str())
    }

    fn insert(&mut self, tree: &Tree, member: &Member, sha256: String) {
        let Some(outer) = tree.enclosing.get(member.outer) else { return };
        let Some(outer_modified_ns) = outer.modified_ns else { return };
        let (path, size) = (member.path.clone(), member.size);
        let row = Row {
            path: path.clone(),
            size,
            outer_size: outer.size(),
            outer_modified_ns,
            outer_version: outer.version.clone(),
            sha256,
        };
        self.rows.insert(path, row);
    }
}
