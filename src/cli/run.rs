//! `medcosmos run FILE`: the stages of a pipeline file, in order.
//!
//! A pipeline file has a table for each stage. Its keys are the long options of the stage's command, so an option is
//! defined once, in that command: each table becomes a command line, and the same parser reads it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde::Deserialize;
use toml::{Table, Value};

use super::{Command, Failure, Global, Outcome, SOME_FAILED, dispatch, shell_word};
use crate::models::{self, ModelOptions};
use crate::text::printable;

/// Exit status of wrong usage, that of clap.
const WRONG_USAGE: u8 = 2;

/// Options of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pipeline file sets `raw` and `dataset` and has one table per stage: [demo] (phantom downloads),
[build], [leaks], [split], [setup], [[predict]], [[import]], [evaluate], [analyze], [report]; all
are optional. The keys of a table are the long options of its command; [[import]] also needs
`from`, the predictions. Paths are relative to the working directory.")]
pub(super) struct Arguments {
    /// Pipeline file; pipelines/ has examples
    file: PathBuf,
    /// Folder of downloads; overrides `raw` in the file
    #[arg(long, value_name = "DIR")]
    raw: Option<PathBuf>,
    /// Folder of the dataset; overrides `dataset` in the file
    #[arg(long, short, value_name = "DATASET")]
    out: Option<PathBuf>,
    /// Check the file and print its commands without running them
    #[arg(long)]
    dry_run: bool,
}

/// A pipeline file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipeline {
    /// Folder of downloads.
    raw: Option<PathBuf>,
    /// Folder of the dataset.
    dataset: Option<PathBuf>,
    demo: Option<Table>,
    build: Option<Table>,
    leaks: Option<Table>,
    split: Option<Table>,
    setup: Option<Table>,
    #[serde(default)]
    predict: Vec<Table>,
    #[serde(default)]
    import: Vec<Table>,
    evaluate: Option<Table>,
    analyze: Option<Table>,
    report: Option<Table>,
}

