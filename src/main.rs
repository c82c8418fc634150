//! The `medcosmos` program: a thin front of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    medcosmos::cli::main()
}
