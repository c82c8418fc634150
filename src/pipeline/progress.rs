//! Progress of a stage: a bar on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::text::printable;

/// Reports progress to standard error. Results never depend on it.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    bar: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    what: String,
    bar: ProgressBar,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
}

impl Running {
    /// `predict: 120 of 480, 2.1 a second, 2 min 51 s left`.
    fn line(&self) -> String {
        let Running { what, total, done, .. } = self;
        let rate = *done as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let left = (total.saturating_sub(*done) as f64 / rate.max(1e-9)).min(1e9) as u64;
        let left = match (left / 3600, left / 60 % 60, left % 60) {
            (0, 0, s) => format!("{s} s"),
            (0, m, s) => format!("{m} min {s} s"),
            (h, m, _) => format!("{h} h {m} min"),
        };
        format!("{what}: {done} of {total}, {rate:.1}/s, {left} left")
    }
}

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Bars or lines; nothing where `quiet`.
    pub fn new(quiet: bool) -> Self {
        Progress { quiet, bar: Mutex::new(None) }
    }

    /// Begins a piece of work of `total` steps.
    pub(crate) fn begin(&self, what: &str, unit: &str, total: u64) {
        if self.quiet {
            return;
        }
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(total) } else { ProgressBar::hidden() };
        let template = format!("{{msg:<12}} {{bar:32}} {{pos}}/{{len}} {unit} {{per_sec}}, {{eta}} left");
        bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        let now = Instant::now();
        let running = Running { what: what.to_string(), bar, total, done: 0, started: now, last_line: now };
        *self.lock() = Some(running);
    }

    /// Notes that `steps` more are done.
    pub(crate) fn advance(&self, steps: u64) {
        if let Some(running) = self.lock().as_mut() {
            running.done += steps;
            running.bar.inc(steps);
            if running.bar.is_hidden() && running.last_line.elapsed() >= LINE_EVERY {
                running.last_line = Instant::now();
                eprintln!("{}", running.line());
            }
        }
    }

    /// Ends the piece of work.
    pub(crate) fn end(&self) {
        if let Some(running) = self.lock().take() {
            running.bar.finish_and_clear();
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        let line = printable(line);
        match self.lock().as_ref().filter(|r| !r.bar.is_hidden()) {
            Some(running) => running.bar.println(line.as_ref()),
            None => eprintln!("{line}"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
