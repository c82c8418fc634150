//! VerSe: axes that differ from scan to scan (the plane is sagittal by the affine), masks of doubles whose cosines
//! differ from the image's in the last digits, several scans of a patient, one scan in both years, two layouts.

use medcosmos::image::{Frame, Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [34, 40, 30];
const T9: Ell = Ell::new([4, 3, 5], [17, 14, 24], 16.0);
const L6: Ell = Ell::new([19, 22, 3], [32, 37, 22], 25.0);
const C1: Ell = Ell::new([4, 3, 5], [17, 16, 24], 1.0);
const T13: Ell = Ell::new([19, 22, 3], [32, 37, 22], 28.0);
/// A speck of a wrong level.
const SPECK: Ell = Ell::new([24, 5, 8], [26, 7, 10], 19.0);

/// Axes to the back, down and right, as in sub-verse004.
fn pir(mut image: Image) -> Image {
    let affine = [[0.0, 0.0, 2.0, -77.7], [-1.0, 0.0, 0.0, 218.0], [0.0, -1.1, 0.0, -808.6]];
    image.geometry = Some(Geometry { spacing: [1.0, 1.1, 2.0], affine, frame: Frame::Sform });
    image
}

/// Axes to the left, back and up.
fn lps(mut image: Image) -> Image {
    let directions = [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];
    image.geometry = Some(Geometry::from_lps([3.0, 4.0, 5.0], directions, [0.4, 0.5, 1.5]));
    image
}

type Place = fn(Image) -> Image;

fn pair(raw: &Raw, image: &str, mask: &str, place: Place, shapes: &[Ell]) {
    raw.image(image, &place(scan(SIZE, "int16", None, shapes)));
    let mut labels = place(volume(SIZE, "float64", None, 0.0, shapes));
    labels.geometry.as_mut().unwrap().affine[2][0] += 1e-8;
    raw.image(mask, &labels);
}

fn subject(raw: &Raw, folder: &str, scan: &str, place: Place, shapes: &[Ell]) {
    let (subject, _) = scan.split_once('_').unwrap_or((scan, ""));
    let derived = format!("{folder}/derivatives/{subject}/{scan}_seg");
    let image = format!("{folder}/rawdata/{subject}/{scan}_ct.nii.gz");
    pair(raw, &image, &format!("{derived}-vert_msk.nii.gz"), place, shapes);
    raw.file(&format!("{derived}-subreg_ctd.json"), "[{\"direction\": [\"P\", \"I\", \"R\"]}]");
    raw.file(&format!("{derived}-vert_snp.png"), "a picture");
}

fn write(raw: &Raw) {
    subject(raw, "dataset-verse19training", "sub-verse004", pir, &[T9, L6, SPECK]);
    subject(raw, "dataset-verse19training", "sub-verse400_split-verse090", pir, &[T9]);
    subject(raw, "dataset-verse19training", "sub-verse400_split-verse155", pir, &[L6]);
    subject(raw, "dataset-01training", "sub-verse004", pir, &[T9, L6, SPECK]);
    subject(raw, "dataset-02validation", "sub-gl017", lps, &[T13]);
    subject(raw, "dataset-03test", "sub-verse500_dir-ax", lps, &[C1, T13]);
    pair(raw, "challenge/verse014.nii.gz", "challenge/verse014_seg.nii.gz", pir, &[C1]);
    pair(raw, "challenge/verse512_CT-iso.nii.gz", "challenge/verse512_CT-iso_seg.nii.gz", pir, &[L6]);
    pair(raw, "challenge/GL003_CT_ax.nii.gz", "challenge/GL003_CT_ax_seg.nii.gz", lps, &[T13]);
    raw.file("dataset-03test/licence.txt", "the licence");
    raw.file("dataset-03test/readme.txt", "description");
    for file in ["verse014_ctd.json", "verse014_snapshot.png", "verse512_iso-ctd.json", "verse512_CT-iso.png"] {
        raw.file(&format!("challenge/{file}"), "centres, or a picture");
    }
}

fn unknown_label(raw: &Raw) {
    // The sacrum has a number and is never annotated.
    subject(raw, "dataset-02validation", "sub-gl017", lps, &[T13.of(26.0)]);
}

pub fn fixture() -> Fixture {
    let vertebra = |label, shape| object(label, "vertebra", shape);
    let (t9, l6) = (|| vertebra("vertebra_T9", T9), || vertebra("vertebra_L6", L6));
    let (c1, t13) = (|| vertebra("vertebra_C1", C1), || vertebra("vertebra_T13", T13));
    let pir = |id| case(id, "CT").cut(Axis::Z, "sagittal", (1.1, 1.0));
    let lps = |id| case(id, "CT").cut(Axis::X, "sagittal", (1.5, 0.5));
    Fixture {
        slug: "verse",
        write,
        archives: &[
            ("dataset-verse19training/*", "dataset-verse19training.zip"),
            ("dataset-01training", "dataset-verse20training.zip"),
            ("dataset-02validation", "dataset-verse20validation.zip"),
            ("dataset-03test", "dataset-verse20test.zip"),
        ],
        cases: vec![
            lps("GL003_ax").patient("GL003").objects([t13()]),
            lps("gl017").split("validation").objects([t13()]),
            pir("verse004").split("train").objects([t9(), l6(), vertebra("vertebra_T12", SPECK)]),
            pir("verse014").objects([c1()]),
            pir("verse400-verse090").patient("verse400").split("train").objects([t9()]),
            pir("verse400-verse155").patient("verse400").split("train").objects([l6()]),
            lps("verse500-ax").patient("verse500").split("test").objects([c1(), t13()]),
            pir("verse512-iso").patient("verse512").objects([l6()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("sub-gl017_ct", &["gl017"]),
            mask: MissingMask::Skips {
                file: "verse500_dir-ax_seg-vert_msk",
                case: "verse500-ax",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
