//! The tree: all members below a root, and their bytes.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::archive::{Allowed, Archive, Entry, Opened, Options, Shared, copy};
use super::folder::{self, Found};
use super::kept::Kept;
use super::known::Known;
use super::registry::{self, Hint};
use super::source::Source;
use super::{Error, Ignored, Link, Problem, Reason, names};
use crate::bucket;
use crate::digest::sha256;
use crate::memory::Budget;

/// Bytes to which a byte of gzip may expand: deflate's largest ratio, and some more for headers.
const GZIP_EXPANSION: u64 = 1100;

/// Threads for reads that wait for a server. With 30 ms for a request they read 500 small files a second.
const WAITING: usize = 16;

/// A file in a folder or in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path below the root, '/'-separated, with the names of the archives that it lies in as components. Of a root that
    /// is an archive, the first component is the archive's name.
    pub path: String,
    /// Size in bytes, decoded.
    pub size: u64,
    /// The file on disk that holds it, by its number in the tree.
    pub(super) outer: usize,
    pub(super) place: Place,
}

/// Where a member's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// They are the file on disk.
    File,
    /// They are an entry of an archive, by its number in the tree. `order` is the place of the entry in the archive.
    Entry { archive: usize, order: usize, number: usize },
}

impl Member {
    /// The components of the path, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.path.split('/')
    }

    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// A file on disk below the root.
pub(super) struct EnclosingArchive {
    source: Source,
    pub(super) modified_ns: Option<i64>,
    /// The ETag of an object.
    pub(super) version: Option<String>,
    /// Bytes of its members.
    holds: u128,
}

impl EnclosingArchive {
    pub(super) fn size(&self) -> u64 {
        self.source.len()
    }
}

/// All files below a folder, or in an archive, with those in archives among them. See the [module](super).
pub struct Tree {
    root: PathBuf,
    name: String,
    /// Threads for reads that wait for a server; `None` where files are read.
    pub(super) waiting: Option<rayon::ThreadPool>,
    /// Sorted by path, each path once.
    members: Vec<Member>,
    problems: Vec<Problem>,
    ignored: Vec<Ignored>,
    links: Vec<Link>,
    pub(super) enclosing: Vec<EnclosingArchive>,
    pub(super) archives: Vec<Box<dyn Archive>>,
    shared: Shared,
    /// Members that were read for their digests, by their place among the members, until they are read next.
    digested: Kept,
    /// Digests of members that were read, by their place among the members.
    known: Known,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("root", &self.root)
            .field("members", &self.members.len())
            .field("problems", &self.problems)
            .field("ignored", &self.ignored.len())
            .finish_non_exhaustive()
    }
}

impl Tree {
    /// Indexes a folder or one archive file, with the default [`Options`].
    ///
    /// # Errors
    /// When the root cannot be read at all. Whatever is wrong below it is in [`Self::problems`].
    pub fn open(root: &Path) -> Result<Self, Error> {
        Self::open_within(root, &Budget::default())
    }

