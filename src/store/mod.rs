//! Tables of a dataset on disk: schemas, writers, readers, shards and the manifest.
//!
//! This is the only module with paths inside a dataset (listed in `layout.rs`). A stage divides its work into
//! [`Shard`]s, checks the [`state`](Dataset::state) of each, writes unfinished ones with a [`ShardWriter`], and
//! [`commit`]s. After any interruption, running it again ends with the same bytes.
//!
//! ```
//! use medcosmos::store::{Dataset, Partition, Shard, ShardKey, ShardState, Stage, Verify, commit};
//! # fn main() -> medcosmos::store::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("dataset");
//! let dataset = Dataset::create(&path)?;
//! let key = ShardKey::new().with("release", "2018").with_json("options", &["axial"]).with_digest_of("members", ["ba78…", "e3b0…"]);
//! let shard = Shard::new(Stage::Build, Partition::source("acdc")?, key);
//! if dataset.state(&shard, Verify::Quick)? == ShardState::Missing {
//!     let mut writer = dataset.begin(&shard);
//!     writer.count("mask_too_small", 3); // and writer.push(row) for the rows of its tables
//!     writer.finish()?;
//! }
//! let manifest = commit(&dataset, &[shard], Verify::Full)?;
//! assert_eq!(manifest.counts[&Stage::Build]["mask_too_small"], 3);
//! # Ok(())
//! # }
//! ```

mod audit;
mod checksums;
mod commit;
mod dataset;
mod durable;
mod error;
mod ids;
mod journal;
mod layout;
mod lock;
mod manifest;
mod names;
mod place;
mod plans;
mod reader;
mod repair;
pub(crate) mod rows;
pub mod schema;
mod shard;
mod value;
mod writer;

#[cfg(test)]
mod tests;

#[doc(hidden)] // for `projection!`
pub use arrow_array::RecordBatch;
#[doc(hidden)]
pub use arrow_schema::Field;

pub use audit::{Audit, Problem, audit};
pub(crate) use checksums::check_columns;
#[cfg(feature = "query")]
pub(crate) use checksums::check_size;
pub(crate) use commit::{Change, Changed, Fate, apply, noted};
pub use commit::{commit, copy};
pub use dataset::Dataset;
pub use error::{Error, Result};
pub(crate) use ids::{check_id, check_name};
pub(crate) use journal::Journal;
pub use layout::Partition;
pub use lock::WriteLock;
pub use manifest::{Manifest, ManifestShard, TableTotal};
pub use names::{CaseStatus, Choice, FileStatus, LeakKind, Stage};
pub use plans::{Attempt, OpenAttempt, PlannedShard, StoredPlan};
pub use reader::{Rows, TableFile};
pub use repair::Repair;
pub use rows::{
    CaseRow, DuplicateRow, FactorRow, FileRow, LeakRow, MaskIdentity, MaskRow, MaskTarget, MetricRow, PredictedMask,
    PredictionRow, Projection, Row, SliceImage, SliceInfo, SliceRow, SourceRow, SplitRow,
};
pub use schema::Table;
pub use shard::{Receipt, Shard, ShardFile, ShardId, ShardKey, ShardState, ShardWriter, Verify};
pub use value::{Bytes, Columns, EncodedImage, RawMember, Rle, Value};
