//! Lists the files below a root, and joins the parts of split archives.
//!
//! A root is a folder, a file, or the URL of a place in a bucket, whose objects are its files.
//!
//! Links are followed, since downloads are often linked into place, also from other disks; a link that leads back to a
//! folder above it is a problem, and one that leads out of the root is noted. Links to folders of the system are noted and
//! not followed, and a warning names a link below which there are very many files. Names that are not UTF-8 are escaped
//! ([`names::shown`]).

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use walkdir::{DirEntry, WalkDir};

use super::parts::{Part, split_part};
use super::source::{Place, Source};
use super::stored::{Fetched, Stored};
use super::{Error, Fault, Ignored, Link, Looks, Problem, Reason, names, rar, zip};
use crate::bucket::{self, Bucket, Object};
use crate::fault::annex_pointer;
use crate::text::grouped;

/// A file, or the parts of a split archive joined.
pub(super) struct Found {
    /// Path below the root, '/'-separated; of joined parts, that of the archive which they are.
    pub path: String,
    pub source: Source,
    /// When it was last written, in ns since 1970; of joined parts, the latest. `None` where the system does not tell.
    pub modified_ns: Option<i64>,
    /// The ETag of an object; of joined parts, those of all.
    pub version: Option<String>,
}

/// What lies below a root.
#[derive(Default)]
pub(super) struct Listing {
    /// Name of the root, without what is above it; empty where it has none, and of one file.
    pub name: String,
    pub files: Vec<Found>,
    pub problems: Vec<Problem>,
    pub ignored: Vec<Ignored>,
    /// Links that lead out of the root.
    pub links: Vec<Link>,
}

/// A file as the directory shows it.
struct File {
    /// Path below the root, '/'-separated.
    path: String,
    place: Place,
    size: u64,
    modified_ns: Option<i64>,
    version: Option<String>,
}

impl File {
    fn new(path: String, place: PathBuf, metadata: &Metadata) -> Self {
        let modified_ns = metadata.modified().ok().and_then(nanoseconds);
        Self { path, place: Place::File(place), size: metadata.len(), modified_ns, version: None }
    }

    fn stored(path: String, bucket: &Bucket, object: Object, fetched: &Arc<Fetched>) -> Self {
        let (size, modified_ns, version) = (object.size, object.modified_ns, object.version.e_tag.clone());
        Self {
            path,
            place: Place::Object(Stored::new(bucket.clone(), object, fetched.clone())),
            size,
            modified_ns,
            version,
        }
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The path of a file of another name in the same folder.
    fn sibling(&self, name: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }
}

fn nanoseconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).ok(),
        Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|ns| -ns),
    }
}

/// Lists a folder and all below it, or one file (with the other parts, if it is a part of a split archive). Readers of
/// objects may hold `ahead` bytes together.
///
/// # Errors
/// When the root itself cannot be read. What cannot be read below it is a problem in the listing.
pub(super) fn list(root: &Path, ahead: u64) -> Result<Listing, Error> {
    if bucket::is_url(root) {
        let failed =
            |error: bucket::Error| Reason::from(io::Error::from(error.without_url())).at(root.display().to_string());
        return list_bucket(root, &Fetched::new(ahead)).map_err(failed);
    }
    let failed = |error: io::Error| Reason::from(error).at(root.display().to_string());
    let metadata = root.metadata().map_err(failed)?;
    let mut listing = Listing::default();
    let files = if metadata.is_dir() {
        std::fs::read_dir(root).map_err(failed)?;
        listing.name = name_of(root);
        walk(root, &mut listing)
    } else if metadata.is_file() {
        let name = names::shown_os(root.file_name().unwrap_or(root.as_os_str()));
        match split_part(&name) {
            Some(part) => parts_beside(root, part.whole).map_err(failed)?,
            None => vec![File::new(name, root.to_owned(), &metadata)],
        }
    } else {
        return Err(failed(io::Error::other("neither a folder nor a file")));
    };
    join(files, &mut listing);
    Ok(listing)
}

/// The name of a folder.
fn name_of(root: &Path) -> String {
    let named = |path: &Path| path.file_name().map(names::shown_os);
    named(root).or_else(|| named(&root.canonicalize().ok()?)).unwrap_or_default()
}

/// Lists the objects below a URL, or the one that it names.
fn list_bucket(root: &Path, fetched: &Arc<Fetched>) -> bucket::Result<Listing> {
    let bucket = Bucket::open(root)?;
    let mut listing = Listing::default();
    let objects = bucket.list("")?;
    let mut files = Vec::new();
    if objects.is_empty()
        && let Some((above, name)) = bucket::split(root)
    {
        let bucket = Bucket::open(&above)?;
        match split_part(&name) {
            Some(part) => files = stored_parts(&bucket, part.whole, fetched)?,
            None => {
                let object = bucket.head(&name)?.ok_or_else(|| bucket::Error::nothing_at(root))?;
                files.push(File::stored(name, &bucket, object, fetched));
            }
        }
    } else {
        listing.name = root.file_name().map(names::shown_os).unwrap_or_default();
    }
    for object in objects {
        let path = names::shown(object.key.as_bytes());
        if let Some((leftover, reason)) = names::leftover_in(&path) {
            listing.ignored.push(Ignored { path: leftover.to_string(), reason });
            continue;
        }
        if names::is_checksums(&path) && is_stored_checksum_list(&bucket, &object)? {
            listing.ignored.push(Ignored { path, reason: CHECKSUM_LIST });
            continue;
        }
        files.push(File::stored(path, &bucket, object, fetched));
    }
    join(files, &mut listing);
    Ok(listing)
}

