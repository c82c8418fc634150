"""`import` takes in what Python writes: PNG by Pillow, COCO by pycocotools, Parquet by polars.

The predictions of the baseline are written out in each form and taken in again under another name; the evaluation must
then give the same numbers.
"""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pycocotools import mask as coco

from tables import decode_mask, table


@pytest.fixture(scope="module")
def dataset(cosmos_dataset, tmp_path_factory):
    copy = tmp_path_factory.mktemp("imported") / "dataset"
    shutil.copytree(cosmos_dataset, copy)
    return copy


def predictions(dataset):
    """Mask id, mask, and what the slice says of it."""
    truths = table(dataset, "masks").select("mask_id", "slice_id", "label_name", "label_value")
    found = table(dataset, "predictions", model="otsu-box").select("mask_id", "mask")
    return [(row, decode_mask(row["mask"])) for row in truths.join(found, on="mask_id").iter_rows(named=True)]


def as_pictures(dataset, folder):
    """One picture a mask for half of the slices, one a slice with the labels' values for the other half."""
    for row, mask in predictions(dataset):
        if "Heart" in row["slice_id"]:
            path = folder / f"{row['mask_id']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 200).save(path)
        else:
            path = folder / f"{row['slice_id']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * int(row["label_value"])).save(path)
    return folder


def as_coco(dataset, folder):
    """Run-length codes, with a worse second candidate for each mask."""
    rows = predictions(dataset)
    slices = sorted({row["slice_id"] for row, _ in rows})
    labels = sorted({row["label_name"] for row, _ in rows})
    annotations = []
    for row, mask in rows:
        for score, pixels in [(0.2, np.zeros_like(mask)), (0.9, mask)]:
            code = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
            code["counts"] = code["counts"].decode()
            annotations.append(
                {
                    "image_id": slices.index(row["slice_id"]),
                    "category_id": labels.index(row["label_name"]),
                    "segmentation": code,
                    "score": score,
                }
            )
    file = folder / "predictions.json"
    document = {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(slices)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels)],
        "annotations": annotations,
    }
    file.write_text(json.dumps(document))
    return file


def as_parquet(dataset, folder):
    codes = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for _, mask in predictions(dataset)]
    file = folder / "predictions.parquet"
    pl.DataFrame(
        {
            "mask_id": [row["mask_id"] for row, _ in predictions(dataset)],
            "height": [code["size"][0] for code in codes],
            "width": [code["size"][1] for code in codes],
            "counts": [code["counts"] for code in codes],
        }
    ).write_parquet(file)
    return file


@pytest.mark.parametrize("write", [as_pictures, as_coco, as_parquet])
def test_what_is_imported_is_evaluated_alike(write, dataset, medcosmos, tmp_path):
    model = write.__name__.replace("_", "-")
    medcosmos("import", dataset, write(dataset, tmp_path), "--model", model, "--quiet")
    medcosmos("evaluate", dataset, "--quiet")
    columns = ["mask_id", "dice", "hd", "hd95", "assd"]
    rows = {m: table(dataset, "metrics", model=m, choice="score") for m in ["otsu-box", model]}
    rows = {m: frame.select(columns).sort("mask_id") for m, frame in rows.items()}
    assert len(rows[model]) == 56
    assert rows[model].equals(rows["otsu-box"])
    if write is as_coco:
        kept = table(dataset, "predictions", model=model)
        assert kept.sort("mask_id", "candidate")["predicted_iou"].to_list() == pytest.approx([0.9, 0.2] * 56)


def test_what_does_not_fit_is_refused(dataset, medcosmos, tmp_path):
    file = as_coco(dataset, tmp_path)
    text = file.read_text()
    file.write_text(text.replace('"size": [', '"size": [1', 1))
    done = medcosmos("import", dataset, file, "--model", "wrong", status=1)
    assert "the prediction of cosmos-png/" in done.stderr and "height x width" in done.stderr
    file.write_text(text.replace("cosmos-png/", "elsewhere/"))
    done = medcosmos("import", dataset, file, "--model", "wrong", status=1)
    assert "none of its predictions belongs to a mask" in done.stderr
    done = medcosmos("import", dataset, tmp_path / "absent.json", "--model", "wrong", status=1)
    assert "absent.json" in done.stderr
