//! Phantom downloads for the demo: generated bodies, retinas and cells ([`phantom`]), written in the folder structures
//! and file formats of real sources ([`downloads`]) by writers of image containers and archives ([`write`](mod@write)).
//!
//! Results on phantoms say nothing about any dataset: the shapes are simple, and only the folder structures, formats,
//! types, orientations and quirks are those of the sources.

pub mod downloads;
pub mod phantom;
pub mod write;
