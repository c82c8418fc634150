//! Permitted use of a dataset: the licences and terms of its sources, the combined terms, and the check before anything
//! is exported.
//!
//! A dataset is a collection: each source in it keeps its own licence. The strictest of them determines the use of the
//! complete dataset.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use thiserror::Error;

use crate::spec::Sharing;
use crate::store::{self, Dataset, SourceRow, Stage, Table};
use crate::text::{markdown, markdown_link, printable};

/// One source's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// Short name of the source.
    pub source: String,
    /// Full name.
    pub name: String,
    /// Release that was read.
    pub release: Option<String>,
    /// Home page.
    pub home: String,
    /// SPDX identifier, or `LicenseRef-…`.
    pub licence: String,
    /// What a user must know, as text.
    pub terms: String,
    /// Whether slices and masks made from the download may be redistributed.
    pub share_derived: Sharing,
    /// What to cite, as BibTeX.
    pub citation: String,
    /// Slices of the source in the dataset.
    pub slices: u64,
    /// Masks of the source in the dataset.
    pub masks: u64,
}

/// What an SPDX identifier says by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Not for commercial use.
    pub non_commercial: bool,
    /// What is made from it must be under the same licence.
    pub share_alike: bool,
    /// What is made from it must not be redistributed.
    pub no_derivatives: bool,
}

impl Terms {
    /// The conditions of a Creative Commons licence or of a permissive one; `None` if the terms are only free text.
    pub fn conditions(&self) -> Option<Conditions> {
        const PERMISSIVE: [&str; 6] = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "PDDL-1.0"];
        let parts: Vec<&str> = self.licence.split('-').collect();
        let has = |part: &str| parts.contains(&part);
        match parts[..] {
            ["CC", "BY", ..] => {
                Some(Conditions { non_commercial: has("NC"), share_alike: has("SA"), no_derivatives: has("ND") })
            }
            _ => PERMISSIVE.contains(&self.licence.as_str()).then(Conditions::default),
        }
    }

    /// The source's name, with its release.
    fn title(&self) -> String {
        match &self.release {
            Some(release) => format!("{} ({release})", self.name),
            None => self.name.clone(),
        }
    }
}

/// The terms of all sources of a dataset, the strictest first, then by name.
///
/// # Errors
/// Those of reading the tables.
pub fn terms(dataset: &Dataset) -> store::Result<Vec<Terms>> {
    let mut rows: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for receipt in dataset.receipts_of(Stage::Build)? {
        let sum = rows.entry(receipt.source.clone()).or_default();
        *sum = (sum.0 + receipt.rows(Table::Slices), sum.1 + receipt.rows(Table::Masks));
    }
    let mut terms = Vec::new();
    for row in dataset.rows::<SourceRow>()? {
        let SourceRow { source, name, release, home, licence, terms: words, share_derived, citation, .. } = row?;
        let (slices, masks) = rows.get(&source).copied().unwrap_or_default();
        let share_derived = Sharing::ALL.into_iter().find(|s| s.text() == share_derived).unwrap_or(Sharing::Unknown);
        terms.push(Terms {
            source,
            name,
            release,
            home,
            licence,
            terms: words,
            share_derived,
            citation,
            slices,
            masks,
        });
    }
    terms.sort_by(|a, b| b.share_derived.cmp(&a.share_derived).then_with(|| a.source.cmp(&b.source)));
    Ok(terms)
}

/// What follows from the terms of the sources for all of them together. Lists are of sources, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CombinedTerms {
    /// Whether all of it may be redistributed.
    pub share_derived: Sharing,
    /// Sources that forbid it.
    pub forbid_sharing: Vec<String>,
    /// Sources whose terms do not say.
    pub sharing_not_known: Vec<String>,
    /// Sources whose licence excludes commercial use.
    pub non_commercial: Vec<String>,
    /// Sources that ask for their own licence, by licence.
    pub share_alike: BTreeMap<String, Vec<String>>,
    /// Sources whose terms are free text, which no program can evaluate.
    pub in_words: Vec<String>,
}