    /// As [`open`](Self::open); members that are read as a whole take memory of `budget`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_within(root: &Path, budget: &Budget) -> Result<Self, Error> {
        Self::open_with(root, Options::within(budget))
    }

    /// Indexes a folder or one archive file. The archives are indexed in parallel.
    ///
    /// # Errors
    /// When the root cannot be read at all. Whatever is wrong below it is in [`Self::problems`].
    pub(crate) fn open_with(root: &Path, options: Options) -> Result<Self, Error> {
        let listing = folder::list(root, options.budget.caches())?;
        let waiting = bucket::is_url(root).then(waiting_threads).flatten();
        let digested = Kept::new(options.digested_bytes);
        let shared = Shared::new(options);
        let index = || listing.files.par_iter().map(|found| Index::of(found, &shared)).collect();
        let indexes: Vec<Index> = waiting.as_ref().map_or_else(index, |threads| threads.install(index));
        let nothing = Index::new(Allowed::new(&shared.options.budget, 0));
        let mut whole = Index { problems: listing.problems, ignored: listing.ignored, ..nothing };
        for (outer, index) in indexes.into_iter().enumerate() {
            whole.append(index, outer);
        }
        let Index { members, archives, mut problems, mut ignored, .. } = whole;
        let members = last_of_each_path(members, &mut ignored);
        problems.sort();
        ignored.sort();
        ignored.dedup();
        let links = listing.links;
        let enclosing = listing.files.into_iter();
        let mut enclosing: Vec<EnclosingArchive> = enclosing
            .map(|Found { source, modified_ns, version, .. }| EnclosingArchive {
                source,
                modified_ns,
                version,
                holds: 0,
            })
            .collect();
        for member in &members {
            enclosing[member.outer].holds += u128::from(member.size);
        }
        Ok(Self {
            root: root.to_owned(),
            name: listing.name,
            waiting,
            members,
            problems,
            ignored,
            links,
            enclosing,
            archives,
            shared,
            digested,
            known: Known::default(),
        })
    }

    /// The folder or file that was opened.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the folder that was opened, without those above it; empty where it has none, and of an archive,
    /// whose name begins the paths of its members.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its files may take.
    pub fn budget(&self) -> &Budget {
        &self.shared.options.budget
    }

    /// Bytes that a member which is compressed itself may expand to: its part of what its file on disk may. A file of
    /// gzip, which expands by 1032 at most, may do so by itself.
    pub(crate) fn inflation(&self, member: &Member) -> u64 {
        let Some(outer) = self.enclosing.get(member.outer) else { return 0 };
        let gzip = outer.size().saturating_mul(GZIP_EXPANSION);
        let allowed = u128::from(gzip.max(self.budget().expanded(outer.size())));
        let part = allowed * u128::from(member.size) / outer.holds.max(1);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// All members, sorted by path.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member at a path.
    pub fn find(&self, path: &str) -> Option<&Member> {
        self.members.get(self.place_of(path)?)
    }

    fn place_of(&self, path: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.path.as_str().cmp(path)).ok()
    }

    /// What could not be read, sorted by path.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is no part of a download, sorted by path.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Links in folders that lead out of the root, sorted by path. What they lead to is in the tree as well.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The bytes of a member. Any number of threads may read at a time.
    ///
    /// # Errors
    /// When the file or its archive cannot be read or decoded, when the bytes are more or fewer than
    /// [`Member::size`] or are not those of an earlier read or of the known digest, and when the member is not in this
    /// tree.
    pub fn read(&self, member: &Member) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let size = self.read_into(member, &mut bytes)?.len();
        bytes.truncate(size);
        Ok(bytes)
    }

    /// As [`read`](Self::read), of a text that is taken apart into many small pieces: it may have an eighth of the memory
    /// of a case, since the pieces take several times its bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_text(&self, member: &Member) -> Result<Vec<u8>, Error> {
        let taken_apart = self.budget().check(member.size.saturating_mul(8));
        taken_apart.map_err(|beyond| Reason::Memory(beyond).at(&member.path))?;
        self.read(member)
    }

    /// As [`read`](Self::read), into memory that is used again: for files of some megabytes fresh memory is a good part
    /// of the time that reading takes. What `memory` held is lost, and what it holds behind the member is of no use.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_into<'a>(&self, member: &Member, memory: &'a mut Vec<u8>) -> Result<&'a [u8], Error> {
        let own = self.own(member)?;
        if let Some(bytes) = self.take_digested(own) {
            *memory = bytes; // hashed when they were read
            return Ok(memory);
        }
        match self.read_anew(own, memory) {
            Ok(bytes) => {
                self.compare(own, &sha256(bytes))?;
                Ok(bytes)
            }
            Err(error) => {
                self.place_of(&own.path).iter().for_each(|&place| self.known.not_read(place));
                Err(error)
            }
        }
    }

    /// Reads a member of this tree from the disk.
    fn read_anew<'a>(&self, own: &Member, memory: &'a mut Vec<u8>) -> Result<&'a [u8], Error> {
        if own.place == Place::File {
            self.budget().check(own.size).map_err(|beyond| Reason::Memory(beyond).at(&own.path))?;
            // Not by way of a buffer. The size is that of a file on disk, and the reader refuses one that has changed.
            let size = usize::try_from(own.size).unwrap_or(usize::MAX);
            if memory.capacity() < size {
                // What it held is freed before more is asked for: some more for a larger file to come.
                *memory = Vec::new();
                self.reserve(memory, size.saturating_add(size / 4), own)?;
            }
            if memory.len() < size {
                memory.resize(size, 0);
            }
            let bytes = &mut memory[..size];
            let read = self.enclosing[own.outer].source.reader_of(0, own.size).read_exact(bytes);
            return read.map(|()| &*bytes).map_err(|error| Reason::Io(error).at(&own.path));
        }
        memory.clear();
        // A declared size may be a lie, the size of the file on disk is not.
        let plausible = self.enclosing.get(own.outer).map_or(0, |outer| outer.size().saturating_mul(4));
        let capacity = own.size.min(plausible.max(1 << 20)).min(self.shared.options.max_member_bytes);
        self.budget().check(own.size).map_err(|beyond| Reason::Memory(beyond).at(&own.path))?;
        self.reserve(memory, usize::try_from(capacity).unwrap_or(usize::MAX), own)?;
        self.copy(own, &mut Growing { bytes: memory, budget: self.budget() })?;
        Ok(memory)
    }

    /// Room for `size` bytes; an error of the member where the system has none.
    fn reserve(&self, memory: &mut Vec<u8>, size: usize, member: &Member) -> Result<(), Error> {
        let refused = || Reason::Memory(self.budget().room().refused(size as u64)).at(&member.path);
        memory.try_reserve_exact(size).map_err(|_| refused())
    }

    /// As [`read`](Self::read), for a look at what will be read again: bytes that are kept since their digest stay
    /// kept.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn peek(&self, member: &Member) -> Result<Vec<u8>, Error> {
        match self.take_digested(member) {
            Some(bytes) => {
                self.keep_digested(member, bytes.clone());
                Ok(bytes)
            }
            None => self.read(member),
        }
    }

    /// The SHA-256 of a member that was read before, in hexadecimal.
    pub(super) fn known_digest(&self, member: &Member) -> Option<String> {
        self.known.get(self.place_of(&member.path)?)
    }

    /// Notes the digest of a member, or compares it with the one that is known.
    pub(super) fn compare(&self, member: &Member, digest: &str) -> Result<(), Error> {
        let place = self.place_of(&member.path).ok_or_else(|| Reason::Foreign.at(&member.path))?;
        self.known.compare(place, digest).map_err(|reason| reason.at(&member.path))
    }

    /// Members whose bytes were not those of their digest, or could not be read although it was known: they changed
    /// during the run, or the cache of digests is wrong about them.
    pub(super) fn contradicted(&self) -> Vec<&Member> {
        self.known.contradicted().into_iter().map(|place| &self.members[place]).collect()
    }

    /// Whether there is room to keep a member that is read for its digest.
    pub(super) fn keeps_digested(&self, member: &Member) -> bool {
        self.digested.has_room(member.size)
    }

    /// Keeps a member that was read for its digest for whoever reads it next.
    pub(super) fn keep_digested(&self, member: &Member, bytes: Vec<u8>) {
        if let Some(place) = self.place_of(&member.path) {
            self.digested.put(0, place, bytes);
        }
    }

    /// A member that was read for its digest. It is kept no longer.
    pub(super) fn take_digested(&self, member: &Member) -> Option<Vec<u8>> {
        self.digested.take(0, self.place_of(&member.path)?)
    }

    /// Writes the bytes of a member to `out`. Members of archives that can only be decoded forward are in memory as a
    /// whole on the way if they are in a 7z or RAR.
    ///
    /// # Errors
    /// As [`Self::read`], and when `out` fails. `out` may have received a part of the bytes then.
    pub fn copy(&self, member: &Member, out: &mut dyn Write) -> Result<(), Error> {
        let own = self.own(member)?;
        exactly(own.size, out, |out| match own.place {
            Place::File => {
                copy(&mut self.enclosing[own.outer].source.reader_of(0, own.size), out)?;
                Ok(())
            }
            Place::Entry { archive, number, .. } => self.archives[archive].copy(number, out),
        })
        .map_err(|reason| reason.at(&member.path))
    }

    /// The tree's own entry of a member, if it is not larger than is read.
    fn own(&self, member: &Member) -> Result<&Member, Error> {
        let own = self.find(&member.path).ok_or_else(|| Reason::Foreign.at(&member.path))?;
        let limit = self.shared.options.max_member_bytes;
        if own.size > limit {
            return Err(Reason::TooLarge { size: own.size, limit }.at(&member.path));
        }
        Ok(own)
    }

    /// Sorts members by where they lie: by file on disk, archive and place in the archive. Archives that can only be
    /// decoded forward cost one pass if they are read in this order.
    pub fn in_archive_order(&self, members: &mut [&Member]) {
        members.sort_by(|a, b| (a.outer, a.place, &a.path).cmp(&(b.outer, b.place, &b.path)));
    }
}

