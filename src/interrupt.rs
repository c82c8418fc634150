//! Signals that end the program: Ctrl-C (SIGINT), SIGTERM and SIGHUP.
//!
//! The work in hand is dropped, not finished: files are written under other names and renamed when they are whole, a
//! shard without its receipt counts as not begun, and locks go with the process. So a signal costs no more than a kill
//! does, and an immediate end is the simplest one that is right. What a kill leaves to others is done first: the user
//! is told how to go on, and the clients of `medcosmos setup` are ended. A second signal ends the program at once, even
//! where standard error blocks.

use std::io::{self, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Child processes that run.
static CHILDREN: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// How often a child process is asked whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Runs a child process to its end and collects what it prints, as [`Command::output`]; it ends with this program where
/// a signal ends that.
///
/// # Errors
/// The program cannot be run, or its output not be read.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let child = Arc::new(Mutex::new(child));
    lock(&CHILDREN).push(child.clone());
    let read = |pipe: Option<&mut dyn Read>| {
        let mut bytes = Vec::new();
        pipe.map_or(Ok(0), |pipe| pipe.read_to_end(&mut bytes)).map(|_| bytes)
    };
    let (stdout, stderr) = thread::scope(|scope| {
        let mut err = err;
        let errors = scope.spawn(move || read(err.as_mut().map(|pipe| pipe as &mut dyn Read)));
        let mut out = out;
        let stdout = read(out.as_mut().map(|pipe| pipe as &mut dyn Read));
        (stdout, errors.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let status = loop {
        if let Some(status) = lock(&child).try_wait()? {
            break status;
        }
        thread::sleep(ASK_EVERY);
    };
    lock(&CHILDREN).retain(|other| !Arc::ptr_eq(other, &child));
    Ok(Output { status, stdout: stdout?, stderr: stderr? })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the program in good order at a signal: with a sentence on standard error, and the status that shells give a
/// program which a signal ended (128 and its number: 130 for Ctrl-C, 143 for SIGTERM). `resumes` says that the same
/// command goes on where it stopped. Signals that the caller ignores (`nohup`, jobs in the background) stay ignored.
///
/// # Errors
/// The system refuses to watch for signals; they then end the program as usual.
#[cfg(unix)]
pub(crate) fn watch(resumes: bool) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::flag::{register, register_conditional_shutdown};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level;
    use std::io::IsTerminal;
    use std::sync::atomic::AtomicBool;

    let second = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    let watched = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| match ignored {
        Some(mask) => mask >> (signal - 1) & 1 == 0,
        None => signal != SIGHUP, // it cannot be known whether `nohup` has it ignored
    });
    let watched: Vec<i32> = watched.collect();
    for &signal in &watched {
        register_conditional_shutdown(signal, 128 + signal, second.clone())?;
        register(signal, second.clone())?;
    }
    // A file that would exceed `ulimit -f` is an error of writing, not the end of the program.
    register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new(&watched)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        for child in lock(&CHILDREN).iter() {
            let _ = lock(child).kill(); // fails where it has ended
        }
        let line = if std::io::stderr().is_terminal() { "\n" } else { "" }; // below a bar
        let what = if resumes { "interrupted: run the same command to go on" } else { "interrupted" };
        eprintln!("{line}{what}");
        // Not through the destructors of libraries that still compute.
        low_level::exit(128 + signal);
    })?;
    Ok(())
}

/// Signals that are ignored, a bit each from signal 1; `None` where the system does not tell.
#[cfg(unix)]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Ctrl-C ends the program as the system does it.
#[cfg(not(unix))]
pub(crate) fn watch(_resumes: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_child_gives_all_that_it_prints() {
        let script = "head -c 300000 /dev/zero; echo said >&2; head -c 300000 /dev/zero >&2; exit 7";
        let output = output(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(7), 300_000, 300_005));
        assert!(output.stderr.starts_with(b"said\n") && lock(&CHILDREN).is_empty());
        assert!(super::output(&mut Command::new("no-such-program-of-medcosmos")).is_err());
    }
}
