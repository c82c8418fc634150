//! `medcosmos query DATASET SQL`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::named::local_path;
use super::{Global, Outcome};
use crate::analysis::output::{Format, write_frame};
use crate::analysis::{frame_to_text, query};
use crate::text::LINE_WIDTH;
use crate::whole_file::WholeFile;

/// Options of `query`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`medcosmos schema` describes the columns. Example:\n  medcosmos query data \"SELECT target, count(*) AS masks, \
                  avg(area_px) AS area FROM masks GROUP BY target ORDER BY masks DESC\""
)]
pub(super) struct Arguments {
    /// Dataset
    dataset: PathBuf,
    /// One SQL statement over the tables files, sources, cases, slices, masks, factors, predictions, metrics, leaks,
    /// duplicates and splits; use ORDER BY to fix the order of grouped rows
    sql: String,
    /// Write all rows to a file instead; the extension sets the format: csv, jsonl or parquet
    #[arg(long, short, value_name = "FILE", value_parser = local_path())]
    out: Option<PathBuf>,
    /// Maximum number of rows to print
    #[arg(long, default_value_t = 50)]
    rows: usize,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let frame = query(&arguments.dataset, &arguments.sql)?;
    if let Some(path) = &arguments.out {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let format = Format::from_extension(extension)
            .ok_or_else(|| format!("{}: expected a file name that ends in .csv, .jsonl or .parquet", path.display()))?;
        let about = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut file = WholeFile::create(path).map_err(about)?;
        write_frame(&frame, format, &mut file).map_err(|e| format!("{}: {e}", path.display()))?;
        file.finish().map_err(about)?;
        return Ok(ExitCode::SUCCESS);
    }
    if global.json {
        write_frame(&frame, Format::JsonLines, std::io::stdout().lock())?;
    } else {
        print!("{}", frame_to_text(&frame, LINE_WIDTH, arguments.rows));
    }
    Ok(ExitCode::SUCCESS)
}
