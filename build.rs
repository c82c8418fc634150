//! Lists the built-in sources: each folder of `dataset_specs/` is one, and nothing else says which there are.
//!
//! Two files are written to Cargo's output folder: `built_in_specs.rs`, which `src/spec/registry.rs` includes, and
//! `fixtures.rs`, which `tests/conformance/sources.rs` includes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=dataset_specs");
    match generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<(), String> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let sources = sources(&package.join("dataset_specs"))?;
    for (name, text) in [("built_in_specs.rs", specs(&sources)), ("fixtures.rs", fixtures(&package, &sources)?)] {
        fs::write(out.join(name), text).map_err(|e| format!("cannot write {name}: {e}"))?;
    }
    Ok(())
}

/// Slugs of all sources in alphabetical order.
fn sources(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |e: std::io::Error| format!("cannot list dataset_specs: {e}");
    let mut slugs = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            check(&name, &entry.path().join("spec.toml"))?;
            slugs.push(name);
        } else if name.ends_with(".toml") && name != "taxonomy.toml" {
            return Err(format!("dataset_specs/{name}: a source is a folder, with its spec in `spec.toml`"));
        }
    }
    slugs.sort();
    Ok(slugs)
}

/// Whether a folder has a spec, and is named by the spec's slug. The spec itself is checked by a test of `registry.rs`.
fn check(folder: &str, spec: &Path) -> Result<(), String> {
    if !folder.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(format!("dataset_specs/{folder}: a slug has small letters, digits and dashes only"));
    }
    let text = fs::read_to_string(spec).map_err(|e| format!("cannot read dataset_specs/{folder}/spec.toml: {e}"))?;
    let keys = text.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    let slug = keys.into_iter().find(|(key, _)| key.trim() == "slug").map(|(_, value)| value.trim());
    match slug.and_then(|value| value.strip_prefix('"')?.split('"').next()) {
        Some(slug) if slug == folder => Ok(()),
        Some(slug) => Err(format!("dataset_specs/{folder}/spec.toml: the slug is \"{slug}\", not the folder's name")),
        None => Err(format!("dataset_specs/{folder}/spec.toml: no line `slug = \"{folder}\"` before the first table")),
    }
}

/// An array of slugs and texts of specs. The paths are completed by the compiler, so that the file is the same on every
/// machine.
fn specs(sources: &[String]) -> String {
    let mut text = String::from("&[\n");
    for slug in sources {
        let path = format!("/dataset_specs/{slug}/spec.toml");
        let _ = writeln!(text, "    ({slug:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),");
    }
    text + "]\n"
}

/// A module for each fixture, and an array of slugs and fixture functions. A source without a fixture builds, so that a
/// spec can be tried before there is one, but the conformance tests do not.
fn fixtures(package: &Path, sources: &[String]) -> Result<String, String> {
    let (mut modules, mut all) = (String::new(), String::new());
    for slug in sources {
        let path = package.join("dataset_specs").join(slug).join("fixture.rs");
        if !path.is_file() {
            let message = format!("dataset_specs/{slug} has no fixture.rs, which every built-in source needs");
            let _ = writeln!(modules, "compile_error!({message:?});");
            continue;
        }
        let path = path.to_str().ok_or_else(|| format!("{}: the path is not Unicode", path.display()))?;
        let module = format!("fixture_{}", slug.replace('-', "_"));
        let _ = writeln!(modules, "#[path = {path:?}]\nmod {module};");
        let _ = writeln!(all, "    ({slug:?}, {module}::fixture),");
    }
    Ok(format!("{modules}\n/// Slug and fixture of every source.\npub const ALL: &[(&str, Make)] = &[\n{all}];\n"))
}
