//! The physical frame of a NIfTI header, by nibabel's `get_best_affine`: the sform where its code is set, else the
//! qform where its code is set, else an affine from the spacing alone.

use super::Fields;
use crate::image::{Frame, Geometry, axis_lengths};

/// Largest relative gap between an axis of the affine and `pixdim` that is passed over in silence.
const TOLERANCE: f64 = 0.01;

impl Fields {
    pub(super) fn geometry(&self, notes: &mut Vec<String>) -> Geometry {
        let mm = self.millimetres(notes);
        let spacing = self.spacing(notes).map(|s| s * mm);
        let (affine, frame) = self.affine(notes);
        let affine = match frame {
            Frame::Spacing => centred_on_volume(spacing, self.sizes()),
            _ => affine.map(|row| row.map(|v| v * mm)),
        };
        if frame != Frame::Spacing {
            self.compare(&affine, spacing, notes);
        }
        Geometry { spacing, affine, frame }
    }

    /// Millimetres of one unit of length, from `xyzt_units`. Unknown units are taken as millimetres.
    fn millimetres(&self, notes: &mut Vec<String>) -> f64 {
        let (mm, unit) = match self.units & 7 {
            1 => (1000.0, "metres"),
            3 => (0.001, "micrometres"),
            _ => return 1.0,
        };
        notes.push(format!("Lengths are given in {unit}; spacing and affine are converted to millimetres."));
        mm
    }

    /// Absolute `pixdim[1..4]`, in the header's unit; 1 where an axis is absent or its field useless.
    fn spacing(&self, notes: &mut Vec<String>) -> [f64; 3] {
        std::array::from_fn(|axis| spacing_of(self.pixdim[axis + 1], axis, self.axes(), notes))
    }

    fn sizes(&self) -> [f64; 3] {
        std::array::from_fn(|axis| if axis < self.axes() { self.dim[axis + 1] as f64 } else { 1.0 })
    }

    fn affine(&self, notes: &mut Vec<String>) -> ([[f64; 4]; 3], Frame) {
        self.compare_forms(notes);
        let is_set = |name: &str, code: i32, notes: &mut Vec<String>| {
            if code != 0 && !(1..=5).contains(&code) {
                notes.push(format!("{name} is {code}, which is undefined; the transform is ignored."));
            }
            (1..=5).contains(&code)
        };
        for (set, affine, frame, name) in [
            (is_set("sform_code", self.sform_code, notes), self.srow, Frame::Sform, "sform"),
            (is_set("qform_code", self.qform_code, notes), self.qform(), Frame::Qform, "qform"),
        ] {
            if !set {
                continue;
            }
            if affine.iter().flatten().all(|v| v.is_finite()) {
                return (affine, frame);
            }
            notes.push(format!("The {name} contains values that are not finite; it is ignored."));
        }
        ([[0.0; 4]; 3], Frame::Spacing)
    }

    /// The qform in millimetres, where the sform is taken and puts voxels elsewhere by a hundredth of a voxel or more.
    pub(super) fn other_form(&self) -> Option<[[f64; 4]; 3]> {
        let mm = self.millimetres(&mut Vec::new());
        let qform = self.qform().map(|row| row.map(|v| v * mm));
        (self.forms_apart()? >= 0.01 * self.smallest_step()).then_some(qform)
    }

    /// How far the two forms put a voxel apart, at most, in the header's unit; `None` where there are not two.
    fn forms_apart(&self) -> Option<f64> {
        let set = |code: i32| (1..=5).contains(&code);
        let (sform, qform) = (self.srow, self.qform());
        let finite = |affine: &[[f64; 4]; 3]| affine.iter().flatten().all(|v| v.is_finite());
        if !set(self.sform_code) || !set(self.qform_code) || !finite(&sform) || !finite(&qform) {
            return None;
        }
        let last = self.sizes().map(|n| (n - 1.0).max(0.0));
        let corner =
            |n: usize| -> [f64; 3] { std::array::from_fn(|axis| if n >> axis & 1 == 1 { last[axis] } else { 0.0 }) };
        let at = |affine: &[[f64; 4]; 3], [x, y, z]: [f64; 3]| affine.map(|r| r[0] * x + r[1] * y + r[2] * z + r[3]);
        let apart = |n: usize| {
            let (s, q) = (at(&sform, corner(n)), at(&qform, corner(n)));
            s.iter().zip(q).map(|(s, q)| (s - q).powi(2)).sum::<f64>().sqrt()
        };
        Some((0..8).map(apart).fold(0.0, f64::max))
    }

