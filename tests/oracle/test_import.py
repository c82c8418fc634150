"""`import` takes in what Python writes: PNG by Pillow, COCO by pycocotools, Parquet by polars, volumes by nibabel.

The predictions of the baseline are written out in each form and taken in again under another name; the evaluation must
then give the same numbers.
"""

import contextlib
import io
import json
import shutil

import nibabel
import numpy as np
import polars as pl
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

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
    more = ["--candidates"] if write is as_coco else []
    medcosmos("import", dataset, write(dataset, tmp_path), "--model", model, "--quiet", *more)
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
    assert "none of the 30 image(s), such as elsewhere/" in done.stderr
    done = medcosmos("import", dataset, tmp_path / "absent.json", "--model", "wrong", status=1)
    assert "absent.json" in done.stderr


def test_a_list_of_results_means_what_loadres_makes_of_it(dataset, medcosmos, tmp_path):
    """The same list, in halves, read by pycocotools with the file that explains it."""
    whole = json.loads(as_coco(dataset, tmp_path).read_text())
    results = []
    for annotation in whole["annotations"]:
        pixels = coco.decode(annotation["segmentation"])
        for half in (slice(None, pixels.shape[1] // 2), slice(pixels.shape[1] // 2, None)):
            part = np.zeros_like(pixels)
            part[:, half] = pixels[:, half]
            code = coco.encode(np.asfortranarray(part))
            results.append(annotation | {"segmentation": code | {"counts": code["counts"].decode()}})
    (tmp_path / "ids.json").write_text(json.dumps(whole | {"annotations": []}))
    (tmp_path / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(tmp_path / "ids.json").loadRes(str(tmp_path / "results.json"))
    expected = {}
    for annotation in read.anns.values():
        slice_id = read.imgs[annotation["image_id"]]["file_name"].removesuffix(".png")
        key = slice_id, read.cats[annotation["category_id"]]["name"]
        expected[key] = coco.decode(annotation["segmentation"]) | expected.get(key, 0)

    medcosmos("import", dataset, tmp_path / "results.json", "--model", "list", status=1)
    done = medcosmos(
        "import", dataset, tmp_path / "results.json", "--annotations", tmp_path / "ids.json", "--model", "list"
    )
    assert "56 masks have several predictions, which are merged" in done.stdout
    labels = table(dataset, "masks").select("mask_id", "label_name")
    for row in table(dataset, "predictions", model="list").join(labels, on="mask_id").iter_rows(named=True):
        assert (decode_mask(row["mask"]) == expected[row["slice_id"], row["label_name"]]).all()


ORIENTATIONS = ["RAS", "LPS", "ASL", "SRP"]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_volumes_are_cut_as_nibabel_reads_them(orientation, measured_dataset, medcosmos, tmp_path):
    """The baseline's predictions of ACDC, painted into volumes of an orientation of their own by nibabel."""
    dataset = tmp_path / "dataset"
    shutil.copytree(measured_dataset, dataset)
    truths = table(dataset, "masks", source="acdc").select("mask_id", "slice_id", "case_id", "label_value", "mask")
    found = table(dataset, "predictions", model="otsu-box").select("mask_id", predicted="mask")
    cases = {row["case_id"]: row for row in table(dataset, "cases", source="acdc").iter_rows(named=True)}
    volumes, expected = {}, {}
    rows = list(truths.join(found, on="mask_id").sort("mask_id").iter_rows(named=True))
    for row in rows:
        volume = volumes.setdefault(row["case_id"], np.zeros(cases[row["case_id"]]["shape"], np.uint8))
        z = int(row["slice_id"].rsplit("/z")[-1])
        volume[z][decode_mask(row["predicted"])] = int(row["label_value"])
    for row in rows:
        z = int(row["slice_id"].rsplit("/z")[-1])
        mine, truth = volumes[row["case_id"]][z] == int(row["label_value"]), decode_mask(row["mask"])
        expected[row["mask_id"]] = 2 * (mine & truth).sum() / (mine.sum() + truth.sum())
    (tmp_path / "out").mkdir()
    for case, volume in volumes.items():
        affine = np.vstack([np.reshape(cases[case]["affine"], (3, 4)), [0, 0, 0, 1]])
        image = nibabel.Nifti1Image(volume.T, affine)
        wanted = nibabel.orientations.axcodes2ornt(orientation)
        turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), wanted)
        name = case.removeprefix("acdc/").replace("/", "_")
        nibabel.save(image.as_reoriented(turn), tmp_path / "out" / f"{name}.nii.gz")
    medcosmos("import", dataset, tmp_path / "out", "--model", "volumes", "--quiet", status=3)
    medcosmos("evaluate", dataset, "--quiet")
    dice = table(dataset, "metrics", model="volumes", choice="oracle").select("mask_id", "dice")
    assert {row["mask_id"]: row["dice"] for row in dice.iter_rows(named=True)} == pytest.approx(expected, abs=1e-12)
