//! What a dataset must hold to, whatever happens to the process or to the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use proptest::prelude::*;

use super::schema::SCHEMA_VERSION;
use super::*;
use crate::factors::{FactorValues, Factors};
use crate::measure::{Kind, Measure, MeasureTable};
use crate::metrics::{MetricValues, Metrics};
use crate::projection;

fn key(options: &str) -> ShardKey {
    ShardKey::new().with("options", options)
}

fn shard(source: &str, options: &str) -> Shard {
    Shard::new(Stage::Build, Partition::source(source).unwrap(), key(options))
}

fn case(id: &str) -> CaseRow {
    let member = RawMember { path: "a.zip/image.nii.gz".into(), size: 10, sha256: "ab".into(), role: "image".into() };
    CaseRow {
        case_id: id.into(),
        source: "acdc".into(),
        release: None,
        patient_id: "p1".into(),
        split: Some("train".into()),
        sequence: None,
        modality: "MRI".into(),
        raw: vec![member.clone(), RawMember { role: "mask".into(), ..member }],
        shape: vec![10, 256, 216],
        dtype: Some("int16".into()),
        spacing: Some(vec![1.25, 1.25, 10.0]),
        orientation: Some("LPS".into()),
        affine: Some(vec![1.25, 0., 0., 0., 0., 1.25, 0., 0., 0., 0., 10., 0.]),
        plane: None,
        n_slices: 10,
        kept: 9,
        dropped_slices: 1,
        dropped_masks: 2,
        placement: Some("same".into()),
        placement_error_mm: None,
        status: CaseStatus::Ok,
        reason: None,
        notes: vec!["slope 0 ignored".into()],
    }
}

fn slice(id: &str, png: Vec<u8>) -> SliceRow {
    SliceRow {
        slice_id: id.into(),
        case_id: "acdc/p1".into(),
        source: "acdc".into(),
        patient_id: "p1".into(),
        split: None,
        modality: "MRI".into(),
        plane: "axial".into(),
        slice_index: 3,
        frame: 0,
        height: 3,
        width: 4,
        channels: 1,
        spacing_row_mm: Some(1.25),
        spacing_col_mm: None,
        intensity_min: -1024.0,
        intensity_max: 3071.0,
        image: EncodedImage { bytes: png.into(), path: format!("{}.png", id.replace('/', "_")) },
        pixels_sha256: "cd".into(),
        perceptual_hash: u64::MAX,
        thumbnail: vec![7; 256].into(),
    }
}

fn mask(id: &str) -> MaskRow {
    MaskRow {
        mask_id: id.into(),
        slice_id: "acdc/p1/z0003".into(),
        case_id: "acdc/p1".into(),
        patient_id: "p1".into(),
        source: "acdc".into(),
        modality: "MRI".into(),
        object: "heart".into(),
        target: "heart-MRI".into(),
        label_value: "85".into(),
        label_name: "LV".into(),
        laterality: None,
        instance: Some(7),
        rater: None,
        excluded: false,
        exclusion_reason: None,
        area_px: 6,
        area_mm2: Some(9.4),
        bbox: [1, 0, 3, 2],
        centroid_x: 1.5,
        centroid_y: 1.0,
        components: 2,
        touches_border: true,
        mask: Rle { size: [3, 4], counts: b"353L".to_vec().into() },
    }
}

fn identity(id: &str) -> MaskIdentity {
    MaskIdentity::from(&mask(id))
}

fn factors(id: &str) -> FactorRow {
    let values = |measure: &Measure| match measure.kind {
        Kind::Number => 0.75.into(),
        Kind::NumberOrNull if measure.name == "intensity_inside" => Some(120.5).into(),
        Kind::NumberOrNull => None.into(),
        Kind::Count => 6u32.into(),
        Kind::Code => 2u8.into(),
        Kind::Word => "dice".into(),
    };
    let mask = MaskIdentity { excluded: true, ..identity(id) };
    FactorRow { mask, values: FactorValues::new(Factors::measures().map(values)) }
}

fn prediction(id: &str, candidate: u32) -> PredictionRow {
    PredictionRow {
        mask_id: id.into(),
        slice_id: "acdc/p1/z0003".into(),
        case_id: "acdc/p1".into(),
        source: "acdc".into(),
        model: "mobile_sam".into(),
        strategy: "S6".into(),
        variant: String::new(),
        points: vec![1.0, 2.5],
        point_labels: vec![1],
        r#box: (candidate != 1).then_some([1.0, 0.0, 3.0, 2.0]),
        candidate,
        predicted_iou: Some(0.875),
        stability: None,
        mask: Rle { size: [3, 4], counts: b"353L".to_vec().into() },
    }
}

