//! Phantom raw downloads for the demo.
