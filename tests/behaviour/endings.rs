//! How runs end: at signals with a sentence and a status of their own, and not because nobody reads what they say.
#![cfg(unix)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::phantom;
use crate::program::{Run, assert_same, medcosmos};

fn build(raw: &Path, dataset: &Path) -> Command {
    let mut program = medcosmos("build");
    program.arg(raw).arg("--out").arg(dataset).args(["--threads", "1", "--quiet"]);
    program
}

fn wait_until(what: &str, there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(name: &str, process: &Child) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status().unwrap().success());
}

/// Status and standard error of a process that was started with a pipe for the latter.
fn ended(mut process: Child) -> (Option<i32>, String) {
    let mut err = String::new();
    process.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (process.wait().unwrap().code(), err)
}

#[test]
fn a_signal_ends_a_build_that_can_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, same] = ["raw", "same"].map(|name| folder.path().join(name));
    (1..=12).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
    Run::done(&mut build(&raw, &same));
    for (name, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let dataset = folder.path().join(name);
        let process = build(&raw, &dataset).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        wait_until("digests", || dataset.join(".medcosmos/digests").exists());
        signal(name, &process);
        let (code, err) = ended(process);
        assert_eq!(code, Some(status), "{name}: {err}");
        assert_eq!(err, "interrupted: run the same command to go on\n", "{name}");
        Run::done(&mut build(&raw, &dataset));
        assert_same(&dataset, &same);
    }
    // `nohup` and shells without a terminal have signals ignored: they stay so.
    let dataset = folder.path().join("nohup");
    let mut shell = Command::new("sh");
    let program = build(&raw, &dataset);
    shell.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
    let process = shell.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("digests", || dataset.join(".medcosmos/digests").exists());
    signal("HUP", &process);
    signal("INT", &process);
    assert_eq!(ended(process), (Some(0), String::new()));
    assert_same(&dataset, &same);
}

#[test]
fn a_signal_ends_the_clients_of_setup() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exit 0;; esac\necho $$ > {0}.new; mv {0}.new {0}; exec sleep 600\n",
        pid.display()
    );
    for client in ["python3", "python", "pip", "pip3", "npm"] {
        let path = folder.path().join("bin").join(client);
        phantom::write(&path, script.as_bytes());
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
    let mut setup = medcosmos("setup");
    setup.env("PATH", path).env("MEDCOSMOS_CACHE", folder.path().join("cache")).env_remove("ORT_DYLIB_PATH");
    let process = setup.current_dir(&folder).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the client", || pid.exists());
    signal("TERM", &process);
    let (code, err) = ended(process);
    assert_eq!(code, Some(143), "{err}");
    assert!(err.ends_with("interrupted: run the same command to go on\n"), "{err}");
    let client = fs::read_to_string(&pid).unwrap();
    let runs = || {
        let process = Path::new("/proc").join(client.trim());
        let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
        Path::new("/proc").exists() && !state.is_empty() && !state.contains(") Z ")
    };
    wait_until("the client has ended", || !runs());
}

/// Where nobody reads what is said: a closed pipe, a full device.
#[test]
fn work_goes_on_without_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    (1..=2).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
    let broken = raw.join(&phantom::cardiac_paths(3, 1)[0]);
    phantom::cardiac_case(&raw, 3, 1);
    fs::write(&broken, "<!DOCTYPE html>\n<html>").unwrap();
    let outputs: [fn(&mut Command); 3] = [
        |command| _ = command.stdout(Stdio::null()).stderr(Stdio::piped()),
        |command| _ = command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        |command| {
            let full = || fs::File::options().write(true).open("/dev/full").map_or(Stdio::null(), Stdio::from);
            command.stdout(Stdio::null()).stderr(full());
        },
    ];
    for (n, output) in outputs.into_iter().enumerate() {
        let dataset = folder.path().join(format!("data-{n}"));
        let run = |command: &mut Command| {
            output(command);
            let mut process = command.spawn().unwrap();
            drop((process.stdout.take(), process.stderr.take())); // closed before the first byte
            process.wait().unwrap().code()
        };
        let mut command = medcosmos("build");
        command.arg(&raw).arg("--out").arg(&dataset).env("MEDCOSMOS_LOG", "trace");
        assert_eq!(run(&mut command), Some(3));
        assert!(dataset.join("manifest.json").exists());
        assert_eq!(run(medcosmos("predict").arg(&dataset).args(["--model", "otsu-box"])), Some(0));
        assert_eq!(run(medcosmos("evaluate").arg(&dataset)), Some(0));
        assert_eq!(run(medcosmos("inspect").arg("missing")), Some(1));
        let pipeline = folder.path().join("pipeline.toml");
        fs::write(&pipeline, "[build]\n[[predict]]\nmodel = \"otsu-box\"\n[evaluate]\n").unwrap();
        let second = folder.path().join(format!("pipeline-{n}"));
        let mut command = medcosmos("run");
        command.arg(&pipeline).arg("--raw").arg(&raw).arg("--out").arg(&second);
        assert_eq!(run(&mut command), Some(3), "all stages, although nobody reads the summary of the first");
        assert!(second.join("metrics").exists());
    }
    if Path::new("/dev/full").exists() {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = medcosmos("run");
        command.arg(folder.path().join("pipeline.toml")).arg("--raw").arg(&raw);
        command.arg("--out").arg(folder.path().join("full")).arg("--quiet").stdout(full).stderr(Stdio::piped());
        let (code, err) = ended(command.spawn().unwrap());
        assert_eq!(code, Some(1), "a summary that cannot be written is an error: {err}");
        assert_eq!(err.matches("cannot write to standard output").count(), 1, "{err}");
        assert!(folder.path().join("full/metrics").exists(), "but not one that ends the work");
    }
}
