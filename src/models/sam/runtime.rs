//! Finding and loading ONNX Runtime.
//!
//! The library is not linked: it is loaded when SAM is first needed, so the rest of the program works without it. It is
//! searched for in this order, and the first one found is used:
//!
//! 1. the file that `ORT_DYLIB_PATH` names (a wrong path is an error, not a reason to look further);
//! 2. the cache folder ([`cache_dir`]), where `medcosmos setup` puts it: it is loaded only if its SHA-256 is that of the
//!    library that setup installs;
//! 3. the `onnxruntime` package of the active Python (`python3 -I`), which brings the library along.
//!
//! The current folder is no such place: Python is run in isolated mode and in the root folder, so that what lies in a
//! folder of downloads is not taken for a package.
//!
//! The `ort` crate panics when it meets a missing or foreign library on its own, so it is always given a checked path.
//! Version 1.24 or newer is needed (the crate's `api-24` feature).
//!
//! A process has one ONNX Runtime: it stays loaded, and later calls of [`Runtime::load`] return the same one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::environment::Environment;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use thiserror::Error;

use crate::digest::sha256_file;
use crate::named;

/// Environment variable that names the library file.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Oldest version of ONNX Runtime that works.
pub const OLDEST_VERSION: &str = "1.24";

/// Version of ONNX Runtime that `medcosmos setup` installs.
pub const PINNED_VERSION: &str = "1.32.0";

/// Why ONNX Runtime cannot be used.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// No place has a library.
    #[error(
        "ONNX Runtime not found: {LIBRARY_VARIABLE} is not set, {} does not exist, and {python}. Run `medcosmos \
         setup`, or set {LIBRARY_VARIABLE} to the library file of version {OLDEST_VERSION} or newer",
        cached.display()
    )]
    Missing {
        /// Where the cache would have it.
        cached: PathBuf,
        /// What Python answered.
        python: String,
    },
    /// `ORT_DYLIB_PATH` names something that is not a file.
    #[error("{LIBRARY_VARIABLE} is {}, which does not exist", .0.display())]
    NoSuchFile(PathBuf),
    /// The library is older than this program can use.
    #[error(
        "{}: found ONNX Runtime {found}, expected {OLDEST_VERSION} or newer; run `medcosmos setup`, or set \
         {LIBRARY_VARIABLE} to a newer one",
        path.display()
    )]
    TooOld {
        /// The library file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The installed library is not the one that was installed.
    #[error(
        "{}: sha256 is {found}, expected {expected}: the file was altered or damaged since `medcosmos setup` installed it. \
         Run `medcosmos setup` to replace it, or set {LIBRARY_VARIABLE} to use a library of your own",
        path.display()
    )]
    Altered {
        /// The library file.
        path: PathBuf,
        /// Digest of the library that setup installs.
        expected: &'static str,
        /// Its digest.
        found: String,
    },
    /// The library cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The library file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not ONNX Runtime, or not for this machine.
    #[error("{}: not an ONNX Runtime library for this machine: {reason}", path.display())]
    NotARuntime {
        /// The library file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// Neither a cache folder nor a home folder is known.
    #[error("no cache folder: set MEDCOSMOS_CACHE, XDG_CACHE_HOME or HOME")]
    NoCacheFolder,
    /// ONNX Runtime was loaded, but does not start.
    #[error("cannot start ONNX Runtime: {0}")]
    Start(#[source] ort::Error),
}

/// The user's cache folder of this program: `$MEDCOSMOS_CACHE`, else `$XDG_CACHE_HOME/medcosmos`, else
/// `~/.cache/medcosmos`. It need not exist. A relative `XDG_CACHE_HOME` is ignored, as its specification demands.
///
/// # Errors
/// None of the three variables is set.
pub fn cache_dir() -> Result<PathBuf, RuntimeError> {
    cache_dir_from(|name| std::env::var_os(name))
}

fn cache_dir_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, RuntimeError> {
    let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(own) = path("MEDCOSMOS_CACHE") {
        return Ok(own);
    }
    if let Some(xdg) = path("XDG_CACHE_HOME").filter(|p| p.is_absolute()) {
        return Ok(xdg.join("medcosmos"));
    }
    path("HOME").map(|home| home.join(".cache/medcosmos")).ok_or(RuntimeError::NoCacheFolder)
}

/// Where `medcosmos setup` puts the library inside the cache folder.
pub fn cached_library(cache: &Path) -> PathBuf {
    let file = if cfg!(target_os = "macos") {
        format!("libonnxruntime.{PINNED_VERSION}.dylib")
    } else if cfg!(target_os = "windows") {
        "onnxruntime.dll".to_string()
    } else {
        format!("libonnxruntime.so.{PINNED_VERSION}")
    };
    cache.join("onnxruntime").join(file)
}

/// The wheel of ONNX Runtime for one platform, with the library in it, which is the same for every Python version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wheel {
    pub(super) platform: &'static str,
    /// Path of the library in the wheel.
    pub(super) library: &'static str,
    /// SHA-256 of the library.
    pub(super) sha256: &'static str,
}

