//! The slices that the authors released: the protocol's reference factors, and predictions that agree with those of the
//! original PyTorch code.

use std::collections::BTreeMap;
use std::path::Path;

use medcosmos::models::ModelOptions;
use medcosmos::models::sam::{Model, Runtime, Sam};
use medcosmos::pipeline::{BuildOptions, EvaluateOptions, Existing, OpenWork, PredictOptions, Progress};
use medcosmos::pipeline::{evaluate, predict};
use medcosmos::prompts::{PromptRule, Strategy};
use medcosmos::store::{CaseRow, Dataset, FactorRow, MaskRow, MetricRow, PredictionRow, Projection};
use serde::Deserialize;

use crate::samples;

fn rows<R: Projection>(dataset: &Dataset) -> Vec<R> {
    dataset.rows().unwrap().collect::<Result<_, _>>().unwrap()
}

fn build(out: &Path) -> Option<Dataset> {
    let raw = samples::folder("cosmos")?;
    let (dataset, report) = samples::build_with(&raw, out, &["cosmos-png"], &BuildOptions::default());
    assert!(report.clean() && report.unclaimed.is_empty(), "{report:?}");
    Some(dataset)
}

/// One row of them.
type Reference = (&'static str, &'static str, u32, [u32; 4], f64, u32, f64, f64, f64);

/// Protocol, section 5: file, label value, area, box, aspect ratio, Fourier order, its Dice, boundary complexity,
/// signed intensity difference.
const REFERENCES: [Reference; 10] = [
    ("22_Heart_2_8", "85", 3242, [192, 181, 256, 248], 0.9559, 1, 0.97259, 6.482, 50.650),
    ("22_Heart_2_8", "170", 1732, [186, 175, 264, 257], 0.9518, 1, 0.98119, 4.762, -32.376),
    ("22_Heart_2_8", "255", 1954, [170, 201, 225, 272], 0.7778, 6, 0.98259, 9.482, 11.523),
    ("22_Heart_3_2", "255", 75, [145, 172, 159, 181], 0.6667, 5, 0.98667, 7.667, -6.364),
    ("22_Heart_4_9", "255", 1456, [57, 75, 88, 146], 0.4444, 4, 0.97559, 8.881, 34.403),
    ("6_Pancreas_10_43_0", "255", 1313, [204, 293, 259, 328], 0.6429, 4, 0.98326, 7.349, 1.577),
    ("6_Pancreas_13_37_0", "255", 914, [254, 286, 296, 316], 0.7209, 4, 0.98856, 6.289, -2.007),
    ("6_Pancreas_17_23_0", "255", 6013, [104, 226, 295, 324], 0.5156, 7, 0.94072, 18.855, 9.591),
    ("6_Pancreas_20_43_0", "255", 4230, [121, 192, 251, 303], 0.8550, 7, 0.97219, 12.561, 16.523),
    ("6_Pancreas_21_23_0", "255", 2732, [148, 216, 286, 302], 0.6259, 8, 0.97073, 13.854, 4.576),
];

#[test]
fn factors_have_the_values_of_the_protocol() {
    let out = tempfile::tempdir().unwrap();
    let Some(dataset) = build(out.path()) else { return };
    let cases = rows::<CaseRow>(&dataset);
    assert_eq!((cases.len(), cases.iter().filter(|case| case.status.name() == "ok").count()), (30, 30));
    let report =
        evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, OpenWork::Run, &Progress::new(true)).unwrap();
    assert_eq!((report.factors, report.comparisons), (56, 0));
    let factors: BTreeMap<String, FactorRow> =
        rows::<FactorRow>(&dataset).into_iter().map(|row| (row.mask.mask_id.clone(), row)).collect();
    let masks = rows::<MaskRow>(&dataset);
    for (file, value, area, bounds, aspect, order, dice, complexity, difference) in REFERENCES {
        let case = format!("cosmos-png/{file}");
        let mask = masks.iter().find(|mask| mask.case_id == case && mask.label_value == value).unwrap();
        let row = &factors[&mask.mask_id];
        let number = |name| row.values.get(name).unwrap();
        assert_eq!((mask.area_px, number("size_px") as u32, mask.bbox), (area, area, bounds), "{file} {value}");
        let stop = row.values.reading("fourier_stop").unwrap();
        assert_eq!((number("fourier_order") as u32, *stop != "cap".into()), (order, true), "{file} {value}");
        let found = [
            (number("aspect_ratio"), aspect, 5e-5),
            (number("fourier_dice"), dice, 5e-6),
            (number("boundary_complexity"), complexity, 5e-4),
            (number("intensity_difference"), difference, 5e-4),
            (number("intensity_difference_abs"), difference.abs(), 5e-4),
        ];
        for (column, (found, expected, rounding)) in found.into_iter().enumerate() {
            // Half a unit of the last digit printed, and a little for binary fractions.
            assert!((found - expected).abs() <= rounding * 1.01, "{file} {value}, number {column}: {found} {expected}");
        }
    }
}

