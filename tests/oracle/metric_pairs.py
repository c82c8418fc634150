"""Pairs of masks that no data set has all of: each is taken through `build`, `import` and `evaluate`.

The same seed gives the same pairs. Of every ten one is of each kind in `KINDS`; half of the pairs have a spacing.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from scipy import ndimage

from tables import decode_mask, table

COUNT = 500
# Millimetres between rows and between columns.
SPACING = (0.5, 2.0)
KINDS = [
    "blobs", "noise", "one pixel", "border", "components", "equal", "empty prediction", "far apart", "lines", "shifted",
]  # fmt: skip

SPEC = """
slug = "pairs"
name = "Random pairs of masks"

[licence]
id = "CC0-1.0"
terms = "Drawn by a test."
share_derived = "yes"

[[release]]
name = "test"
evidence = ["pairs/{kind}_{n:ddd}_truth.png"]

[sequences]
drawn = "CT"
"""
# A spacing is of a layout.
LAYOUT = """
[[layout]]
name = "{kind}"
case = "{kind}_{{n}}"
patient = "{{n}}"

[layout.image]
path = ["pairs/{kind}_{{n:ddd}}.png"]
sequence = "drawn"
{spacing}
[[layout.mask]]
path = ["pairs/{kind}_{{n:ddd}}_truth.png"]
label = {{ name = "object", object = "liver" }}
decode = {{ kind = "binary" }}
"""


def spec() -> str:
    spacing = f"spacing_mm = [{SPACING[1]}, {SPACING[0]}, 1.0]\n"  # x, y, z
    return SPEC + LAYOUT.format(kind="plain", spacing="") + LAYOUT.format(kind="spaced", spacing=spacing)


def blob(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    wave = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 4))
    return wave > np.quantile(wave, rng.uniform(0.3, 0.95))


def pixel(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return mask


def at_border(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A rectangle in a corner, perhaps along a whole side, or the whole image."""
    mask = np.zeros(shape, bool)
    rows, columns = (rng.integers(1, side + 1) for side in shape)
    mask[:rows, :columns] = True
    return np.rot90(mask, 2 * rng.integers(2))


def components(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    seeds = rng.random(shape) < 0.02
    return ndimage.binary_dilation(seeds, iterations=int(rng.integers(1, 3))) | pixel(rng, shape)


def line(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rng.integers(shape[0])] = True
    mask[:, rng.integers(shape[1])] |= rng.random() < 0.5
    return mask


def pair(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth. The truth always has a pixel: a mask without one is no row of a dataset."""
    rng = np.random.default_rng([2304, number])
    shape = tuple(int(side) for side in rng.integers(2, 48, 2))
    if number == 0:  # the check values of the protocol
        found, true = np.zeros((2, 20, 20), bool)
        found[5:12, 5:12] = True
        true[6:14, 4:10] = True
        return found, true
    draw = {
        "blobs": blob,
        "noise": lambda rng, shape: rng.random(shape) < rng.uniform(0.05, 0.9),
        "one pixel": pixel,
        "border": at_border,
        "components": components,
        "lines": line,
    }.get(KINDS[number % len(KINDS)], blob)
    true = draw(rng, shape)
    true |= pixel(rng, shape) if not true.any() else False
    match KINDS[number % len(KINDS)]:
        case "equal":
            return true.copy(), true
        case "empty prediction":
            return np.zeros(shape, bool), true
        case "far apart":
            shape = (shape[0] + 40, shape[1] + 100)
            found, far = np.zeros((2, *shape), bool)
            found[0, rng.integers(4)] = True
            far[-true.shape[0] :, -true.shape[1] :] = true
            return found, far
        case "shifted":
            return np.roll(true, rng.integers(-4, 5, 2), (0, 1)), true
        case "one pixel":
            return (pixel if number % 40 < 20 else blob)(rng, shape), true
    found = draw(rng, shape)
    return found | (pixel(rng, shape) if not found.any() else False), true


def measured_pairs(medcosmos, folder: Path) -> list[dict]:
    """Rows of the table `metrics`, with the two masks as the program keeps them and the number of the pair."""
    raw, dataset, spec_file = folder / "raw", folder / "dataset", folder / "pairs.toml"
    (raw / "pairs").mkdir(parents=True)
    spec_file.write_text(spec())
    images, annotations = [], []
    for number in range(COUNT):
        found, true = pair(number)
        # The first pair, of the check values, has a spacing; so has every second ten.
        name = f"{'plain' if number // 10 % 2 else 'spaced'}_{number:03}"
        grey = np.arange(true.size, dtype=np.uint32).reshape(true.shape).astype(np.uint8)
        Image.fromarray(grey).save(raw / "pairs" / f"{name}.png")
        Image.fromarray(true.astype(np.uint8) * 255).save(raw / "pairs" / f"{name}_truth.png")
        images.append({"id": number, "file_name": f"pairs/{name}/z0000.png"})
        code = {"size": list(found.shape), "counts": runs(found)}
        annotations.append({"image_id": number, "category_id": 1, "segmentation": code, "score": 0.5})
    document = {"images": images, "categories": [{"id": 1, "name": "object"}], "annotations": annotations}
    (folder / "found.json").write_text(json.dumps(document))
    medcosmos("build", raw, "--out", dataset, "--spec", spec_file, "--min-area", 0, "--source", "pairs", "--quiet")
    medcosmos("import", dataset, folder / "found.json", "--model", "drawn", "--quiet")
    medcosmos("evaluate", dataset, "--quiet")

    truths = table(dataset, "masks").select("mask_id", truth="mask")
    found = table(dataset, "predictions").select("mask_id", found="mask")
    spacing = table(dataset, "slices").select("slice_id", "spacing_row_mm", "spacing_col_mm")
    metrics = table(dataset, "metrics", choice="oracle").with_columns(
        number=pl.col("slice_id").str.extract(r"_(\d{3})").cast(pl.Int32)
    )
    rows = metrics.join(truths, on="mask_id").join(found, on="mask_id").join(spacing, on="slice_id").sort("number")
    rows = rows.rows(named=True)
    assert [row["number"] for row in rows] == list(range(COUNT))
    for row in rows:
        row["found"], row["truth"] = decode_mask(row["found"]), decode_mask(row["truth"])
        drawn = pair(row["number"])
        assert np.array_equal(row["found"], drawn[0]) and np.array_equal(row["truth"], drawn[1])
        known = row["spacing_row_mm"], row["spacing_col_mm"]
        row["spacing"] = None if None in known else known
        assert row["spacing"] == (None if row["number"] // 10 % 2 else SPACING)
    return rows


def runs(mask: np.ndarray) -> list[int]:
    """COCO's code of a mask: lengths of runs, column by column, the first of background."""
    values = mask.T.ravel()
    ends = [*(np.flatnonzero(np.diff(values)) + 1), values.size]
    lengths = np.diff([0, *ends]).tolist()
    return [0, *lengths] if values[0] else lengths
