//! The analysis of a small dataset from end to end: tables written in the layout of a dataset folder, numbers checked
//! against pandas, pingouin and scipy.
//!
//! The expected numbers come from this, with `s` 2 for S2 and 5 for S5:
//! ```python
//! i = np.arange(60)
//! f = pd.DataFrame({"size_px": 50 + i * i * 7 % 997, "aspect_ratio": (i * 13 % 29 + 1) / 30,
//!     "intensity_difference_abs": (i * i % 23).astype(float), "boundary_complexity": 1 + (i * 17 % 31) / 4,
//!     "modality_index": np.where(i % 2 == 0, 1, 5)})
//! f.loc[7, "intensity_difference_abs"] = np.nan
//! f["dice"] = np.where(i == 11, 0, (i * i * 3 + 11 * s) % 97 / 100)
//! f["hd"] = np.where(i == 11, np.nan, 100 * (1 - f.dice))
//! f["source"] = np.where(i % 2 == 0, "a", "b"); f["patient"] = i // 2 % 5
//! f["target"] = [f"o{k % 3}-{'CT' if k % 2 == 0 else 'Cine-MRI'}" for k in i]
//! kept = f[i % 20 != 19]
//! pg.partial_corr(kept.dropna(subset=factors), "dice", factor, covar=others, method="spearman")
//! ```

use super::output::{Format, write_frame};
use super::statistics::bootstrap::BootstrapOptions;
use super::{Analysis, AnalysisError, AnalysisOptions, analyze, query, report};
use crate::store::{Choice, Dataset, Manifest, Table};
use polars::prelude::*;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MASKS: u32 = 60;

fn write(dataset: &Path, file: &str, frame: &DataFrame) {
    let path = dataset.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_frame(frame, Format::Parquet, File::create(path).unwrap()).unwrap();
}

fn modality(i: u32) -> &'static str {
    if i.is_multiple_of(2) { "CT" } else { "Cine-MRI" }
}

fn source(i: u32) -> &'static str {
    if i.is_multiple_of(2) { "a" } else { "b" }
}

/// The columns that name a mask, in every table of masks.
fn identity(masks: &[u32]) -> DataFrame {
    let of = |f: &dyn Fn(u32) -> String| masks.iter().map(|&i| f(i)).collect::<Vec<String>>();
    df!(
        "mask_id" => of(&|i| format!("{}/p{}/z{i:04}/o{}", source(i), i / 2 % 5, i % 3)),
        "slice_id" => of(&|i| format!("{}/p{}/z{i:04}", source(i), i / 2 % 5)),
        "case_id" => of(&|i| format!("{}/p{}", source(i), i / 2 % 5)),
        "patient_id" => of(&|i| format!("p{}", i / 2 % 5)),
        "source" => of(&|i| source(i).to_string()),
        "modality" => of(&|i| modality(i).to_string()),
        "object" => of(&|i| format!("o{}", i % 3)),
        "target" => of(&|i| format!("o{}-{}", i % 3, modality(i))),
        "excluded" => masks.iter().map(|i| i % 20 == 19).collect::<Vec<bool>>(),
    )
    .unwrap()
}

fn with(frame: DataFrame, other: DataFrame) -> DataFrame {
    frame.hstack(other.columns()).unwrap()
}

fn factors(masks: &[u32]) -> DataFrame {
    let numbers = |f: &dyn Fn(u32) -> f64| masks.iter().map(|&i| f(i)).collect::<Vec<f64>>();
    let factors = df!(
        "size_px" => masks.iter().map(|i| 50 + i * i * 7 % 997).collect::<Vec<u32>>(),
        "aspect_ratio" => numbers(&|i| f64::from(i * 13 % 29 + 1) / 30.0),
        "intensity_difference_abs" =>
            masks.iter().map(|&i| (i != 7).then_some(f64::from(i * i % 23))).collect::<Vec<Option<f64>>>(),
        "boundary_complexity" => numbers(&|i| 1.0 + f64::from(i * 17 % 31) / 4.0),
        "modality_index" => masks.iter().map(|i| if i % 2 == 0 { 1u8 } else { 5 }).collect::<Vec<u8>>(),
    );
    with(identity(masks), factors.unwrap())
}

