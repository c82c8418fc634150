"""The metrics of 500 drawn pairs of masks are those of MedPy and, by definition, of scipy.

So are those of DeepMind's surface-distance where the definitions agree. MONAI, which needs PyTorch, is in
test_metric_monai.py.
"""

import numpy as np
import pytest
import surface_distance as deepmind
from medpy.metric import binary
from scipy import ndimage

from metric_pairs import COUNT, KINDS, SPACING, measured_pairs

# surface-distance calls scipy by names that will go.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

PIXEL = (1.0, 1.0)
DISTANCES = ["hd", "hd95", "hd95_directed", "asd", "assd"]
MILLIMETRES = ["hd_mm", "hd95_mm", "hd95_directed_mm", "assd_mm"]


@pytest.fixture(scope="module")
def rows(medcosmos, tmp_path_factory) -> list[dict]:
    return measured_pairs(medcosmos, tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def filled(rows) -> list[dict]:
    """The pairs whose prediction has a pixel."""
    return [row for row in rows if row["found"].any()]


def close(value: float):
    return pytest.approx(value, rel=1e-12, abs=1e-12)


def test_the_pairs_are_of_all_kinds(rows, filled):
    assert len(rows) == COUNT and len(rows) - len(filled) == COUNT // len(KINDS)
    assert sum(row["spacing"] is not None for row in rows) == COUNT // 2
    assert sum(np.array_equal(row["found"], row["truth"]) for row in rows) >= COUNT // len(KINDS)
    assert sum(row["truth"].sum() == 1 for row in rows) >= 40
    assert sum(ndimage.label(row["found"])[1] > 3 for row in rows) >= 50
    at_border = [row for row in rows if row["found"][[0, -1]].any() or row["found"][:, [0, -1]].any()]
    assert len(at_border) >= 100


def test_check_values_of_the_protocol(rows):
    row = rows[0]
    expected = {
        "dice": 0.618557, "iou": 0.447761, "hd": 2.236068, "hd95": 2, "asd": 1.318762, "assd": 1.318762,
        "hd_mm": 4.031129, "hd95_mm": 4, "assd_mm": 1.476881,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=0.51e-6)


def test_medpy(filled):
    for row in filled:
        found, true = row["found"], row["truth"]
        assert row["dice"] == binary.dc(found, true)
        assert row["iou"] == binary.jc(found, true)
        assert row["hd"] == row["hd_cosmos"] == binary.hd(found, true)
        assert row["hd95"] == close(binary.hd95(found, true))
        assert row["asd"] == close(binary.asd(found, true))
        assert row["assd"] == close(binary.assd(found, true))
        assert row["area_difference"] == close(binary.ravd(found, true))
        if spacing := row["spacing"]:
            assert row["hd_mm"] == close(binary.hd(found, true, voxelspacing=spacing))
            assert row["hd95_mm"] == close(binary.hd95(found, true, voxelspacing=spacing))
            assert row["assd_mm"] == close(binary.assd(found, true, voxelspacing=spacing))


def test_scipy(filled):
    """By definition, with scipy's erosion and distance transform."""
    for row in filled:
        for spacing, end in [(PIXEL, ""), (row["spacing"], "_mm")]:
            if spacing is None:
                assert all(row[name] is None for name in [*MILLIMETRES, "nsd_mm"])
                continue
            there, back = surface_distances(row["found"], row["truth"], spacing)
            both = np.concatenate([there, back])
            expected = {
                "hd": both.max(),
                "hd95": np.percentile(both, 95),
                "hd95_directed": max(np.percentile(there, 95), np.percentile(back, 95)),
                "assd": both.mean(),
                "nsd": (both <= 2).mean(),
            }
            for name, value in expected.items():
                assert row[name + end] == close(value), (row["number"], name + end)
            if not end:
                assert row["asd"] == close(there.mean())


def surface_distances(found, true, spacing) -> list[np.ndarray]:
    """From each surface pixel of one mask to the nearest of the other, both ways."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (found, true)]
    transforms = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    return [transforms[1][surfaces[0]], transforms[0][surfaces[1]]]


def test_the_two_percentiles_differ(filled):
    """Tools mean one or the other by HD95, and on small masks it matters which."""
    pooled, directed = (np.array([row[name] for row in filled]) for name in ("hd95", "hd95_directed"))
    assert (np.abs(pooled - directed) > 0.5).mean() > 0.2


def test_empty_predictions(rows, monkeypatch):
    """MedPy raises, DeepMind's library gives infinity. Here distances are null, and the failure is counted."""
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)  # surface-distance has it from NumPy 1
    for row in rows:
        assert row["empty_prediction"] == (not row["found"].any())
        if not row["empty_prediction"]:
            continue
        found, true = row["found"], row["truth"]
        assert all(row[name] is None for name in [*DISTANCES, *MILLIMETRES, "conformity"])
        assert row["dice"] == row["iou"] == row["nsd"] == row["boundary_iou"] == row["hd_cosmos"] == 0
        assert row["nsd_mm"] == (0 if row["spacing"] else None)
        assert row["dice"] == binary.dc(found, true) and row["iou"] == binary.jc(found, true)
        assert row["area_difference"] == binary.ravd(found, true) == -1
        with pytest.raises(RuntimeError):
            binary.hd(found, true)
        distances = deepmind.compute_surface_distances(true, found, row["spacing"] or PIXEL)
        assert deepmind.compute_robust_hausdorff(distances, 100) == np.inf
        assert deepmind.compute_surface_dice_at_tolerance(distances, 2) == 0


def test_deepminds_surface_distance(rows, filled):
    """Dice is the same. Its surface runs between the pixels, and is weighted by length.

    At 100 % both ends of the longest way may move by half the diagonal of a pixel; the other measures are not these.
    """
    for row in rows:
        assert row["dice"] == deepmind.compute_dice_coefficient(row["truth"], row["found"])
    differences = []
    for row in filled:
        spacing, end = (row["spacing"], "_mm") if row["spacing"] else (PIXEL, "")
        distances = deepmind.compute_surface_distances(row["truth"], row["found"], spacing)
        hausdorff = deepmind.compute_robust_hausdorff(distances, 100)
        assert abs(hausdorff - row["hd" + end]) <= np.hypot(*spacing) + 1e-9, row["number"]
        surface_dice = deepmind.compute_surface_dice_at_tolerance(distances, 2)
        differences.append(abs(surface_dice - row["nsd" + end]))
        if np.array_equal(row["found"], row["truth"]):
            assert hausdorff == row["hd" + end] == 0 and surface_dice == row["nsd" + end] == 1
    assert np.median(differences) < 0.05 and max(differences) > 0.05
