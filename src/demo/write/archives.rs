//! Archives of a folder: members in the order of their names, paths from inside the folder, no times, no owners.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;
use zip::write::SimpleFileOptions;

/// Files under a folder with their paths from it, `/` between the parts.
fn members(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut members = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            let inside = entry.path().strip_prefix(folder).map_err(io::Error::other)?;
            let parts: Vec<_> = inside.components().map(|c| c.as_os_str().to_string_lossy()).collect();
            members.push((parts.join("/"), entry.into_path()));
        }
    }
    Ok(members)
}

/// Packs what is in a folder into a zip archive, deflated.
///
/// # Errors
/// What the file system says.
pub fn zip(archive: &Path, folder: &Path) -> io::Result<()> {
    let mut writer = zip::ZipWriter::new(BufWriter::new(File::create(archive)?));
    // The time of an entry is then the format's first: 1980.
    let time = zip::DateTime::default();
    let options = SimpleFileOptions::default().last_modified_time(time).unix_permissions(0o644);
    for (name, path) in members(folder)? {
        writer.start_file(name, options)?;
        io::copy(&mut File::open(path)?, &mut writer)?;
    }
    writer.finish()?.flush()
}

/// Packs what is in a folder into a tar archive.
///
/// # Errors
/// What the file system says.
pub fn tar(archive: &Path, folder: &Path) -> io::Result<()> {
    tar_into(BufWriter::new(File::create(archive)?), folder)?.flush()
}

/// Packs what is in a folder into a tar archive, gzipped.
///
/// # Errors
/// What the file system says.
pub fn tar_gz(archive: &Path, folder: &Path) -> io::Result<()> {
    let out = BufWriter::new(File::create(archive)?);
    let gzip = flate2::GzBuilder::new().mtime(0).write(out, flate2::Compression::new(6));
    tar_into(gzip, folder)?.finish()?.flush()
}

fn tar_into<W: Write>(out: W, folder: &Path) -> io::Result<W> {
    let mut builder = tar::Builder::new(out);
    for (name, path) in members(folder)? {
        let file = File::open(&path)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, name, file)?;
    }
    builder.into_inner()
}
