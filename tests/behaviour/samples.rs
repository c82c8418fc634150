//! Where the samples lie, and the dataset that several tests read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use medcosmos::pipeline::{BuildOptions, BuildReport, Progress, build};
use medcosmos::spec::Registry;
use medcosmos::store::Dataset;
use tempfile::TempDir;

#[path = "../samples/mod.rs"]
mod found;

pub use found::{find as beside, skip};

/// Real downloads that are read: a case or a few of each of these sources.
pub const SOURCES: [&str; 9] =
    ["acdc", "cellseg-neurips-2022", "chaos", "chase-db1", "drive", "i2cvb", "idrid-2018", "msd", "sstem"];

/// A folder of samples. `None`, and a printed line, where it is not there.
///
/// # Panics
/// If it is not there and the variable `CI` is `true`.
pub fn folder(name: &str) -> Option<PathBuf> {
    beside(&format!("samples/{name}"))
}

/// Builds sources of a folder with the library.
pub fn build_with(raw: &Path, out: &Path, sources: &[&str], options: &BuildOptions) -> (Dataset, BuildReport) {
    let sources: Vec<String> = sources.iter().map(|s| s.to_string()).collect();
    let registry = Registry::built_in().unwrap().select(&sources).unwrap();
    let report = build(raw, out, &registry, options, &Progress::new(true)).unwrap_or_else(|e| panic!("{e}"));
    (Dataset::open(out).unwrap(), report)
}

/// All [`SOURCES`], built once for all tests.
pub fn built() -> Option<&'static (Dataset, BuildReport)> {
    static BUILT: OnceLock<(Dataset, BuildReport)> = OnceLock::new();
    let raw = folder("raw")?;
    Some(BUILT.get_or_init(|| build_with(&raw, &shared_folder().join("samples"), &SOURCES, &BuildOptions::default())))
}

/// A folder that lives as long as the process: nothing in a `static` is ever dropped, so that what earlier runs left is
/// removed when it is an hour old.
pub fn shared_folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in fs::read_dir(parent).unwrap().flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).map(|then| SystemTime::now().duration_since(then));
            let old = age.is_ok_and(|age| age.unwrap_or_default() > Duration::from_secs(3600));
            if old && entry.file_name().to_string_lossy().starts_with("behaviour-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        tempfile::Builder::new().prefix("behaviour-").tempdir_in(parent).unwrap()
    });
    folder.path()
}

/// Copies a folder and all below it.
pub fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