fn metrics(id: &str, choice: &str) -> MetricRow {
    let values = |measure: &Measure| match measure.name {
        "hd" | "hd_cosmos" => 2.236068.into(),
        "area_difference" => (-0.02).into(),
        _ if measure.kind == Kind::Number => 0.618557.into(),
        _ => None.into(),
    };
    MetricRow {
        mask: identity(id),
        model: "mobile_sam".into(),
        strategy: "S6".into(),
        variant: String::new(),
        choice: choice.parse().unwrap(),
        candidate: 2,
        predicted_iou: None,
        empty_prediction: false,
        values: MetricValues::new(Metrics::measures().map(values)),
    }
}

/// Bytes that no compressor makes smaller, always the same.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Writes a shard of two slices with two masks each.
fn build(dataset: &Dataset, shard: &Shard) -> Receipt {
    let mut writer = dataset.begin(shard);
    writer.push(case("acdc/p1")).unwrap();
    for z in ["z0003", "z0004"] {
        writer.push(slice(&format!("acdc/p1/{z}"), noise(500, 1))).unwrap();
        writer.push(mask(&format!("acdc/p1/{z}/lv"))).unwrap();
        writer.push(mask(&format!("acdc/p1/{z}/rv"))).unwrap();
    }
    writer.count("mask_too_small", 3);
    writer.finish().unwrap()
}

fn new_dataset() -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::create(folder.path().join("dataset")).unwrap();
    (folder, dataset)
}

/// Every file of the contract with its bytes.
fn snapshot(dataset: &Dataset) -> BTreeMap<String, Vec<u8>> {
    let files = dataset.files_in("").unwrap().into_iter().filter(|path| !path.starts_with(".medcosmos/"));
    files.map(|path| (path.clone(), fs::read(dataset.path().join(path)).unwrap())).collect()
}

