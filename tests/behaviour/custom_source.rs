//! A source of one's own: the worked example of `docs/custom-source.md`, done as it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use medcosmos::store::{CaseRow, Dataset, FactorRow, MaskRow};

use crate::phantom::{SIZE, gzip, image, labels, nifti, write};
use crate::program::{Run, medcosmos};

/// The spec in the document.
fn spec() -> String {
    spec_of("liver-study")
}

/// The spec of a source in the document.
fn spec_of(slug: &str) -> String {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/custom-source.md")).unwrap();
    let (_, spec) = document.split_once(&format!("```toml\nslug = {slug:?}")).unwrap();
    format!("slug = {slug:?}{}", spec.split_once("```").unwrap().0)
}

/// The folder in the document; labels of 3 become 2, for the example has two.
fn download(raw: &Path) {
    let scan = |name: &str, seed: usize, drawn: bool| {
        let stem = raw.join(format!("liver-study/{}/{name}", &name[..3]));
        let file = |end: &str, values: &[i16]| {
            write(&stem.with_file_name(format!("{name}{end}.nii.gz")), &gzip(&nifti(SIZE, values)));
        };
        file("", &image(seed));
        if drawn {
            file("_labels", &labels(seed).iter().map(|&v| v.min(2)).collect::<Vec<_>>());
        }
    };
    scan("P01_T1", 1, true);
    scan("P01_T2", 2, true);
    scan("P02_T1", 3, true);
    scan("P03_T1", 4, false);
    write(&raw.join("liver-study/groups.csv"), b"\xef\xbb\xbfpatient;group\r\nP01;development\r\nP02;held-out\r\n");
    write(&raw.join("liver-study/notes.txt"), b"seen twice");
}

#[test]
fn the_worked_example_works() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) =
        (folder.path().join("downloads"), folder.path().join("data"), folder.path().join("liver-study.toml"));
    download(&raw);
    fs::write(&file, spec()).unwrap();

    let check = Run::done(medcosmos("sources").arg("check").arg(&file).arg("--raw").arg(&raw)).out;
    for words in ["3 case(s) can be built", "liver-study/P03_T1: unlabelled", "notes.txt: remarks of the annotators"] {
        assert!(check.contains(words), "{words}: {check}");
    }
    Run::done(medcosmos("build").arg(&raw).arg("--out").arg(&data).arg("--spec").arg(&file));

    let dataset = Dataset::open(&data).unwrap();
    let cases: Vec<CaseRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
    let told: Vec<_> = cases
        .iter()
        .map(|c| (c.case_id.as_str(), c.patient_id.as_str(), c.split.as_deref(), c.modality.as_str(), c.status.name()))
        .collect();
    assert_eq!(
        told,
        [
            ("liver-study/P01_T1", "liver-study/P01", Some("train"), "T1W MRI", "ok"),
            ("liver-study/P01_T2", "liver-study/P01", Some("train"), "T2W MRI", "ok"),
            ("liver-study/P02_T1", "liver-study/P02", Some("test"), "T1W MRI", "ok"),
            ("liver-study/P03_T1", "liver-study/P03", None, "T1W MRI", "skipped"),
        ]
    );
    assert!(cases[0].raw.iter().any(|file| file.path.ends_with("groups.csv") && file.role == "list"));
    let masks: Vec<MaskRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(masks.len(), 3 * SIZE[2] * 2, "two labels in each slice of three cases");
    assert!(masks.iter().any(|m| m.target == "liver tumour-T2W MRI"));
}

/// A table that lacks its column is named, and the cases are built without what it would have said.
#[test]
fn a_list_without_its_column_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) =
        (folder.path().join("downloads"), folder.path().join("data"), folder.path().join("liver-study.toml"));
    download(&raw);
    fs::write(&file, spec()).unwrap();
    write(&raw.join("liver-study/groups.csv"), b"patient;set\nP01;development\n");
    let run = Run::of(medcosmos("build").arg(&raw).arg("--out").arg(&data).arg("--spec").arg(&file));
    assert_eq!(run.status, 3, "{}{}", run.out, run.err);
    let said = format!("{}{}", run.out, run.err);
    assert!(said.contains("groups.csv") && said.contains("no column \"group\""), "{said}");
    let cases: Vec<CaseRow> = Dataset::open(&data).unwrap().rows().unwrap().map(Result::unwrap).collect();
    assert!(cases.iter().filter(|c| c.status.name() == "ok").count() == 3 && cases.iter().all(|c| c.split.is_none()));
}

