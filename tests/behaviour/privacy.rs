//! What of a patient gets into a dataset: the pseudonym of the source, and of a DICOM header what the columns say.

use std::fs;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::{Image, Samples};
use medcosmos::store::{CaseRow, Dataset, FileRow, MaskRow, Projection, SliceRow, SourceRow};

use crate::phantom::{SIZE, gzip, image, labels, nifti, write};
use crate::program::{Run, assert_same, medcosmos};

const SPEC: &str = r#"
slug = "ward"
name = "Scans straight from a ward"

[licence]
id = "LicenseRef-ward"
terms = "Stays in the house."
share_derived = "no"

[[release]]
name = "export"
evidence = ["{patient}/scan/IM{n:ddd}.dcm"]

[sequences]
T1 = "T1W MRI"

[labels.organs]
1 = { name = "liver", object = "liver" }
2 = { name = "spleen", object = "spleen" }
3 = { name = "kidney", object = "kidney" }

[[layout]]
name = "scans"
case = "{patient}"
patient = "{patient}"

[layout.image]
path = ["{patient}/scan/IM{n:ddd}.dcm"]
sequence = "T1"
stack = "n"
order = "position"

[[layout.mask]]
path = ["{patient}/drawn.nii.gz"]
decode = { kind = "values" }
labels = "organs"
"#;

/// Words that no table may hold: of folders, and of headers.
const PERSONAL: [&str; 9] =
    ["DOE", "JOHN", "Roe", "Jane", "19500102", "SECRET", "Hidden Clinic", "MRN-778899", "1.2.3.4.5"];

fn scan(raw: &Path, folder: &str, seed: usize) {
    let mut volume = Image::picture(SIZE[0], SIZE[1] * SIZE[2], 1, Samples::I16(image(seed)));
    volume.size = [SIZE[0], SIZE[1], SIZE[2], 1];
    let text = |tag, vr, text: &str| (tag, vr, text.to_string());
    let facts = DicomFacts {
        modality: "MR".into(),
        patient_id: "MRN-778899".into(),
        series_uid: "1.2.3.4.5".into(),
        attributes: vec![
            text(tags::PATIENT_NAME, VR::PN, "DOE^JOHN"),
            text(tags::PATIENT_BIRTH_DATE, VR::DA, "19500102"),
            text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "SECRET^DOCTOR"),
            text(tags::INSTITUTION_NAME, VR::LO, "Hidden Clinic"),
        ],
        jpeg: false,
    };
    let names: Vec<String> = (1..=SIZE[2]).map(|n| format!("IM{n:03}.dcm")).collect();
    fs::create_dir_all(raw.join(folder).join("scan")).unwrap();
    dicom_slices(&raw.join(folder).join("scan"), &names, &volume, &facts).unwrap();
    write(&raw.join(folder).join("drawn.nii.gz"), &gzip(&nifti(SIZE, &labels(seed))));
}

fn text_of<P: Projection + std::fmt::Debug>(dataset: &Dataset) -> String {
    dataset.rows::<P>().unwrap().map(|row| format!("{:?}\n", row.unwrap())).collect()
}

#[test]
fn nothing_personal_is_in_a_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    scan(&path("raw"), "DOE^JOHN", 1);
    scan(&path("raw"), "Roe_Jane_19500102", 2);
    scan(&path("raw"), "P03", 3);
    // A case that fails has its files in a message.
    scan(&path("raw"), "DOE^JILL", 4);
    write(&path("raw/DOE^JILL/drawn.nii.gz"), b"not a volume");
    fs::write(path("ward.toml"), SPEC).unwrap();
    let build = |out: &str| {
        let build = || {
            let mut build = medcosmos("build");
            build.arg(path("raw")).arg("--out").arg(path(out)).arg("--spec").arg(path("ward.toml"));
            build
        };
        let run = Run::of(&mut build());
        assert_eq!(run.status, 3, "{}{}", run.out, run.err);
        run
    };
    let run = build("data");
    assert!(run.out.contains("ward: the identifiers of 3 patient(s) look like personal names"), "{}", run.out);
    build("again");
    assert_same(&path("data"), &path("again"));

    let dataset = Dataset::open(path("data")).unwrap();
    let tables = [
        text_of::<CaseRow>(&dataset),
        text_of::<SliceRow>(&dataset),
        text_of::<MaskRow>(&dataset),
        text_of::<FileRow>(&dataset),
        text_of::<SourceRow>(&dataset),
    ];
    let kept = ["manifest.json", "dataset.json"].map(|name| fs::read_to_string(path("data").join(name)).unwrap());
    let receipts: Vec<String> = dataset.receipts().unwrap().iter().map(|r| format!("{r:?}")).collect();
    for text in tables.iter().chain(&kept).chain(&receipts).chain([&run.out]) {
        for word in PERSONAL {
            assert!(!text.contains(word), "{word} is in {text}");
        }
    }
    let cases: Vec<CaseRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
    let patients: Vec<&str> = cases.iter().map(|case| case.patient_id.as_str()).collect();
    assert_eq!(patients.iter().filter(|patient| patient.starts_with("ward/anon-")).count(), 3, "{patients:?}");
    assert!(patients.contains(&"ward/P03"), "{patients:?}");
    assert!(cases.iter().all(|case| case.patient_id == case.case_id && case.raw.len() == SIZE[2] + 1));
}
