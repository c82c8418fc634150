//! Masks as rows of a table, against the competition's own code.

use medcosmos::image::{Image, Samples};
use medcosmos::mask::Mask;
use medcosmos::pipeline::BuildOptions;
use medcosmos::store::{CaseRow, MaskRow};

use crate::samples::{build_with, folder};

const NORMAL: &str = "1.2.276.0.7230010.3.1.4.8323329.1000.1517875165.878027";
const PNEUMOTHORAX: &str = "1.2.276.0.7230010.3.1.4.8323329.4904.1517875185.355709";

/// The real table with two of its pictures drawn.
#[test]
fn rows_of_the_real_table_draw_what_the_competitions_own_code_draws() {
    let Some(siim) = folder("raw/siim-acr") else { return };
    let place = tempfile::tempdir().unwrap();
    let downloads = place.path().join("downloads");
    let raw = downloads.join("siim-png-images/input");
    std::fs::create_dir_all(raw.join("train_png")).unwrap();
    std::fs::copy(siim.join("train-rle-sample.csv"), raw.join("train-rle.csv")).unwrap();
    let shades = (0..1024 * 1024).map(|i| (i % 251) as u8).collect();
    let picture = Image::picture(1024, 1024, 1, Samples::U8(shades));
    for name in [NORMAL, PNEUMOTHORAX] {
        medcosmos::demo::write::image(&raw.join(format!("train_png/{name}.png")), &picture).unwrap();
    }
    let (dataset, _) = build_with(&downloads, &place.path().join("data"), &["siim-acr"], &BuildOptions::default());

    let mut masks = dataset.rows::<MaskRow>().unwrap();
    let mask = masks.next().unwrap().unwrap();
    assert_eq!(mask.case_id, format!("siim-acr/{PNEUMOTHORAX}"));
    assert!(masks.next().is_none());
    let pixels = Mask::try_from(&mask.mask).unwrap().to_bitmap();
    let set: Vec<usize> = (0..pixels.len()).filter(|&i| pixels[i] != 0).collect();
    let sums = (set.iter().map(|i| i / 1024).sum(), set.iter().map(|i| i % 1024).sum());
    assert_eq!((set.len(), sums), (9418, (1_376_459_usize, 3_008_446_usize)), "area, sums of rows and of columns");

    let mut cases = dataset.rows::<CaseRow>().unwrap().map(Result::unwrap);
    let normal = cases.find(|case| case.case_id.ends_with(NORMAL)).unwrap();
    assert!(normal.reason.is_some_and(|reason| reason.contains("large enough")), "a row of -1 is an empty mask");
}
