//! AbdomenCT-1K: masks in one 7z beside three archives of images, some of which have none; slices across any file axis,
//! sheared frames, false spacing.

use medcosmos::image::Image;

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, facing, object, scan, volume};

const SIZE: [usize; 3] = [44, 40, 4];
const SPACING: Option<[f64; 3]> = Some([0.7, 0.8, 2.5]);
const LIVER: Ell = Ell::new([2, 3, 0], [17, 18, 2], 1.0);
const KIDNEY: Ell = Ell::new([22, 2, 1], [36, 14, 3], 2.0);
const SPLEEN: Ell = Ell::new([4, 22, 0], [15, 35, 1], 3.0);
const PANCREAS: Ell = Ell::new([24, 20, 2], [41, 31, 2], 4.0);

/// Of cases taken from KiTS: the slice axis is the first.
const KITS_SIZE: [usize; 3] = [4, 44, 40];
const KITS_SPACING: Option<[f64; 3]> = Some([3.0, 0.7, 0.8]);
const KITS_KIDNEY: Ell = Ell::new([1, 5, 6], [2, 24, 19], 2.0);

/// Of the stack of coronal slices.
const CORONAL_SIZE: [usize; 3] = [40, 6, 30];
const CORONAL_SPACING: Option<[f64; 3]> = Some([0.7, 3.0, 0.8]);
const CORONAL_LIVER: Ell = Ell::new([4, 1, 8], [31, 4, 20], 1.0);

fn case_of(raw: &Raw, part: &str, number: &str, image: &Image, mask: &Image) {
    raw.image(&format!("{part}/Case_{number}_0000.nii.gz"), image);
    raw.image(&format!("Mask/Case_{number}.nii.gz"), mask);
}

/// Direction cosines that are not orthogonal, which ITK refuses.
fn sheared(image: Image) -> Image {
    let mut image = facing(image, "LPS");
    image.geometry.as_mut().unwrap().affine[1][2] = 0.3;
    image
}

fn false_spacing(raw: &Raw, organs: &[Ell]) {
    let image = scan(SIZE, "int16", Some([1.0; 3]), organs);
    case_of(raw, "AbdomenCT-1K-ImagePart1", "00078", &image, &volume(SIZE, "uint8", Some([1.0; 3]), 0.0, organs));
}

fn write(raw: &Raw) {
    let organs = [LIVER, KIDNEY, SPLEEN, PANCREAS];
    let image = scan(SIZE, "int16", SPACING, &organs);
    case_of(raw, "AbdomenCT-1K-ImagePart1", "00001", &image, &volume(SIZE, "uint8", SPACING, 0.0, &organs));
    false_spacing(raw, &[SPLEEN]);
    // Some extractions nest the folder in itself.
    let (image, mask) = (scan(SIZE, "float32", SPACING, &[KIDNEY]), volume(SIZE, "uint8", SPACING, 0.0, &[KIDNEY]));
    case_of(raw, "AbdomenCT-1K-ImagePart2/AbdomenCT-1K-ImagePart2", "00433", &sheared(image), &sheared(mask));
    let image = facing(scan(KITS_SIZE, "int16", KITS_SPACING, &[KITS_KIDNEY]), "IPL");
    let mask = facing(volume(KITS_SIZE, "uint8", KITS_SPACING, 0.0, &[KITS_KIDNEY]), "IPL");
    case_of(raw, "AbdomenCT-1K-ImagePart3", "00802", &image, &mask);
    let image = scan(CORONAL_SIZE, "int16", CORONAL_SPACING, &[CORONAL_LIVER]);
    let mask = volume(CORONAL_SIZE, "uint8", CORONAL_SPACING, 0.0, &[CORONAL_LIVER]);
    case_of(raw, "AbdomenCT-1K-ImagePart3", "00803", &image, &mask);
    for (number, images, masks) in [("00901", "imagesTr", "labels"), ("00902", "Images", "Masks")] {
        let folder = "of others";
        raw.image(&format!("{folder}/{images}/Case_{number}_0000.nii.gz"), &scan(SIZE, "int16", SPACING, &[SPLEEN]));
        raw.image(&format!("{folder}/{masks}/Case_{number}.nii.gz"), &volume(SIZE, "uint8", SPACING, 0.0, &[SPLEEN]));
    }
    // One of the former hidden test set.
    raw.image("AbdomenCT-1K-ImagePart1/Case_00012_0000.nii.gz", &scan(SIZE, "int16", SPACING, &[]));
}

fn unknown_label(raw: &Raw) {
    false_spacing(raw, &[SPLEEN.of(5.0)]);
}

pub fn fixture() -> Fixture {
    let kidney = |shape| object("kidney", "kidney", shape);
    let liver = |shape| object("liver", "liver", shape);
    let spleen = || object("spleen", "spleen", SPLEEN);
    let ct = |id| case(id, "CT").cut(Axis::Z, "axial", (0.8, 0.7));
    Fixture {
        slug: "abdomenct-1k",
        write,
        archives: &[
            ("AbdomenCT-1K-ImagePart1", "AbdomenCT-1K-ImagePart1.zip"),
            ("AbdomenCT-1K-ImagePart2", "AbdomenCT-1K-ImagePart2.zip"),
            ("AbdomenCT-1K-ImagePart3", "AbdomenCT-1K-ImagePart3.zip"),
            ("Mask", "Mask.7z"),
        ],
        cases: vec![
            ct("Case_00001").objects([
                liver(LIVER),
                kidney(KIDNEY),
                spleen(),
                object("pancreas", "pancreas", PANCREAS),
            ]),
            ct("Case_00078").spacing(1.0, 1.0).objects([spleen()]),
            ct("Case_00433").objects([kidney(KIDNEY)]),
            ct("Case_00802").cut(Axis::X, "axial", (0.8, 0.7)).objects([kidney(KITS_KIDNEY)]),
            ct("Case_00803").spacing(3.0, 0.7).objects([liver(CORONAL_LIVER)]),
            ct("Case_00901").objects([spleen()]),
            ct("Case_00902").objects([spleen()]),
        ],
        skipped: &[("Case_00012", "not labelled")],
        damage: Damage {
            image: ("Case_00001_0000.nii.gz", &["Case_00001"]),
            mask: MissingMask::Skips { file: "Mask/Case_00433.nii.gz", case: "Case_00433", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