impl CombinedTerms {
    /// Of these sources.
    pub fn of(terms: &[Terms]) -> CombinedTerms {
        let names = |wanted: &dyn Fn(&Terms) -> bool| -> Vec<String> {
            let mut names: Vec<String> = terms.iter().filter(|t| wanted(t)).map(|t| t.source.clone()).collect();
            names.sort();
            names
        };
        let condition = |held: fn(Conditions) -> bool| names(&|terms: &Terms| terms.conditions().is_some_and(held));
        let mut share_alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for source in condition(|c| c.share_alike) {
            let licence = terms.iter().find(|t| t.source == source).map(|t| t.licence.clone()).unwrap_or_default();
            share_alike.entry(licence).or_default().push(source);
        }
        CombinedTerms {
            share_derived: terms.iter().map(|t| t.share_derived).max().unwrap_or(Sharing::Yes),
            forbid_sharing: names(&|t| t.share_derived == Sharing::No),
            sharing_not_known: names(&|t| t.share_derived == Sharing::Unknown),
            non_commercial: condition(|c| c.non_commercial),
            share_alike,
            in_words: names(&|t| t.conditions().is_none()),
        }
    }

    /// The same in sentences.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let list = |names: &[String]| names.join(", ");
        if !self.forbid_sharing.is_empty() {
            sentences.push(format!(
                "The combined dataset must not be redistributed: the terms of {} prohibit it.",
                list(&self.forbid_sharing)
            ));
        }
        if !self.sharing_not_known.is_empty() {
            let sources = list(&self.sharing_not_known);
            sentences.push(format!(
                "Ask the owners before you redistribute it: the terms of {sources} do not address \
                redistribution."
            ));
        }
        if self.forbid_sharing.is_empty() && self.sharing_not_known.is_empty() {
            sentences.push("It may be redistributed under the conditions of its sources, with attribution.".into());
        }
        if !self.non_commercial.is_empty() {
            sentences.push(format!("Commercial use is prohibited by the licence of {}.", list(&self.non_commercial)));
        }
        for (licence, sources) in &self.share_alike {
            sentences.push(format!("Derivatives of {} must be licensed under {licence}.", list(sources)));
        }
        if self.share_alike.len() > 1 {
            sentences.push(
                "These licences cannot be combined in one work: keep the sources separate in what you publish, as the \
                 tables do."
                    .into(),
            );
        }
        if !self.in_words.is_empty() {
            sentences
                .push(format!("Read the terms of {}: they have no standard licence identifier.", list(&self.in_words)));
        }
        sentences
    }
}

/// What the user says of sources whose terms do not let them be passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Sources whose owners gave their permission.
    pub granted: Vec<String>,
    /// Sources that are to be left out.
    pub left_out: Vec<String>,
}

/// Why pixels are not written.
#[derive(Debug, Error)]
pub enum Error {
    /// Sources that must stay where they are.
    #[error(
        "the terms of {} do not permit redistribution of slices and masks:\n{}obtain permission and pass --i-have-permission SOURCE, or leave the sources out with --leave-out SOURCE",
        names(.0),
        lines(.0)
    )]
    Refused(Vec<Terms>),
    /// A name that is no source of the dataset.
    #[error("{name} is not a source of this dataset; its sources are {known}")]
    UnknownSource {
        /// As given.
        name: String,
        /// The dataset's sources.
        known: String,
    },
    /// Everything was left out.
    #[error("no sources left to write")]
    Nothing,
    /// The dataset cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn names(terms: &[Terms]) -> String {
    terms.iter().map(|t| t.source.as_str()).collect::<Vec<_>>().join(", ")
}

fn lines(terms: &[Terms]) -> String {
    terms.iter().map(|t| format!("  {}: {}: {}\n", t.source, t.licence, t.terms)).collect()
}

/// The sources that may be written to a place from which others take them, in the order of their names. Terms that
/// forbid it and terms that do not say are treated alike: without permission there is none.
///
/// # Errors
/// [`Error::Refused`] with every source that is neither free, nor granted, nor left out.
pub(crate) fn passable(dataset: &Dataset, permissions: &Permissions) -> Result<Vec<Terms>, Error> {
    let mut terms = terms(dataset)?;
    terms.sort_by(|a, b| a.source.cmp(&b.source));
    for name in permissions.granted.iter().chain(&permissions.left_out) {
        if !terms.iter().any(|t| t.source == *name) {
            return Err(Error::UnknownSource { name: name.clone(), known: names(&terms) });
        }
    }
    terms.retain(|t| !permissions.left_out.contains(&t.source));
    let free = |t: &Terms| matches!(t.share_derived, Sharing::Yes | Sharing::Conditions);
    let refused: Vec<Terms> =
        terms.iter().filter(|t| !free(t) && !permissions.granted.contains(&t.source)).cloned().collect();
    match (refused.is_empty(), terms.is_empty()) {
        (false, _) => Err(Error::Refused(refused)),
        (true, true) => Err(Error::Nothing),
        (true, false) => Ok(terms),
    }
}

