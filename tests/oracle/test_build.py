"""`build` makes of the raw samples the slices and masks that an independent reading of the same files gives.

`expected_slices.py` reads each source with nibabel, pydicom, tifffile and Pillow, and applies the protocol: a mask is
kept if it has more than 50 pixels, a slice if one of its masks is; a slice is stretched from its minimum to its
maximum and truncated to 8 bits. Compared are the number of slices and masks, every pixel of every slice, and every mask
with its area, box and centroid. What is known of single sources from elsewhere is checked by itself, below.
"""

from pathlib import Path

import nibabel
import numpy as np
import polars as pl
import pydicom
import pytest

import expected_slices
from tables import bounding_box, decode_mask, decode_picture, table


def compare(cases: list[expected_slices.Case], dataset: Path, root: Path, source: str) -> None:
    """Compares all that a dataset holds of a source with the cases that were read independently."""
    found_cases = table(dataset, "cases", source=source)
    found_slices = table(dataset, "slices", source=source)
    found_masks = table(dataset, "masks", source=source)
    case_of = {}
    for row in found_cases.rows(named=True):
        assert row["status"] == "ok", row["reason"]
        case_of[next(member["path"] for member in row["raw"] if member["role"] == "image")] = row
    slices, masks = 0, 0
    for case in cases:
        row = case_of.pop(str(case.image.relative_to(root)))
        kept = case.kept()
        assert row["n_slices"] == len(case.slices) and row["kept"] == len(kept), row["case_id"]
        assert row["dropped_masks"] == case.dropped_masks(), row["case_id"]
        of_case = found_slices.filter(case_id=row["case_id"])
        assert of_case["slice_index"].to_list() == list(kept)
        for slice_row in of_case.rows(named=True):
            name, index = slice_row["slice_id"], slice_row["slice_index"]
            picture = decode_picture(slice_row["image"])
            expected = expected_slices.to_8_bits(case.slices[index])
            assert picture.shape == expected.shape, name
            assert [slice_row["height"], slice_row["width"]] == list(picture.shape[:2]), name
            assert (picture == expected).all(), f"{name}: {(picture != expected).sum()} pixels differ"
            of_slice = found_masks.filter(slice_id=name)
            objects = {mask_row["mask_id"].removeprefix(name + "/"): mask_row for mask_row in of_slice.rows(named=True)}
            assert objects.keys() == kept[index].keys(), name
            for key, mask_row in objects.items():
                mask = decode_mask(mask_row["mask"])
                expected = kept[index][key]
                assert (mask == expected).all(), mask_row["mask_id"]
                assert mask_row["area_px"] == expected.sum()
                assert mask_row["bbox"] == bounding_box(expected)
                rows, columns = np.nonzero(expected)
                assert mask_row["centroid_x"] == pytest.approx(columns.mean(), rel=1e-12)
                assert mask_row["centroid_y"] == pytest.approx(rows.mean(), rel=1e-12)
            slices, masks = slices + 1, masks + len(objects)
    assert not case_of, f"cases that were not expected: {list(case_of)}"
    assert (len(found_slices), len(found_masks)) == (slices, masks)


@pytest.mark.parametrize("source", expected_slices.RAW_SOURCES)
def test_slices_and_masks_are_those_of_an_independent_reading(source, raw_dataset, samples):
    raw = samples / "raw"
    cases = list(expected_slices.RAW_SOURCES[source](raw / source))
    assert cases
    compare(cases, raw_dataset, raw, source)


def test_released_slices_come_back_as_they_were(cosmos_dataset, samples):
    root = samples / "cosmos"
    cases = list(expected_slices.cosmos_png(root))
    assert len(cases) == 30
    # Each of them spans 0 to 255, so that the stretch changes nothing.
    assert all((expected_slices.to_8_bits(case.slices[0]) == case.slices[0]).all() for case in cases)
    compare(cases, cosmos_dataset, root, "cosmos-png")


def test_no_source_is_without_an_independent_reading(raw_dataset):
    assert set(table(raw_dataset, "slices")["source"]) == set(expected_slices.RAW_SOURCES)


def test_every_raw_file_is_accounted_for(raw_dataset, samples):
    raw = samples / "raw"
    files = table(raw_dataset, "files")
    assert sorted(files["path"]) == sorted(str(path.relative_to(raw)) for path in raw.rglob("*") if path.is_file())
    assert files.filter(pl.col("reason").is_null() & (pl.col("status") != "used")).is_empty()


# ---- what is known of single sources


def masks_by_slice(dataset: Path, source: str, **equal) -> dict[str, np.ndarray]:
    rows = table(dataset, "masks", source=source, **equal).rows(named=True)
    return {row["slice_id"]: decode_mask(row["mask"]) for row in rows}