/// The wheel that `medcosmos setup` takes the library from, for the machine that this program was compiled for.
pub(super) fn wheel() -> Option<Wheel> {
    const LINUX: &str = "onnxruntime/capi/libonnxruntime.so.1.32.0";
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some(Wheel {
            platform: "manylinux_2_28_x86_64",
            library: LINUX,
            sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
        }),
        ("linux", "aarch64") => Some(Wheel {
            platform: "manylinux_2_28_aarch64",
            library: LINUX,
            sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
        }),
        ("macos", "aarch64") => Some(Wheel {
            platform: "macosx_14_0_arm64",
            library: "onnxruntime/capi/libonnxruntime.1.32.0.dylib",
            sha256: "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7",
        }),
        _ => None,
    }
}

/// Compares an installed library with the one that setup installs.
fn check_installed(path: &Path) -> Result<(), RuntimeError> {
    let Some(Wheel { sha256: expected, .. }) = wheel() else { return Ok(()) };
    let (_, found) = sha256_file(path).map_err(|source| RuntimeError::Read { path: path.into(), source })?;
    if found == expected { Ok(()) } else { Err(RuntimeError::Altered { path: path.into(), expected, found }) }
}

/// Finds the library file, without loading it.
///
/// # Errors
/// [`RuntimeError::Missing`], [`RuntimeError::NoSuchFile`], [`RuntimeError::NoCacheFolder`], and
/// [`RuntimeError::Altered`] where the installed file is another one.
pub fn find_library() -> Result<PathBuf, RuntimeError> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).filter(|v| !v.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() { Ok(path) } else { Err(RuntimeError::NoSuchFile(path)) };
    }
    let cached = cached_library(&cache_dir()?);
    if cached.is_file() {
        check_installed(&cached)?;
        return Ok(cached);
    }
    library_of_python("python3").map_err(|python| RuntimeError::Missing { cached, python })
}