fn refusal(dataset: &Dataset, expected: &[Shard], verify: Verify) -> Vec<String> {
    match commit(dataset, expected, verify) {
        Err(Error::Refused { problems }) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn write_rows<R: Row + Send>(dataset: &Dataset, shard: &Shard, rows: Vec<R>) -> Receipt {
    let mut writer = dataset.begin(shard);
    rows.into_iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap()
}

fn come_back<R: Row + Send + Clone + PartialEq + std::fmt::Debug>(partition: Partition, rows: Vec<R>) {
    let (_folder, dataset) = new_dataset();
    let shard = Shard::new(Stage::Build, partition, key(""));
    write_rows(&dataset, &shard, rows.clone());
    commit(&dataset, &[shard], Verify::Full).unwrap();
    let read: Vec<R> = dataset.rows().unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(read, rows);
}

#[test]
fn rows_of_every_table_come_back() {
    let by_source = || Partition::source("acdc").unwrap();
    let by_model = || Partition::model("mobile_sam", "acdc").unwrap();
    let failed = CaseRow { raw: vec![], shape: vec![], spacing: None, notes: vec![], ..case("acdc/p2") };
    come_back(by_source(), vec![case("acdc/p1"), failed]);
    come_back(by_source(), vec![slice("a/z0", vec![]), slice("a/z1", noise(100, 1))]);
    come_back(by_source(), vec![mask("a/z0/lv"), MaskRow { instance: None, area_mm2: None, ..mask("a/z0/rv") }]);
    come_back(by_source(), vec![factors("a/z0/lv"), factors("a/z0/rv")]);
    come_back(by_model(), (0..3).map(|candidate| prediction("a/z0/lv", candidate)).collect());
    come_back(by_model(), vec![metrics("a/z0/lv", "oracle"), metrics("a/z0/lv", "score")]);
    let file = |path: &str, status, reason: Option<&str>| FileRow {
        path: path.into(),
        source: "acdc".into(),
        size: reason.is_none().then_some(12),
        status,
        reason: reason.map(String::from),
    };
    let failed = file("b\\xff\u{1b}", FileStatus::Failed, Some("damaged"));
    come_back(by_source(), vec![file("a/=1.png", FileStatus::Used, None), failed]);
    let source = SourceRow {
        source: "acdc".into(),
        name: "<b>".into(),
        release: None,
        home: String::new(),
        licence: "CC-BY-4.0".into(),
        terms: "a\nb".into(),
        share_derived: "yes".into(),
        citation: "@misc{}".into(),
        spec_sha256: "0".repeat(64),
    };
    come_back(by_source(), vec![source]);
    let leak = |kind, similarity, slice_id: Option<&str>| LeakRow {
        patient_id: "acdc/p1".into(),
        source: "acdc".into(),
        other_patient_id: "acdc/p2".into(),
        other_source: "acdc".into(),
        kind,
        slices: 3,
        similarity,
        slice_id: slice_id.map(String::from),
        other_slice_id: None,
        leak_group: "acdc/p1".into(),
    };
    come_back(by_source(), vec![leak(LeakKind::Declared, None, None), leak(LeakKind::Near, Some(0.9), Some("a/z0"))]);
    let duplicate = DuplicateRow {
        slice_id: "a/z1".into(),
        source: "acdc".into(),
        patient_id: "acdc/p1".into(),
        split: None,
        first_slice_id: "a/z0".into(),
        kind: LeakKind::Exact,
        similarity: 1.0,
        leak_group: "acdc/p1".into(),
    };
    come_back(by_source(), vec![duplicate]);
    let split = |id: &str, fold| SplitRow {
        patient_id: id.into(),
        source: "acdc".into(),
        leak_group: None,
        official_split: Some("test".into()),
        assigned_split: None,
        fold,
        n_slices: 3,
        n_masks: 9,
    };
    come_back(by_source(), vec![split("acdc/p1", Some(2)), split("acdc/p2", None)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_slices_and_predictions_come_back(
        mut ids in prop::collection::btree_set("[a-z0-9./_ä-]{0,12}", 1..150),
        texts in prop::collection::vec(prop::option::of("\\PC{0,8}"), 150),
        numbers in prop::collection::vec(prop::option::of(prop::num::f64::NORMAL | prop::num::f64::INFINITE), 150),
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 150),
    ) {
        let mut ids: Vec<String> = std::mem::take(&mut ids).into_iter().collect();
        ids.sort_by(|a, b| rows::compare_ids(a, b));
        let slices = ids.iter().enumerate().map(|(i, id)| SliceRow {
            split: texts[i].clone(),
            spacing_row_mm: numbers[i],
            intensity_min: numbers[149 - i].unwrap_or(-0.0),
            ..slice(id, bytes[i].clone())
        });
        come_back(Partition::source("acdc").unwrap(), slices.collect());
        let predictions = ids.iter().enumerate().map(|(i, id)| PredictionRow {
            points: numbers.iter().take(i % 7).flatten().copied().collect(),
            point_labels: bytes[i].clone(),
            r#box: numbers[i].map(|x| [x, 0.0, -x, 1.5]),
            stability: numbers[i].map(|x| x as f32),
            ..prediction(id, i as u32)
        });
        come_back(Partition::model("sam", "acdc").unwrap(), predictions.collect());
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let (_folder, dataset) = new_dataset();
    let receipt = build(&dataset, &shard("acdc", ""));
    let path = dataset.path().join(&receipt.files[&Table::Masks].path);
    let whole = fs::read(&path).unwrap();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    proptest!(ProptestConfig::with_cases(256), |(damage in damage)| {
        let mut content = whole.clone();
        for (index, byte) in damage {
            let i = index.index(content.len());
            content[i] = byte;
        }
        fs::write(&path, content).unwrap();
        for row in dataset.rows::<MaskRow>().unwrap() {
            let _ = row; // right, wrong or an error: the digest tells, the reader only has to survive
        }
    });
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let ((_a, first), (_b, second)) = (new_dataset(), new_dataset());
    let shards = [shard("acdc", ""), shard("chaos", "")];
    shards.iter().for_each(|shard| _ = build(&first, shard));
    commit(&first, &shards, Verify::Full).unwrap();

    // The other way round, one of them interrupted, tables filled one after the other.
    let mut killed = second.begin(&shards[1]);
    killed.push(case("acdc/p1")).unwrap();
    drop(killed);
    let mut writer = second.begin(&shards[1]);
    writer.count("mask_too_small", 1);
    ["z0003/lv", "z0003/rv", "z0004/lv", "z0004/rv"]
        .iter()
        .for_each(|m| writer.push(mask(&format!("acdc/p1/{m}"))).unwrap());
    ["z0003", "z0004"].iter().for_each(|z| writer.push(slice(&format!("acdc/p1/{z}"), noise(500, 1))).unwrap());
    writer.push(case("acdc/p1")).unwrap();
    writer.count("mask_too_small", 2);
    writer.finish().unwrap();
    build(&second, &shards[0]);
    let alone = commit(&second, &shards[1..], Verify::Quick).unwrap();
    assert_eq!(alone.shards.len(), 1, "a partition that is not named is left alone");
    commit(&second, &[shards[1].clone(), shards[0].clone()], Verify::Quick).unwrap();
    assert_eq!(snapshot(&first), snapshot(&second));
    assert_eq!(snapshot(&first).len(), 2 + 2 * 4, "head, manifest, and three tables and a receipt of each shard");
}

#[test]
fn rows_out_of_order_are_refused() {
    let (_folder, dataset) = new_dataset();
    let mut writer = dataset.begin(&shard("acdc", ""));
    writer.push(slice("acdc/p1/z0003", vec![])).unwrap();
    writer.push(slice("acdc/p1-2/z0001", vec![])).unwrap(); // after, as a path: p1-2 comes after p1
    let twice = writer.push(slice("acdc/p1-2/z0001", vec![])).unwrap_err().to_string();
    assert!(twice.contains("slices") && twice.contains("acdc/p1-2/z0001"), "{twice}");
    writer.push(slice("acdc/p1/z0009", vec![])).unwrap_err();

    let by_model = Shard::new(Stage::Predict, Partition::model("sam", "acdc").unwrap(), key(""));
    let mut writer = dataset.begin(&by_model);
    writer.push(prediction("a/z0/lv", 1)).unwrap();
    writer.push(prediction("a/z0/lv", 2)).unwrap();
    let error = writer.push(prediction("a/z0/lv", 0)).unwrap_err().to_string();
    assert!(error.contains("candidate=0") && error.contains("candidate=2"), "{error}");
}

#[test]
fn order_is_checked_across_row_groups() {
    let (_folder, dataset) = new_dataset();
    let mut writer = dataset.begin(&shard("acdc", ""));
    (0..100).for_each(|z| writer.push(slice(&format!("a/z{z:04}"), vec![])).unwrap());
    writer.push(slice("a/z0100", vec![])).unwrap(); // the first hundred are written now
    writer.push(slice("a/z0100", vec![])).unwrap_err();
}

#[test]
fn tables_are_kept_in_their_kind_of_partition() {
    let (_folder, dataset) = new_dataset();
    let error = dataset.begin(&shard("acdc", "")).push(prediction("a", 0)).unwrap_err().to_string();
    assert!(error.contains("predictions is partitioned by model"), "{error}");
}

#[test]
fn row_groups_are_small_and_binary_columns_have_no_statistics() {
    let (_folder, dataset) = new_dataset();
    let mut pictures: Vec<SliceRow> = (0..230).map(|z| slice(&format!("a/z{z:04}"), noise(50_000, z))).collect();
    pictures.push(slice("b/z0000", noise(17 << 20, 0)));
    pictures.extend((0..5).map(|z| slice(&format!("c/z{z:04}"), noise(4 << 20, z))));
    let receipt = write_rows(&dataset, &shard("acdc", ""), pictures);
    let path = dataset.path().join(&receipt.files[&Table::Slices].path);
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let file = SerializedFileReader::new_with_options(fs::File::open(&path).unwrap(), options).unwrap();
    let groups = file.metadata().row_groups();
    assert_eq!(groups.iter().map(|g| g.num_rows()).collect::<Vec<_>>(), [100, 100, 30, 1, 3, 2]);
    for group in groups {
        let column = |name: &str| group.columns().iter().find(|c| c.column_path().string() == name).unwrap();
        assert!(column("image.bytes").statistics().is_none());
        assert!(column("slice_id").statistics().unwrap().min_bytes_opt().is_some());
        assert_eq!(column("image.bytes").compressed_size(), column("image.bytes").uncompressed_size());
    }
    assert_eq!(file.metadata().file_metadata().created_by(), Some(&*format!("medcosmos schema {SCHEMA_VERSION}")));
    let picture = groups[0].columns().iter().position(|c| c.column_path().string() == "image.bytes").unwrap();
    let index = file.metadata().page_index_for_row_group(0);
    let pages = index.page_locations(picture).unwrap();
    assert_eq!(pages.len(), 100, "a page holds one picture");

    let receipt = write_rows(&dataset, &shard("acdc", "masks"), vec![mask("a/z0/lv")]);
    let file =
        SerializedFileReader::new(fs::File::open(dataset.path().join(&receipt.files[&Table::Masks].path)).unwrap());
    let file = file.unwrap();
    let column = file.metadata().row_group(0).columns().iter().find(|c| c.column_path().string() == "mask.counts");
    assert!(column.unwrap().statistics().is_none());
}

#[test]
fn a_reader_takes_only_what_it_is_asked_for() {
    let (_folder, dataset) = new_dataset();
    let name = |z: u64| format!("a/z{z:04}");
    write_rows(&dataset, &shard("acdc", "2"), (300..420).map(|z| slice(&name(z), noise(2000, z))).collect());
    write_rows(&dataset, &shard("acdc", "1"), (0..250).map(|z| slice(&name(z), noise(2000, z))).collect());
    commit(&dataset, &[shard("acdc", "1"), shard("acdc", "2")], Verify::Full).unwrap();

    let heads: Vec<SliceInfo> = dataset.rows().unwrap().collect::<Result<_>>().unwrap();
    let ids: Vec<&str> = heads.iter().map(|head| head.slice_id.as_str()).collect();
    assert_eq!(ids, (0..250).chain(300..420).map(name).collect::<Vec<_>>(), "in order across shards");

    let wanted = [0, 99, 100, 249, 260, 419, 500];
    let images = dataset.rows::<SliceImage>().unwrap().only(wanted.map(name));
    let images: Vec<SliceImage> = images.collect::<Result<_>>().unwrap();
    assert_eq!(images.iter().map(|i| i.slice_id.clone()).collect::<Vec<_>>(), [0, 99, 100, 249, 419].map(name));
    for (image, z) in images.iter().zip([0, 99, 100, 249, 419]) {
        assert_eq!(*image.image.bytes, *noise(2000, z));
    }

    projection! {
        struct Wrong of Slices { slice_id: String, height: f64 }
    }
    let error = dataset.rows::<Wrong>().unwrap().next().unwrap().err().unwrap().to_string();
    assert!(error.contains("column height: expected Float64 without nulls, found UInt32 without nulls"), "{error}");
}

#[test]
fn a_shard_is_done_once_its_receipt_and_files_agree() {
    let (_folder, dataset) = new_dataset();
    let shard = shard("acdc", "");
    assert_eq!(dataset.state(&shard, Verify::Full).unwrap(), ShardState::Missing);
    let receipt = build(&dataset, &shard);
    assert_eq!(dataset.state(&shard, Verify::Full).unwrap(), ShardState::Done(receipt.clone()));
    commit(&dataset, std::slice::from_ref(&shard), Verify::Full).unwrap();
    let before = snapshot(&dataset);

    let path = dataset.path().join(&receipt.files[&Table::Slices].path);
    let mut content = fs::read(&path).unwrap();
    content[600] ^= 1;
    fs::write(&path, &content).unwrap();
    assert_eq!(dataset.state(&shard, Verify::Quick).unwrap(), ShardState::Done(receipt.clone()));
    let ShardState::Altered(reasons) = dataset.state(&shard, Verify::Full).unwrap() else { panic!() };
    assert!(reasons.len() == 1 && reasons[0].contains("slices/source=acdc") && reasons[0].contains("SHA-256"));

    fs::write(&path, &content[..content.len() / 2]).unwrap();
    assert!(matches!(dataset.state(&shard, Verify::Quick).unwrap(), ShardState::Altered(_)));
    let error = dataset.rows::<SliceRow>().unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("bytes, but its receipt states"), "{error}");
    fs::remove_file(&path).unwrap();
    let ShardState::Altered(reasons) = dataset.state(&shard, Verify::Quick).unwrap() else { panic!() };
    assert!(reasons[0].ends_with("is missing"), "{reasons:?}");
    fs::write(dataset.path().join(shard.receipt_path()), "{").unwrap();
    assert!(matches!(dataset.state(&shard, Verify::Quick).unwrap(), ShardState::Altered(_)));

    build(&dataset, &shard);
    assert_eq!(snapshot(&dataset), before, "done again, it is what it was");
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let (_folder, dataset) = new_dataset();
    let before = snapshot(&dataset);
    let mut writer = dataset.begin(&shard("acdc", ""));
    (0..250).for_each(|z| writer.push(slice(&format!("a/z{z:04}"), noise(100, z))).unwrap());
    drop(writer);
    assert_eq!(snapshot(&dataset), before);
    assert_eq!(dataset.files_in(".medcosmos/scratch").unwrap(), [""; 0]);
}

#[test]
fn a_place_that_cannot_be_written_gives_an_error_and_no_receipt() {
    let (_folder, dataset) = new_dataset();
    fs::write(dataset.path().join("slices"), "in the way").unwrap();
    let shard = shard("acdc", "");
    let mut writer = dataset.begin(&shard);
    writer.push(slice("a/z0", vec![])).unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert!(error.contains("slices") && error.contains("cannot create the folder"), "{error}");
    let error = dataset.state(&shard, Verify::Full).unwrap_err().to_string();
    assert!(error.contains("slices: expected a folder, found a file: `medcosmos verify"), "{error}");
}

#[test]
fn two_writers_of_one_shard_do_not_meet() {
    let (_folder, dataset) = new_dataset();
    let shard = shard("acdc", "");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let dataset = Dataset::create(dataset.path()).unwrap(); // which sweeps, too
                build(&dataset, &shard)
            });
        }
    });
    commit(&dataset, &[shard], Verify::Full).unwrap();
}

