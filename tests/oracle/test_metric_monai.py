"""The metrics of 500 drawn pairs of masks are those of MONAI. Needs PyTorch: see .ci/run."""

import math
import os

import numpy as np
import pytest

from metric_pairs import measured_pairs

try:
    import monai.metrics as monai
    import torch
except ImportError as error:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip(f"{error} (tests/oracle/requirements-torch.txt)", allow_module_level=True)


@pytest.fixture(scope="module")
def rows(medcosmos, tmp_path_factory) -> list[dict]:
    return measured_pairs(medcosmos, tmp_path_factory.mktemp("pairs"))


def batch(mask: np.ndarray) -> torch.Tensor:
    """One picture with one class."""
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def monais(found, true, spacing) -> dict:
    """MONAI computes in single precision."""
    masks, options = (batch(found), batch(true)), {"include_background": True, "spacing": spacing}
    both = {**options, "symmetric": True}
    values = {
        "hd": monai.compute_hausdorff_distance(*masks, **options),
        "hd95_directed": monai.compute_hausdorff_distance(*masks, percentile=95, **options),
        "asd": monai.compute_average_surface_distance(*masks, **options),
        "assd": monai.compute_average_surface_distance(*masks, **both),
        "nsd": monai.compute_surface_dice(*masks, class_thresholds=[2.0], **options),
    }
    return {name: value.item() for name, value in values.items()}


def test_overlaps(rows):
    for row in rows:
        masks = batch(row["found"]), batch(row["truth"])
        assert row["dice"] == pytest.approx(monai.compute_dice(*masks).item(), rel=1e-6)
        assert row["iou"] == pytest.approx(monai.compute_iou(*masks).item(), rel=1e-6)


def test_distances(rows):
    for row in rows:
        if row["empty_prediction"]:
            continue
        for spacing, end in [((1.0, 1.0), ""), (row["spacing"], "_mm")]:
            if spacing is None:
                continue
            for name, value in monais(row["found"], row["truth"], spacing).items():
                if name + end in row:  # there is no asd_mm
                    assert row[name + end] == pytest.approx(value, rel=1e-5, abs=1e-6), (row["number"], name + end)


def test_an_empty_prediction_has_no_distance(rows):
    for row in rows:
        if row["empty_prediction"]:
            values = monais(row["found"], row["truth"], (1.0, 1.0))
            assert not any(math.isfinite(values[name]) for name in ("hd", "hd95_directed", "asd", "assd"))
            assert values["nsd"] == row["nsd"] == 0
