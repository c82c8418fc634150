"""What the Python readers of the field make of a file, in the shape in which `medcosmos inspect` describes it."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import nibabel
import nrrd
import numpy as np
import pydicom
import SimpleITK
import tifffile
from PIL import Image, ImageSequence

# Pictures here are at most 65537 pixels tall: no bomb.
Image.MAX_IMAGE_PIXELS = None


@dataclass
class Reading:
    """A file as a Python reader sees it."""

    values: np.ndarray
    """Stored values [t, z, y, x, component]."""
    slope: float = 1.0
    intercept: float = 0.0
    spacing: list[float] | None = None
    """Millimetres along x, y, z; as many of them as the reader knows."""
    affine: np.ndarray | None = None
    """Three rows of four: index (x, y, z) to RAS+ millimetres; not a number where the reader does not know."""


def read(path: Path) -> Reading:
    """Reads by the file's name, and files without a telling name as DICOM."""
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz", ".hdr", ".hdr.gz")):
        return read_nibabel(path)
    if name.endswith((".mha", ".mhd")):
        return read_simpleitk(path)
    if name.endswith((".nrrd", ".nhdr")):
        return read_nrrd(path)
    if name.endswith((".tif", ".tiff")):
        return Reading(read_tifffile(path))
    if name.endswith((".png", ".jpg", ".bmp", ".gif", ".ppm", ".pgm")):
        return Reading(read_picture(path))
    return read_pydicom(path)


# ---- volumes

MILLIMETRES = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}


def read_nibabel(path: Path) -> Reading:
    """NIfTI and Analyze by nibabel; lengths become millimetres, which nibabel leaves to the caller."""
    image = nibabel.load(path)
    values = image.dataobj.get_unscaled()
    components = len(values.dtype.names or "1")
    if values.dtype.names:
        values = np.stack([values[name] for name in values.dtype.names], axis=-1)
    else:
        values = values[..., np.newaxis]
    x, y, z, *rest = [*values.shape[:-1], 1, 1, 1][: max(3, values.ndim - 1)]
    # Axes beyond the third are joined in the order of storage, in which the first axis is the fastest.
    values = np.moveaxis(values, -1, 0).reshape(components, x, y, z, int(np.prod(rest)), order="F").T
    scale = 1.0
    if hasattr(image.header, "get_xyzt_units"):
        scale = MILLIMETRES[image.header.get_xyzt_units()[0]]
    affine = image.affine[:3].copy() * scale
    zooms = [float(zoom) * scale for zoom in image.header.get_zooms()[:3]]
    return Reading(values, image.dataobj.slope, image.dataobj.inter, zooms, affine)


def read_simpleitk(path: Path) -> Reading:
    """MetaImage by SimpleITK, whose world is LPS+."""
    image = SimpleITK.ReadImage(str(path))
    values = SimpleITK.GetArrayFromImage(image)
    components = image.GetNumberOfComponentsPerPixel()
    size = [*image.GetSize(), 1, 1, 1]
    values = values.reshape(-1, size[2], size[1], size[0], components)
    dimension = image.GetDimension()
    spacing = [*image.GetSpacing(), 1.0][:3]
    direction, origin = np.eye(4), np.zeros(4)
    n = min(dimension, 4)
    direction[:n, :n] = np.reshape(image.GetDirection(), (dimension, dimension))[:n, :n]
    origin[:n] = image.GetOrigin()[:n]
    return Reading(values, spacing=spacing, affine=to_ras(direction[:3, :3] * spacing, origin[:3]))


def read_nrrd(path: Path) -> Reading:
    """NRRD by pynrrd; all files here are volumes of one component in LPS+."""
    values, header = nrrd.read(str(path), index_order="C")
    assert values.ndim == 3 and header["space"] == "left-posterior-superior"
    steps = np.asarray(header["space directions"], float).T
    return Reading(
        values[np.newaxis, ..., np.newaxis],
        spacing=list(np.linalg.norm(steps, axis=0)),
        affine=to_ras(steps, np.asarray(header["space origin"], float)),
    )


