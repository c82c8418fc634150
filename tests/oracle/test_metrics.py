"""`evaluate` gives the metrics of MedPy and the factors of numpy, OpenCV and pyefd.

Predictions come from the baseline without weights, which makes good, bad and hardly overlapping masks. The rows of
`metrics` are compared with what MedPy 0.5 computes from the same two bitmaps, in pixels and, where the source knows its
spacing, in millimetres; the rows of `factors` with the definitions of the protocol written out with numpy, OpenCV's
contours and polygons, and pyefd's descriptors. The ten reference values of the protocol were measured before this
program was written.
"""

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pyefd
import pytest
from medpy.metric import binary
from scipy import ndimage

from tables import bounding_box, decode_mask, decode_picture, table

# ---- metrics


def surface_distances(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """From each surface pixel of the first mask to the surface of the second, in MedPy's words."""
    cross = ndimage.generate_binary_structure(2, 1)
    surface, other = (mask & ~ndimage.binary_erosion(mask, cross) for mask in (first, second))
    return ndimage.distance_transform_edt(~other, sampling=spacing)[surface]


def expected_metrics(found: np.ndarray, true: np.ndarray, spacing: tuple[float, float] | None) -> dict:
    """All metrics of a prediction that has pixels, by MedPy; those MedPy has not, by their definition."""
    # Beyond the image, and beyond the box around both masks, is outside: the rest of the image changes nothing.
    x0, y0, x1, y1 = bounding_box(found | true)
    found, true = (np.pad(mask[y0 : y1 + 1, x0 : x1 + 1], 1) for mask in (found, true))
    dice = binary.dc(found, true)
    both = [surface_distances(found, true, (1, 1)), surface_distances(true, found, (1, 1))]
    metrics = {
        "dice": dice,
        "iou": binary.jc(found, true),
        "hd": binary.hd(found, true),
        "hd_cosmos": binary.hd(found, true),
        "hd95": binary.hd95(found, true),
        "asd": binary.asd(found, true),
        "assd": binary.assd(found, true),
        "nsd": (np.concatenate(both) <= 2).mean(),
        "conformity": (3 * dice - 2) / dice if dice > 0 else None,
        "area_difference": binary.ravd(found, true),
        "hd_mm": None,
        "hd95_mm": None,
        "assd_mm": None,
        "nsd_mm": None,
    }
    if spacing:
        both = [surface_distances(found, true, spacing), surface_distances(true, found, spacing)]
        metrics["hd_mm"] = binary.hd(found, true, voxelspacing=spacing)
        metrics["hd95_mm"] = binary.hd95(found, true, voxelspacing=spacing)
        metrics["assd_mm"] = binary.assd(found, true, voxelspacing=spacing)
        metrics["nsd_mm"] = (np.concatenate(both) <= 2).mean()
    return metrics


@pytest.mark.parametrize("source", ["cosmos-png", "acdc", "cellseg-neurips-2022", "drive", "i2cvb", "msd"])
def test_metrics_are_medpys(source, cosmos_dataset, measured_dataset):
    dataset = cosmos_dataset if source == "cosmos-png" else measured_dataset
    slices = table(dataset, "slices", source=source).select("slice_id", "spacing_row_mm", "spacing_col_mm")
    truths = table(dataset, "masks", source=source).select("mask_id", truth="mask")
    predictions = table(dataset, "predictions", source=source).select("mask_id", "candidate", found="mask")
    metrics = table(dataset, "metrics", source=source)
    # One candidate for each mask, chosen in both ways.
    assert len(metrics) == 2 * len(truths) == 2 * len(predictions)
    rows = metrics.join(predictions, on=["mask_id", "candidate"]).join(truths, on="mask_id").join(slices, on="slice_id")
    assert len(rows) == len(metrics)
    expected = {}
    for row in rows.rows(named=True):
        found, true = decode_mask(row["found"]), decode_mask(row["truth"])
        assert not row["empty_prediction"] and found.any()
        if row["mask_id"] not in expected:
            spacing = row["spacing_row_mm"], row["spacing_col_mm"]
            expected[row["mask_id"]] = expected_metrics(found, true, None if None in spacing else spacing)
        for name, value in expected[row["mask_id"]].items():
            equal = None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)
            assert row[name] == equal, (row["mask_id"], name)