#[test]
fn a_commit_names_every_fault() {
    let (_folder, dataset) = new_dataset();
    let expected = [shard("acdc", "a"), shard("acdc", "b"), shard("acdc", "c")];
    let receipt = build(&dataset, &expected[0]);
    build(&dataset, &expected[1]);
    flip(&dataset, &receipt.files[&Table::Masks].path, 100);
    fs::remove_file(dataset.path().join(&receipt.files[&Table::Cases].path)).unwrap();
    fs::write(dataset.path().join(expected[1].receipt_path()), "{}").unwrap();

    let problems = refusal(&dataset, &expected, Verify::Full);
    let has = |start: &str, path: &str| problems.iter().any(|p| p.starts_with(start) && p.contains(path));
    assert!(has("missing shard: ", &expected[2].receipt_path()), "{problems:#?}");
    assert!(has("broken receipt: ", &expected[1].receipt_path()), "{problems:#?}");
    assert!(has("altered file: ", &receipt.files[&Table::Masks].path), "{problems:#?}");
    assert!(has("missing file: ", &receipt.files[&Table::Cases].path), "{problems:#?}");
    assert_eq!(Manifest::read(&dataset).unwrap(), None);
}

/// Changes one bit of a file.
fn flip(dataset: &Dataset, path: &str, at: usize) {
    let path = dataset.path().join(path);
    let mut content = fs::read(&path).unwrap();
    content[at] ^= 1;
    fs::write(&path, content).unwrap();
}