/// Predictions of the original code: the parts that are compared.
#[derive(Deserialize)]
struct Golden {
    images: Vec<GoldenImage>,
}

#[derive(Deserialize)]
struct GoldenImage {
    name: String,
    objects: Vec<GoldenObject>,
}

#[derive(Deserialize)]
struct GoldenObject {
    label_value: u32,
    area: u32,
    box_xyxy_inclusive: [f64; 4],
    centroid_inside: bool,
    fg_points: Vec<[f64; 2]>,
    modes: BTreeMap<String, BTreeMap<String, GoldenMode>>,
}

#[derive(Deserialize)]
struct GoldenMode {
    best_dice: f64,
    score_dice: f64,
}

fn runtime_and_references() -> Option<(Model, Golden)> {
    let (models, golden) = (samples::beside("models")?, samples::beside("golden/golden.json")?);
    if let Err(error) = Runtime::load() {
        samples::skip(error);
        return None;
    }
    let model = Model::find(models.to_str().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    Some((model, serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap()))
}

#[test]
fn predictions_agree_with_the_original_code() {
    let out = tempfile::tempdir().unwrap();
    let Some(dataset) = build(out.path()) else { return };
    let Some((model, golden)) = runtime_and_references() else { return };
    let strategies = vec![Strategy::OnePoint, Strategy::Box];
    let options = PredictOptions { strategies, rule: PromptRule::Paper, ..PredictOptions::default() };
    let report = predict(&dataset, &Sam::new(model, ModelOptions::default()), &options, &Progress::new(true)).unwrap();
    assert_eq!(report.slices, 30);
    assert!((56 * 2..=56 * 2 * 2).contains(&report.predictions), "the closest and the best rated of each prompt");
    evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, OpenWork::Run, &Progress::new(true)).unwrap();

    let masks = rows::<MaskRow>(&dataset);
    let predictions = rows::<PredictionRow>(&dataset);
    let metrics = rows::<MetricRow>(&dataset);
    let dice = |mask: &str, strategy: &str, choice: &str| {
        let row = |m: &&MetricRow| m.mask.mask_id == mask && m.strategy == strategy && m.choice.name() == choice;
        metrics.iter().find(row).unwrap_or_else(|| panic!("{mask} {strategy} {choice}")).values.get("dice").unwrap()
    };
    let (mut boxes, mut points, mut wrong) = (0, 0, Vec::new());
    for image in &golden.images {
        for object in &image.objects {
            let (case, value) = (format!("cosmos-png/{}", image.name), object.label_value.to_string());
            let mask = masks.iter().find(|mask| mask.case_id == case && mask.label_value == value).unwrap();
            assert_eq!(mask.area_px, object.area, "{}", mask.mask_id);
            let prompt = |strategy: &str| {
                predictions.iter().find(|p| p.mask_id == mask.mask_id && p.strategy == strategy).unwrap()
            };
            let modes = &object.modes["raw"];
            let mut compare = |strategy: &str, choice: &str, expected: f64, tolerance: f64| {
                let found = dice(&mask.mask_id, strategy, choice);
                if (found - expected).abs() > tolerance {
                    wrong.push(format!("{} {strategy} {choice}: {found}, expected {expected}", mask.mask_id));
                }
            };
            assert_eq!(prompt("S5").r#box, Some(object.box_xyxy_inclusive), "{}", mask.mask_id);
            compare("S5", "oracle", modes["box"].best_dice, 0.01);
            compare("S5", "score", modes["box"].score_dice, 0.01);
            boxes += 1;
            // The paper takes the centroid only where it lies inside, the code always.
            if object.centroid_inside {
                assert_eq!(prompt("S2").points, object.fg_points[0], "{}", mask.mask_id);
                assert_eq!(prompt("S2").point_labels, [1], "{}", mask.mask_id);
                compare("S2", "oracle", modes["p1"].best_dice, 0.02);
                points += 1;
            } else {
                let [x, y] = prompt("S2").points[..] else { panic!("{} has not one point", mask.mask_id) };
                let [height, width] = mask.mask.size;
                let truth = medcosmos::mask::Mask::from_coco(height, width, &mask.mask.counts).unwrap();
                assert!(truth.contains(x as u32, y as u32), "{}: the point {x}, {y} is outside", mask.mask_id);
            }
        }
    }
    assert_eq!((boxes, points), (56, 42));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