# ---- factors

# In the order of the protocol's first section.
MODALITIES = [
    "CT", "MRI", "T1W MRI", "T2W MRI", "ADC MRI", "Cine-MRI", "CMR", "DW MRI", "T1-Gd MRI", "T2-FLAIR MRI",
    "Histopathology", "Electron Microscopy", "Ultrasound", "X-ray", "Fundus", "Colonoscopy", "Dermoscopy", "Microscopy",
]  # fmt: skip


def mean_intensities(mask: np.ndarray, grey: np.ndarray) -> tuple[float, float | None]:
    """Mean inside, and around it in the box enlarged by a tenth of its sides, rounded outwards."""
    x0, y0, x1, y1 = bounding_box(mask)
    right, down = -(-(x1 - x0 + 1) // 10), -(-(y1 - y0 + 1) // 10)
    around = np.zeros_like(mask)
    around[max(0, y0 - down) : y1 + down + 1, max(0, x0 - right) : x1 + right + 1] = True
    around &= ~mask
    return grey[mask].mean(), grey[around].mean() if around.any() else None


def filled(contour: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [contour.astype(np.int32)], 1)
    return canvas > 0


def fourier_order(mask: np.ndarray, cap: int = 200) -> tuple[int, float, str]:
    """Order, Dice and reason at which the elliptic Fourier descriptors of the outer contour stop."""
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    areas = ndimage.sum_labels(mask, labels, range(1, n + 1))
    largest = (labels == 1 + np.argmax(areas)).astype(np.uint8)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)[:, 0].astype(float)
    # Room for low orders, which reach beyond the shape.
    extent = int(np.ptp(contour, axis=0).max()) + 8
    contour += extent - contour.min(0)
    shape = (3 * extent, 3 * extent)
    closed = np.vstack([contour, contour[:1]])
    locus = pyefd.calculate_dc_coefficients(closed)
    coefficients = pyefd.elliptic_fourier_descriptors(closed, order=cap)
    original = filled(contour, shape)
    t = np.linspace(0, 1, len(contour))
    decoded = np.tile(locus, (len(contour), 1))
    before = None
    for order, (a, b, c, d) in enumerate(coefficients, 1):
        cosine, sine = np.cos(2 * np.pi * order * t), np.sin(2 * np.pi * order * t)
        decoded += np.column_stack([a * cosine + b * sine, c * cosine + d * sine])
        shape_found = filled(np.rint(decoded), shape)
        dice = 2 * (shape_found & original).sum() / (shape_found.sum() + original.sum())
        if dice > 0.97:
            return order, dice, "dice"
        if before is not None and abs(dice - before) < 0.001:
            return order, dice, "plateau"
        before = dice
    return cap, dice, "cap"


def test_decoding_is_pyefds():
    """The loop above adds harmonic by harmonic what pyefd's own function decodes at once."""
    contour = np.array([[0.0, 0], [7, 0], [7, 3], [4, 3], [4, 9], [0, 9], [0, 0]])
    coefficients = pyefd.elliptic_fourier_descriptors(contour, order=5)
    decoded = pyefd.reconstruct_contour(coefficients, pyefd.calculate_dc_coefficients(contour), 20)
    t, n = np.linspace(0, 1, 20)[:, None], np.arange(1, 6)
    cosine, sine = np.cos(2 * np.pi * n * t), np.sin(2 * np.pi * n * t)
    a, b, c, d = coefficients.T
    by_hand = np.column_stack([(a * cosine + b * sine).sum(1), (c * cosine + d * sine).sum(1)])
    assert np.allclose(decoded, by_hand + pyefd.calculate_dc_coefficients(contour))


