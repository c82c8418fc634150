//! Small downloads made on the spot: files of real formats in the layouts of real sources, with made-up pixels.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};

/// Size of the volumes: x, y, z.
pub const SIZE: [usize; 3] = [32, 28, 3];

/// Writes a file, and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A NIfTI-1 file of 16-bit values, x fastest, with 1.5 x 1.5 x 8 mm voxels: only what a reader must have.
pub fn nifti(size: [usize; 3], values: &[i16]) -> Vec<u8> {
    assert_eq!(size.iter().product::<usize>(), values.len());
    let mut bytes = vec![0; 352];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &348i32.to_le_bytes()); // sizeof_hdr
    put(40, &3i16.to_le_bytes()); // dim
    size.iter().enumerate().for_each(|(i, &n)| put(42 + 2 * i, &(n as i16).to_le_bytes()));
    (3..7).for_each(|i| put(42 + 2 * i, &1i16.to_le_bytes()));
    put(70, &4i16.to_le_bytes()); // datatype: int16
    put(72, &16i16.to_le_bytes()); // bitpix
    [1.0f32, 1.5, 1.5, 8.0].iter().enumerate().for_each(|(i, x)| put(76 + 4 * i, &x.to_le_bytes())); // pixdim
    put(108, &352f32.to_le_bytes()); // vox_offset
    put(123, &[2]); // xyzt_units: millimetres
    put(254, &1i16.to_le_bytes()); // sform_code
    let rows: [[f32; 4]; 3] = [[1.5, 0., 0., 0.], [0., 1.5, 0., 0.], [0., 0., 8., 0.]];
    rows.iter().flatten().enumerate().for_each(|(i, x)| put(280 + 4 * i, &x.to_le_bytes()));
    put(344, b"n+1\0");
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// Values of a volume of [`SIZE`]: three bright boxes on a grey wave, different for every `seed`.
pub fn image(seed: usize) -> Vec<i16> {
    let labels = labels(seed);
    let wave = |i: usize| ((i * (seed + 3) * 7) % 101 + (i / 32) % 13) as i16;
    (0..labels.len()).map(|i| wave(i) + 150 * labels[i]).collect()
}

/// Labels 1, 2 and 3 as boxes of 80, 90 and 99 pixels in every slice of a volume of [`SIZE`].
pub fn labels(seed: usize) -> Vec<i16> {
    let shift = seed % 4;
    let boxes = [(1, 2 + shift, 2, 8, 10), (2, 15 + shift, 3, 10, 9), (3, 5 + shift, 15, 11, 9)];
    let [width, height, depth] = SIZE;
    let mut values = vec![0; width * height * depth];
    for z in 0..depth {
        for (label, x0, y0, w, h) in boxes {
            for y in y0..y0 + h {
                let start = (z * height + y) * width + x0;
                values[start..start + w].fill(label);
            }
        }
    }
    values
}

/// Paths of a frame of a patient in the layout of ACDC's 2017 challenge: image and mask.
pub fn cardiac_paths(patient: usize, frame: usize) -> [String; 2] {
    let stem = format!("training/patient{patient:03}/patient{patient:03}_frame{frame:02}");
    [format!("{stem}.nii.gz"), format!("{stem}_gt.nii.gz")]
}

/// A case in the layout of ACDC, with all three labels: three slices, nine masks.
pub fn cardiac_case(raw: &Path, patient: usize, frame: usize) {
    let seed = 2 * patient + frame;
    let [image_path, mask_path] = cardiac_paths(patient, frame);
    write(&raw.join(image_path), &gzip(&nifti(SIZE, &image(seed))));
    write(&raw.join(mask_path), &gzip(&nifti(SIZE, &labels(seed))));
}

/// A case in the layout of the Decathlon's task 09: three slices, three masks.
pub fn spleen_case(raw: &Path, number: usize) {
    let spleen: Vec<i16> = labels(number).into_iter().map(|label| i16::from(label == 1)).collect();
    write(&raw.join(format!("Task09_Spleen/imagesTr/spleen_{number}.nii.gz")), &gzip(&nifti(SIZE, &image(number))));
    write(&raw.join(format!("Task09_Spleen/labelsTr/spleen_{number}.nii.gz")), &gzip(&nifti(SIZE, &spleen)));
}

/// A slice in the layout of the authors' released PNGs, with three labels.
pub fn released_slice(raw: &Path, case: usize, slice: usize) {
    let [width, height, _] = SIZE;
    let first = |values: Vec<i16>| values.into_iter().take(width * height);
    let pixels: Vec<u8> = first(image(case * 7 + slice)).map(|v| v.min(255) as u8).collect();
    let greys: Vec<u8> = first(labels(case * 7 + slice)).map(|v| v as u8 * 85).collect();
    write(&raw.join(format!("22_Heart/images/22_Heart_{case}_{slice}.png")), &grey_png(width, height, &pixels));
    write(&raw.join(format!("22_Heart/labels/22_Heart_{case}_{slice}.png")), &grey_png(width, height, &greys));
}

fn grey_png(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    bytes
}