fn metrics(masks: &[u32], strategy: &str, variant: &str, choice: &str) -> DataFrame {
    let s = if strategy == "S2" { 2 } else { 5 };
    let moved = match variant {
        "jitter0-10/seed0" => 0.01,
        "jitter0-10/seed1" => 0.03,
        "jitter10-20/seed0" => 0.1,
        _ => 0.0,
    };
    let score = if choice == "score" { 0.5 } else { 1.0 };
    let dice = |i: u32| if i == 11 { 0.0 } else { (f64::from((i * i * 3 + 11 * s) % 97) / 100.0 - moved) * score };
    let same = |word: &str| vec![word.to_string(); masks.len()];
    let metrics = df!(
        "model" => same("tiny"),
        "strategy" => same(strategy),
        "variant" => same(variant),
        "choice" => same(choice),
        "candidate" => vec![1u8; masks.len()],
        "empty_prediction" => masks.iter().map(|&i| i == 11).collect::<Vec<bool>>(),
        "dice" => masks.iter().map(|&i| dice(i)).collect::<Vec<f64>>(),
        "hd" => masks.iter().map(|&i| (i != 11).then(|| 100.0 * (1.0 - dice(i)))).collect::<Vec<Option<f64>>>(),
    );
    with(identity(masks), metrics.unwrap())
}

/// A dataset of 60 masks in two sources. `shards` cuts the rows of each table and turns their order.
fn dataset(shards: usize, sources: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for source_name in sources {
        let mut masks: Vec<u32> = (0..MASKS).filter(|&i| source(i) == *source_name).collect();
        if shards > 1 {
            masks.reverse();
        }
        for (number, masks) in masks.chunks(masks.len().div_ceil(shards)).enumerate() {
            let file = |table: &str| format!("{table}/source={source_name}/{number:04}.parquet");
            write(root, &file("factors"), &factors(masks));
            let laterality: Vec<Option<&str>> =
                masks.iter().map(|i| (i % 3 > 0).then_some(["l", "r"][(i % 3 == 1) as usize])).collect();
            let more = df!("laterality" => laterality, "area_px" => vec![60u32; masks.len()]).unwrap();
            write(root, &file("masks"), &with(identity(masks), more));
            let images: Vec<&[u8]> = masks.iter().map(|_| &b"\x89PNG"[..]).collect();
            let slices = df!("slice_id" => masks.iter().map(|i| format!("{i}")).collect::<Vec<_>>(), "channels" => vec![1u8; masks.len()], "image" => images);
            write(root, &file("slices"), &slices.unwrap());
            let mut all: Option<DataFrame> = None;
            for strategy in ["S2", "S5"] {
                for choice in ["oracle", "score"] {
                    for variant in ["", "jitter0-10/seed0", "jitter0-10/seed1", "jitter10-20/seed0"] {
                        let more = metrics(masks, strategy, variant, choice);
                        all = Some(match all {
                            Some(rows) => rows.vstack(&more).unwrap(),
                            None => more,
                        });
                    }
                }
            }
            write(root, &format!("metrics/model=tiny/source={source_name}/{number:04}.parquet"), &all.unwrap());
            fs::write(root.join(file("factors")).with_extension("json"), "{}").unwrap();
        }
    }
    Manifest::adopt(root);
    folder
}

fn options() -> AnalysisOptions {
    AnalysisOptions {
        summary_metrics: vec!["dice".into(), "hd".into()],
        bootstrap: BootstrapOptions { replicates: 50, ..BootstrapOptions::default() },
        ..AnalysisOptions::default()
    }
}

