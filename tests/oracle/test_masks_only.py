"""Sources of which the samples hold masks and no images: the readers and the label tables hold on real files.

An image of the same grid is made beside each mask, in the layout and container of the download: dark, and bright where
the mask is. The dataset that is built is then compared, mask by mask, with the file as nibabel, SimpleITK or the
competition's own rule reads it.
"""

import csv
import io
import shutil

import nibabel
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tables import decode_mask, decode_picture, table

KEPT = 50


def compare(dataset, source, expected, plane):
    """Every mask that the dataset has of a source is one of `expected` (slice index, label value or name → bitmap), and
    all of these of more than 50 pixels are there."""
    (case,) = table(dataset, "cases", source=source).rows(named=True)
    assert case["status"] == "ok", case["reason"]
    assert case["plane"] == plane
    slices = {row["slice_id"]: row for row in table(dataset, "slices", source=source).rows(named=True)}
    wanted = {key: mask for key, mask in expected.items() if mask.sum() > KEPT}
    assert wanted, "nothing would be compared"
    found = {}
    for row in table(dataset, "masks", source=source).rows(named=True):
        key = (slices[row["slice_id"]]["slice_index"], row["label_value"])
        found[key] = row
        mask = decode_mask(row["mask"])
        assert (mask == wanted[key]).all(), row["mask_id"]
        picture = decode_picture(slices[row["slice_id"]]["image"])
        assert picture[mask].min() > picture[~mask].min(), row["mask_id"]
    assert found.keys() == wanted.keys()
    return case, found


def bright_where(labels):
    return (np.where(labels > 0, 900, -500) + np.arange(labels.shape[-1])).astype(np.int16)


def nifti_beside(mask_file, image_file):
    """Writes an image on the grid of a mask; the mask as nibabel reads it."""
    mask = nibabel.load(mask_file)
    labels = np.asarray(mask.dataobj)
    image_file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(bright_where(labels), mask.affine), image_file)
    return labels


def by_label(slices):
    return {(i, str(int(v))): part == v for i, part in enumerate(slices) for v in np.unique(part) if v}


def test_kits19(samples, medcosmos, tmp_path):
    for case in ["case_00000", "case_00015"]:
        raw, dataset = tmp_path / case / "raw", tmp_path / case / "dataset"
        source = samples / "raw/kits19/data" / case / "segmentation.nii.gz"
        folder = raw / "data" / case
        labels = nifti_beside(source, folder / "imaging.nii.gz")
        shutil.copy(source, folder)
        medcosmos("build", raw, "--out", dataset, "--quiet")
        # Slices lie along the first axis of the file; rows are the slower of the other two.
        expected = by_label([labels[x].T for x in range(labels.shape[0])])
        _, found = compare(dataset, "kits19", expected, "axial")
        objects = {key[1]: row["object"] for key, row in found.items()}
        assert objects == {"1": "kidney", "2": "kidney tumour"}


def test_verse(samples, medcosmos, tmp_path):
    raw, dataset = tmp_path / "raw/dataset-verse19training", tmp_path / "dataset"
    source = samples / "raw/verse/sub-verse004_seg-vert_msk.nii.gz"
    labels = nifti_beside(source, raw / "rawdata/sub-verse004/sub-verse004_ct.nii.gz")
    derivatives = raw / "derivatives/sub-verse004"
    derivatives.mkdir(parents=True)
    for name in ["sub-verse004_seg-vert_msk.nii.gz", "sub-verse004_seg-subreg_ctd.json"]:
        shutil.copy(source.with_name(name), derivatives)
    medcosmos("build", tmp_path / "raw", "--out", dataset, "--quiet")
    orientation = nibabel.aff2axcodes(nibabel.load(source).affine)
    axis = next(i for i, letter in enumerate(orientation) if letter in "LR")
    expected = by_label([np.take(np.rint(labels), i, axis).T for i in range(labels.shape[axis])])
    case, found = compare(dataset, "verse", expected, "sagittal")
    assert case["orientation"] == "".join(orientation)
    names = {int(key[1]): row["label_name"] for key, row in found.items()}
    assert names[20] == "vertebra L1" and names[19] == "vertebra T12" and min(names) == 16


def test_luna16(samples, medcosmos, tmp_path):
    raw, dataset = tmp_path / "raw", tmp_path / "dataset"
    shutil.copytree(samples / "raw/luna16", raw)
    (header,) = raw.rglob("*.mhd")
    mask = SimpleITK.ReadImage(header)
    labels = SimpleITK.GetArrayFromImage(mask)
    image = SimpleITK.GetImageFromArray(bright_where(labels))
    image.CopyInformation(mask)
    (raw / "subset0").mkdir()
    SimpleITK.WriteImage(image, raw / "subset0" / header.name)
    medcosmos("build", raw, "--out", dataset, "--quiet")
    expected = by_label(list(labels))
    _, found = compare(dataset, "luna16", expected, "axial")
    assert {key[1] for key in found} == {"3", "4", "5"}
    sides = {key[1]: (row["object"], row["laterality"], row["excluded"]) for key, row in found.items()}
    assert sides["3"] == ("lung", "left", False) and sides["4"] == ("lung", "right", False)
    assert sides["5"][0] == "trachea"