#[test]
fn a_receipt_vouches_only_for_its_own_files() {
    let (_folder, dataset) = new_dataset();
    let shard = shard("acdc", "");
    build(&dataset, &shard);
    let path = dataset.path().join(shard.receipt_path());
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [("masks/source=acdc/", "../../"), ("\"options\": \"\"", "\"options\": \"x\""), ("acdc", "..")] {
        fs::write(&path, text.replace(from, to)).unwrap();
        let problems = refusal(&dataset, std::slice::from_ref(&shard), Verify::Quick);
        assert!(problems[0].starts_with("broken receipt"), "{problems:?}");
    }
}

#[test]
fn stages_and_sources_are_committed_one_after_the_other() {
    let (_folder, dataset) = new_dataset();
    let (acdc, chaos) = (shard("acdc", ""), shard("chaos", ""));
    build(&dataset, &acdc);
    commit(&dataset, std::slice::from_ref(&acdc), Verify::Full).unwrap();
    build(&dataset, &chaos);
    let predict = Shard::new(Stage::Predict, Partition::model("sam", "acdc").unwrap(), key(""));
    write_rows(&dataset, &predict, (0..3).map(|c| prediction("acdc/p1/z0003/lv", c)).collect());
    let partial = commit(&dataset, std::slice::from_ref(&predict), Verify::Full).unwrap();
    assert_eq!(
        (partial.shards.len(), partial.tables[&Table::Masks].rows),
        (2, 4),
        "chaos is not committed, and left alone"
    );
    let manifest = commit(&dataset, &[predict.clone(), chaos.clone()], Verify::Full).unwrap();
    assert_eq!(manifest.tables[&Table::Masks], TableTotal { files: 2, rows: 8, ..manifest.tables[&Table::Masks] });
    assert_eq!(manifest.tables[&Table::Predictions].rows, 3);
    assert_eq!(manifest.counts[&Stage::Build]["mask_too_small"], 6);
    assert_eq!(Manifest::read(&dataset).unwrap().unwrap(), manifest);
    assert_eq!(commit(&dataset, &[acdc.clone(), chaos, predict.clone()], Verify::Full).unwrap(), manifest);

    // Another stage goes on without a receipt of this one, and keeps the shard listed: whoever needs it is told.
    fs::remove_file(dataset.path().join(acdc.receipt_path())).unwrap();
    let after = commit(&dataset, std::slice::from_ref(&predict), Verify::Quick).unwrap();
    assert_eq!((&after.shards, &after.tables), (&manifest.shards, &manifest.tables));
    let error = dataset.receipts_of(Stage::Build).unwrap_err().to_string();
    assert!(error.contains("missing shard: receipts/build/source=acdc"), "{error}");
    assert_eq!(dataset.receipts_of(Stage::Predict).unwrap().len(), 1);
    assert_eq!(dataset.rows::<MaskRow>().unwrap().filter(Result::is_ok).count(), 8, "tables go by the manifest");
    build(&dataset, &acdc);
    assert_eq!(commit(&dataset, std::slice::from_ref(&acdc), Verify::Full).unwrap(), manifest);
}

