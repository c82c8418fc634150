//! Factors of released slices against values computed once with the definitions of the paper.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use medcosmos::factors::{FourierOptions, Picture, Subject};
use medcosmos::mask::Mask;

use crate::samples::folder;

/// File, label value, area, box, aspect ratio, Fourier order, its Dice, F, signed intensity difference
/// (docs/protocol.md, 5).
type Reference = (&'static str, u8, u64, [u32; 4], f64, u32, f64, f64, f64);
const REFERENCES: [Reference; 10] = [
    ("22_Heart_2_8", 85, 3242, [192, 181, 256, 248], 0.9559, 1, 0.97259, 6.482, 50.650),
    ("22_Heart_2_8", 170, 1732, [186, 175, 264, 257], 0.9518, 1, 0.98119, 4.762, -32.376),
    ("22_Heart_2_8", 255, 1954, [170, 201, 225, 272], 0.7778, 6, 0.98259, 9.482, 11.523),
    ("22_Heart_3_2", 255, 75, [145, 172, 159, 181], 0.6667, 5, 0.98667, 7.667, -6.364),
    ("22_Heart_4_9", 255, 1456, [57, 75, 88, 146], 0.4444, 4, 0.97559, 8.881, 34.403),
    ("6_Pancreas_10_43_0", 255, 1313, [204, 293, 259, 328], 0.6429, 4, 0.98326, 7.349, 1.577),
    ("6_Pancreas_13_37_0", 255, 914, [254, 286, 296, 316], 0.7209, 4, 0.98856, 6.289, -2.007),
    ("6_Pancreas_17_23_0", 255, 6013, [104, 226, 295, 324], 0.5156, 7, 0.94072, 18.855, 9.591),
    ("6_Pancreas_20_43_0", 255, 4230, [121, 192, 251, 303], 0.8550, 7, 0.97219, 12.561, 16.523),
    ("6_Pancreas_21_23_0", 255, 2732, [148, 216, 286, 302], 0.6259, 8, 0.97073, 13.854, 4.576),
];

fn read_grey(path: &Path) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
    (info.height, info.width, pixels)
}

#[test]
fn released_slices_give_the_reference_values() {
    let Some(cosmos) = folder("cosmos") else { return };
    let printed = |found: f64, expected: f64, unit: f64| (found - expected).abs() <= 0.5000001 * unit;
    for (name, value, area, pixel_box, aspect, order, dice, complexity, difference) in REFERENCES {
        let dataset = cosmos.join(if name.starts_with("22") { "22_Heart" } else { "6_Pancreas" });
        let (height, width, image) = read_grey(&dataset.join(format!("images/{name}.png")));
        let (_, _, labels) = read_grey(&dataset.join(format!("labels/{name}.png")));
        let mask = Mask::from_predicate(height, width, |i| labels[i] == value);
        assert_eq!(mask.bounding_box(), Some(pixel_box), "{name}");

        let picture = Picture::new(height, width, 1, &image).unwrap();
        let factors = Subject::of(&mask, &picture, 0, &FourierOptions::default()).unwrap().unwrap();
        assert_eq!((mask.area(), factors.boundary.order), (area, order), "{name}");
        assert!(printed(factors.aspect_ratio, aspect, 1e-4), "{name}: {}", factors.aspect_ratio);
        assert!(printed(factors.boundary.dice, dice, 1e-5), "{name}: {}", factors.boundary.dice);
        assert!(printed(factors.boundary.value(), complexity, 1e-3), "{name}: {}", factors.boundary.value());
        let found = factors.intensity.difference().unwrap();
        assert!(printed(found, difference, 1e-3), "{name}: {found}");
    }
}
