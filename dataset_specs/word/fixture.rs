//! WORD: headers with a qform only (one has both), two 16-bit masks, masks of the test set in an archive of their own.

use medcosmos::image::{Frame, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [48, 44, 4];
const SPACING: Option<[f64; 3]> = Some([0.8, 0.9, 2.5]);
const LIVER: Ell = Ell::new([2, 2, 0], [16, 15, 1], 1.0);
const LEFT_KIDNEY: Ell = Ell::new([30, 3, 0], [44, 13, 2], 3.0);
const RIGHT_KIDNEY: Ell = Ell::new([3, 18, 1], [14, 28, 3], 4.0);
const COLON: Ell = Ell::new([18, 17, 1], [31, 29, 2], 10.0);
const INTESTINE: Ell = Ell::new([33, 16, 2], [46, 29, 3], 11.0);
const ADRENAL_GLANDS: Ell = Ell::new([5, 31, 0], [19, 42, 1], 12.0);
const RIGHT_FEMORAL_HEAD: Ell = Ell::new([24, 32, 0], [39, 42, 3], 16.0);

/// As in all files but one.
fn with_qform(mut image: Image) -> Image {
    image.geometry.as_mut().unwrap().frame = Frame::Qform;
    image
}

fn patient(raw: &Raw, set: &str, name: &str, organs: &[Ell]) {
    let (mut image, mut label) = (scan(SIZE, "int16", SPACING, organs), volume(SIZE, "uint8", SPACING, 0.0, organs));
    if name == "word_0129" {
        label = volume(SIZE, "uint16", SPACING, 0.0, organs);
    } else {
        (image, label) = (with_qform(image), with_qform(label));
    }
    raw.image(&format!("WORD-V0.1.0/images{set}/{name}.nii.gz"), &image);
    raw.image(&format!("WORD-V0.1.0/labels{set}/{name}.nii.gz"), &label);
}

fn write(raw: &Raw) {
    patient(raw, "Tr", "word_0002", &[LIVER, LEFT_KIDNEY, RIGHT_KIDNEY, COLON, INTESTINE, ADRENAL_GLANDS]);
    patient(raw, "Val", "word_0001", &[LEFT_KIDNEY, RIGHT_FEMORAL_HEAD]);
    patient(raw, "Ts", "word_0014", &[RIGHT_KIDNEY]);
    patient(raw, "Ts", "word_0129", &[LIVER]);
    raw.file("WORD-V0.1.0/dataset.json", "{}");
    raw.file("WORD-V0.1.0/scribblesTr/word_0002.nii.gz", "not an outline, so not read");
}

fn unknown_label(raw: &Raw) {
    patient(raw, "Val", "word_0001", &[LEFT_KIDNEY.of(17.0)]);
}

pub fn fixture() -> Fixture {
    let liver = || object("liver", "liver", LIVER);
    let left_kidney = || object("left_kidney", "kidney", LEFT_KIDNEY).left();
    let right_kidney = || object("right_kidney", "kidney", RIGHT_KIDNEY).right();
    let patient = |id, split| case(id, "CT").split(split).cut(Axis::Z, "axial", (0.9, 0.8));
    Fixture {
        slug: "word",
        write,
        // The archive of the rest is encrypted, so that it must be unpacked before.
        archives: &[("WORD-V0.1.0/labelsTs/*", "WORD_V0.1.0_labelsTs.zip")],
        cases: vec![
            patient("word_0001", "validation")
                .objects([left_kidney(), object("right_femoral_head", "femoral head", RIGHT_FEMORAL_HEAD).right()]),
            patient("word_0002", "train").objects([
                liver(),
                left_kidney(),
                right_kidney(),
                object("colon", "colon", COLON).excluded(),
                object("intestine", "intestine", INTESTINE).excluded(),
                object("adrenal_glands", "adrenal gland", ADRENAL_GLANDS),
            ]),
            patient("word_0014", "test").objects([right_kidney()]),
            patient("word_0129", "test").objects([liver()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("imagesTr/word_0002.nii.gz", &["word_0002"]),
            mask: MissingMask::Skips { file: "labelsTs/word_0014.nii.gz", case: "word_0014", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