/// Threads for reads that wait for a server, more than the processor has cores. `None` where the system gives none: the
/// usual ones then wait.
fn waiting_threads() -> Option<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(WAITING).thread_name(|number| format!("waiting {number}")).build().ok()
}

/// Bytes that grow as they come, without ending the process where the system has no more memory.
struct Growing<'a> {
    bytes: &'a mut Vec<u8>,
    budget: &'a Budget,
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needs = (self.bytes.len() + bytes.len()) as u64;
        let refused = |_| io::Error::new(io::ErrorKind::OutOfMemory, self.budget.room().refused(needs));
        self.bytes.try_reserve(bytes.len()).map_err(refused)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets `write` write exactly `size` bytes to `out`.
fn exactly(
    size: u64,
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut bounded = Bounded { out, left: size, overrun: false };
    let written = write(&mut bounded);
    let Bounded { left, overrun, .. } = bounded;
    if overrun {
        return Err(Reason::Damaged(format!("more than the {size} bytes stated in the index")));
    }
    written?;
    if left > 0 {
        return Err(Reason::Cut(format!("{size} bytes expected by the index, {} found", size - left)));
    }
    Ok(())
}

/// Passes on at most a number of bytes, and fails at the first one more.
struct Bounded<'a> {
    out: &'a mut dyn Write,
    left: u64,
    overrun: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.overrun = true;
            return Err(io::Error::other("more bytes than expected"));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What one file on disk gives.