#[test]
fn a_commit_sweeps_what_it_does_not_list() {
    let (_folder, dataset) = new_dataset();
    let (old, new, other) = (shard("acdc", "old"), shard("acdc", "new"), shard("chaos", ""));
    let predict = Shard::new(Stage::Predict, Partition::model("sam", "acdc").unwrap(), key(""));
    build(&dataset, &new);
    build(&dataset, &other);
    write_rows(&dataset, &predict, vec![prediction("acdc/p1/z0003/lv", 0)]);
    fs::write(dataset.path().join("masks/source=acdc/notes.txt"), "mine").unwrap();
    commit(&dataset, &[new.clone(), other.clone()], Verify::Full).unwrap();
    let wanted = snapshot(&dataset);
    assert!(wanted.keys().any(|path| path.contains("notes.txt")) && wanted.keys().any(|path| path.contains("sam")));
    // Shards of other options, committed or not, and files without a receipt.
    build(&dataset, &old);
    build(&dataset, &shard("acdc", "older"));
    fs::remove_file(dataset.path().join(shard("acdc", "older").receipt_path())).unwrap();
    commit(&dataset, std::slice::from_ref(&new), Verify::Full).unwrap();
    assert_eq!(snapshot(&dataset), wanted);
    build(&dataset, &old);
    commit(&dataset, std::slice::from_ref(&old), Verify::Full).unwrap();
    build(&dataset, &new);
    commit(&dataset, std::slice::from_ref(&new), Verify::Full).unwrap();
    assert_eq!(snapshot(&dataset), wanted);
}

