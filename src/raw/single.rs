//! Files and objects of buckets that are in no tree: those that a command names one by one, and the companions of their
//! headers.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Error, Reason};
use crate::bucket::{self, Bucket};
use crate::formats;
use crate::memory::{Room, Unread};

/// The bytes of a file, in memory of `room`.
///
/// # Errors
/// Where it cannot be read, or `room` has too little for it.
pub(crate) fn read_whole(path: &Path, room: &Room) -> Result<Vec<u8>, Error> {
    read(path, room).map_err(|reason| reason.at(path.display().to_string()))
}

/// Whether a file or an object is there.
///
/// # Errors
/// The bucket cannot be asked.
pub(crate) fn is_there(path: &Path) -> Result<bool, Error> {
    if !bucket::is_url(path) {
        return Ok(path.exists());
    }
    let Some((above, name)) = bucket::split(path) else { return Ok(false) };
    let object = Bucket::open(&above).and_then(|bucket| bucket.head(&name));
    object.map(|object| object.is_some()).map_err(|error| refused(error).at(path.display().to_string()))
}

/// What a request says, of a path that the message names.
fn refused(error: bucket::Error) -> Reason {
    Reason::Io(error.without_url().into())
}

fn read(path: &Path, room: &Room) -> Result<Vec<u8>, Reason> {
    if bucket::is_url(path) {
        let nothing = || refused(bucket::Error::nothing_at(path));
        let (above, name) = bucket::split(path).ok_or_else(nothing)?;
        return read_object(&Bucket::open(&above).map_err(refused)?, &name, room)?.ok_or_else(nothing);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A pipe has no size, and a device no end.
        return room.read_to_end(file, u64::MAX).map_err(|unread| match unread {
            Unread::Io(error, _) => Reason::Io(error),
            Unread::Memory(beyond) => Reason::Memory(beyond),
            Unread::TooLong => Reason::Io(io::ErrorKind::FileTooLarge.into()),
        });
    }
    let size = metadata.len();
    let mut bytes = room.with_capacity(usize::try_from(size).unwrap_or(usize::MAX))?;
    // One that grows meanwhile is read as long as it was.
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of an object; `None` where it is not there.
fn read_object(bucket: &Bucket, key: &str, room: &Room) -> Result<Option<Vec<u8>>, Reason> {
    let Some(object) = bucket.head(key).map_err(refused)? else { return Ok(None) };
    let size = usize::try_from(object.size).unwrap_or(usize::MAX);
    let mut bytes = room.with_capacity(size)?;
    bytes.resize(size, 0);
    bucket.read_into(key, 0, &mut bytes, &object.version).map_err(refused)?;
    Ok(Some(bytes))
}

/// The companion `name` of the header at `header`, in memory of `room`; `None` where it is not there. `name` is a path
/// below the header's folder, as [`Companion`](formats::Companion) has it. Links count as what they lead to, which must
/// be a regular file below that folder.
///
/// # Errors
/// What is no such file, and what [`read_whole`] says.
pub(crate) fn read_companion(header: &Path, name: &str, room: &Room) -> formats::Result<Option<Vec<u8>>> {
    let wrong = |reason: String| formats::Error::Unknown(format!("the data file {name:?} of the header {reason}"));
    if bucket::is_url(header) {
        let Some((above, _)) = bucket::split(header) else { return Ok(None) };
        let bucket = Bucket::open(&above).map_err(|error| wrong(error.to_string()))?;
        return read_object(&bucket, name, room).map_err(|reason| match reason {
            Reason::Memory(beyond) => beyond.into(),
            reason => wrong(reason.to_string()),
        });
    }
    let beside = header.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(folder) = beside.canonicalize() else { return Ok(None) };
    let Ok(path) = folder.join(name).canonicalize() else { return Ok(None) };
    if !path.starts_with(&folder) {
        return Err(wrong(format!("leads out of its folder, to {}", path.display())));
    }
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(wrong("is not a regular file".into()));
    }
    match read(&path, room) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Reason::Memory(beyond)) => Err(beyond.into()),
        Err(reason) => Err(wrong(reason.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;

    #[test]
    fn files_beyond_the_room_are_refused_before_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let room = Budget::new(1 << 30).room();
        let error = read_whole(&path, &room).unwrap_err();
        assert!(error.to_string().contains("sparse: needs 1.1 TB of memory"), "{error}");
        assert!(matches!(
            read_companion(&folder.path().join("a.mhd"), "sparse", &room),
            Err(formats::Error::Memory(_))
        ));
    }

    #[cfg(unix)]
    #[test]
    fn companions_are_regular_files_below_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("scans");
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(outer.path().join("secret"), "1").unwrap();
        std::fs::write(folder.join("data/a.raw"), "23").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        link("data/a.raw", "inside");
        link("../secret", "outside");
        link("..", "up");
        link("/dev/zero", "device");
        link("missing", "dangling");
        let read = |name: &str| read_companion(&folder.join("a.mhd"), name, &Room::default());
        assert_eq!(read("data/a.raw").unwrap().unwrap(), b"23");
        assert_eq!(read("inside").unwrap().unwrap(), b"23");
        assert!(read("dangling").unwrap().is_none() && read("none").unwrap().is_none());
        for (name, why) in [
            ("outside", "out of its folder"),
            ("up/secret", "out of its folder"),
            ("device", "out of"),
            ("data", "regular"),
        ] {
            let error = read(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