struct Index {
    members: Vec<Member>,
    archives: Vec<Box<dyn Archive>>,
    problems: Vec<Problem>,
    ignored: Vec<Ignored>,
    allowed: Allowed,
}

impl Index {
    fn new(allowed: Allowed) -> Self {
        let (members, archives) = (Vec::new(), Vec::new());
        Self { members, archives, problems: Vec::new(), ignored: Vec::new(), allowed }
    }

    /// Indexes a file, and all archives in it if it is one.
    fn of(found: &Found, shared: &Shared) -> Self {
        let mut index = Self::new(Allowed::new(&shared.options.budget, found.source.len()));
        let name = found.path.rsplit('/').next().unwrap_or(&found.path);
        let hint = registry::by_name(name);
        // Downloads by number (`ndownloader/files/123`) have no extension, and neither have DICOM files, which are too
        // many to open each: only what lies in the root itself is looked at.
        let unnamed = matches!(hint, Hint::None) && !found.path.contains('.') && !found.path.contains('/');
        let opened = match !matches!(hint, Hint::None) || unnamed {
            true => registry::open(&found.source, hint, shared, index.allowed),
            false => Ok(None),
        };
        match opened {
            Ok(Some(opened)) => index.archive(&found.path, opened, shared, 1),
            Ok(None) => {
                let (path, size) = (found.path.clone(), found.source.len());
                index.members.push(Member { path, size, outer: 0, place: Place::File });
            }
            Err(reason) => index.problems.push(reason.at(&found.path).into()),
        }
        index
    }

