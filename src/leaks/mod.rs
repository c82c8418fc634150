//! Leakage: the same image under two patients, or in two official splits of one patient.
//!
//! Slices of one volume, frames of one video and sequences of one examination belong to one patient and are not leaks.
//! Three things link patients:
//!
//! - **exact**: two slices have the same pixels.
//! - **near**: two slices show the same image in another encoding (JPEG of another quality, another type, another size,
//!   another gamma or window). Consecutive frames of a video under *different* patients are found too: they are nearly
//!   identical.
//! - **declared**: stated by the sources (`overlaps` in a spec, with patterns of the patients' names).
//!
//! # Detection of near-duplicates
//! The measure is *local contrast* ([`similarity`]): the level of a field relative to its neighbours. It hardly changes
//! with encoding, gamma and window, and it ignores what all images of a kind have in common (the black rim of a fundus
//! photograph, the outline of a body). Lowest similarity of copies and highest of different patients among real slices
//! (ACDC, CHAOS, CHASE_DB1, DRIVE, I2CVB, IDRiD, MSD, ssTEM, the released slices of COSMOS) and the demo's phantoms, at
//! the resolution of the close comparison, 64 x 64 fields or fewer for small images:
//!
//! | | real | phantoms |
//! |---|---|---|
//! | JPEG of quality 95, 60, 30 | 0.99, 0.98, 0.97 | 0.96, 0.89, 0.87 |
//! | noise of one grey level | 0.99 | 0.98 |
//! | gamma 0.6, 1.6 | 0.95, 0.94 | 0.91, 0.90 |
//! | nine tenths, half of the size | 0.93, 0.85 | 0.92, 0.91 |
//! | window that cuts off 50 %, 30 % of the range | 0.83, 0.69 | 0.56, 0.63 |
//! | two different patients | 0.61 | 0.70 |
//!
//! The plain grey levels of two different eyes correlate by 0.99.
//!
//! 1. [`suspects`] uses only 16 x 16 thumbnails. Candidates come from sorted neighbourhoods (`candidates`), in time
//!    linear in the number of slices. Slices of two volumes vote: a share of them must have a match in the other, in
//!    the same (or the opposite) order, so a single chance match never joins two patients.
//! 2. [`Suspicion::holds`] compares a few pairs of each suspicion at a higher resolution, read by the caller.
//! 3. [`found`] links patients with confirmed pairs or equal pixels.
//!
//! Copies that are rotated, mirrored, cropped or cut along another axis are not found.
//!
//! This module does no input or output: records go in, links and groups come out.

use crate::store::LeakKind;
use std::collections::BTreeMap;

mod candidates;
mod confirm;
mod declared;
mod groups;
mod records;
pub mod similarity;
mod votes;

pub use confirm::found;
pub(crate) use declared::{Declaration, declarations, declared};
pub(crate) use groups::Components;
pub use records::{Filling, Record, Records};
pub use votes::{Suspicion, suspects};

/// Thresholds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Options {
    /// Least similarity of two single pictures (see [`similarity`]).
    pub picture: f64,
    /// Least similarity of the slices of two volumes that are compared closely: most of them must have it.
    pub volume: f64,
    /// Share of the slices of the smaller volume that must have a twin in the other.
    pub share: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { picture: 0.8, volume: 0.75, share: 0.3 }
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
    pub kind: LeakKind,
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
    /// [`LeakKind::Exact`] or [`LeakKind::Near`].
    pub kind: LeakKind,
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