def test_chaos_masks_lie_on_liver(raw_dataset, samples):
    """Paired by ascending z instead of by the order of files, the masks would be turned over: 36 ± 248 HU."""
    files = sorted((samples / "raw/chaos").rglob("*.dcm"))
    slices = table(raw_dataset, "slices", source="chaos").rows(named=True)
    masks = masks_by_slice(raw_dataset, "chaos")
    inside = []
    for row in slices:
        dataset = pydicom.dcmread(files[row["slice_index"]])
        hounsfield = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert (row["intensity_min"], row["intensity_max"]) == (hounsfield.min(), hounsfield.max())
        inside.append(hounsfield[masks[row["slice_id"]]])
    inside = np.concatenate(inside)
    assert round(inside.mean()) == 141 and round(inside.std()) == 34


def test_i2cvb_zones_lie_in_the_prostate(raw_dataset):
    """The zones are parts of the gland. A folder paired in another order would stick out of it, by two thirds at worst;
    the cancer does so in any order."""
    gland = masks_by_slice(raw_dataset, "i2cvb", label_name="prostate")
    for name, slices in (("peripheral zone", 5), ("central gland", 3)):
        zone = masks_by_slice(raw_dataset, "i2cvb", label_name=name)
        assert len(zone) == slices
        assert not any((mask & ~gland[slice_id]).any() for slice_id, mask in zone.items())


def test_masks_of_palettes_are_thin_vessels_and_lesions(raw_dataset):
    """Taken by the brightness of their palettes, DRIVE's and IDRiD's masks would be empty or full."""
    vessels = table(raw_dataset, "masks", source="drive")
    covered = vessels["area_px"] / (565 * 584)
    assert len(vessels) == 6 and covered.is_between(0.06, 0.13).all()
    lesions = dict(table(raw_dataset, "masks", source="idrid-2018").select("label_name", "area_px").rows())
    # The published range of each kind over all 81 images.
    published = {
        "microaneurysms": (689, 38_066),
        "haemorrhages": (2_149, 1_821_322),
        "hard exudates": (2_343, 917_148),
        "optic disc": (122_675, 337_365),
    }
    assert lesions.keys() == published.keys()
    assert all(low <= lesions[name] <= high for name, (low, high) in published.items())


def test_drive_second_observer_agrees_with_the_first(medcosmos, samples, tmp_path):
    """The second observer's GIF has the indices 0 and 1, for almost black and almost white."""
    medcosmos("build", samples / "raw", "--out", tmp_path / "all", "--source", "drive", "--raters", "all", "--quiet")
    masks = table(tmp_path / "all", "masks")
    assert dict(masks["rater"].value_counts().rows()) == {"first observer": 6, "second observer": 2}
    for (slice_id,), pair in masks.group_by("slice_id"):
        if len(pair) == 2:
            first, second = (decode_mask(mask) for mask in pair["mask"])
            assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.75, slice_id


def test_acdc_spacing_is_pixdim_and_labels_are_the_organisers(raw_dataset, samples):
    """The sform says 1 mm throughout. In the heart, myocardium lies around the left cavity."""
    for row in table(raw_dataset, "cases", source="acdc").rows(named=True):
        header = nibabel.load(samples / "raw" / row["raw"][0]["path"]).header
        assert row["spacing"] == [float(zoom) for zoom in header.get_zooms()[:3]] == [1.5625, 1.5625, 10.0]
    masks = table(raw_dataset, "masks", source="acdc")
    assert set(masks.select("label_value", "object").rows()) == {
        ("1", "right ventricle"),
        ("2", "left ventricular myocardium"),
        ("3", "left ventricle"),
    }
    boxes = {(row["slice_id"], row["label_value"]): row["bbox"] for row in masks.rows(named=True)}
    cavities = [key for key in boxes if key[1] == "3"]
    assert len(cavities) > 20
    for slice_id, _ in cavities:
        cavity, muscle = boxes[slice_id, "3"], boxes[slice_id, "2"]
        assert all(muscle[i] <= cavity[i] for i in (0, 1)) and all(muscle[i] >= cavity[i] for i in (2, 3)), slice_id
    areas = masks.with_columns(area_mm2=pl.col("area_px") * 1.5625**2)
    assert areas["area_mm2"].to_list() == pytest.approx(masks["area_mm2"].to_list(), rel=1e-12)


def test_sstem_interior_is_the_larger_part(raw_dataset):
    """255 is the inside of cells, 0 the membrane between them; the two cover the image."""
    interior = masks_by_slice(raw_dataset, "sstem", object="cell interior")
    membrane = masks_by_slice(raw_dataset, "sstem", object="cell membrane")
    assert len(interior) == 30
    for slice_id, inside in interior.items():
        assert (inside ^ membrane[slice_id]).all() and inside.mean() > 0.7, slice_id