def to_ras(steps: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """An affine in RAS+ from the step along each axis (columns) and the origin in LPS+."""
    return np.column_stack([steps, origin]) * np.array([[-1.0], [-1.0], [1.0]])


# ---- DICOM


def read_pydicom(path: Path) -> Reading:
    """One DICOM file by pydicom: stored values, which it turns from YBR to RGB; indices of palettes as they are."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        dataset = pydicom.dcmread(file, force=True)
    syntax = dataset.file_meta.setdefault("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
    if syntax.value == pydicom.uid.JPEGExtended12Bit:
        # pylibjpeg takes one of the two files for damaged.
        values = imagecodecs.jpeg_decode(next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)))
    else:
        values = dataset.pixel_array
    components = dataset.get("SamplesPerPixel", 1)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    values = without_padding(values.reshape(1, frames, dataset.Rows, dataset.Columns, components), dataset)
    groups = [functional_groups(dataset, frame, frames) for frame in range(frames)]
    transform = groups[0].get("PixelValueTransformationSequence", dataset)
    slope, intercept = (float(transform.get(name) or default) for name, default in RESCALE)
    reading = Reading(values, slope, intercept)
    measures = groups[0].get("PixelMeasuresSequence", dataset)
    if "PixelSpacing" in measures:
        row, column = map(float, measures.PixelSpacing)
        reading.spacing = [column, row]
        place_frames(reading, dataset, groups)
    return reading


RESCALE = (("RescaleSlope", 1), ("RescaleIntercept", 0))


def functional_groups(dataset: pydicom.Dataset, frame: int, frames: int) -> dict[str, pydicom.Dataset]:
    """The functional groups of a frame, its own before the shared ones; none where their number is another."""
    found = {}
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in [*shared, own[frame] if len(own) == frames else pydicom.Dataset()]:
        found.update({element.keyword: element.value[0] for element in groups if element.VR == "SQ" and element.value})
    return found


def place_frames(reading: Reading, dataset: pydicom.Dataset, groups: list[dict[str, pydicom.Dataset]]) -> None:
    """Gives a reading its affine, and a second stack of frames at the same positions its place along t."""
    planes = [group.get("PlaneOrientationSequence", dataset) for group in groups]
    places = [group.get("PlanePositionSequence", dataset) for group in groups]
    if len(groups) > 1 and "PlanePositionSequence" not in groups[0]:
        return
    if not all("ImageOrientationPatient" in plane for plane in planes):
        return
    if not all("ImagePositionPatient" in place for place in places):
        return
    orientations = {tuple(map(float, plane.ImageOrientationPatient)) for plane in planes}
    if len(orientations) > 1:
        return
    across, down = np.reshape(orientations.pop(), (2, 3))
    positions = np.array([list(map(float, place.ImagePositionPatient)) for place in places])
    along = np.round(positions @ np.cross(across, down), 3)
    distinct, stack, counts = np.unique(along, return_index=True, return_counts=True)
    if counts[0] > 1 and (counts == counts[0]).all():
        # By position, and among frames of one position in the order of storage: [position, time].
        order = np.argsort(along, kind="stable").reshape(len(distinct), counts[0])
        reading.values = reading.values[0][order.T]
        positions = positions[stack]
    elif len(distinct) < len(along):
        return
    column, row = reading.spacing
    steps = np.diff(positions, axis=0)
    step = np.full(3, np.nan)
    if len(steps) and np.allclose(steps, steps[0], atol=1e-3):
        step = (positions[-1] - positions[0]) / len(steps)
        reading.spacing = [column, row, float(np.linalg.norm(step))]
    elif len(steps):
        return
    reading.affine = to_ras(np.column_stack([across * column, down * row, step]), positions[0])


def without_padding(values: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Values without the bits above Bits Stored, where old overlays may lie; pydicom leaves them in."""
    stored, allocated = dataset.get("BitsStored", 0), dataset.get("BitsAllocated", 0)
    if values.dtype.kind not in "ui" or not 8 <= stored < allocated:
        return values
    shift = values.dtype.itemsize * 8 - stored
    return (values << shift) >> shift


# ---- pictures


def read_tifffile(path: Path) -> np.ndarray:
    """All pages of full size as stored: indices of palettes, MinIsWhite not inverted. CMYK of 8 bits is Pillow's RGB."""
    with tifffile.TiffFile(path) as file:
        if file.pages[0].photometric == tifffile.PHOTOMETRIC.SEPARATED and file.pages[0].dtype == np.uint8:
            values = np.asarray(Image.open(path).convert("RGB"))
            return values[np.newaxis, np.newaxis]
        pages = [page for page in file.pages if not page.is_reduced]
        # `shaped` has the axes separate samples, depth, y, x, contiguous samples; either kind of samples is one.
        arrays = [np.moveaxis(page.asarray().reshape(page.shaped)[:, 0], 0, -2) for page in pages]
        values = np.stack([array.reshape(*array.shape[:2], -1) for array in arrays])
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    return values[np.newaxis]


def read_picture(path: Path) -> np.ndarray:
    """A picture by Pillow, indices of palettes as they are; PNG of 16 bits by imagecodecs, as Pillow drops bits."""
    data = path.read_bytes()
    picture = Image.open(path)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        values = np.stack([np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(picture)])
    elif picture.format == "PNG" and data[24] == 16:
        values = imagecodecs.png_decode(data)[np.newaxis]
    elif picture.format == "PPM" and picture.mode == "I":
        values = np.asarray(picture).astype(np.uint16)[np.newaxis]
    else:
        values = np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)[np.newaxis]
    if values.dtype == bool:
        values = values.astype(np.uint8)
    return values.reshape(1, *values.shape[:3], -1)