#[test]
fn a_change_removes_or_parks_shards_of_other_partitions() {
    let (_folder, dataset) = new_dataset();
    let (acdc, chaos) = (shard("acdc", ""), shard("chaos", ""));
    let predict = Shard::new(Stage::Predict, Partition::model("sam", "acdc").unwrap(), key(""));
    build(&dataset, &chaos);
    commit(&dataset, std::slice::from_ref(&chaos), Verify::Full).unwrap();
    let wanted = snapshot(&dataset);
    build(&dataset, &acdc);
    let receipt = write_rows(&dataset, &predict, vec![prediction("acdc/p1/z0003/lv", 0)]);
    let all = commit(&dataset, &[acdc.clone(), predict], Verify::Full).unwrap();
    let full = snapshot(&dataset);
    let fate = |receipt: &Receipt| match (receipt.stage, receipt.source.as_str()) {
        (Stage::Predict, _) => Fate::Park,
        (_, "acdc") => Fate::Remove,
        _ => Fate::Keep,
    };
    let expected = [chaos];
    let change = Change { expected: &expected, options: BTreeMap::new(), others: &fate, verify: Verify::Quick };
    let changed = apply(&dataset, &change).unwrap();
    assert_eq!(changed.gone.len(), 2);
    let tables = |files: &BTreeMap<String, Vec<u8>>| {
        files.keys().filter(|path| !path.starts_with(".medcosmos")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(tables(&snapshot(&dataset)), tables(&wanted));
    assert_eq!(dataset.parked().unwrap(), std::slice::from_ref(&receipt));
    dataset.unpark(&receipt).unwrap();
    build(&dataset, &acdc);
    let predict = Shard::new(Stage::Predict, Partition::model("sam", "acdc").unwrap(), key(""));
    assert_eq!(commit(&dataset, &[acdc, predict], Verify::Full).unwrap(), all);
    assert_eq!(snapshot(&dataset), full);
}

#[test]
fn a_changed_bit_is_noticed_by_whoever_reads_the_column() {
    let (_folder, dataset) = new_dataset();
    let shard = shard("acdc", "");
    let receipt = build(&dataset, &shard);
    commit(&dataset, std::slice::from_ref(&shard), Verify::Full).unwrap();
    let path = &receipt.files[&Table::Masks].path;
    let size = receipt.files[&Table::Masks].bytes as usize;
    for at in 4..size {
        flip(&dataset, path, at);
        let read: Result<Vec<MaskRow>> = dataset.rows().unwrap().collect();
        assert!(matches!(read, Err(Error::Damaged { .. } | Error::Parquet { .. })), "byte {at} of {size}");
        flip(&dataset, path, at);
    }
    assert_eq!(dataset.rows::<MaskRow>().unwrap().filter(Result::is_ok).count(), 4);
    // A dataset of an earlier version has no checksums, and is read without them.
    let file = dataset.path().join(shard.receipt_path());
    for file in [file, dataset.path().join("manifest.json")] {
        let text = fs::read_to_string(&file).unwrap();
        let new = |line: &&str| line.contains("\"checksums\"") || line.starts_with("  \"sha256\"");
        let lines: Vec<&str> = text.lines().filter(|line| !new(line)).collect();
        assert!(lines.len() < text.lines().count());
        fs::write(&file, lines.join("\n")).unwrap();
    }
    assert_eq!(dataset.receipts().unwrap().len(), 1);
    assert_eq!(dataset.rows::<MaskRow>().unwrap().filter(Result::is_ok).count(), 4);
}

#[test]
fn a_repair_sweeps_leftovers_and_marks_damage() {
    let (_folder, dataset) = new_dataset();
    let (acdc, chaos, left) = (shard("acdc", ""), shard("chaos", ""), shard("acdc", "left"));
    let receipt = build(&dataset, &acdc);
    build(&dataset, &chaos);
    commit(&dataset, &[acdc.clone(), chaos.clone()], Verify::Full).unwrap();
    let sound = snapshot(&dataset);
    let repair = |predictions| {
        let found = audit(&dataset).unwrap();
        let repair = Repair::plan(&dataset, &found).unwrap();
        repair.apply(&dataset, &found, predictions).unwrap();
        repair
    };
    assert!(repair(false).is_empty());
    assert_eq!(snapshot(&dataset), sound);

    build(&dataset, &left);
    let predict = Shard::new(Stage::Predict, Partition::model("sam", "acdc").unwrap(), key(""));
    write_rows(&dataset, &predict, vec![prediction("acdc/p1/z0003/lv", 0)]);
    fs::write(dataset.path().join("receipts/.DS_Store"), "").unwrap();
    flip(&dataset, &receipt.files[&Table::Masks].path, 100);
    let done = repair(false);
    assert_eq!(done.redo, BTreeMap::from([(acdc.receipt_path(), Stage::Build)]));
    assert!(done.leftovers.contains(&left.receipt_path()) && done.foreign == ["receipts/.DS_Store"], "{done:?}");
    assert_eq!(done.predictions, BTreeMap::from([(predict.receipt_path(), 1)]));
    assert_eq!(dataset.state(&acdc, Verify::Quick).unwrap(), ShardState::Missing);
    build(&dataset, &acdc);
    commit(&dataset, std::slice::from_ref(&acdc), Verify::Full).unwrap();
    repair(true);
    fs::remove_file(dataset.path().join("receipts/.DS_Store")).unwrap();
    assert_eq!(snapshot(&dataset), sound);

    for damage in ["{", "{}"] {
        fs::write(dataset.path().join("manifest.json"), damage).unwrap();
        assert!(repair(false).manifest);
        assert_eq!(snapshot(&dataset), sound);
    }
}

#[test]
fn only_datasets_of_this_schema_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(matches!(Dataset::open(path), Err(Error::NotADataset(_))));
    Dataset::create(path).unwrap();
    Dataset::create(path).unwrap();
    let head = |text: &str| fs::write(path.join("dataset.json"), text).unwrap();
    let message = |path: &Path| Dataset::open(path).unwrap_err().to_string();
    head("{\"schema_version\": 99, \"of\": \"the future\"}");
    let expected = format!("schema version 99, but this medcosmos reads version {SCHEMA_VERSION}: use a newer");
    assert!(message(path).contains(&expected));
    head("{\"schema_version\": 0}");
    assert!(message(path).contains("build it again"));
    head("{\"schema_vers");
    assert!(matches!(Dataset::open(path), Err(Error::Damaged { .. })));

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(Dataset::create(other.path()), Err(Error::NotEmpty(_))));
}

