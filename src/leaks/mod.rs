//! Leakage: the same image under two patients, or in two official splits of one patient.
//!
//! Slices of one volume, frames of one video and sequences of one examination belong to one patient and are no leak.
//! Three things link patients:
//!
//! - **exact**: two slices have the same pixels.
//! - **near**: two slices show the same picture in another encoding (JPEG of another quality, another type, another size,
//!   another gamma or window). Frames that follow each other in a video under *different* patients are found too: they
//!   are as good as one picture.
//! - **declared**: the sources say so themselves (`overlaps` in a spec, with patterns of the patients' names).
//!
//! # How near copies are found
//! Everything rests on *local contrast* ([`likeness`]): what a field of a picture is in comparison with its neighbours.
//! It hardly changes with encoding, gamma and window, and it does not see what all pictures of a kind have in common
//! (the black rim of a fundus photograph, the outline of a body). On real patients (DRIVE, CHASE_DB1, ACDC, MSD, the
//! released slices of COSMOS) two different ones correlate by at most 0.75 on 32 x 32 fields where copies have 0.95 and
//! more; correlation of the plain grey levels is 0.99 for two different eyes.
//!
//! 1. [`suspects`] looks at 16 x 16 thumbnails alone. Candidates come from sorted neighbourhoods (`candidates`): linear in
//!    the number of slices, whatever they show. For two volumes their slices vote: a share of them must have a twin in the
//!    other, in the same (or the opposite) order, so that one chance match never joins two patients.
//! 2. [`Suspicion::holds`] compares a few pairs of each suspicion at a higher resolution, which the caller reads.
//! 3. [`found`] makes links of what was confirmed and of what has the same pixels.
//!
//! A copy that was turned, mirrored, cropped or cut along another axis is not found.
//!
//! Nothing here reads or writes: records go in, links and groups come out.

use std::collections::BTreeMap;

mod candidates;
mod confirm;
mod declared;
mod groups;
pub mod likeness;
mod records;
mod votes;

pub use confirm::found;
pub use declared::{Declaration, declarations, declared};
pub use groups::Components;
pub use records::{Filling, Record, Records};
pub use votes::{Suspicion, suspects};

/// Thresholds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Options {
    /// Least likeness of two single pictures (see [`likeness`]).
    pub picture: f64,
    /// Least likeness of the slices of two volumes that are compared closely: most of them must have it.
    pub volume: f64,
    /// Share of the slices of the smaller volume that must have a twin in the other.
    pub share: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { picture: 0.85, volume: 0.8, share: 0.3 }
    }
}

/// How it is known that two patients are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The sources say so.
    Declared,
    /// The same pixels.
    Exact,
    /// The same picture in another encoding.
    Near,
}

impl Kind {
    /// The word that tables have for it.
    pub fn text(self) -> &'static str {
        match self {
            Kind::Declared => "declared",
            Kind::Exact => "exact",
            Kind::Near => "near",
        }
    }
}

/// Two slices that show the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Number of a slice in [`Records`].
    pub a: u32,
    /// Number of the other, which is greater.
    pub b: u32,
    /// Correlation of the local contrast of their thumbnails; 1 where the pixels are the same.
    pub similarity: f32,
}

/// Two patients that are linked in one way; or one patient, where two of its official splits share an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Number of a patient in [`Records`].
    pub patient: u32,
    /// Number of the other, which is not smaller.
    pub other: u32,
    /// How it is known.
    pub kind: Kind,
    /// Slices of the first patient that have a twin in the other.
    pub slices: u32,
    /// The closest pair, slice of the first patient first.
    pub twins: Option<Pair>,
}

/// A slice that has a twin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duplicate {
    /// Number of the slice.
    pub slice: u32,
    /// The first slice of all that show the same.
    pub first: u32,
    /// [`Kind::Exact`] or [`Kind::Near`].
    pub kind: Kind,
    /// Correlation with the closest twin.
    pub similarity: f32,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaks {
    /// Sorted by patients and kind.
    pub links: Vec<Link>,
    /// Sorted by slice.
    pub duplicates: Vec<Duplicate>,
}

impl Leaks {
    /// The first patient of the group that each linked patient is in; patients without a link are left out.
    pub fn groups(&self) -> BTreeMap<u32, u32> {
        let mut components = Components::new();
        for link in &self.links {
            components.join(link.patient, link.other);
        }
        components.first_of_each()
    }

    /// Adds links, each only once.
    pub fn add(&mut self, links: impl IntoIterator<Item = Link>) {
        self.links.extend(links);
        self.links.sort_by_key(|link| (link.patient, link.other, link.kind));
        self.links.dedup_by_key(|link| (link.patient, link.other, link.kind));
    }
}

#[cfg(test)]
mod tests;