/// A stage as a command line.
#[derive(Debug)]
struct Stage {
    /// The table in the file, for messages.
    name: String,
    /// The words after `medcosmos`.
    words: Vec<String>,
    parsed: super::Arguments,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let text = std::fs::read_to_string(&arguments.file).map_err(|e| about(&arguments.file, e))?;
    let stages = match stages(&text, arguments, global) {
        Ok(stages) => stages,
        Err(error) => {
            eprintln!("error: {}", printable(&about(&arguments.file, error).to_string()));
            return Ok(ExitCode::from(WRONG_USAGE));
        }
    };
    if arguments.dry_run {
        stages.iter().for_each(|stage| println!("{}", stage.command()));
        return Ok(ExitCode::SUCCESS);
    }
    missing_models(&stages).map_err(|e| about(&arguments.file, e))?;
    let mut worst = ExitCode::SUCCESS;
    for stage in &stages {
        if !global.quiet {
            eprintln!("$ {}", stage.command());
        }
        let code = dispatch(&stage.parsed.command, &stage.parsed.global)
            .map_err(|e| about(&arguments.file, format!("{}: {e}", stage.name)))?;
        if code == ExitCode::from(SOME_FAILED) {
            worst = code; // the remaining cases are done, so the next stages have input
        } else if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(worst)
}

/// An error with the file's name in front.
fn about(file: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}

/// The stages of a file, all checked before the first is run.
fn stages(text: &str, arguments: &Arguments, global: &Global) -> Result<Vec<Stage>, Failure> {
    let file: Pipeline = toml::from_str(text)?;
    let path = |given: &Option<PathBuf>, in_file: Option<PathBuf>| given.clone().or(in_file);
    let (raw, dataset) = (path(&arguments.raw, file.raw), path(&arguments.out, file.dataset));
    let raw = || word(&raw, "the folder of downloads is missing: set `raw` in the file or pass --raw");
    let data = || word(&dataset, "the folder of the dataset is missing: set `dataset` in the file or pass --out");

    let mut tables: Vec<(&str, String, Vec<String>, Table)> = Vec::new();
    if let Some(table) = file.demo {
        tables.push(("demo", "[demo]".into(), vec![format!("--downloads={}", raw()?)], table));
    }
    if let Some(table) = file.build {
        tables.push(("build", "[build]".into(), vec![raw()?, format!("--out={}", data()?)], table));
    }
    for (command, table) in [("leaks", file.leaks), ("split", file.split)] {
        if let Some(table) = table {
            tables.push((command, format!("[{command}]"), vec![data()?], table));
        }
    }
    if let Some(table) = file.setup {
        tables.push(("setup", "[setup]".into(), Vec::new(), table));
    }
    for (i, table) in file.predict.into_iter().enumerate() {
        tables.push(("predict", format!("[[predict]] {}", i + 1), vec![data()?], table));
    }
    for (i, mut table) in file.import.into_iter().enumerate() {
        let name = format!("[[import]] {}", i + 1);
        let from =
            table.remove("from").ok_or_else(|| format!("{name}: `from`, the path of the predictions, is missing"))?;
        let from = from.as_str().ok_or_else(|| format!("{name}: `from` cannot be a {}", from.type_str()))?.to_string();
        tables.push(("import", name, vec![data()?, from], table));
    }
    for (command, table) in [("evaluate", file.evaluate), ("analyze", file.analyze), ("report", file.report)] {
        if let Some(table) = table {
            tables.push((command, format!("[{command}]"), vec![data()?], table));
        }
    }
    if tables.is_empty() {
        return Err("no stage in the file: expected [build], [[predict]], [evaluate] or another".into());
    }
    tables.into_iter().map(|(command, name, paths, table)| Stage::new(command, name, paths, table, global)).collect()
}

fn word(path: &Option<PathBuf>, missing: &str) -> Result<String, Failure> {
    Ok(path.as_ref().ok_or(missing)?.to_str().ok_or("the folder's name is not UTF-8")?.to_string())
}

impl Stage {
    fn new(command: &str, name: String, paths: Vec<String>, table: Table, global: &Global) -> Result<Self, Failure> {
        let mut words = vec![command.to_string()];
        words.extend(paths);
        for (key, value) in &table {
            if ["quiet", "json", "threads", "memory", "max-expansion"].contains(&key.as_str()) {
                return Err(
                    format!("{name}: `{key}` applies to the whole run: pass it as medcosmos run --{key}").into()
                );
            }
            words.extend(option(command, key, value).map_err(|e| format!("{name}: {e}"))?);
        }
        for path in &global.spec {
            words.push(format!("--spec={}", path.to_str().ok_or("the name of a spec is not UTF-8")?));
        }
        let program = ["medcosmos".to_string()];
        let mut parsed = super::Arguments::try_parse_from(program.iter().chain(&words)).map_err(|error| {
            let text = error.to_string();
            format!("{name}: {}", text.trim_start_matches("error: ").trim_end())
        })?;
        (parsed.global.quiet, parsed.global.json) = (global.quiet, global.json);
        (parsed.global.memory, parsed.global.max_expansion) = (global.memory, global.max_expansion);
        Ok(Stage { name, words, parsed })
    }

    /// The command as typed in a shell.
    fn command(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|word| shell_word(word)).collect();
        format!("medcosmos {}", words.join(" "))
    }
}

/// A key and its value as words of a command line: a list repeats the option, a flag is set or not.
fn option(command: &str, key: &str, value: &Value) -> Result<Vec<String>, Failure> {
    let word = match value {
        Value::String(text) => format!("--{key}={text}"),
        Value::Integer(number) => format!("--{key}={number}"),
        Value::Float(number) => format!("--{key}={number}"),
        Value::Boolean(true) => format!("--{key}"),
        // An unset flag adds nothing; an unknown one is passed on for the parser to report.
        Value::Boolean(false) => return Ok(if is_flag(command, key) { vec![] } else { vec![format!("--{key}")] }),
        Value::Array(values) => {
            let words: Result<Vec<_>, _> = values.iter().map(|value| option(command, key, value)).collect();
            return Ok(words?.concat());
        }
        other => return Err(format!("`{key}` cannot be a {}", other.type_str()).into()),
    };
    Ok(vec![word])
}