/// A program to be run in the root folder and without input: nothing of the folder that the user is in, such as a folder
/// of downloads, is found by it.
pub(super) fn neutral_command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// The library inside the `onnxruntime` package of a Python interpreter, or a clause that says why there is none. The
/// package is located, not imported.
fn library_of_python(python: &str) -> Result<PathBuf, String> {
    const LOCATE: &str = "import importlib.util, pathlib
spec = importlib.util.find_spec('onnxruntime')
for folder in spec.submodule_search_locations if spec else []:
    for pattern in 'libonnxruntime.so*', 'libonnxruntime*.dylib', 'onnxruntime.dll':
        for path in sorted(pathlib.Path(folder, 'capi').glob(pattern)):
            print(path)";
    let output = neutral_command(python)
        .args(["-I", "-c", LOCATE])
        .output()
        .map_err(|e| format!("{python} cannot be run to find its `onnxruntime` package ({e})"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{python} has no `onnxruntime` package"))
}

named! {
    /// What computes: one of ONNX Runtime's execution providers. The library that is loaded must have been built with
    /// it.
    #[derive(Default)]
    pub enum Provider("provider") {
        /// The processor: in every library, and the same bits on every machine of one kind. The default.
        #[default]
        Cpu = "cpu",
        /// An NVIDIA card through CUDA, in the precision of the model. The last bits differ from run to run: on an H100
        /// no Dice of 2,960 differed by more than 0.0003 from the processor's.
        Cuda = "cuda",
        /// An NVIDIA card through TensorRT; what it cannot do falls to CUDA.
        TensorRt = "tensorrt",
    }
}

impl Provider {
    /// Prompts that are decoded in one run: larger batches gain nothing on a processor and cost 4 MB of memory a
    /// prompt, where a card wants many.
    pub fn batch(self) -> usize {
        match self {
            Provider::Cpu => 16,
            Provider::Cuda | Provider::TensorRt => 64,
        }
    }
}

/// A loaded graph, which clones share: one of them computes at a time.
#[derive(Clone, Debug)]
pub(super) struct Graph(Arc<Mutex<Session>>);

impl Graph {
    pub(super) fn new(session: Session) -> Graph {
        Graph(Arc::new(Mutex::new(session)))
    }

    /// The session, once no other worker computes with it.
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the sessions of a model use the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// What computes.
    pub provider: Provider,
    /// Threads of one inference; 0 lets ONNX Runtime take one per core.
    pub threads: usize,
    /// Let idle threads spin instead of sleep: a little faster alone, far slower where other work shares the cores.
    pub spinning: bool,
}

impl Default for SessionOptions {
    /// One thread, no spinning: right for many workers on one machine.
    fn default() -> Self {
        SessionOptions { provider: Provider::Cpu, threads: 1, spinning: false }
    }
}

/// A loaded ONNX Runtime.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Finds and loads the library (see the module's documentation), or returns the one already loaded.
    ///
    /// # Errors
    /// Every [`RuntimeError`].
    pub fn load() -> Result<Runtime, RuntimeError> {
        Self::load_with(find_library)
    }

    /// Loads a library file, or returns the one already loaded.
    ///
    /// # Errors
    /// The file is absent, too old, or not an ONNX Runtime.
    pub fn load_from(library: &Path) -> Result<Runtime, RuntimeError> {
        Self::load_with(|| {
            if library.is_file() { Ok(library.to_owned()) } else { Err(RuntimeError::NoSuchFile(library.to_owned())) }
        })
    }

    fn load_with(find: impl FnOnce() -> Result<PathBuf, RuntimeError>) -> Result<Runtime, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let found = find()?;
        // ort takes a relative path as relative to the program, not to the working directory.
        let library = std::path::absolute(&found).unwrap_or(found);
        let environment = ort::init_from(&library)
            .map_err(|error| refusal(library.clone(), error))?
            .with_name("medcosmos")
            .with_telemetry(false)
            .build()
            .map_err(RuntimeError::Start)?;
        let runtime = Runtime { environment, library };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library file in use.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What the library says of its build: branch, commit, compiler options. Two libraries of one version can differ in
    /// the last bits of what they compute, those of two versions more.
    pub fn build(&self) -> &'static str {
        let info = ort::info();
        info.strip_prefix("ORT Build Info: ").unwrap_or(info).trim()
    }

    /// A session builder with the options set.
    ///
    /// # Errors
    /// ONNX Runtime does not have the provider, or it does not start.
    pub fn session(&self, options: SessionOptions) -> Result<SessionBuilder, ort::Error> {
        // A provider that does not start is an error: a silent fall-back to the processor would be hours of waiting.
        // Left alone, it rounds products to the 10 bits of TF32, and takes the convolutions that win a race at the
        // start, which takes seconds and ends now so, now so. Even so the last bits differ from run to run.
        let cuda = || {
            let card = ort::ep::CUDA::default().with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic);
            card.with_tf32(false).build().error_on_failure()
        };
        let providers = match options.provider {
            Provider::Cpu => Vec::new(),
            Provider::Cuda => vec![cuda()],
            Provider::TensorRt => vec![ort::ep::TensorRT::default().build().error_on_failure(), cuda()],
        };
        Ok(SessionBuilder::new(&self.environment)?
            .with_intra_threads(options.threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(options.spinning)?
            .with_inter_op_spinning(false)?
            .with_execution_providers(providers)?)
    }
}

