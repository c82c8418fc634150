//! The `medcosmos` program: a thin front of the library.

fn main() {}
