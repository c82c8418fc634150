//! A copy of a dataset for redistribution: tables, receipts and manifest of the permitted sources, a card for Hugging
//! Face and for people, the attribution, and the citations.

use std::path::Path;

use super::{Error, ExportScope, Exported, Folder, card};
use crate::licences::{Permissions, attribution};
use crate::store::{Dataset, Receipt, Stage, Table, copy};

/// Copies what of a dataset may be redistributed into a folder. Files appear whole, and the same call goes on where an
/// earlier one was interrupted. The copy is a dataset: every command takes it, and
/// `verify` finds it intact. What `analyze` and `report` wrote is not copied, since it speaks of all sources.
///
/// # Errors
/// [`Error::Licence`] before anything is written, where terms forbid it; [`Error::NotEmpty`] and [`Error::OtherExport`]
/// for a folder that holds something else; a file that is not what its receipt says, and errors of reading and writing.
pub fn package(dataset: &Dataset, to: &Path, permissions: &Permissions) -> Result<Exported, Error> {
    let scope = ExportScope::of(dataset, permissions)?;
    let folder = Folder::open(to, scope.task("package", permissions, Table::ALL))?;
    // Files of no source are the user's own, and of nobody's concern. Leaks and splits name patients of other sources.
    let own = |receipt: &Receipt| scope.terms.iter().any(|t| t.source == receipt.source);
    let all = permissions.left_out.is_empty();
    let copied = copy(dataset, folder.path(), |receipt| {
        own(receipt) && (all || ![Stage::Leaks, Stage::Split].contains(&receipt.stage))
    })?;
    folder.write("README.md", card::card(&copied, &scope.terms)?.as_bytes())?;
    folder.write("ATTRIBUTION.md", attribution(&scope.terms, permissions).as_bytes())?;
    let citations: Vec<&str> = scope.terms.iter().map(|t| t.citation.trim()).filter(|c| !c.is_empty()).collect();
    folder.write("CITATION.bib", format!("{}\n", citations.join("\n\n")).as_bytes())?;
    folder.complete()?;
    let rows = |table: Table| Ok::<u64, Error>(copied.files(table)?.iter().map(|f| f.file.rows).sum());
    Ok(Exported {
        sources: scope.terms.iter().map(|t| t.source.clone()).collect(),
        slices: rows(Table::Slices)?,
        masks: rows(Table::Masks)?,
    })
}
