//! The folder that the program is started in, and what lies in it, is neither run nor loaded: people start programs
//! among their downloads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::phantom::{cardiac_case, write};
use crate::program::{Run, hex, medcosmos};

/// A current folder with everything in it that a careless program would run or load, and a cache folder beside it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        let trap = format!("open({:?}, 'a').write('python ')", place.trapped());
        for package in ["onnxruntime", "pip", "importlib", "pathlib", "sitecustomize", "usercustomize", "site"] {
            write(&place.here().join(package).join("__init__.py"), trap.as_bytes());
            write(&place.here().join(package).join("__main__.py"), trap.as_bytes());
        }
        write(&place.here().join("onnxruntime/capi/libonnxruntime.so.1.32.0"), b"not a library");
        write(&place.here().join("libonnxruntime.so"), b"not a library");
        for name in ["python3", "python", "pip3", "npm", "node"] {
            place.script(&format!("here/{name}"), "echo here-$0 >> trapped\n");
        }
        write(&place.here().join(".npmrc"), b"registry=http://localhost:9/\n");
        write(&place.here().join("package.json"), b"{\"workspaces\": [\"**\"]}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn here(&self) -> PathBuf {
        self.path("here")
    }

    fn trapped(&self) -> PathBuf {
        self.path("trapped")
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        write(&path, format!("#!/bin/sh\ncd {:?}\n{text}", self.folder.path()).as_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The program in the current folder, with an empty cache.
    fn program(&self, command: &str) -> Command {
        let mut program = medcosmos(command);
        program.current_dir(self.here()).env("MEDCOSMOS_CACHE", self.path("cache")).env_remove("ORT_DYLIB_PATH");
        program
    }

    fn is_untouched(&self) {
        assert!(!self.trapped().exists(), "{}", fs::read_to_string(self.trapped()).unwrap());
    }
}

/// A folder that is a model as far as its description and its digests go.
fn model(folder: &Path) {
    let text = format!(
        "name = 'mine'\n[files]\n'm.onnx' = '{}'\n[encoder]\nfile = 'm.onnx'\n[decoder]\nfile = 'm.onnx'\n",
        hex(b"abc")
    );
    write(&folder.join("m.onnx"), b"abc");
    write(&folder.join("model.toml"), text.as_bytes());
}

#[test]
fn packages_of_the_current_folder_are_no_runtime() {
    let place = Place::new();
    model(&place.path("model"));
    // With the Python of this machine: it may have an ONNX Runtime, which then refuses the model.
    let run = Run::of(place.program("models").arg("check").arg(place.path("model")));
    assert_eq!(run.status, 1, "{}", run.out);
    assert!(!run.err.contains("here/"), "{}", run.err);
    place.is_untouched();
    // How Python is called.
    place.script("bin/python3", &format!("echo \"$OLDPWD $*\" > {:?}\nexit 1\n", place.path("called")));
    let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
    let run = Run::of(place.program("models").arg("check").arg(place.path("model")).env("PATH", path));
    run.failed(1, &["ONNX Runtime not found", "medcosmos setup"]);
    let called = fs::read_to_string(place.path("called")).unwrap();
    assert!(called.starts_with("/ -I -c "), "{called}");
}

#[test]
fn setup_runs_the_clients_of_the_user_elsewhere() {
    let place = Place::new();
    for client in ["python3", "pip", "pip3", "npm"] {
        place.script(
            &format!("bin/{client}"),
            &format!("echo \"$OLDPWD {client} $*\" >> {:?}\nexit 0\n", place.path("called")),
        );
    }
    let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
    // Both clients answer, and download nothing.
    let run = Run::of(place.program("setup").env("PATH", &path));
    run.failed(1, &["no onnxruntime-"]);
    let called = fs::read_to_string(place.path("called")).unwrap();
    let lines: Vec<&str> = called.lines().collect();
    assert_eq!(lines[0], "/ python3 -I -m pip --version");
    let staging = place.path("cache/staging");
    assert!(lines[1].starts_with(&format!("{}/", staging.display())), "{called}");
    assert!(lines[1].contains(" python3 -I -m pip download onnxruntime=="), "{called}");
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0, "nothing is left");
    place.is_untouched();

    // What a killed run left goes, also where nothing is to be installed.
    write(&staging.join(".tmpkilled/half.whl"), b"half");
    Run::of(place.program("setup").env("PATH", &path));
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
}

