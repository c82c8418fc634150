//! Dataset specs: what is particular to a source, as data.
