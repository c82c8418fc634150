//! `medcosmos export DATASET --out DIR` and `medcosmos package DATASET --out DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::named::{local_path, named};
use super::{Global, Outcome};
use crate::export::{Exported, Form, export, package};
use crate::licences::Permissions;
use crate::store::Dataset;
use crate::text::grouped;

/// How to treat sources whose terms do not permit redistribution.
#[derive(Debug, clap::Args)]
struct Allowed {
    /// Source whose owners permit you to redistribute slices and masks; may be repeated
    #[arg(long, value_name = "SOURCE")]
    i_have_permission: Vec<String>,
    /// Source to leave out; may be repeated
    #[arg(long, value_name = "SOURCE")]
    leave_out: Vec<String>,
}

impl Allowed {
    fn permissions(&self) -> Permissions {
        Permissions { granted: self.i_have_permission.clone(), left_out: self.leave_out.clone() }
    }
}

/// Options of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sources whose terms prohibit redistribution of derived data, or do not address it, are refused;
`medcosmos licences` lists them.

Example:
  medcosmos export data/ --form coco --out coco/ --leave-out han-seg")]
pub(super) struct ExportArguments {
    /// Dataset
    dataset: PathBuf,
    /// Folder to create; the same command resumes an interrupted run
    #[arg(long, short, value_name = "DIR", value_parser = local_path())]
    out: PathBuf,
    /// Output form: PNG files with a table, or PNG files with COCO annotations
    #[arg(long, value_parser = named::<Form>(), default_value_t = Form::Pictures)]
    form: Form,
    #[command(flatten)]
    allowed: Allowed,
}

/// Options of `package`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The copy contains the tables with their receipts, a dataset card (README.md), ATTRIBUTION.md and
CITATION.bib. Sources whose terms prohibit redistribution of derived data, or do not address it,
are refused; `medcosmos licences` lists them.

Example:
  medcosmos package data/ --out shared/ --i-have-permission drive")]
pub(super) struct PackageArguments {
    /// Dataset
    dataset: PathBuf,
    /// Folder to create; the same command resumes an interrupted run
    #[arg(long, short, value_name = "DIR", value_parser = local_path())]
    out: PathBuf,
    #[command(flatten)]
    allowed: Allowed,
}

pub(super) fn run_export(arguments: &ExportArguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let exported = export(&dataset, &arguments.out, arguments.form, &arguments.allowed.permissions())?;
    print(&exported, &arguments.out, global)
}

pub(super) fn run_package(arguments: &PackageArguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let exported = package(&dataset, &arguments.out, &arguments.allowed.permissions())?;
    print(&exported, &arguments.out, global)
}

fn print(exported: &Exported, out: &std::path::Path, global: &Global) -> Outcome {
    let Exported { sources, slices, masks } = exported;
    if global.json {
        global.print_json(exported)?;
    } else if !global.quiet {
        println!(
            "{} slices and {} masks of {} written to {}",
            grouped(*slices),
            grouped(*masks),
            sources.join(", "),
            out.display()
        );
        println!("Include ATTRIBUTION.md in whatever you publish.");
    }
    Ok(ExitCode::SUCCESS)
}