/// True if the command has this option and it takes no value.
fn is_flag(command: &str, key: &str) -> bool {
    let program = super::Arguments::command();
    let mut options = program.find_subcommand(command).into_iter().flat_map(clap::Command::get_arguments);
    options.any(|option| option.get_long() == Some(key) && !option.get_action().takes_values())
}

/// Reports a missing model before hours are spent on the stages before it.
fn missing_models(stages: &[Stage]) -> Result<(), Failure> {
    for stage in stages {
        match &stage.parsed.command {
            Command::Setup(_) => return Ok(()), // installs missing models, or reports why it cannot
            Command::Predict(arguments) => {
                models::open(arguments.model(), &ModelOptions::default())
                    .map_err(|e| format!("{}: {e}", stage.name))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Stage>, Failure> {
        let arguments = Arguments { file: "p.toml".into(), raw: None, out: Some("my data".into()), dry_run: false };
        let global = Global {
            quiet: true,
            json: false,
            threads: None,
            memory: None,
            max_expansion: crate::memory::EXPANSION,
            open_work: crate::pipeline::OpenWork::Run,
            spec: vec!["own.toml".into()],
        };
        stages(text, &arguments, &global)
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[cfg(feature = "query")]
    #[test]
    fn all_pipelines_of_this_project_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                parse(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{}", about(&path, e)));
                read += 1;
            }
        }
        assert!(read >= 5);
    }

    #[test]
    fn tables_become_commands_in_the_order_of_the_stages() {
        let text = "raw = 'in'\ndataset = 'out'\n[evaluate]\nnsd-tolerance-mm = 1.5\n[[predict]]\nmodel = 'otsu-box'\n\
                    where = \"modality = 'CT'\"\n[[predict]]\nstrategies = ['S2', 'S5']\njitter = ['0-10', '10-20']\n\
                    keep-candidates = true\nkeep-embeddings = false\n[[import]]\nfrom = 'nnunet.json'\nmodel = 'nnunet'\n[build]\nmin-area = 0\nsource = ['acdc', 'msd']\n";
        let commands: Vec<String> = parse(text).unwrap().iter().map(Stage::command).collect();
        assert_eq!(
            commands,
            [
                "medcosmos build in '--out=my data' --min-area=0 --source=acdc --source=msd --spec=own.toml",
                r"medcosmos predict 'my data' --model=otsu-box '--where=modality = '\''CT'\''' --spec=own.toml",
                "medcosmos predict 'my data' --jitter=0-10 --jitter=10-20 --keep-candidates --strategies=S2 \
                 --strategies=S5 --spec=own.toml",
                "medcosmos import 'my data' nnunet.json --model=nnunet --spec=own.toml",
                "medcosmos evaluate 'my data' --nsd-tolerance-mm=1.5 --spec=own.toml",
            ]
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_stage() {
        for (text, words) in [
            ("[[predict]]\n[[predict]]\nmodell = 'x'", ["[[predict]] 2: ", "--modell"]),
            ("[evaluate]\nstrict = false", ["[evaluate]: ", "--strict"]),
            ("raw = 'in'\n[build]\nmin-area = 'many'", ["[build]: ", "many"]),
            ("raw = 'in'\n[build]\nstrict = 'yes'", ["[build]: ", "yes"]),
            ("raw = 'in'\n[build]\nplane = false", ["[build]: ", "--plane"]),
            ("raw = 'in'\n[build]\nplane = { of = 'x' }", ["[build]: ", "`plane` cannot be a table"]),
            ("raw = 'in'\n[build]\nout = 'elsewhere'", ["[build]: ", "--out"]),
            ("[[import]]\nmodel = 'x'", ["[[import]] 1: ", "from"]),
            ("[evaluate]\nthreads = 2", ["[evaluate]: ", "medcosmos run --threads"]),
            ("[evaluate]\nmemory = '8GB'", ["[evaluate]: ", "medcosmos run --memory"]),
            ("[build]", ["raw", "--raw"]),
            ("[bild]", ["unknown field", "bild"]),
            ("raw = 'in'", ["no stage", "[build]"]),
        ] {
            let message = refused(text);
            assert!(words.iter().all(|word| message.contains(word)), "{text}: {message}");
        }
    }
}
