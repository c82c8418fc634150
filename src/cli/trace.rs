//! `medcosmos trace DATASET ID`: from a mask, slice or case back to its raw files; `--file`: from a raw file to its
//! cases.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::integrity::{ByModel, FileTrace, RawTrace, Trace, trace, uses_of};
use crate::store::Dataset;
use crate::text::{byte_size, fixed, grouped, printable_line};

/// Options of `trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  medcosmos trace data/ acdc/patient001_frame01/z0003/left_ventricular_cavity\n  \
                  medcosmos trace data/ --file patient001_frame01.nii.gz\n  \
                  medcosmos trace data/ --file ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
pub(super) struct Arguments {
    /// Dataset
    dataset: PathBuf,
    /// mask_id, slice_id or case_id
    #[arg(required_unless_present = "file")]
    id: Option<String>,
    /// Raw file: its path below the downloads, the end of that path, or its SHA-256
    #[arg(long, value_name = "PATH", conflicts_with = "id")]
    file: Option<String>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let path = arguments.dataset.display();
    if let Some(file) = &arguments.file {
        let found = uses_of(&dataset, file)?;
        if found.uses.is_empty() && found.fates.is_empty() {
            let what = "no raw file has this name, and no file of a case has this SHA-256";
            return Err(format!("{path}: {file}: {what}").into());
        }
        match global.json {
            true => global.print_json(&found)?,
            false => print_file(&found),
        }
    } else {
        let id = arguments.id.as_deref().unwrap_or_default();
        let found = trace(&dataset, id)?;
        let found = found.ok_or_else(|| format!("{path}: no mask, slice or case {id:?} in the dataset"))?;
        match global.json {
            true => global.print_json(&found)?,
            false => print_trace(&found),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Numbers to a ten-thousandth, `1.36 x 1.36 x 10`.
fn join(numbers: &[f64]) -> String {
    let words = |number: &f64| ((number * 1e4).round() / 1e4).to_string();
    numbers.iter().map(words).collect::<Vec<_>>().join(" x ")
}

/// A block: a heading, and lines of a name and a value. Values that are empty are left out.
fn block(kind: &str, title: &str, lines: &[(&str, String)]) {
    println!("{}", format!("{kind:<8}{}", printable_line(title)).trim_end());
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        println!("        {name:<13}{}", printable_line(value));
    }
}

fn print_trace(found: &Trace) {
    if let Some(mask) = &found.mask {
        let area_mm2 = mask.area_mm2.map_or(String::new(), |area| format!(", {} mm²", fixed(area, 1)));
        let [x0, y0, x1, y1] = mask.bbox;
        let excluded = match &mask.exclusion_reason {
            Some(reason) if mask.excluded => reason.clone(),
            _ => String::new(),
        };
        let lines = [
            ("object", format!("{} (target {})", mask.object, mask.target)),
            ("label", format!("{} ({})", mask.label_value, mask.label_name)),
            ("side", mask.laterality.clone().unwrap_or_default()),
            ("instance", mask.instance.map_or(String::new(), |n| n.to_string())),
            ("rater", mask.rater.clone().unwrap_or_default()),
            ("area", format!("{} px{area_mm2}, {} component(s)", grouped(mask.area_px.into()), mask.components)),
            ("box", format!("columns {x0} to {x1}, rows {y0} to {y1}")),
            ("excluded", excluded),
        ];
        block("mask", &mask.mask_id, &lines);
    }
    if let Some(slice) = &found.slice {
        let spacing = slice.spacing_row_mm.zip(slice.spacing_col_mm);
        let lines = [
            ("position", format!("slice {} of frame {}, {}", slice.slice_index, slice.frame, slice.plane)),
            ("size", format!("{} x {} px (rows x columns), {} channel(s)", slice.height, slice.width, slice.channels)),
            (
                "spacing",
                spacing
                    .map_or("unknown".into(), |(row, column)| format!("{} mm (rows x columns)", join(&[row, column]))),
            ),
            ("intensity", format!("raw {} → 0, raw {} → 255", slice.intensity_min, slice.intensity_max)),
            ("pixels", format!("sha256 {}", slice.pixels_sha256)),
        ];
        block("slice", &slice.slice_id, &lines);
    }
    let case = &found.case;
    let shape: Vec<String> = case.shape.iter().map(u32::to_string).collect();
    let dtype = case.dtype.as_ref().map_or(String::new(), |dtype| format!(" of {dtype}"));
    let orientation = case.orientation.as_ref().map_or(String::new(), |axes| format!(", orientation {axes}"));
    let sequence = case.sequence.as_ref().map_or(String::new(), |sequence| format!(", sequence {sequence}"));
    let split = case.split.as_ref().map_or(String::new(), |split| format!(", split {split}"));
    let reason = case.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let mut lines = vec![
        ("patient", format!("{}{split}", case.patient_id)),
        ("modality", format!("{}{sequence}", case.modality)),
        ("array", if shape.is_empty() { String::new() } else { format!("{} px{dtype}", shape.join(" x ")) }),
        ("spacing", case.spacing.as_ref().map_or(String::new(), |s| format!("{} mm (x, y, z){orientation}", join(s)))),
        ("status", format!("{}{reason}; {} of {} slice(s) kept", case.status, case.kept, case.n_slices)),
    ];
    if let Some(placement) = &case.placement {
        let apart = case.placement_error_mm.map_or(String::new(), |mm| format!(", error at most {} mm", fixed(mm, 3)));
        lines.push(("placement", format!("{placement}{apart}")));
    }
    lines.extend(case.notes.iter().map(|note| ("note", note.clone())));
    block("case", &case.case_id, &lines);
    for raw in &found.raw {
        print_raw(raw);
    }
    if let Some(source) = &found.source {
        let lines = [
            ("slug", source.source.clone()),
            ("release", source.release.clone().unwrap_or_default()),
            ("licence", format!("{}; redistribution of derived data: {}", source.licence, source.share_derived)),
            ("terms", source.terms.clone()),
            ("home", source.home.clone()),
            ("spec", format!("sha256 {}", source.spec_sha256)),
        ];
        block("source", &source.name, &lines);
    }
    let shard = &found.shard;
    let other_spec = found.source.as_ref().is_none_or(|source| source.spec_sha256 != shard.spec_sha256);
    let lines = [
        ("file", shard.file.clone()),
        ("sha256", shard.sha256.clone()),
        ("written by", format!("medcosmos {}", shard.tool_version)),
        ("options", shard.options.to_string()),
        ("spec", if other_spec { format!("sha256 {}", shard.spec_sha256) } else { String::new() }),
    ];
    block("shard", &shard.id, &lines);
    let masks = if found.mask.is_some() { String::new() } else { format!("{} mask(s)", grouped(found.masks)) };
    let lines = [("masks", masks), ("predictions", models(&found.predictions)), ("metrics", models(&found.metrics))];
    block("used", "", &lines);
}

/// `mobile-sam 6 (S2 3, S5 3)`.
fn models(rows: &ByModel) -> String {
    if rows.is_empty() {
        return "none".into();
    }
    let model = |(model, strategies): (&String, &std::collections::BTreeMap<String, u64>)| {
        let each: Vec<String> = strategies.iter().map(|(name, rows)| format!("{name} {}", grouped(*rows))).collect();
        format!("{model} {} ({})", grouped(strategies.values().sum()), each.join(", "))
    };
    rows.iter().map(model).collect::<Vec<_>>().join("; ")
}

fn print_raw(raw: &RawTrace) {
    let sha256 = if raw.sha256.is_empty() { "not read".to_string() } else { raw.sha256.clone() };
    let lines = [
        ("role", raw.role.clone()),
        ("archive", raw.archive.clone().unwrap_or_default()),
        ("size", byte_size(raw.size)),
        ("sha256", sha256),
    ];
    block("raw", &raw.inside, &lines);
}

fn print_file(found: &FileTrace) {
    let mut last = None;
    for used in &found.uses {
        if last != Some(&used.raw.path) {
            print_raw(&RawTrace { role: String::new(), ..used.raw.clone() });
            last = Some(&used.raw.path);
        }
        let case = &used.case;
        let reason = case.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let lines = [
            ("as", used.raw.role.clone()),
            ("status", format!("{}{reason}", case.status)),
            ("result", format!("{} slice(s) and {} mask(s)", grouped(case.slices), grouped(case.masks))),
        ];
        block("case", &case.case_id, &lines);
    }
    for fate in &found.fates {
        let lines = [
            ("source", fate.source.clone()),
            ("size", fate.size.map_or(String::new(), byte_size)),
            ("status", format!("{}, in no case", fate.status)),
            ("reason", fate.reason.clone().unwrap_or_default()),
        ];
        block("raw", &fate.path, &lines);
    }
}
