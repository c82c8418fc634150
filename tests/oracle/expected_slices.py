"""The slices and masks that the raw samples hold, worked out with nibabel, pydicom, tifffile and Pillow alone.

Each function knows one source from its published description: which files are images, which are masks, and what their
values mean. None of it is taken from the specs of the program.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import tifffile
from PIL import Image

MOST_PIXELS_DROPPED = 50


@dataclass
class Case:
    """One image with its masks."""

    image: Path
    """The file of the image; of a series the first one."""
    slices: np.ndarray
    """Stored values: [slice, row, column], or [slice, row, column, channel] for colour."""
    masks: dict[str, np.ndarray]
    """By object: true inside, [slice, row, column]."""

    def kept(self) -> dict[int, dict[str, np.ndarray]]:
        """What a dataset holds: by slice, the objects of more than 50 pixels; slices without any are left out."""
        slices = {}
        for index in range(len(self.slices)):
            large = {name: mask[index] for name, mask in self.masks.items() if mask[index].sum() > MOST_PIXELS_DROPPED}
            if large:
                slices[index] = large
        return slices

    def dropped_masks(self) -> int:
        """Objects that are there, but too small."""
        areas = np.array([mask.sum((1, 2)) for mask in self.masks.values()])
        return int(((areas > 0) & (areas <= MOST_PIXELS_DROPPED)).sum())


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """A slice as it is stored: 8-bit colour as it is, everything else from its minimum to its maximum, truncated."""
    if values.ndim == 3 and values.dtype == np.uint8:
        return values
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, np.uint8)
    if values.dtype.kind in "ui":
        above = values.astype(np.int64) - int(low)
        return (255 * above // (int(high) - int(low))).astype(np.uint8)
    above = values.astype(np.float64) - float(low)
    return (255 * above / (float(high) - float(low))).astype(np.uint8)


def nifti(path: Path) -> np.ndarray:
    """Stored values [z, y, x]."""
    return np.asarray(nibabel.load(path).dataobj.get_unscaled()).T


def picture(path: Path) -> np.ndarray:
    """A grey picture or indices [1, y, x], or colours [1, y, x, channel]."""
    return np.asarray(Image.open(path))[np.newaxis]


def of_labels(labels: np.ndarray, names: dict[int, str]) -> dict[str, np.ndarray]:
    return {name: labels == value for value, name in names.items()}


def acdc(raw: Path) -> Iterator[Case]:
    names = {1: "right_ventricular_cavity", 2: "left_ventricular_myocardium", 3: "left_ventricular_cavity"}
    for truth in sorted(raw.rglob("*_gt.nii.gz")):
        image = truth.with_name(truth.name.replace("_gt", ""))
        yield Case(image, nifti(image), of_labels(nifti(truth), names))


def cellseg(raw: Path) -> Iterator[Case]:
    for truth in sorted(raw.rglob("*_label.tiff")):
        (image,) = (truth.parents[1] / "images").glob(truth.name.replace("_label.tiff", ".*"))
        values = tifffile.imread(image)[np.newaxis] if image.suffix == ".tif" else picture(image)
        labels = tifffile.imread(truth)[np.newaxis]
        cells = {int(number): f"cell-{number:05}" for number in np.unique(labels) if number > 0}
        yield Case(image, values[..., :3] if values.ndim == 4 else values, of_labels(labels, cells))


def chaos(raw: Path) -> Iterator[Case]:
    """A CT is paired by the order of its files: `liver_GT_000` belongs to the first."""
    files = sorted(raw.glob("Train_Sets/CT/1/DICOM_anon/*.dcm"))
    truths = sorted(raw.glob("Train_Sets/CT/1/Ground/*.png"))
    slices = np.stack([pydicom.dcmread(file).pixel_array for file in files])
    assert len(files) == len(truths)
    yield Case(files[0], slices, {"liver": np.concatenate([picture(truth) for truth in truths]) > 0})


def chase_db1(raw: Path) -> Iterator[Case]:
    for truth in sorted(raw.rglob("*_1stHO.png")):
        image = truth.with_name(truth.name.replace("_1stHO.png", ".jpg"))
        yield Case(image, picture(image), {"retinal_vessel": picture(truth) > 0})


def drive(raw: Path) -> Iterator[Case]:
    """The first observer's GIF has a palette in which the index is the grey value."""
    for truth in sorted(raw.rglob("*_manual1.gif")):
        (image,) = (truth.parents[1] / "images").glob(f"{truth.name[:2]}_*.tif")
        vessels = np.asarray(Image.open(truth).convert("L"))[np.newaxis] >= 128
        yield Case(image, tifffile.imread(image)[np.newaxis], {"retinal_vessel": vessels})