#[track_caller]
fn close(found: Option<f64>, expected: f64) {
    let found = found.expect("a number");
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

#[test]
fn correlations_are_those_of_pingouin() {
    let folder = dataset(1, &["a", "b"]);
    let analysis = analyze(folder.path(), &options()).unwrap();
    let rows: Vec<_> = analysis
        .correlations
        .iter()
        .filter(|row| row.condition.strategy == "S2" && row.condition.choice == Choice::Oracle)
        .collect();
    let expected = [
        ("size_px", -0.1090257998861243, 0.44166643283308493, -0.05759699280840516),
        ("aspect_ratio", 0.032675290531185355, 0.8181240863590988, -0.03965390677982076),
        ("intensity_difference_abs", 0.2939705434208804, 0.03440383731029838, 0.28746078872823966),
        ("boundary_complexity", 0.15872549892811552, 0.2610533614060692, 0.175720275934176),
        ("modality_index", 0.1143243444383626, 0.41965779439354906, 0.07643950567352861),
    ];
    assert_eq!(rows.len(), 5);
    for (row, (factor, partial, p, plain)) in rows.iter().zip(expected) {
        assert_eq!(row.factor, factor);
        close(row.partial.map(|c| c.rho), partial);
        close(row.partial.map(|c| c.p), p);
        close(row.plain.map(|c| c.rho), plain);
        assert_eq!((row.n, row.patients, row.excluded), (56, 10, 3));
        assert_eq!((row.without_any_factor, row.without_metric, row.controls.len()), (1, 0, 4));
        assert_eq!(row.without_factor, u64::from(factor == "intensity_difference_abs"));
        let interval = row.interval.unwrap();
        assert!(interval.low < partial && partial < interval.high, "{row:?}");
        assert!(row.p_adjusted.unwrap() >= p);
        assert_eq!(row.nominal, factor == "modality_index");
    }
    // scipy.stats.kruskal over the two modalities
    let test = rows[4].groups.unwrap();
    close(Some(test.h), 0.32136489151872394);
    close(Some(test.p), 0.5707885474430217);
}

#[test]
fn one_modality_has_no_correlation_and_is_not_controlled_for() {
    let folder = dataset(1, &["a"]);
    let analysis = analyze(folder.path(), &options()).unwrap();
    let rows = &analysis.correlations[..5];
    // The four other factors among themselves.
    let expected = [-0.15229251486183046, 0.10247518419459561, 0.41481491606863274, 0.14838878052330404];
    for (row, rho) in rows.iter().zip(expected) {
        close(row.partial.map(|c| c.rho), rho);
        assert_eq!((row.n, row.partial.unwrap().df, row.controls.len()), (30, 25, 3));
    }
    assert_eq!((rows[4].partial, rows[4].plain, rows[4].groups), (None, None, None));
    assert_eq!(rows[4].reason.as_deref(), Some("modality_index has only one value"));
}

#[test]
fn summaries_count_failures_and_balance_targets() {
    let folder = dataset(1, &["a", "b"]);
    let mut options = options();
    options.by.push(vec!["source".into(), "laterality".into()]);
    let analysis = analyze(folder.path(), &options).unwrap();
    let row = |summary: usize, metric: &str, group: &[Option<&str>]| {
        let rows = &analysis.summaries[summary].rows;
        let wanted: Vec<Option<String>> = group.iter().map(|word| word.map(str::to_string)).collect();
        rows.iter()
            .find(|r| {
                r.condition.strategy == "S2"
                    && r.condition.choice == Choice::Oracle
                    && r.metric == metric
                    && r.group == wanted
            })
            .cloned()
            .unwrap()
    };
    let dice = row(0, "dice", &[]);
    assert_eq!((dice.masks, dice.failures, dice.pooled.n, dice.targets), (57, 1, 57, 6));
    close(dice.pooled.mean, 0.4515789473684211);
    close(dice.pooled.std, 0.27276871170114525);
    close(dice.pooled.median, 0.46);
    close(dice.balanced.mean, 0.45303703703703707);
    close(dice.balanced.std, 0.1490911101376774);
    let hd = row(0, "hd", &[]);
    assert_eq!((hd.masks, hd.failures, hd.pooled.n, hd.pooled.missing), (57, 1, 56, 1));
    close(hd.pooled.mean, 54.035714285714285);
    let b = row(4, "dice", &[Some("b")]);
    assert_eq!(b.masks, 27);
    close(b.pooled.mean, 0.4807407407407407);
    // Laterality is a column of masks, with nulls, which are a group of their own.
    let by_side = &analysis.summaries[5].rows;
    let masks: u64 =
        by_side.iter().filter(|r| r.condition == by_side[0].condition && r.metric == "dice").map(|r| r.masks).sum();
    assert_eq!(masks, 57);
    assert_eq!(row(5, "dice", &[Some("a"), None]).masks, 10);
    assert!(folder.path().join("analysis/summary_by_source_laterality.csv").is_file());
}

#[test]
fn comparisons_are_those_of_scipy() {
    let folder = dataset(1, &["a", "b"]);
    let analysis = analyze(folder.path(), &options()).unwrap();
    assert_eq!(analysis.paired.len(), 2);
    let row = &analysis.paired[0];
    assert_eq!((row.first.strategy.as_str(), row.second.strategy.as_str()), ("S2", "S5"));
    assert_eq!((row.n, row.patients), (57, 10));
    close(row.difference, -0.0008771929824561587);
    // d = np.round(kept.dice - dice_of_s5, 9)
    // scipy.stats.wilcoxon(d, correction=False, method="asymptotic"), and of the rounded means of d by patient
    close(row.masks_test.map(|t| t.p), 0.41923007115564725);
    close(row.masks_test.map(|t| t.z.abs()), 0.80775771582358);
    close(row.patients_test.map(|t| t.p), 0.6434288435636205);
}

#[test]
fn moved_prompts_drop_by_what_was_taken_away() {
    let folder = dataset(1, &["a", "b"]);
    let analysis = analyze(folder.path(), &options()).unwrap();
    let rows: Vec<_> = analysis.randomness.iter().filter(|row| row.condition.choice == Choice::Oracle).collect();
    assert_eq!(rows.len(), 4);
    // All but mask 11 lose 0.01 and 0.03, or 0.1.
    close(rows[0].drop, 0.02 * 56.0 / 57.0);
    close(rows[0].drop_std_of_seeds, 0.01 * 56.0 / 57.0);
    assert_eq!((rows[0].low, rows[0].high, rows[0].seeds, rows[0].n), (0.0, 10.0, 2, 114));
    close(rows[1].drop, 0.1 * 56.0 / 57.0);
    assert_eq!((rows[1].low, rows[1].high, rows[1].seeds), (10.0, 20.0, 1));
}

#[test]
fn clicks_are_counted_to_their_targets() {
    let folder = dataset(1, &["a", "b"]);
    // Mask i has an IoU of 0.80, 0.87 and 0.93 after its clicks, every third one 0.1 less.
    let masks: Vec<u32> = (0..MASKS).collect();
    for (click, iou) in [(1, 0.80), (2, 0.87), (3, 0.93)] {
        let iou: Vec<f64> = masks.iter().map(|i| if i % 3 == 0 { iou - 0.1 } else { iou }).collect();
        let same = |word: &str| vec![word.to_string(); masks.len()];
        let rows = df!(
            "model" => same("tiny"), "strategy" => same("clicks"), "variant" => same(&format!("click{click:02}")),
            "choice" => same("score"), "candidate" => vec![0u8; masks.len()],
            "empty_prediction" => vec![false; masks.len()],
            "dice" => iou.iter().map(|iou| 2.0 * iou / (1.0 + iou)).collect::<Vec<f64>>(),
            "hd" => vec![Some(1.0); masks.len()], "iou" => iou,
        );
        let path = format!("metrics/model=clicks{click}/source=a/0.parquet");
        write(folder.path(), &path, &with(identity(&masks), rows.unwrap()));
    }
    // The metrics of other strategies have no IoU here.
    for part in ["a", "b"] {
        fs::remove_dir_all(folder.path().join(format!("metrics/model=tiny/source={part}"))).unwrap();
    }
    Manifest::adopt(folder.path());
    let options = AnalysisOptions { include_excluded: true, ..options() };
    let analysis = analyze(folder.path(), &options).unwrap();
    let means: Vec<(u32, u64)> = analysis.clicks.iter().map(|row| (row.click, row.n)).collect();
    assert_eq!(means, [(1, 60), (2, 60), (3, 60)]);
    close(analysis.clicks[1].iou_mean, 0.87 - 0.1 / 3.0);
    close(analysis.clicks[1].reached_85, 2.0 / 3.0);
    close(analysis.clicks[2].reached_90, 2.0 / 3.0);
    let [first, second] = &analysis.clicks_needed[..] else { panic!("two targets") };
    close(first.clicks_mean, (40.0 * 2.0 + 20.0 * 3.0) / 60.0);
    close(second.clicks_mean, 3.0);
    assert_eq!((first.iou_percent, first.failures, second.iou_percent, second.failures), (85, 20, 90, 20));
}

#[test]
fn excluded_masks_count_where_asked_for() {
    let folder = dataset(1, &["a", "b"]);
    let options = AnalysisOptions { include_excluded: true, ..options() };
    let analysis = analyze(folder.path(), &options).unwrap();
    assert_eq!((analysis.correlations[0].n, analysis.correlations[0].excluded), (59, 0));
    assert_eq!(analysis.summaries[0].rows[0].masks, 60);
    assert_eq!(analysis.paired[0].n, 60);
}

fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|f| (f.file_name().unwrap().into(), fs::read(&f).unwrap())).collect()
}

