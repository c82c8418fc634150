//! `medcosmos cache DATASET`: embeddings that are kept in a dataset's folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{Global, Outcome};
use crate::models::sam::{EmbeddingCache, KeptEmbedding};
use crate::store::Dataset;
use crate::text::{TextTable, byte_size, grouped, stated_size};

/// Options of `cache`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`medcosmos predict --keep-embeddings` keeps embeddings. They only save time: predictions stay, \
                        whatever is removed."
)]
pub(super) struct Arguments {
    /// Dataset
    dataset: PathBuf,
    /// Remove embeddings, those first that were not used for longest, until they take at most this: 500MB, 20GiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    limit: Option<u64>,
    /// Remove all embeddings
    #[arg(long, conflicts_with = "limit")]
    clear: bool,
}

/// Embeddings of a model.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Total {
    embeddings: u64,
    bytes: u64,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let folder = dataset.embedding_cache();
    let limit = if arguments.clear { Some(0) } else { arguments.limit };
    let removed = limit.map(|bytes| EmbeddingCache::limit(&folder, bytes)).transpose()?.unwrap_or_default();
    let kept = EmbeddingCache::list(&folder)?;
    let (models, all, removed) = (by_model(&kept), total(&kept), total(&removed));
    if global.json {
        global.print_json(&serde_json::json!({ "models": models, "removed": removed }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if limit.is_some() {
        println!("removed {} embeddings, {}", grouped(removed.embeddings), byte_size(removed.bytes));
    }
    if kept.is_empty() {
        println!("no embeddings are kept in {}", folder.display());
    } else {
        let table = TextTable::new()
            .words("model", models.keys().cloned().chain(["all".into()]).map(Some))
            .counts("embeddings", models.values().chain([&all]).map(|total| total.embeddings))
            .words("size", models.values().chain([&all]).map(|total| Some(byte_size(total.bytes))));
        print!("{}", table.render(crate::text::LINE_WIDTH));
    }
    Ok(ExitCode::SUCCESS)
}

fn by_model(files: &[KeptEmbedding]) -> BTreeMap<String, Total> {
    let mut models: BTreeMap<String, Total> = BTreeMap::new();
    for file in files {
        let model = file.model.clone().unwrap_or_else(|| "(unknown)".into());
        let total = models.entry(model).or_default();
        total.embeddings += 1;
        total.bytes += file.bytes;
    }
    models
}

fn total(files: &[KeptEmbedding]) -> Total {
    Total { embeddings: files.len() as u64, bytes: files.iter().map(|file| file.bytes).sum() }
}

/// Bytes, in decimal (`20GB`) or binary units (`20GiB`).
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?}: expected a number of bytes, or one with a unit, such as 500MB or 20GiB");
    let bytes = match stated_size(text).ok_or_else(wrong)? {
        (number, "", _) => number,
        (number, _, Some(unit)) => number * unit,
        _ => return Err(wrong()),
    };
    if bytes.is_finite() { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("1000", 1000), ("1.5kB", 1500), ("2 MiB", 2 << 20), ("3g", 3_000_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "MB", "-1", "1x", "1.2.3", "1e5"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