def test_promise12(samples, medcosmos, tmp_path):
    """Headers alone are there: voxels are made to fit them."""
    raw, dataset = tmp_path / "raw/TrainingData", tmp_path / "dataset"
    raw.mkdir(parents=True)
    labels = np.zeros((47, 512, 512), np.int8)
    labels[20:24, 200:260, 240:330] = 1
    labels[20:24, 240:260, 240:290] = 0
    for folder, name, voxels in [
        ("imgs", "Case00", bright_where(labels)),
        ("labels", "Case00_segmentation", labels),
    ]:
        text = (samples / "raw/promise12" / folder / "Case00.mhd").read_text()
        lines = [line if "ElementDataFile" not in line else f"ElementDataFile = {name}.raw" for line in text.splitlines()]
        (raw / f"{name}.mhd").write_text("\n".join(lines) + "\n")
        (raw / f"{name}.raw").write_bytes(voxels.astype("<i2" if "MET_SHORT" in text else "i1").tobytes())
    medcosmos("build", tmp_path / "raw", "--out", dataset, "--quiet")
    read = SimpleITK.ReadImage(raw / "Case00.mhd")
    case, _ = compare(dataset, "promise12", by_label(list(labels)), "axial")
    assert case["spacing"] == list(read.GetSpacing())


def competition_mask(text, width, height):
    """`rle2mask` as the competition describes it: pairs of a gap since the last run's end and a length, column by column."""
    mask = np.zeros(width * height, bool)
    numbers, at = [int(word) for word in text.split()], 0
    for gap, length in zip(numbers[::2], numbers[1::2]):
        at += gap
        mask[at : at + length] = True
        at += length
    return mask.reshape(width, height).T


def test_siim_acr(samples, medcosmos, tmp_path):
    raw, dataset = tmp_path / "raw", tmp_path / "dataset"
    text = (samples / "raw/siim-acr/train-rle-sample.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    raw.mkdir()
    shutil.copy(samples / "raw/siim-acr/train-rle-sample.csv", raw / "train-rle.csv")
    expected = {}
    for name, code in rows:
        mask = competition_mask("" if code.strip() == "-1" else code, 1024, 1024)
        expected[name] = mask
        folder = raw / "dicom-images-train" / name / "1"
        folder.mkdir(parents=True)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = name
        file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID, file.Modality = SecondaryCaptureImageStorage, name, "CR"
        file.Rows = file.Columns = 1024
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
        file.PixelData = (mask * 200 + np.arange(1024) // 32).astype(np.uint8).tobytes()
        pydicom.dcmwrite(folder / f"{name}.dcm", file)
    medcosmos("build", raw, "--out", dataset, "--quiet")
    masks = {row["case_id"].split("/")[1]: row for row in table(dataset, "masks").rows(named=True)}
    drawn = {name for name, mask in expected.items() if mask.sum() > KEPT}
    assert masks.keys() == drawn and len(drawn) >= 1
    for name in drawn:
        assert (decode_mask(masks[name]["mask"]) == expected[name]).all(), name
    cases = {row["case_id"].split("/")[1]: row["status"] for row in table(dataset, "cases").rows(named=True)}
    assert cases == {name: "ok" if name in drawn else "skipped" for name in expected}


def test_totalsegmentator(samples, medcosmos, tmp_path):
    """A kin of the dataset: the tool's own test scan with one file for each class, 77 of which are empty."""
    kin, raw, dataset = samples / "raw/totalsegmentator-kin", tmp_path / "raw", tmp_path / "dataset"
    (raw / "s0000").mkdir(parents=True)
    shutil.copy(kin / "example_ct_sm.nii.gz", raw / "s0000/ct.nii.gz")
    shutil.copytree(kin / "segmentations", raw / "s0000/segmentations")
    expected = {}
    for file in (kin / "segmentations").glob("*.nii.gz"):
        mask = np.asarray(nibabel.load(file).dataobj) > 0
        for z in range(mask.shape[2]):
            expected[z, file.name.removesuffix(".nii.gz")] = mask[:, :, z].T
    assert len(expected) == 117 * 30
    medcosmos("build", raw, "--out", dataset, "--quiet")
    wanted = {key: mask for key, mask in expected.items() if mask.sum() > KEPT}
    (case,) = table(dataset, "cases").rows(named=True)
    assert (case["status"], case["plane"]) == ("ok", "axial"), case["reason"]
    index = {row["slice_id"]: row["slice_index"] for row in table(dataset, "slices").rows(named=True)}
    found = {(index[row["slice_id"]], row["label_value"]): row for row in table(dataset, "masks").rows(named=True)}
    assert found.keys() == wanted.keys()
    for key, row in found.items():
        assert (decode_mask(row["mask"]) == wanted[key]).all(), row["mask_id"]
        side = next((side for side in ["left", "right"] if side in key[1].split("_")), None)
        assert row["laterality"] == side, row["mask_id"]
