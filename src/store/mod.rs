//! Tables of a dataset on disk.
