//! BTCV: image and label differ in folder and prefix, the numbers jump from 0010 to 0021, and absent organs are normal.

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, facing, object, scan, volume};

const SIZE: [usize; 3] = [48, 44, 4];
const SPACING: Option<[f64; 3]> = Some([0.7, 0.8, 3.0]);
const RIGHT_KIDNEY: Ell = Ell::new([2, 2, 0], [14, 13, 2], 2.0);
const PORTAL_VEIN: Ell = Ell::new([17, 3, 1], [29, 15, 3], 10.0);
const LEFT_KIDNEY: Ell = Ell::new([33, 2, 1], [45, 13, 3], 3.0);
const SPLEEN: Ell = Ell::new([30, 18, 0], [46, 28, 1], 1.0);
const LEFT_ADRENAL: Ell = Ell::new([10, 30, 0], [27, 41, 1], 13.0);
/// Too small to be kept.
const GALLBLADDER: Ell = Ell::new([3, 18, 0], [8, 23, 3], 4.0);

fn patient(raw: &Raw, number: &str, organs: &[Ell]) {
    let stem = "RawData/Training";
    pair(raw, &format!("{stem}/img/img{number}.nii.gz"), &format!("{stem}/label/label{number}.nii.gz"), organs);
}

fn pair(raw: &Raw, image_path: &str, label_path: &str, organs: &[Ell]) {
    let image = facing(scan(SIZE, "int16", SPACING, organs), "LAS");
    let mut label = facing(volume(SIZE, "uint8", SPACING, 0.0, organs), "LAS");
    // The affines agree to rounding only.
    label.geometry.as_mut().unwrap().affine[0][3] = 1e-4;
    raw.image(image_path, &image);
    raw.image(label_path, &label);
}

fn write(raw: &Raw) {
    patient(raw, "0010", &[SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, GALLBLADDER, PORTAL_VEIN, LEFT_ADRENAL]);
    patient(raw, "0021", &[LEFT_KIDNEY]);
    pair(raw, "monai/imagesTr/img0022.nii.gz", "monai/labelsTr/label0022.nii.gz", &[SPLEEN, LEFT_ADRENAL]);
    raw.file("monai/imagesTs/img0062.nii.gz", "not labelled, so not read");
    raw.file("monai/dataset_0.json", "{}");
    raw.file("RawData/Testing/img/img0061.nii.gz", "not labelled, so not read");
    raw.file("RegData/Training-Training/img/0001/img0001-0002.nii.gz", "a registered pair");
    raw.file("averaged-training-images/DET0000101_avg.nii.gz", "an average");
    raw.file("averaged-training-labels/DET0000101_avg_seg.nii.gz", "the label of an average");
    raw.file("train_npz/case0005_slice000.npz", "a slice of TransUNet's copy");
    raw.file("test_vol_h5/case0001.npy.h5", "a volume of TransUNet's copy");
}

fn unknown_label(raw: &Raw) {
    patient(raw, "0021", &[LEFT_KIDNEY.of(14.0)]);
}

pub fn fixture() -> Fixture {
    let left_kidney = || object("left_kidney", "kidney", LEFT_KIDNEY).left();
    let train = |id| case(id, "CT").split("train").cut(Axis::Z, "axial", (0.8, 0.7));
    Fixture {
        slug: "malbcv-abdomen",
        write,
        archives: &[("RawData", "RawData.zip"), ("RegData", "RegData.zip")],
        cases: vec![
            train("0010").objects([
                object("spleen", "spleen", SPLEEN),
                object("right_kidney", "kidney", RIGHT_KIDNEY).right(),
                left_kidney(),
                object("gallbladder", "gallbladder", GALLBLADDER),
                object("portal_and_splenic_vein", "portal and splenic vein", PORTAL_VEIN),
                object("left_adrenal_gland", "adrenal gland", LEFT_ADRENAL).left(),
            ]),
            train("0021").objects([left_kidney()]),
            train("0022").objects([
                object("spleen", "spleen", SPLEEN),
                object("left_adrenal_gland", "adrenal gland", LEFT_ADRENAL).left(),
            ]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("Training/img/img0010.nii.gz", &["0010"]),
            mask: MissingMask::Skips { file: "label0021.nii.gz", case: "0021", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