    fn smallest_step(&self) -> f64 {
        self.pixdim[1..4].iter().map(|step| step.abs()).filter(|step| *step > 0.0).fold(f64::MAX, f64::min)
    }

    /// Tells of two forms that put voxels half a voxel or more apart: programs differ in the one they believe.
    fn compare_forms(&self, notes: &mut Vec<String>) {
        let Some(farthest) = self.forms_apart() else { return };
        if farthest >= self.smallest_step() / 2.0 {
            notes.push(format!("The sform and the qform differ by up to {farthest:.2} mm; the sform is used."));
        }
    }

    /// The affine of the quaternion. Its real part is what is left to length 1; rounding may leave a little less than
    /// nothing, which is 0, and as in niftilib the others are then brought to length 1.
    fn qform(&self) -> [[f64; 4]; 3] {
        let [b, c, d] = self.quaternion;
        let rest = 1.0 - (b * b + c * c + d * d);
        // nibabel's threshold: three units of the precision in which the fields are stored.
        let threshold = 3.0 * if self.version == 1 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let a = if rest < threshold { 0.0 } else { rest.sqrt() };
        let s = 2.0 / (a * a + b * b + c * c + d * d);
        let rotation = [
            [1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
            [s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)],
            [s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)],
        ];
        // pixdim[0] is the handedness; anything but -1 counts as 1.
        let qfac = if self.pixdim[0] == -1.0 { -1.0 } else { 1.0 };
        let [x, y, z] = std::array::from_fn(|axis| spacing_of(self.pixdim[axis + 1], axis, 0, &mut Vec::new()));
        std::array::from_fn(|row| {
            let [rx, ry, rz] = rotation[row];
            [rx * x, ry * y, rz * z * qfac, self.qoffset[row]]
        })
    }

    /// Tells of every axis whose length in the affine is not the spacing.
    fn compare(&self, affine: &[[f64; 4]; 3], spacing: [f64; 3], notes: &mut Vec<String>) {
        let lengths = axis_lengths(affine);
        let apart = (0..self.axes().min(3)).any(|i| (lengths[i] - spacing[i]).abs() > TOLERANCE * spacing[i]);
        if apart {
            let [x, y, z] = lengths.map(|l| (l * 1e4).round() / 1e4);
            let [px, py, pz] = spacing.map(|l| (l * 1e4).round() / 1e4);
            notes.push(format!(
                "The affine has voxels of {x} x {y} x {z} mm, but pixdim states {px} x {py} x {pz} mm; the spacing is \
                 taken from pixdim."
            ));
        }
    }
}

/// Absolute value of a `pixdim` field. Zero and values that are not finite become 1, as in nibabel, with a note where
/// the axis exists.
pub(in crate::formats) fn spacing_of(pixdim: f64, axis: usize, axes: usize, notes: &mut Vec<String>) -> f64 {
    let spacing = pixdim.abs();
    if spacing > 0.0 && spacing.is_finite() {
        return spacing;
    }
    if axis < axes {
        notes.push(format!("pixdim[{}] is {pixdim}; a spacing of 1 is used.", axis + 1));
    }
    1.0
}

/// nibabel's affine where the header has none: x to the left, y and z along A and S, and zero at the volume's centre.
pub(in crate::formats) fn centred_on_volume(spacing: [f64; 3], size: [f64; 3]) -> [[f64; 4]; 3] {
    let [x, y, z] = spacing;
    let centre: [f64; 3] = std::array::from_fn(|axis| (size[axis] - 1.0) / 2.0 * spacing[axis]);
    [[-x, 0.0, 0.0, centre[0]], [0.0, y, 0.0, -centre[1]], [0.0, 0.0, z, -centre[2]]]
}