    /// Takes in all entries of the archive at `path`, which lies `depth` archives deep, itself included.
    fn archive(&mut self, path: &str, opened: Opened, shared: &Shared, depth: usize) {
        let number = self.archives.len();
        let Opened { archive, entries, backslash, damage, hides_repeated } = opened;
        self.problems.extend(damage.map(|reason| Problem::from(reason.at(path))));
        if hides_repeated {
            let reason = "entries with the same name as a later one, which is used instead";
            self.ignored.push(Ignored { path: path.to_owned(), reason });
        }
        let mut leftovers = BTreeSet::new();
        let mut nested = Vec::new();
        for (order, entry) in entries.into_iter().enumerate() {
            let inside = match names::normalise(&entry.name, backslash) {
                Ok(Some(inside)) => inside,
                Ok(None) => continue,
                Err(why) => {
                    let name = entry.name.escape_debug();
                    self.problems.push(Reason::Name(why).at(format!("{path}/{name}")).into());
                    continue;
                }
            };
            if let Some((leftover, reason)) = names::leftover_in(&inside) {
                leftovers.insert((format!("{path}/{leftover}"), reason));
                continue;
            }
            let hint = registry::by_name(inside.rsplit('/').next().unwrap_or(&inside));
            let path = format!("{path}/{inside}");
            let limit = shared.options.max_member_bytes;
            if let Some(reason) = entry.refused {
                self.problems.push(reason.at(path).into());
            } else if entry.size > limit {
                self.problems.push(Reason::TooLarge { size: entry.size, limit }.at(path).into());
            } else if let Err(reason) = self.allowed.take(entry.size) {
                self.problems.push(reason.at(path).into());
            } else if hint.is_archive() && depth >= shared.options.max_depth {
                self.problems.push(Reason::TooDeep(depth).at(path).into());
            } else {
                match open_nested(&*archive, &entry, hint, shared, depth, self.allowed) {
                    Ok(Some(opened)) => nested.push((path, opened)),
                    Ok(None) => {
                        let place = Place::Entry { archive: number, order, number: entry.number };
                        self.members.push(Member { path, size: entry.size, outer: 0, place });
                    }
                    Err(reason) => self.problems.push(reason.at(path).into()),
                }
            }
        }
        self.ignored.extend(leftovers.into_iter().map(|(path, reason)| Ignored { path, reason }));
        self.archives.push(archive);
        for (path, opened) in nested {
            self.archive(&path, opened, shared, depth + 1);
        }
    }

    /// Takes in what the file on disk of the number `outer` gave.
    fn append(&mut self, other: Self, outer: usize) {
        let before = self.archives.len();
        for mut member in other.members {
            member.outer = outer;
            if let Place::Entry { archive, .. } = &mut member.place {
                *archive += before;
            }
            self.members.push(member);
        }
        self.archives.extend(other.archives);
        self.problems.extend(other.problems);
        self.ignored.extend(other.ignored);
    }
}

/// Opens an entry that is an archive; `None` where it is none and a member as it is.
fn open_nested(
    archive: &dyn Archive,
    entry: &Entry,
    hint: Hint,
    shared: &Shared,
    depth: usize,
    allowed: Allowed,
) -> Result<Option<Opened>, Reason> {
    if matches!(hint, Hint::None) || depth >= shared.options.max_depth {
        return Ok(None);
    }
    if let Some(source) = archive.window(entry.number) {
        return registry::open(&source, hint, shared, allowed);
    }
    if matches!(hint, Hint::Compressed) && registry::open(&head(archive, entry)?, hint, shared, allowed)?.is_none() {
        return Ok(None);
    }
    let decode = |out: &mut dyn Write| exactly(entry.size, out, |out| archive.copy(entry.number, out));
    registry::open(&shared.nested.keep(entry.size, decode)?, hint, shared, allowed)
}

/// The first MiB of an entry, which is more than any of the compressions needs for its first bytes.
fn head(archive: &dyn Archive, entry: &Entry) -> Result<Source, Reason> {
    let mut head = Head { bytes: Vec::new(), stop: !archive.is_sequential() };
    let copied = archive.copy(entry.number, &mut head);
    if head.bytes.len() < Head::LEN {
        copied?;
    }
    Ok(Source::memory(head.bytes))
}

/// Keeps first bytes.
struct Head {
    bytes: Vec<u8>,
    /// Whether to fail once they are there: not where a decoder would have to start over then.
    stop: bool,
}

impl Head {
    const LEN: usize = 1 << 20;
}

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = Self::LEN - self.bytes.len();
        if room == 0 && self.stop {
            return Err(io::Error::other("enough"));
        }
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sorts members by path. Of those with the same path the last one stays, as if the archive had been unpacked.
fn last_of_each_path(mut members: Vec<Member>, ignored: &mut Vec<Ignored>) -> Vec<Member> {
    members.sort_by(|a, b| a.path.cmp(&b.path));
    let mut sorted: Vec<Member> = Vec::with_capacity(members.len());
    for member in members {
        match sorted.last_mut() {
            Some(earlier) if earlier.path == member.path => {
                let reason = "an entry with the same name as a later one, which is used instead";
                ignored.push(Ignored { path: member.path.clone(), reason });
                *earlier = member;
            }
            _ => sorted.push(member),
        }
    }
    sorted
}
