//! Phantom raw downloads for the demo: made-up bodies, retinas and cells ([`phantom`]), written in the folder trees and
//! file formats of real sources ([`downloads`]) by writers of image containers and archives ([`write`](mod@write)).
//!
//! Nothing here stands for a finding about any dataset: the shapes are simple, and only the trees, containers, types,
//! orientations and oddities are those of the sources.

pub mod downloads;
pub mod phantom;
pub mod write;
