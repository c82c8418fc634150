//! `medcosmos inspect FILE`: the properties of image files as the readers decode them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, Global, Outcome};
use crate::digest::sha256;
use crate::formats;
use crate::formats::segments::{Kind, Segment, Table};
use crate::image::{Frame, Geometry, Image, Samples};
use crate::text::printable_line;
use crate::whole_file::WholeFile;
use crate::with_samples;

/// Options of `inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image files, in any supported format
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the stored values of a single file as a NumPy array [t, z, y, x, component], without leading axes of
    /// length 1
    #[arg(long, value_name = "FILE")]
    npy: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Description {
    file: String,
    container: String,
    size: [usize; 4],
    components: usize,
    dtype: &'static str,
    bits: u8,
    min: f64,
    max: f64,
    slope: f64,
    intercept: f64,
    spacing: Option<[f64; 3]>,
    affine: Option<[[f64; 4]; 3]>,
    orientation: Option<String>,
    palette: Option<Vec<[u8; 4]>>,
    samples_sha256: String,
    /// Masks that it holds under names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    segments: Vec<Segment>,
    notes: Vec<String>,
}

/// A file of contours: it has no pixels.
#[derive(Debug, Serialize)]
struct Structures {
    file: String,
    container: String,
    segments: Vec<Segment>,
    frame_of_reference: Option<String>,
    series: Vec<String>,
}

/// What a file turns out to be.
enum Found {
    Image(String, Box<Image>, Option<Table>),
    Structures(String, Table),
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    if arguments.npy.is_some() && arguments.files.len() > 1 {
        return Err("--npy accepts one file only".into());
    }
    let mut descriptions = Vec::new();
    let mut failed = false;
    for file in &arguments.files {
        match read(file) {
            Ok(Found::Structures(container, table)) => {
                if arguments.npy.is_some() {
                    return Err(format!(
                        "{}: contains contours without pixels, which --npy cannot write",
                        file.display()
                    )
                    .into());
                }
                let file = file.display().to_string();
                if !global.json {
                    println!("{}", printable_line(&file));
                    println!("  {container} · {} of contours, without pixels", table.kind.text());
                    print_segments(&table.segments, "structure");
                }
                let Table { segments, frame_of_reference, series, .. } = table;
                let structures = Structures { file, container, segments, frame_of_reference, series };
                descriptions.push(serde_json::to_value(structures)?);
            }
            Ok(Found::Image(container, image, table)) => {
                if let Some(path) = &arguments.npy {
                    write_npy(path, &image)?;
                }
                let description = describe(file, container, &image, table);
                if !global.json {
                    print(&description);
                }
                descriptions.push(serde_json::to_value(description)?);
            }
            Err(error) => {
                failed = true;
                let file = file.display();
                match global.json {
                    true => {
                        descriptions.push(serde_json::json!({ "file": file.to_string(), "error": error.to_string() }))
                    }
                    false => eprintln!("error: {}", printable_line(&format!("{file}: {error}"))),
                }
            }
        }
    }
    if global.json {
        global.print_json(&descriptions)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> Result<Found, Failure> {
    let bytes = std::fs::read(file)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let folder = file.parent().unwrap_or(Path::new(""));
    let companion = |name: &str| std::fs::read(folder.join(name)).ok();
    let file = formats::File::new(&name, &bytes);
    let container = formats::detect(&file).map_or("unknown", |format| format.name).to_string();
    // A damaged table is no reason not to show the image.
    let table = formats::segment_table(&file);
    match table {
        Ok(Some(table)) if table.kind == Kind::StructureSet => Ok(Found::Structures(container, table)),
        table => {
            let mut image = formats::read_file(&file, &companion, &mut formats::Scratch::default())?;
            let table = table.unwrap_or_else(|error| {
                image.notes.push(format!("the table of segments cannot be read: {error}"));
                None
            });
            Ok(Found::Image(container, Box::new(image), table))
        }
    }
}

fn describe(file: &Path, container: String, image: &Image, table: Option<Table>) -> Description {
    let (min, max) = with_samples!(&image.samples, v => v.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| {
        (low.min(x as f64), high.max(x as f64))
    }));
    // Where a file gives at most lengths, the axes are assumed and not known.
    let known = image.geometry.as_ref().filter(|g| g.frame != Frame::Spacing);
    Description {
        file: file.display().to_string(),
        container,
        size: image.size,
        components: image.components,
        dtype: image.samples.dtype(),
        bits: image.bits,
        min,
        max,
        slope: image.scaling.slope,
        intercept: image.scaling.intercept,
        spacing: image.geometry.as_ref().map(|g| g.spacing),
        affine: image.geometry.as_ref().map(|g| g.affine),
        orientation: known.map(Geometry::orientation),
        palette: image.palette.clone(),
        samples_sha256: sha256(&little_endian(&image.samples)),
        segments: table.map(|table| table.segments).unwrap_or_default(),
        notes: image.notes.clone(),
    }
}

fn print_segments(segments: &[Segment], what: &str) {
    for segment in segments {
        println!("  {what} {}", segment.describe());
    }
}

fn print(d: &Description) {
    let [x, y, z, t] = d.size;
    println!("{}", printable_line(&d.file));
    println!(
        "  {} · {x} x {y} x {z} x {t} (x, y, z, t) · {} component(s) of {} ({} bits)",
        d.container, d.components, d.dtype, d.bits
    );
    println!("  stored values {} to {}; real value = {} * stored + {}", d.min, d.max, d.slope, d.intercept);
    if let Some([x, y, z]) = d.spacing {
        let axes = d.orientation.as_ref().map_or("orientation not stated".into(), |o| format!("orientation {o}"));
        println!("  spacing {x} x {y} x {z} mm · {axes}");
    }
    if let Some(palette) = &d.palette {
        println!("  palette of {} colours", palette.len());
    }
    print_segments(&d.segments, "segment");
    for note in &d.notes {
        println!("  note: {}", printable_line(note));
    }
}

fn little_endian(samples: &Samples) -> Vec<u8> {
    with_samples!(samples, v => v.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// NumPy's format, version 1.0: magic, header of a Python literal padded to 64 bytes, values in C order.
fn write_npy(path: &Path, image: &Image) -> Result<(), Failure> {
    let code = match image.samples {
        Samples::U8(_) => "|u1",
        Samples::I8(_) => "|i1",
        Samples::U16(_) => "<u2",
        Samples::I16(_) => "<i2",
        Samples::U32(_) => "<u4",
        Samples::I32(_) => "<i4",
        Samples::U64(_) => "<u8",
        Samples::I64(_) => "<i8",
        Samples::F32(_) => "<f4",
        Samples::F64(_) => "<f8",
    };
    let [x, y, z, t] = image.size;
    let mut shape = vec![t, z, y, x];
    while shape.len() > 2 && shape[0] == 1 {
        shape.remove(0);
    }
    if image.components > 1 {
        shape.push(image.components);
    }
    let shape = shape.iter().map(|n| format!("{n},")).collect::<String>();
    let mut header = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let put = || {
        let mut file = WholeFile::create(path)?;
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(&little_endian(&image.samples))?;
        file.finish()
    };
    put().map_err(|e: std::io::Error| format!("{}: {e}", path.display()).into())
}
