//! HaN-Seg: one segmentation of 3D Slicer for each organ, some saved as a cropped box, which overlap; names of sides
//! end irregularly; an MRI that is not registered.

use std::fs;

use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [44, 40, 4];
const SPACING: [f64; 3] = [0.6, 0.7, 3.0];
const ORIGIN: [f64; 3] = [-120.0, -90.5, 30.0];
const CAROTID: Ell = Ell::new([3, 3, 0], [14, 12, 1], 1.0);
const EYE_LEFT: Ell = Ell::new([24, 4, 1], [37, 13, 2], 1.0);
const EYE_RIGHT: Ell = Ell::new([4, 15, 1], [15, 26, 2], 1.0);
const MANDIBLE: Ell = Ell::new([18, 16, 0], [29, 25, 1], 1.0);
const CORD: Ell = Ell::new([30, 20, 0], [41, 35, 3], 1.0);
const GLOTTIS: Ell = Ell::new([5, 26, 3], [18, 37, 3], 1.0);
/// It overlaps the glottis.
const SUPRAGLOTTIS: Ell = Ell::new([12, 22, 2], [25, 33, 3], 1.0);
/// Fewer than 50 pixels in a slice.
const COCHLEA: Ell = Ell::new([38, 2, 2], [42, 6, 2], 1.0);

/// Where the voxel `from` of the CT is the first.
fn place(mut image: Image, from: [usize; 3]) -> Image {
    let origin = std::array::from_fn(|axis| ORIGIN[axis] + SPACING[axis] * from[axis] as f64);
    image.geometry = Some(Geometry::from_lps(origin, [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], SPACING));
    image
}

/// A segmentation as 3D Slicer saves it, with fields of its own behind those of NRRD.
fn segmentation(raw: &Raw, case: &str, organ: &str, mask: &Image) {
    let path = format!("HaN-Seg/set_1/{case}/{case}_OAR_{organ}.seg.nrrd");
    raw.compressed(&path, mask);
    let written = fs::read(raw.place(&path)).unwrap();
    let end = written.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
    let fields = format!("Segment0_ID:={organ}\nSegment0_LabelValue:=1\nSegment0_Extent:=0 43 0 39 0 3\n");
    raw.file(&path, [&written[..end], fields.as_bytes(), &written[end..]].concat());
}

fn organ(raw: &Raw, case: &str, organ: &str, shape: Ell) {
    segmentation(raw, case, organ, &place(volume(SIZE, "uint8", None, 0.0, &[shape]), [0; 3]));
}

/// The box around the shape alone, with its own size and origin.
fn cropped_organ(raw: &Raw, case: &str, organ: &str, shape: Ell) {
    let size = std::array::from_fn(|axis| shape.to[axis] - shape.from[axis] + 1);
    let inside = Ell::new([0; 3], size.map(|n| n - 1), 1.0);
    segmentation(raw, case, organ, &place(volume(size, "uint8", None, 0.0, &[inside]), shape.from));
}

fn ct(raw: &Raw, case: &str, shapes: &[Ell]) {
    raw.compressed(
        &format!("HaN-Seg/set_1/{case}/{case}_IMG_CT.nrrd"),
        &place(scan(SIZE, "int16", None, shapes), [0; 3]),
    );
    raw.file(&format!("HaN-Seg/set_1/{case}/{case}_IMG_MR_T1.nrrd"), "not used, so not read");
}

fn write(raw: &Raw) {
    ct(raw, "case_01", &[CAROTID, EYE_LEFT, EYE_RIGHT, MANDIBLE, CORD, GLOTTIS, SUPRAGLOTTIS, COCHLEA]);
    organ(raw, "case_01", "A_Carotid_L", CAROTID);
    cropped_organ(raw, "case_01", "Eye_AL", EYE_LEFT);
    organ(raw, "case_01", "Eye_AR", EYE_RIGHT);
    organ(raw, "case_01", "Bone_Mandible", MANDIBLE);
    organ(raw, "case_01", "SpinalCord", CORD);
    organ(raw, "case_01", "Glottis", GLOTTIS);
    organ(raw, "case_01", "Larynx_SG", SUPRAGLOTTIS);
    organ(raw, "case_01", "Cochlea_R", COCHLEA);
    ct(raw, "case_42", &[CAROTID, CORD]);
    organ(raw, "case_42", "Glnd_Thyroid", CAROTID);
    cropped_organ(raw, "case_42", "SpinalCord", CORD);
    for file in ["README.md", "LICENSE", "set_1/OAR_data.csv", "set_1/patient_data.csv"] {
        raw.file(&format!("HaN-Seg/{file}"), "text");
    }
}

pub fn fixture() -> Fixture {
    let cord = || object("spinal_cord", "spinal cord", CORD);
    let patient = |id| case(id, "CT").cut(Axis::Z, "axial", (0.7, 0.6));
    Fixture {
        slug: "han-seg",
        write,
        archives: &[("HaN-Seg", "HaN-Seg.zip")],
        cases: vec![
            patient("case_01").objects([
                object("left_carotid_artery", "carotid artery", CAROTID).left(),
                object("left_anterior_segment_of_the_eyeball", "eyeball anterior segment", EYE_LEFT).left(),
                object("right_anterior_segment_of_the_eyeball", "eyeball anterior segment", EYE_RIGHT).right(),
                object("mandible", "mandible", MANDIBLE).excluded(),
                cord(),
                object("glottic_larynx", "larynx", GLOTTIS),
                object("supraglottic_larynx", "larynx", SUPRAGLOTTIS),
                object("right_cochlea", "cochlea", COCHLEA).right().excluded(),
            ]),
            patient("case_42").objects([object("thyroid_gland", "thyroid gland", CAROTID).excluded(), cord()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("case_42_IMG_CT", &["case_42"]),
            mask: MissingMask::Lacks { file: "case_01_OAR_SpinalCord", case: "case_01", label: "spinal_cord" },
            unknown_label: UnknownLabel::None("every value but 0 is the organ of the file"),
        },
    }
}
