//! The `medcosmos` program: a thin wrapper of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    medcosmos::cli::main()
}