/// The attribution that licences ask for, as Markdown: who made each source, under which licence, what was changed,
/// what to cite.
pub fn attribution(terms: &[Terms], permissions: &Permissions) -> String {
    let mut text = String::from(
        "# Attribution\n\nThese slices and masks were built by medcosmos from the datasets below. Changes: volumes were cut into 2D slices, intensities were converted to 8 bits, labels were converted to one mask per object, and small masks and slices without a mask were left out. Each part remains under the licence of its source.\n",
    );
    for source in terms {
        let _ = writeln!(text, "\n## {}\n", markdown(&source.title()));
        if !source.home.is_empty() {
            let _ = writeln!(text, "- Home: {}", markdown_link(&source.home));
        }
        let _ = writeln!(text, "- In the tables: `source={}`", source.source.replace('`', "'"));
        let _ = writeln!(text, "- Licence: {}", markdown(&source.licence));
        if !source.terms.is_empty() {
            let _ = writeln!(text, "- Terms: {}", markdown(&source.terms));
        }
        if permissions.granted.contains(&source.source) {
            let _ = writeln!(
                text,
                "- Redistributed with permission of the owners, as stated by the creator of this \
                copy."
            );
        }
        if !source.citation.trim().is_empty() {
            let citation = source.citation.trim();
            // Longer than any that the citation has, which would end it.
            let longest = citation.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            let _ = writeln!(text, "\n{fence}bibtex\n{}\n{fence}", printable(citation));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, licence: &str, share_derived: Sharing) -> Terms {
        Terms {
            source: name.into(),
            name: name.to_uppercase(),
            release: Some("2019".into()),
            home: format!("https://{name}.example"),
            licence: licence.into(),
            terms: "Some words.".into(),
            share_derived,
            citation: "@article{a}".into(),
            slices: 1,
            masks: 2,
        }
    }

    #[test]
    fn the_strictest_decides() {
        let terms = [
            source("a", "CC-BY-4.0", Sharing::Yes),
            source("b", "CC-BY-NC-SA-4.0", Sharing::Conditions),
            source("c", "CC-BY-SA-3.0", Sharing::Conditions),
            source("d", "LicenseRef-D", Sharing::Unknown),
        ];
        let combined = CombinedTerms::of(&terms);
        assert_eq!(combined.share_derived, Sharing::Unknown);
        assert_eq!(combined.sharing_not_known, ["d"]);
        assert_eq!(combined.non_commercial, ["b"]);
        assert_eq!(combined.share_alike.keys().collect::<Vec<_>>(), ["CC-BY-NC-SA-4.0", "CC-BY-SA-3.0"]);
        assert_eq!(combined.in_words, ["d"]);
        let text = combined.sentences().join("\n");
        for words in [
            "Ask the owners before you redistribute it: the terms of d",
            "Commercial use is prohibited by the licence of b",
            "cannot be combined",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(CombinedTerms::of(&terms[..3]).share_derived, Sharing::Conditions);
        let forbidden = CombinedTerms::of(&[source("e", "CC-BY-ND-4.0", Sharing::No)]);
        assert_eq!((forbidden.share_derived, forbidden.forbid_sharing), (Sharing::No, vec!["e".to_string()]));
    }

    #[test]
    fn conditions_are_read_from_the_identifier() {
        let of = |licence: &str| source("a", licence, Sharing::Yes).conditions();
        let nd = Conditions { non_commercial: true, no_derivatives: true, share_alike: false };
        assert_eq!(of("CC-BY-NC-ND-4.0"), Some(nd));
        assert_eq!(of("CC-BY-4.0"), Some(Conditions::default()));
        assert_eq!(of("CC0-1.0"), Some(Conditions::default()));
        assert_eq!(of("LicenseRef-BTCV"), None);
    }

    #[test]
    fn every_source_is_attributed() {
        let permissions = Permissions { granted: vec!["b".into()], left_out: Vec::new() };
        let terms = [source("a", "CC-BY-4.0", Sharing::Yes), source("b", "LicenseRef-B", Sharing::No)];
        let text = attribution(&terms, &permissions);
        for words in ["## A (2019)", "<https://a.example>", "Licence: CC-BY-4.0", "@article{a}", "with permission"] {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(text.matches("with permission").count(), 1);
    }
}