/// Objects and modalities that the taxonomy does not have, as the document shows them: built, shown, evaluated.
#[test]
fn objects_and_modalities_of_ones_own_work() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) =
        (folder.path().join("downloads"), folder.path().join("data"), folder.path().join("ovary-pet.toml"));
    let spec = spec_of("ovary-pet");
    fs::write(&file, &spec).unwrap();
    for (name, values) in
        [("pet", image(1)), ("ct", image(2)), ("cysts", labels(1).iter().map(|&v| v.min(2)).collect())]
    {
        write(&raw.join(format!("study/case001/{name}.nii.gz")), &gzip(&nifti(SIZE, &values)));
    }
    let shown = Run::done(medcosmos("sources").args(["show", "ovary-pet"]).arg("--spec").arg(&file)).out;
    for words in [
        "pet: PET (not in the protocol: uptake of FDG)",
        "ct: CT\n",
        "cyst → ovarian cyst (not in the protocol: simple and complex cysts of the ovary)",
        "bladder → urinary bladder\n",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let summary = Run::done(medcosmos("sources").arg("--summary").arg("--spec").arg(&file)).out;
    assert!(
        summary.contains("19 modalities") && summary.contains("1 of the modalities, 1 of the objects"),
        "{summary}"
    );

    Run::done(medcosmos("build").arg(&raw).arg("--out").arg(&data).arg("--spec").arg(&file));
    Run::done(medcosmos("evaluate").arg(&data).arg("--quiet"));
    let dataset = Dataset::open(&data).unwrap();
    let masks: Vec<MaskRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
    let targets: BTreeSet<&str> = masks.iter().map(|m| m.target.as_str()).collect();
    let wanted = ["ovarian cyst-CT", "ovarian cyst-PET", "urinary bladder-CT", "urinary bladder-PET"];
    assert_eq!(targets.into_iter().collect::<Vec<_>>(), wanted);
    let factors: Vec<FactorRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
    let code = |f: &FactorRow| (f.mask.modality.clone(), f.values.get("modality_index").unwrap() as u8);
    let codes: BTreeSet<(String, u8)> = factors.iter().map(code).collect();
    assert_eq!((factors.len(), codes), (masks.len(), BTreeSet::from([("CT".into(), 0), ("PET".into(), 18)])));

    for (from, to, words) in [
        ("object = \"ovarian cyst\"", "object = \"ovarian cist\"", "closest: \"ovarian cyst\""),
        ("pet = \"PET\"", "pet = \"PETT\"", "closest: \"PET\""),
        ("name = \"ovarian cyst\"", "name = \"Bladder\"", "the protocol's name is \"urinary bladder\""),
        ("name = \"PET\"", "name = \"ct\"", "the protocol's name is \"CT\""),
        ("name = \"PET\"", "name = \"CT\"", "this modality is already in the protocol"),
    ] {
        assert!(spec.contains(from));
        fs::write(&file, spec.replace(from, to)).unwrap();
        let run = Run::of(medcosmos("sources").args(["show", "ovary-pet"]).arg("--spec").arg(&file));
        assert!(run.status != 0 && run.err.contains(words), "{to}: {}", run.err);
    }
}

/// The first block of code of a language in a document.
fn block<'a>(document: &'a str, language: &str) -> &'a str {
    let start = format!("```{language}\n");
    document.split(start.as_str()).nth(1).and_then(|rest| rest.split("```").next()).unwrap()
}

#[test]
fn the_spec_that_contributing_shows_is_valid() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (spec, empty) = (folder.path().join("toy-livers.toml"), folder.path().join("empty"));
    fs::write(&spec, block(&text, "toml")).unwrap();
    fs::create_dir(&empty).unwrap();
    let run = Run::of(medcosmos("sources").arg("check").arg(&spec).arg("--raw").arg(&empty));
    assert!(run.out.contains("toy-livers"), "{}{}", run.out, run.err);
    let raw = folder.path().join("raw");
    write(&raw.join("toy-livers/toy_001.nii.gz"), &gzip(&nifti(SIZE, &image(1))));
    let liver: Vec<i16> = labels(1).iter().map(|&label| (label > 0).into()).collect();
    write(&raw.join("toy-livers/toy_001_liver.nii.gz"), &gzip(&nifti(SIZE, &liver)));
    let mut build = medcosmos("build");
    build.arg(&raw).arg("--spec").arg(&spec).args(["--source", "toy-livers", "--json", "--quiet", "--out"]);
    let report = Run::done(build.arg(folder.path().join("data"))).json();
    assert_eq!(report["sources"]["toy-livers"]["cases"], 1, "{report}");
}
