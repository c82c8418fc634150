//! The `medcosmos` program: a thin front of the library.

use std::process::ExitCode;

#[expect(unsafe_code, reason = "see the comment at the place")]
fn main() -> ExitCode {
    // polars adds up the parts of a group in the order in which its threads end, and the last digit of a mean then differs
    // from run to run. With this variable set it adds row by row. It is read where a query runs, and has no other switch.
    // SAFETY: no other thread has been started that could read the environment at the same time.
    unsafe { std::env::set_var("POLARS_NO_PARTITION", "1") };
    medcosmos::cli::main()
}