fn refusal(path: PathBuf, error: ort::LoadDynamicError) -> RuntimeError {
    match error {
        ort::LoadDynamicError::BadVersion { version_str, .. } => RuntimeError::TooOld { path, found: version_str },
        ort::LoadDynamicError::Dlopen { error, .. } => RuntimeError::NotARuntime { path, reason: error.to_string() },
        ort::LoadDynamicError::MissingApi { .. } => {
            RuntimeError::NotARuntime { path, reason: "it does not export OrtGetApiBase".to_string() }
        }
        other => RuntimeError::NotARuntime { path, reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(variables: &[(&str, &str)]) -> Option<String> {
        let found = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        cache_dir_from(found).ok().map(|p| p.to_string_lossy().into_owned())
    }

    #[test]
    fn the_cache_folder_follows_the_variables() {
        let home = ("HOME", "/home/ada");
        assert_eq!(cache(&[home]).as_deref(), Some("/home/ada/.cache/medcosmos"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/var/c")]).as_deref(), Some("/var/c/medcosmos"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "relative")]).as_deref(), Some("/home/ada/.cache/medcosmos"));
        assert_eq!(cache(&[home, ("MEDCOSMOS_CACHE", "own")]).as_deref(), Some("own"));
        assert_eq!(cache(&[home, ("MEDCOSMOS_CACHE", "")]).as_deref(), Some("/home/ada/.cache/medcosmos"));
        assert_eq!(cache(&[]), None);
    }

    /// What [`Runtime::load`] answers in a process of its own with these variables: a process loads one library only.
    fn load_in_a_child(variables: &[(&str, &Path)]) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "models::sam::runtime::tests::prints_what_is_loaded", "--nocapture"]);
        for name in [LIBRARY_VARIABLE, "MEDCOSMOS_CACHE"] {
            child.env_remove(name);
        }
        let output = child.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn prints_what_is_loaded() {
        match Runtime::load() {
            Ok(runtime) => {
                println!("loaded {}", runtime.library().display());
                assert_eq!(Runtime::load().unwrap().library(), runtime.library());
            }
            Err(error) => println!("refused: {error}"),
        }
    }

    #[test]
    fn what_is_no_runtime_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("libonnxruntime.so");
        std::fs::write(&foreign, b"not a library").unwrap();
        let answer = load_in_a_child(&[(LIBRARY_VARIABLE, &foreign)]);
        assert!(answer.contains("not an ONNX Runtime library for this machine"), "{answer}");
        let answer = load_in_a_child(&[(LIBRARY_VARIABLE, &folder.path().join("absent"))]);
        assert!(answer.contains("absent, which does not exist"), "{answer}");
        // No Python on an empty path, an empty cache.
        let answer = load_in_a_child(&[("PATH", folder.path()), ("MEDCOSMOS_CACHE", folder.path())]);
        assert!(answer.contains("ONNX Runtime not found") && answer.contains("medcosmos setup"), "{answer}");
    }

    #[test]
    fn an_old_library_is_named_with_its_version() {
        let error = ort::LoadDynamicError::BadVersion { version_str: "1.17.1".into(), path: "x".into() };
        let message = refusal("/opt/libonnxruntime.so".into(), error).to_string();
        assert!(message.starts_with("/opt/libonnxruntime.so: found ONNX Runtime 1.17.1, expected 1.24 or newer"));
        assert!(message.contains("medcosmos setup"));
    }

    #[test]
    fn an_altered_installed_library_is_not_loaded() {
        let Some(Wheel { sha256, .. }) = wheel() else { return };
        let cache = tempfile::tempdir().unwrap();
        let library = cached_library(cache.path());
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::write(&library, b"abc").unwrap();
        let answer = load_in_a_child(&[("MEDCOSMOS_CACHE", cache.path())]);
        for part in ["sha256 is ba7816bf", sha256, "medcosmos setup", LIBRARY_VARIABLE] {
            assert!(answer.contains(part), "{part}: {answer}");
        }
        // A library that the user names is used as it is.
        let answer = load_in_a_child(&[(LIBRARY_VARIABLE, &library), ("MEDCOSMOS_CACHE", cache.path())]);
        assert!(answer.contains("not an ONNX Runtime library"), "{answer}");
    }

    #[test]
    fn python_that_cannot_run_is_explained() {
        let reason = library_of_python("no-such-python").unwrap_err();
        assert!(reason.starts_with("no-such-python cannot be run"), "{reason}");
    }
}