#[test]
fn neither_shards_nor_row_order_nor_threads_show_in_the_files() {
    let one = dataset(1, &["a", "b"]);
    let many = dataset(7, &["a", "b"]);
    let first = analyze(one.path(), &options()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let second = pool.install(|| analyze(many.path(), &options())).unwrap();
    assert_eq!(first, second);
    let files = files_of(&one.path().join("analysis"));
    assert_eq!(files, files_of(&many.path().join("analysis")));
    // Eleven tables in two forms, and the record.
    assert_eq!(files.len(), 23);
}

#[test]
fn a_second_analysis_replaces_the_first_and_nothing_else() {
    let folder = dataset(1, &["a", "b"]);
    analyze(folder.path(), &options()).unwrap();
    let results = folder.path().join("analysis");
    fs::write(results.join("notes.csv"), "mine").unwrap();
    let fewer = AnalysisOptions { by: vec![vec![]], ..options() };
    analyze(folder.path(), &fewer).unwrap();
    assert!(results.join("summary.csv").is_file() && results.join("notes.csv").is_file());
    assert!(!results.join("summary_by_target.csv").exists() && !results.join("summary_by_target.parquet").exists());
}

#[test]
fn the_report_fits_a_page_and_names_what_is_missing() {
    let folder = dataset(1, &["a"]);
    let analysis: Analysis = analyze(folder.path(), &options()).unwrap();
    let text = report::analysis_to_text(&analysis, 100);
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
    }
    for words in [
        "tiny   S2 1 point     30  0.425 ± 0.265",
        "modality_index has only one value",
        "masks left out: 0 without a factor, 0 without dice, 0 excluded",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn sql_needs_only_the_tables_it_names() {
    let folder = dataset(2, &["a", "b"]);
    let root = folder.path();
    let joined = query(
        root,
        "SELECT m.strategy, count(*) AS n, avg(m.dice) AS dice FROM metrics m JOIN factors f ON m.mask_id = f.mask_id \
         WHERE m.variant = '' AND m.choice = 'oracle' AND NOT m.excluded AND f.modality_index < 9 \
         GROUP BY m.strategy ORDER BY m.strategy",
    )
    .unwrap();
    assert_eq!(joined.height(), 2);
    close(joined.column("dice").unwrap().f64().unwrap().get(0), 0.4515789473684211);
    let error = query(root, "SELECT * FROM predictions").unwrap_err().to_string();
    assert!(error.ends_with("no table `predictions` in the dataset; run `medcosmos predict` first"), "{error}");
    let error = query(root, "SELECT * FROM elsewhere").unwrap_err().to_string();
    assert!(error.contains("'elsewhere' was not found; the tables are files, sources, cases"), "{error}");
    let error = query(root, "SELECT nothing FROM factors").unwrap_err().to_string();
    assert!(error.contains("nothing") && error.contains("size_px") && !error.contains('\n'), "{error}");
    let error = query(root, "SELEC 1").unwrap_err().to_string();
    assert!(error.starts_with("SQL: Expected") && error.contains("SELEC"), "{error}");
}

#[test]
fn limits_conditions_and_joins_of_a_table_with_itself_are_those_of_all_its_files() {
    let folder = dataset(3, &["a"]);
    let numbers = |sql: &str| {
        let frame = query(folder.path(), sql).unwrap();
        let column = frame.columns()[0].cast(&DataType::Int64).unwrap();
        column.i64().unwrap().into_no_null_iter().collect::<Vec<_>>()
    };
    let all = numbers("SELECT size_px FROM factors ORDER BY size_px");
    assert!(all.len() > 20);
    assert_eq!(numbers("SELECT count(*) FROM factors"), [all.len() as i64]);
    assert_eq!(numbers("SELECT size_px FROM factors ORDER BY size_px LIMIT 5 OFFSET 3"), all[3..8]);
    let above: Vec<i64> = all.iter().copied().filter(|&size| size > 300).collect();
    let sql = "SELECT size_px FROM factors WHERE size_px > 300 AND source = 'a' ORDER BY size_px LIMIT 4";
    assert_eq!(numbers(sql), above[..4]);
    assert_eq!(numbers("SELECT size_px FROM factors LIMIT 7").len(), 7);
    assert_eq!(numbers("SELECT size_px FROM factors LIMIT 6 OFFSET 2").len(), 6);
    assert_eq!(numbers("SELECT size_px FROM factors LIMIT 100000").len(), all.len());
    let itself = "SELECT count(*) FROM factors a JOIN factors b ON a.mask_id = b.mask_id";
    assert_eq!(numbers(itself), [all.len() as i64]);
}

#[test]
fn pictures_are_read_only_where_asked_for() {
    let folder = dataset(1, &["a"]);
    let all = query(folder.path(), "SELECT * FROM slices").unwrap();
    assert_eq!(all.get_column_names(), ["slice_id", "channels"]);
    let image = query(folder.path(), "SELECT image FROM slices LIMIT 1").unwrap();
    assert_eq!(image.column("image").unwrap().binary().unwrap().get(0), Some(&b"\x89PNG"[..]));
}

#[test]
fn what_cannot_be_analysed_is_refused_with_the_way_out() {
    let empty = tempfile::tempdir().unwrap();
    let error = analyze(empty.path(), &options()).unwrap_err();
    assert!(error.to_string().ends_with("not a medcosmos dataset; the folder has no dataset.json"), "{error}");
    Manifest::adopt(empty.path());
    let error = analyze(empty.path(), &options()).unwrap_err();
    assert!(
        error.to_string().ends_with("no table `metrics` in the dataset; run `medcosmos evaluate` first"),
        "{error}"
    );

    let folder = dataset(1, &["a", "b"]);
    fs::remove_dir_all(folder.path().join("factors")).unwrap();
    Manifest::adopt(folder.path());
    let error = analyze(folder.path(), &AnalysisOptions { curves: vec![], ..options() }).unwrap_err();
    assert!(
        error.to_string().ends_with("no table `factors` in the dataset; run `medcosmos evaluate` first"),
        "{error}"
    );

    let folder = dataset(1, &["a", "b"]);
    let root = folder.path();
    let refused = |options: AnalysisOptions| analyze(root, &options).unwrap_err().to_string();
    let error = refused(AnalysisOptions { summary_metrics: vec!["dise".into()], ..options() });
    assert!(error.contains("no column `dise`") && error.contains("dice"), "{error}");
    let error = refused(AnalysisOptions { metric: "dise".into(), ..options() });
    assert!(error.contains("no column `dise`"), "{error}");
    let error = refused(AnalysisOptions { by: vec![vec!["../a".into()]], ..options() });
    assert_eq!(error, "option by: `../a` is not a column");
    let error = refused(AnalysisOptions { factors: vec!["object".into()], ..options() });
    assert_eq!(error, "column `object`: found str, expected a number");
    let bootstrap = BootstrapOptions { confidence: f64::NAN, ..BootstrapOptions::default() };
    assert!(refused(AnalysisOptions { bootstrap, ..options() }).starts_with("option bootstrap.confidence"));

    let masks: Vec<u32> = vec![4];
    write(root, "metrics/model=tiny/source=a/again.parquet", &metrics(&masks, "S2", "", "oracle"));
    assert!(analyze(root, &options()).is_ok(), "what the manifest does not list is not read");
    Manifest::adopt(root);
    let error = analyze(root, &options()).unwrap_err();
    assert!(matches!(error, AnalysisError::RepeatedMask { .. }), "{error}");
    assert!(error.to_string().contains("a/p2/z0004/o1 twice for tiny S2 oracle"), "{error}");

    let again = Dataset::open(root).unwrap().files(Table::Metrics).unwrap().remove(0).path;
    let whole = fs::read(&again).unwrap();
    // A new file each time, as the program itself puts files in place: polars maps them, and what is cut under its
    // hands ends the process (SIGBUS), even after the query that read it has failed.
    let replace = |bytes: &[u8]| {
        fs::remove_file(&again).unwrap();
        fs::write(&again, bytes).unwrap();
    };
    replace(&whole[..whole.len() / 2]);
    let error = analyze(root, &options()).unwrap_err().to_string();
    assert!(error.contains("bytes, but its receipt states") && error.contains("medcosmos evaluate"), "{error}");
    // Bytes of the footer flipped: an error or a column that differs, never a panic.
    for place in (whole.len() - 400..whole.len() - 8).step_by(7) {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x55;
        replace(&flipped);
        if let Err(error) = query(root, "SELECT dice FROM metrics") {
            assert!(!error.to_string().is_empty());
        }
    }
}