#[test]
fn a_model_is_a_name_or_a_path() {
    let place = Place::new();
    for name in ["mobile-sam", "mine", "otsu-box"] {
        model(&place.here().join(name));
    }
    let show = |name: &str| Run::of(place.program("models").args(["show", name]));
    show("mine").failed(1, &["`mine` is a folder, and no installed model", "write `./mine`"]);
    show("mobile-sam").failed(1, &["write `./mobile-sam`"]);
    show("absent").failed(1, &["no model `absent`", "medcosmos setup", "./absent"]);
    show("./absent").failed(1, &["./absent: no such folder"]);
    for name in [".", "..", ""] {
        assert_eq!(show(name).status, 1, "{name:?}");
    }
    assert!(show("./mine").out.contains("name = \"mine\""));
    assert!(show(place.here().join("mine").to_str().unwrap()).out.contains("name = \"mine\""));
    // Installed, it is found by its name, whatever lies here.
    let installed = Run::done(place.program("models").args(["add", "./mine"]));
    assert!(installed.out.contains("Installed mine"), "{}", installed.out);
    fs::write(place.here().join("mine/m.onnx"), b"changed").unwrap();
    assert!(show("mine").out.contains(place.path("cache/models/mine").to_str().unwrap()));
    show("./mine").failed(1, &["sha256 is"]);

    // The baseline is part of the program.
    cardiac_case(&place.path("raw"), 1, 1);
    Run::done(place.program("build").arg(place.path("raw")).arg("--out").arg(place.path("data")));
    Run::done(place.program("predict").arg(place.path("data")).args(["--model", "otsu-box"]));
    Run::of(place.program("predict").arg(place.path("data")).args(["--model", "mobile-sam"]))
        .failed(1, &["write `./mobile-sam`"]);
    place.is_untouched();
}

#[test]
fn kept_embeddings_are_listed_limited_and_removed() {
    let place = Place::new();
    cardiac_case(&place.path("raw"), 1, 1);
    let data = place.path("data");
    Run::done(place.program("build").arg(place.path("raw")).arg("--out").arg(&data));
    let cache = |options: &[&str]| Run::done(place.program("cache").arg(&data).args(options));
    assert!(cache(&[]).out.contains("no embeddings are kept in"));
    let folder = data.join(".medcosmos/embeddings");
    let header = |model: &str| {
        let text = format!("{{\"__metadata__\": {{\"key\": \"encoder e; sha256 0; model {model}\"}}}}");
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 1000]].concat()
    };
    for (name, model) in [("00/a", "small"), ("00/b", "small"), ("ff/c", "large")] {
        write(&folder.join(format!("{name}.safetensors")), &header(model));
    }
    write(&folder.join("ff/.tmp123"), b"half");
    let listed = cache(&["--json"]).json();
    assert_eq!(listed["models"]["small"]["embeddings"], 2, "{listed}");
    assert_eq!(listed["models"]["(unknown)"]["bytes"], 4);
    let text = cache(&[]).out;
    assert!(text.contains("small") && text.contains("large") && text.contains("all"), "{text}");
    let left = |run: Run| {
        run.json()["models"].as_object().unwrap().values().map(|m| m["embeddings"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(left(cache(&["--json", "--limit", "1GB"])), 4);
    assert_eq!(left(cache(&["--json", "--limit", "2.5kB"])), 3);
    assert_eq!(left(cache(&["--json", "--clear"])), 0);
    let run = Run::of(place.program("cache").arg(&data).args(["--limit", "many"]));
    assert!(run.status == 2 && run.err.contains("expected a number of bytes"), "{}", run.err);
}