def i2cvb(raw: Path) -> Iterator[Case]:
    """Slices run along the normal of the series; a mask belongs to the slice at its position."""

    def by_position(folder: Path) -> dict[float, tuple[Path, pydicom.Dataset]]:
        slices = {}
        for file in folder.glob("*.dcm"):
            dataset = pydicom.dcmread(file)
            across, down = np.reshape(dataset.ImageOrientationPatient, (2, 3)).astype(float)
            along = np.dot(np.cross(across, down), np.asarray(dataset.ImagePositionPatient, float))
            slices[round(float(along), 3)] = file, dataset
        return dict(sorted(slices.items()))

    names = {"prostate": "prostate", "pz": "peripheral_zone", "cg": "central_gland", "cap": "prostate_cancer"}
    for patient in sorted(raw.iterdir()):
        scan = by_position(patient / "T2W")
        values = np.stack([dataset.pixel_array for _, dataset in scan.values()])
        masks = {}
        for folder, name in names.items():
            truth = by_position(patient / "GT" / folder)
            masks[name] = np.stack([truth[along][1].pixel_array > 0 for along in scan])
        yield Case(min(file for file, _ in scan.values()), values, masks)


def idrid(raw: Path) -> Iterator[Case]:
    """One file for each kind of lesion: bits, of which 1 is painted red."""
    names = {"MA": "microaneurysms", "HE": "haemorrhages", "EX": "hard_exudates", "OD": "optic_disc"}
    (image,) = raw.rglob("IDRiD_*.jpg")
    truths = {name: tifffile.imread(next(raw.rglob(f"*_{end}.tif")))[np.newaxis] > 0 for end, name in names.items()}
    yield Case(image, picture(image), truths)


def msd(raw: Path) -> Iterator[Case]:
    names = {1: "anterior_hippocampus", 2: "posterior_hippocampus"}
    for truth in sorted(raw.glob("Task04_Hippocampus/labelsTr/*.nii.gz")):
        image = truth.parents[1] / "imagesTr" / truth.name
        yield Case(image, nifti(image), of_labels(nifti(truth), names))


def sstem(raw: Path) -> Iterator[Case]:
    labels = tifffile.imread(raw / "train-labels.tif")
    image = raw / "train-volume.tif"
    yield Case(image, tifffile.imread(image), of_labels(labels, {255: "cell_interior", 0: "membrane"}))


def cosmos_png(root: Path) -> Iterator[Case]:
    """The slices released with the paper. The JSON file of a dataset names the grey values of its labels."""
    names = {
        "22_Heart": {85: "left_ventricle", 170: "left_ventricular_myocardium", 255: "right_ventricle"},
        "6_Pancreas": {150: "pancreas", 255: "pancreatic_mass"},
    }
    for dataset, values in names.items():
        for image in sorted((root / dataset / "images").glob("*.png")):
            yield Case(image, picture(image), of_labels(picture(root / dataset / "labels" / image.name), values))


RAW_SOURCES = {
    "acdc": acdc,
    "cellseg-neurips-2022": cellseg,
    "chaos": chaos,
    "chase-db1": chase_db1,
    "drive": drive,
    "i2cvb": i2cvb,
    "idrid-2018": idrid,
    "msd": msd,
    "sstem": sstem,
}