/// The parts of the archive `whole` among the objects of a bucket.
fn stored_parts(bucket: &Bucket, whole: &str, fetched: &Arc<Fetched>) -> bucket::Result<Vec<File>> {
    let objects = bucket.list("")?.into_iter();
    let parts = objects.filter(|object| split_part(&object.key).is_some_and(|part| part.whole == whole));
    Ok(parts.map(|object| File::stored(object.key.clone(), bucket, object, fetched)).collect())
}

/// As [`is_checksum_list`], of an object.
fn is_stored_checksum_list(bucket: &Bucket, object: &Object) -> bucket::Result<bool> {
    let len = names::CHECKSUMS_HEADER.len() as u64;
    Ok(object.size >= len && bucket.read_range(&object.key, 0..len)? == names::CHECKSUMS_HEADER.as_bytes())
}

const CHECKSUM_LIST: &str = "the list of checksums that `medcosmos verify` wrote";

/// The parts of the archive `whole` in the folder of one of them.
fn parts_beside(part: &Path, whole: &str) -> io::Result<Vec<File>> {
    let folder = part.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = names::shown_os(&entry.file_name());
        if split_part(&name).is_some_and(|part| part.whole == whole) {
            files.push(File::new(name, entry.path(), &entry.path().metadata()?));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(root: &Path, listing: &mut Listing) -> Vec<File> {
    let mut files = Vec::new();
    let inside = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut outside: Option<Outside> = None;
    let mut walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                listing.problems.push(problem(root, &error));
                continue;
            }
        };
        if entry.depth() == 0 {
            continue;
        }
        let path = below(root, entry.path());
        if let Some(reason) = names::leftover(&entry.file_name().to_string_lossy()) {
            listing.ignored.push(Ignored { path, reason });
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        if let Some(target) = target_outside(&entry, &inside) {
            let followed = !(is_system_folder(&target) && entry.file_type().is_dir());
            listing.links.push(Link { path: path.clone(), target: target.clone(), followed });
            if !followed {
                listing.ignored.push(Ignored { path, reason: "a link to a folder of the system, not to downloads" });
                walk.skip_current_dir();
                continue;
            }
            if outside.as_ref().is_none_or(|outside| !outside.holds(&path)) {
                outside = Some(Outside { path: path.clone(), target, files: 0 });
            }
        }
        if let Some(outside) = outside.as_mut().filter(|outside| outside.holds(&path)) {
            outside.count();
        }
        if entry.depth() == 1 && is_checksum_list(&entry) {
            listing.ignored.push(Ignored { path, reason: CHECKSUM_LIST });
        } else if entry.file_type().is_file() {
            match DirEntry::metadata(&entry) {
                Ok(metadata) => files.push(File::new(path, entry.path().to_owned(), &metadata)),
                Err(error) => listing.problems.push(problem(root, &error)),
            }
        } else if !entry.file_type().is_dir() {
            listing.ignored.push(Ignored { path, reason: "a device, pipe or socket" });
        }
    }
    files
}

/// Folders of a Unix system, none of which holds downloads itself.
const SYSTEM: [&str; 18] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/usr/share",
    "/var",
];

fn is_system_folder(target: &str) -> bool {
    SYSTEM.contains(&target) || ["/proc/", "/sys/"].iter().any(|folder| target.starts_with(folder))
}

/// Files below a link out of the root after which a warning names it; again at twice as many, and so on.
const MANY: u64 = 10_000;

/// A link that leads out of the root, and what was listed below it so far.
struct Outside {
    path: String,
    target: String,
    files: u64,
}

impl Outside {
    /// Whether a path below the root is below the link.
    fn holds(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('/'))
    }

    fn count(&mut self) {
        self.files += 1;
        if self.files.is_multiple_of(MANY) && (self.files / MANY).is_power_of_two() {
            let Outside { path, target, files } = self;
            tracing::warn!(
                "{path}: this link leads out of the downloads, to {target}: {} files and folders are listed below it so \
                 far. If they are no downloads, stop the command and remove the link",
                grouped(*files)
            );
        }
    }
}

/// Where a link leads, if that is not below `root`.
fn target_outside(entry: &DirEntry, root: &Path) -> Option<String> {
    let target = entry.path_is_symlink().then(|| entry.path().canonicalize().ok())??;
    (!target.starts_with(root)).then(|| names::shown_os(target.as_os_str()))
}

