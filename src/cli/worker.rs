//! `medcosmos worker DATASET`.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::planned::run_shards;
use super::{Failure, Global, Outcome};

/// Options of `worker`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Downloads stay scanned and the model stays loaded while the ids are those of one plan. The worker ends \
                  at the end of standard input; a shard that fails does not end it."
)]
pub(super) struct Arguments {
    /// Dataset with the plans
    dataset: PathBuf,
}

/// Bytes of a line that are looked at: an id has 16.
const LINE: u64 = 1024;

/// The next line that holds something, whatever its bytes; `None` at the end.
fn next_line(input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            input.skip_until(b'\n')?;
        }
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            return Ok(Some(text.trim().to_string()));
        }
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let ids = std::iter::from_fn(|| next_line(&mut io::stdin().lock()).transpose());
    run_shards(&arguments.dataset, ids, global, |answer| {
        println!("{}", serde_json::to_string(answer)?);
        Ok(io::stdout().flush()?)
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_bytes_are_ids_or_none() {
        let long = "x".repeat(5000);
        let text =
            [b"\n  \r\n", b"0123456789abcdef\r\n".as_slice(), b"\xff\xfe\n", long.as_bytes(), b"\nlast"].concat();
        let mut input = text.as_slice();
        let lines: Vec<String> = std::iter::from_fn(|| next_line(&mut input).unwrap()).collect();
        assert_eq!(lines, ["0123456789abcdef", "\u{fffd}\u{fffd}", &long[..LINE as usize], "last"]);
    }
}