@pytest.mark.parametrize("which", ["cosmos_dataset", "measured_dataset"])
def test_factors_are_those_of_their_definitions(which, request):
    dataset: Path = request.getfixturevalue(which)
    factors = table(dataset, "factors")
    masks = table(dataset, "masks").select("mask_id", "mask")
    assert factors["mask_id"].to_list() == masks["mask_id"].to_list()
    rows = factors.join(masks, on="mask_id").partition_by("slice_id", as_dict=True)
    pictures = table(dataset, "slices").select("slice_id", "image").rows()
    wrong = []
    for slice_id, image in pictures:
        picture = decode_picture(image)
        # Pillow's luma, in 16 bits of fraction.
        weights = np.array([19595, 38470, 7471])
        grey = (picture @ weights + 0x8000) >> 16 if picture.ndim == 3 else picture
        for row in rows[slice_id,].rows(named=True):
            mask = decode_mask(row["mask"])
            assert row["size_px"] == mask.sum()
            x0, y0, x1, y1 = bounding_box(mask)
            sides = sorted([x1 - x0 + 1, y1 - y0 + 1])
            assert row["aspect_ratio"] == pytest.approx(sides[0] / sides[1], rel=1e-12)
            assert MODALITIES[row["modality_index"]] == row["modality"]
            inside, around = mean_intensities(mask, grey)
            assert row["intensity_inside"] == pytest.approx(inside, rel=1e-9)
            difference = None if around is None else pytest.approx(inside - around, rel=1e-9, abs=1e-9)
            assert row["intensity_difference"] == difference
            assert row["intensity_difference_abs"] == (None if around is None else abs(row["intensity_difference"]))
            order, dice, stop = fourier_order(mask)
            found = row["fourier_order"], row["fourier_stop"]
            if found != (order, stop) or row["fourier_dice"] != pytest.approx(dice, rel=1e-9):
                wrong.append((row["mask_id"], found, row["fourier_dice"], (order, stop), dice))
            assert row["boundary_complexity"] == pytest.approx(found[0] + 200 * (1 - row["fourier_dice"]), rel=1e-9)
    assert not wrong, wrong


# File, label value, area, box, aspect ratio, order / Dice / F, signed intensity difference: section 5 of the protocol.
REFERENCE_VALUES = """
22_Heart_2_8        85  3242  192,181,256,248  .9559  1 .97259  6.482  +50.650
22_Heart_2_8       170  1732  186,175,264,257  .9518  1 .98119  4.762  -32.376
22_Heart_2_8       255  1954  170,201,225,272  .7778  6 .98259  9.482  +11.523
22_Heart_3_2       255    75  145,172,159,181  .6667  5 .98667  7.667   -6.364
22_Heart_4_9       255  1456  57,75,88,146     .4444  4 .97559  8.881  +34.403
6_Pancreas_10_43_0 255  1313  204,293,259,328  .6429  4 .98326  7.349   +1.577
6_Pancreas_13_37_0 255   914  254,286,296,316  .7209  4 .98856  6.289   -2.007
6_Pancreas_17_23_0 255  6013  104,226,295,324  .5156  7 .94072 18.855   +9.591
6_Pancreas_20_43_0 255  4230  121,192,251,303  .8550  7 .97219 12.561  +16.523
6_Pancreas_21_23_0 255  2732  148,216,286,302  .6259  8 .97073 13.854   +4.576
"""


def test_reference_values_of_the_protocol(cosmos_dataset):
    masks = table(cosmos_dataset, "masks").select("mask_id", "label_value", "area_px", "bbox")
    rows = table(cosmos_dataset, "factors").join(masks, on="mask_id")
    for line in REFERENCE_VALUES.strip().splitlines():
        name, value, area, box, aspect, order, dice, complexity, difference = line.split()
        of_slice = rows.filter(pl.col("case_id").str.ends_with(f"/{name}"), label_value=value)
        (row,) = of_slice.rows(named=True)
        assert [row["area_px"], row["fourier_order"]] == [int(area), int(order)], line
        assert row["bbox"] == [int(side) for side in box.split(",")], line
        assert row["aspect_ratio"] == pytest.approx(float(aspect), abs=0.51e-4), line
        assert row["fourier_dice"] == pytest.approx(float(dice), abs=0.51e-5), line
        assert row["boundary_complexity"] == pytest.approx(float(complexity), abs=0.51e-3), line
        assert row["intensity_difference"] == pytest.approx(float(difference), abs=0.51e-3), line