/// Whether a file of the root is a list of checksums of this program; another one of the same name is a file like
/// others.
fn is_checksum_list(entry: &DirEntry) -> bool {
    let mut head = vec![0; names::CHECKSUMS_HEADER.len()];
    entry.file_type().is_file()
        && names::is_checksums(&entry.file_name().to_string_lossy())
        && std::fs::File::open(entry.path()).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == names::CHECKSUMS_HEADER.as_bytes()
}

fn problem(root: &Path, error: &walkdir::Error) -> Problem {
    let path = error.path().map(|path| below(root, path)).unwrap_or_default();
    if let Some(target) = error.path().and_then(|path| std::fs::read_link(path).ok()) {
        let target = target.to_string_lossy();
        if target.contains("annex/objects/") {
            let Looks { fault, what, advice } = annex_pointer();
            return Problem { path, fault, reason: format!("{what}{advice}") };
        }
        if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // The folders above the downloads are nobody's concern: tables hold this reason.
            let target = if target.starts_with('/') { target.rsplit('/').next().unwrap_or_default() } else { &*target };
            let reason = format!("a link to {target}, which does not exist");
            return Problem { path, fault: Fault::Unreadable, reason };
        }
    }
    let reason = match (error.loop_ancestor(), error.io_error()) {
        (Some(ancestor), _) => {
            format!("a link back to its parent folder {:?}; not followed", below(root, ancestor))
        }
        (None, Some(error)) => format!("cannot be read: {error}"),
        (None, None) => format!("cannot be read: {error}"),
    };
    Problem { path, fault: Fault::Unreadable, reason }
}

fn below(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let components: Vec<_> = path.components().map(|c| names::shown_os(c.as_os_str())).collect();
    components.join("/")
}

/// Joins split archives, and sets aside what belongs to archives of several parts that are not read by joining.
fn join(files: Vec<File>, listing: &mut Listing) {
    let paths: HashSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let discs: HashSet<String> =
        files.iter().filter_map(|f| zip::disc_of(f.name()).map(|zip| f.sibling(&zip))).collect();
    let mut split: BTreeMap<_, Vec<(u64, File)>> = BTreeMap::new();
    for file in files {
        let disc_of = zip::disc_of(file.name()).map(|zip| file.sibling(&zip)).filter(|zip| paths.contains(zip));
        let first = rar::first_volume(file.name()).map(|rar| file.sibling(&rar)).filter(|rar| paths.contains(rar));
        if let Some(Part { whole, scheme, number }) = split_part(file.name()) {
            split.entry((file.sibling(whole), scheme)).or_default().push((number, file));
        } else if disc_of.is_some() || discs.contains(&file.path) {
            let zip = disc_of.unwrap_or_else(|| file.path.clone());
            let feature = format!(
                "a part of a multi-part zip; join the parts with `zip -s 0 {zip:?} --out \
                joined.zip`"
            );
            listing.problems.push(Reason::Unsupported(feature).at(file.path).into());
        } else if first.is_some() && matches!(file.place, Place::Object(_)) {
            let feature = "a volume of a RAR archive in a bucket; unpack the archive and use the files";
            listing.problems.push(Reason::Unsupported(feature.into()).at(file.path).into());
        } else if first.is_some() {
            listing
                .ignored
                .push(Ignored { path: file.path, reason: "a later volume of a RAR archive, read with the first one" });
        } else {
            listing.files.push(Found {
                path: file.path,
                source: Source::joined([(file.place, file.size)]),
                modified_ns: file.modified_ns,
                version: file.version,
            });
        }
    }
    for ((path, (_, letters)), mut parts) in split {
        parts.sort_by_key(|&(number, _)| number);
        match gap(&parts, letters) {
            Some(why) => listing.problems.push(Reason::Cut(why).at(path).into()),
            None => listing.files.push(Found {
                path,
                modified_ns: parts
                    .iter()
                    .map(|(_, file)| file.modified_ns)
                    .collect::<Option<Vec<_>>>()
                    .and_then(|all| all.into_iter().max()),
                version: parts
                    .iter()
                    .map(|(_, file)| file.version.as_deref())
                    .collect::<Option<Vec<_>>>()
                    .map(|all| all.join(",")),
                source: Source::joined(parts.into_iter().map(|(_, file)| (file.place, file.size))),
            }),
        }
    }
}

/// What is missing among parts in order of their numbers; the last one cannot be known to be there.
fn gap(parts: &[(u64, File)], letters: bool) -> Option<String> {
    let (first, file) = parts.first()?;
    if *first > u64::from(!letters) {
        return Some(format!("the first part of a split archive is missing; the first one found is {:?}", file.name()));
    }
    let pair = parts.windows(2).find(|pair| pair[1].0 != pair[0].0 + 1)?;
    let (before, after) = (pair[0].1.name(), pair[1].1.name());
    Some(format!("a part of a split archive is missing between {before:?} and {after:?}; download it"))
}
