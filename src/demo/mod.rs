//! Phantom raw downloads for the demo, and the writers of containers that they need.

pub mod write;