#[test]
fn options_are_echoed_and_a_key_decides_the_id() {
    let (_folder, dataset) = new_dataset();
    let mut options = noted(&dataset, "build", &serde_json::json!({"z": 1, "a": {"y": 2, "b": 3}})).unwrap();
    options.extend(noted(&dataset, "predict", &serde_json::json!({"model": "sam"})).unwrap());
    let change = Change { expected: &[], options, others: &|_| Fate::Keep, verify: Verify::Quick };
    apply(&dataset, &change).unwrap();
    assert_eq!(dataset.options().unwrap()["build"]["a"]["b"], 3);
    let text = fs::read_to_string(dataset.path().join("manifest.json")).unwrap();
    assert!(text.find("\"a\"").unwrap() < text.find("\"z\"").unwrap(), "keys are sorted: {text}");

    let id = |key: ShardKey| Shard::new(Stage::Build, Partition::source("acdc").unwrap(), key).id().clone();
    let digests = |values: &[&str]| id(key("").with_digest_of("members", values));
    assert_eq!(id(key("").with("a", "1").with("b", "2")), id(key("").with("b", "2").with("a", "1")));
    assert_ne!(digests(&["ab", "c"]), digests(&["a", "bc"]));
    assert_ne!(id(key("")), id(key("x")));
    assert_ne!(shard("acdc", "").id(), shard("chaos", "").id());
}
