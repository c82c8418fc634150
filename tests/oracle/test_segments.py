"""Segments of DICOM segmentations, structure sets and 3D Slicer, as highdicom, pydicom and pynrrd write them: each must
come out on the pixels that it was drawn on, under its own name, or not at all.

Every object is a ball or a disc off the centre, so that a flip, a transposition or a shift by one slice shows.
"""

from pathlib import Path

import nibabel
import numpy as np
import nrrd
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tables import decode_mask, table

hd = pytest.importorskip("highdicom")
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription, Segmentation, SegmentationTypeValues  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = (48, 40, 12)  # x, y, z
SPACING = (0.8, 0.7, 3.0)
ORIGIN = (-20.0, -31.0, 100.0)  # LPS

SPEC = """slug = "t"
name = "Test"
[licence]
id = "LicenseRef-test"
terms = "Test."
share_derived = "yes"
[[release]]
name = "1"
evidence = ["IMAGE"]
[sequences]
S = "CT"
[labels.numbers]
1 = { name = "liver", object = "liver" }
2 = { name = "spleen", object = "spleen" }
[labels.organs]
Liver = { name = "liver", object = "liver" }
" spleen " = { name = "spleen", object = "spleen" }
[[layout]]
name = "cases"
case = "C{p}"
[layout.image]
path = ["IMAGE"]
sequence = "S"
plane = "z"
STACK
[[layout.mask]]
path = ["MASK"]
DECODE
"""
SEGMENTS = 'decode = { kind = "segments" }\nlabels = "organs"'
VALUES = 'labels = "numbers"'
BINARY = 'decode = { kind = "binary" }\nlabel = { name = "liver", object = "liver" }'


def ball(centre, radius):
    x, y, z = np.meshgrid(*map(np.arange, SIZE), indexing="ij")
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + 4 * (z - centre[2]) ** 2 <= radius**2


# They share pixels in slices 4 to 7, and each has slices of its own.
LIVER, SPLEEN = ball((30, 12, 4), 9), ball((24, 18, 7), 8)


def dicom_slices(folder: Path, skip=(), size=SIZE) -> list:
    """A CT series, slices from feet to head; files named against their order."""
    folder.mkdir(parents=True)
    files = []
    for z in (z for z in range(size[2]) if z not in skip):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{z + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d = FileDataset(str(folder / f"IM{99 - z:03}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        d.Modality, d.PatientID, d.SeriesInstanceUID, d.StudyInstanceUID = "CT", "P1", "1.2.3", "1.2"
        d.FrameOfReferenceUID = "1.2.9"
        for key in ("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
                    "AccessionNumber", "ReferringPhysicianName", "Manufacturer"):
            setattr(d, key, "")
        d.InstanceNumber, d.Rows, d.Columns = z + 1, size[1], size[0]
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
        d.PixelSpacing, d.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        d.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + z * SPACING[2]]
        d.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        d.RescaleSlope, d.RescaleIntercept = 1, -1024
        pixels = np.arange(size[0] * size[1]).reshape(size[1], size[0]) % 500 + 1000 + z
        d.PixelData = pixels.astype("<i2").tobytes()
        d.save_as(d.filename, enforce_file_format=True)
        files.append(d)
    return files


def description(number, label, organ):
    return SegmentDescription(number, label, codes.SCT.Tissue, organ, SegmentAlgorithmTypeValues.MANUAL)


TWO = [description(1, "LIVER ", codes.SCT.Liver), description(2, "object two", codes.SCT.Spleen)]


def segmentation(images, masks, path: Path, kind=SegmentationTypeValues.BINARY, said=TWO, **more):
    """`masks` are arrays of x, y, z."""
    pixels = np.stack([mask.transpose(2, 1, 0) for mask in masks], -1)
    pixels = pixels.astype(np.float32 if kind == SegmentationTypeValues.FRACTIONAL else np.uint8)
    if kind == SegmentationTypeValues.LABELMAP:
        pixels = sum((i + 1) * (pixels[..., i] > 0) for i in range(len(masks))).astype(np.uint8)
    seg = Segmentation(images, pixels, kind, said, "1.2.77", 2, "1.2.77.1", 1, "x", "x", "1", "1", **more)
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def spec(folder: Path, image, mask, decode, stack=""):
    text = SPEC
    for key, value in {"IMAGE": image, "MASK": mask, "DECODE": decode, "STACK": stack}.items():
        text = text.replace(key, value)
    path = folder / "spec.toml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


SERIES = ("{p:d}/image/{file}.dcm", 'stack = "file"\norder = "position"')


def build(medcosmos, folder: Path, status=0):
    return medcosmos("build", folder / "raw", "--spec", folder / "spec.toml", "--out", folder / "data", status=status)


def built(folder: Path, size=SIZE) -> dict:
    """For each label its mask as x, y, z of the image."""
    cases = table(folder / "data", "cases")
    assert cases["status"].to_list() == ["ok"], cases["reason"].to_list()
    found = {}
    for row in table(folder / "data", "masks").rows(named=True):
        volume = found.setdefault(row["label_name"], np.zeros(size, bool))
        z = int(row["slice_id"].rsplit("z", 1)[1])
        volume[:, :, z] |= decode_mask(row["mask"]).T
    return found


def kept(mask):
    """Slices of 50 pixels or fewer are dropped by the protocol."""
    return mask & (mask.sum((0, 1)) > 50)


def same(found, **expected):
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        wrong = int((found[name] != kept(mask)).sum())
        assert wrong == 0, f"{name}: {wrong} voxels differ"


def series(folder: Path, decode=SEGMENTS, **more):
    spec(folder, SERIES[0], "{p:d}/mask/seg.dcm", decode, SERIES[1])
    return dicom_slices(folder / "raw/1/image", **more)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
@pytest.mark.parametrize("sparse", [True, False])
def test_overlapping_segments_are_masks_of_their_own(medcosmos, tmp_path, kind, sparse):
    images = series(tmp_path)
    kind = SegmentationTypeValues[kind]
    segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm", kind, omit_empty_frames=sparse)
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=LIVER, spleen=SPLEEN)


def test_frames_in_any_order(medcosmos, tmp_path):
    images = series(tmp_path)
    path = segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm")
    seg = pydicom.dcmread(path)
    order = np.random.default_rng(1).permutation(int(seg.NumberOfFrames))
    pixels = seg.pixel_array[order]
    seg.PerFrameFunctionalGroupsSequence = Sequence([seg.PerFrameFunctionalGroupsSequence[i] for i in order])
    seg.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    seg.PixelData += b"\0" * (len(seg.PixelData) % 2)
    seg.save_as(path)
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=LIVER, spleen=SPLEEN)


@pytest.mark.parametrize("decode", [SEGMENTS, VALUES])
def test_label_maps(medcosmos, tmp_path, decode):
    images = series(tmp_path, decode)
    spleen = SPLEEN & ~LIVER
    segmentation(images, [LIVER, spleen], tmp_path / "raw/1/mask/seg.dcm", SegmentationTypeValues.LABELMAP)
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=LIVER, spleen=spleen)


def test_names_of_a_label_map_that_contradict_the_table_fail(medcosmos, tmp_path):
    images = series(tmp_path, VALUES)
    said = [description(1, "Spleen", codes.SCT.Spleen), description(2, "Liver", codes.SCT.Liver)]
    path = tmp_path / "raw/1/mask/seg.dcm"
    segmentation(images, [LIVER, SPLEEN & ~LIVER], path, SegmentationTypeValues.LABELMAP, said)
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert "contradict the label table" in reason and "segments" in reason, reason


def test_one_segment_is_binary_wherever_its_frames_lie(medcosmos, tmp_path):
    images = series(tmp_path, BINARY)
    segmentation(images, [SPLEEN], tmp_path / "raw/1/mask/seg.dcm", said=TWO[:1])
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=SPLEEN)


@pytest.mark.parametrize("decode", [BINARY, VALUES])
def test_two_segments_are_never_one_mask(medcosmos, tmp_path, decode):
    images = series(tmp_path, decode)
    segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm")
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert "LIVER" in reason and "object two" in reason and 'kind = "segments"' in reason, reason


def test_segments_that_the_table_does_not_have(medcosmos, tmp_path):
    images = series(tmp_path)
    said = [TWO[0], description(2, "lump", codes.SCT.Tissue)]
    segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm", said=said)
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert "lump" in reason and "not in the label table" in reason, reason
    spec(tmp_path, SERIES[0], "{p:d}/mask/seg.dcm", SEGMENTS + '\nother_labels = "ignore"', SERIES[1])
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=LIVER)
    [notes] = table(tmp_path / "data", "cases")["notes"].to_list()
    assert any("lump" in note for note in notes), notes


def test_two_segments_of_one_name(medcosmos, tmp_path):
    images = series(tmp_path)
    said = [TWO[0], description(2, "liver", codes.SCT.Spleen)]
    segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm", said=said)
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert "both match" in reason, reason


@pytest.mark.parametrize("move, word", [((0, 0, 1.4), "between its slices"), ((300, 0, 0), "do not belong together")])
def test_frames_elsewhere_are_refused(medcosmos, tmp_path, move, word):
    images = series(tmp_path)
    path = segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm")
    seg = pydicom.dcmread(path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        plane = frame.PlanePositionSequence[0]
        plane.ImagePositionPatient = [a + b for a, b in zip(plane.ImagePositionPatient, move)]
    seg.save_as(path)
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert word in reason, reason


def test_another_frame_of_reference_is_refused(medcosmos, tmp_path):
    images = series(tmp_path)
    path = segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm")
    seg = pydicom.dcmread(path)
    seg.FrameOfReferenceUID = "1.2.10"
    seg.save_as(path)
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert "1.2.10" in reason and "1.2.9" in reason, reason


def test_an_image_that_lacks_a_slice(medcosmos, tmp_path):
    images = series(tmp_path)
    segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1/mask/seg.dcm")
    Path(images[5].filename).unlink()
    build(medcosmos, tmp_path)
    left = [z for z in range(SIZE[2]) if z != 5]
    same(built(tmp_path, (*SIZE[:2], SIZE[2] - 1)), liver=LIVER[..., left], spleen=SPLEEN[..., left])


def ras(flips=(False, False, False)) -> np.ndarray:
    """The affine of the series in NIfTI, with axes turned around."""
    affine = np.eye(4)
    for axis, sign in enumerate((-1, -1, 1)):
        affine[axis, axis], affine[axis, 3] = sign * SPACING[axis], sign * ORIGIN[axis]
        if flips[axis]:
            affine[axis, 3] += affine[axis, axis] * (SIZE[axis] - 1)
            affine[axis, axis] *= -1
    return affine


FLIPS = [(False, True, False), (True, True, True), (False, False, True)]


def flipped(array, flips):
    return np.flip(array, [axis for axis in range(3) if flips[axis]])


@pytest.mark.parametrize("flips", FLIPS)
def test_a_segmentation_on_nifti(medcosmos, tmp_path, flips):
    images = dicom_slices(tmp_path / "dicom")
    segmentation(images, [LIVER, SPLEEN], tmp_path / "raw/1_seg.dcm")
    image = np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE)
    nibabel.save(nibabel.Nifti1Image(image, ras(flips)), tmp_path / "raw/1_image.nii.gz")
    spec(tmp_path, "{p:d}_image.nii.gz", "{p:d}_seg.dcm", SEGMENTS)
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=flipped(LIVER, flips), spleen=flipped(SPLEEN, flips))
    # Frames of DICOM have no order of their own.
    turned = "reordered" if flips[0] or flips[1] else "same"
    assert table(tmp_path / "data", "cases")["placement"].to_list() == [turned]


def slicer(path: Path, masks, names=("Liver", "Object 2"), values=None, affine=None, layered=True, last=False, **keys):
    """A .seg.nrrd, each mask in a layer of its own, or all in one."""
    affine = ras() if affine is None else affine
    values = values or [1] * len(masks)
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    header = {"space": "left-posterior-superior", "space origin": lps[:, 3], "encoding": "gzip"}
    directions = lps[:, :3].T
    if layered:
        data = np.stack([mask * value for mask, value in zip(masks, values)], 3 if last else 0).astype(np.uint8)
        none = np.full((1, 3), np.nan)
        header["space directions"] = np.vstack([directions, none] if last else [none, directions])
        header["kinds"] = ["domain"] * 3 + ["list"] if last else ["list"] + ["domain"] * 3
    else:
        data = sum(mask * value for mask, value in zip(masks, values)).astype(np.uint8)
        header["space directions"] = directions
        header["kinds"] = ["domain"] * 3
    for n, (name, value) in enumerate(zip(names, values)):
        organ = ("10200004", "Liver") if n == 0 else ("78961009", "Spleen")
        entry = f"TerminologyEntry:Segmentation category and type~SCT^85756007^Tissue~SCT^{organ[0]}^{organ[1]}~^^~~^^~^^|"
        header |= {f"Segment{n}_ID": f"Segment_{n + 1}", f"Segment{n}_Name": name, f"Segment{n}_Tags": entry,
                   f"Segment{n}_LabelValue": str(value), f"Segment{n}_Layer": str(n if layered else 0)}
    path.parent.mkdir(parents=True, exist_ok=True)
    nrrd.write(str(path), data, header | keys)


def nifti_with(folder: Path, decode, **more):
    image = np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE)
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(image, ras()), folder / "raw/1_image.nii.gz")
    spec(folder, "{p:d}_image.nii.gz", "{p:d}_seg.nrrd", decode)
    slicer(folder / "raw/1_seg.nrrd", **more)


@pytest.mark.parametrize("last", [False, True])
def test_layers(medcosmos, tmp_path, last):
    nifti_with(tmp_path, SEGMENTS, masks=[LIVER, SPLEEN], last=last)
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=LIVER, spleen=SPLEEN)


@pytest.mark.parametrize("decode", [VALUES, BINARY])
def test_layers_are_never_one_mask(medcosmos, tmp_path, decode):
    nifti_with(tmp_path, decode, masks=[LIVER, SPLEEN], values=[1, 2])
    build(medcosmos, tmp_path, status=3)
    [reason] = table(tmp_path / "data", "cases")["reason"].to_list()
    assert "Object 2" in reason and 'kind = "segments"' in reason, reason


@pytest.mark.parametrize("flips", FLIPS)
def test_a_cropped_and_turned_segmentation_of_slicer(medcosmos, tmp_path, flips):
    crop = (slice(10, 44), slice(2, 33), slice(0, 11))
    affine = ras()
    affine[:3, 3] += affine[:3, :3] @ [10, 2, 0]
    size = [c.stop - c.start for c in crop]
    for axis in range(3):
        if flips[axis]:
            affine[:3, 3] += affine[:3, axis] * (size[axis] - 1)
            affine[:3, axis] *= -1
    masks = [flipped(mask[crop], flips) for mask in (LIVER, SPLEEN & ~LIVER)]
    nifti_with(tmp_path, SEGMENTS, masks=masks, values=[7, 3], affine=affine, layered=False)
    build(medcosmos, tmp_path)
    same(built(tmp_path), liver=LIVER, spleen=SPLEEN & ~LIVER)


def test_numbers_by_order_of_creation(medcosmos, tmp_path):
    masks = [LIVER, SPLEEN & ~LIVER]
    nifti_with(tmp_path / "names", SEGMENTS, masks=masks, values=[2, 1], layered=False)
    build(medcosmos, tmp_path / "names")
    same(built(tmp_path / "names"), liver=masks[0], spleen=masks[1])
    nifti_with(tmp_path / "numbers", VALUES, masks=masks, values=[2, 1], layered=False)
    build(medcosmos, tmp_path / "numbers", status=3)
    [reason] = table(tmp_path / "numbers/data", "cases")["reason"].to_list()
    assert "contradict the label table" in reason, reason
    nifti_with(tmp_path / "right", VALUES, masks=masks, values=[1, 2], layered=False)
    build(medcosmos, tmp_path / "right")
    same(built(tmp_path / "right"), liver=masks[0], spleen=masks[1])


def structures(path: Path, contours: dict, series="1.2.3", kind="CLOSED_PLANAR"):
    """An RTSTRUCT: for each name contours of LPS points."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, "RTSTRUCT"
    reference, study, referenced = Dataset(), Dataset(), Dataset()
    referenced.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = Sequence([referenced])
    reference.RTReferencedStudySequence = Sequence([study])
    reference.FrameOfReferenceUID = "1.2.9"
    d.ReferencedFrameOfReferenceSequence = Sequence([reference])
    rois, drawn = [], []
    for number, (name, lines) in enumerate(contours.items(), 1):
        roi, one = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, "1.2.9"
        one.ReferencedROINumber, items = number, []
        for line in lines:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(line)
            item.ContourData = [f"{v:.3f}" for point in line for v in point]
            items.append(item)
        one.ContourSequence = Sequence(items)
        rois.append(roi)
        drawn.append(one)
    d.StructureSetROISequence, d.ROIContourSequence = Sequence(rois), Sequence(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    d.save_as(path, enforce_file_format=True)


def polygons(shape) -> list:
    """A circle for each slice, as LPS points: `shape(z)` gives centre and radius in pixels, or nothing."""
    lines = []
    for z in range(SIZE[2]):
        for x, y, r in shape(z):
            t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
            points = np.stack([x + r * np.cos(t), y + r * np.sin(t), np.full(80, z)], 1)
            lines.append(points * SPACING + ORIGIN)
    return lines


def discs(shape) -> np.ndarray:
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]), indexing="ij")
    mask = np.zeros(SIZE, bool)
    for z in range(SIZE[2]):
        for cx, cy, r in shape(z):
            mask[:, :, z] ^= (x - cx) ** 2 + (y - cy) ** 2 <= r * r
    return mask


def ring(z):
    return [(20.3, 19.6, 11.2), (22.1, 18.3, 4.4)] if 2 <= z < 9 else []


def disc(z):
    return [(33.4, 12.2, 4.5 + z / 2)] if 1 <= z < 7 else []


def near(found, expected):
    """Equal but for pixels of the border: a pixel whose four neighbours agree with it must be right."""
    wrong = found != expected
    inner = np.ones(expected.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(expected, step, axis) == expected
    assert not (wrong & inner).any(), int((wrong & inner).sum())
    assert wrong.sum() <= 0.02 * expected.sum(), int(wrong.sum())


@pytest.mark.parametrize("flips", [None, *FLIPS])
def test_structures(medcosmos, tmp_path, flips):
    lines = polygons(ring)
    lines.reverse()
    path = tmp_path / "raw/1/mask/seg.dcm"
    structures(path, {"liver": lines, "SPLEEN": polygons(disc)})
    turn = flips or (False, False, False)
    if flips is None:
        series(tmp_path)
    else:
        image = np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE)
        nibabel.save(nibabel.Nifti1Image(image, ras(flips)), tmp_path / "raw/1/image.nii.gz")
        spec(tmp_path, "{p:d}/image.nii.gz", "{p:d}/mask/seg.dcm", SEGMENTS)
    build(medcosmos, tmp_path)
    found = built(tmp_path)
    assert found.keys() == {"liver", "spleen"}
    near(found["liver"], flipped(kept(discs(ring)), turn))
    near(found["spleen"], flipped(kept(discs(disc)), turn))


def test_structures_elsewhere_and_of_other_decodes(medcosmos, tmp_path):
    path = "raw/1/mask/seg.dcm"
    away = [line + [0, 0, 500] for line in polygons(disc)]
    for name, decode, lines, word in (
        ("away", SEGMENTS, away, "do not belong together"),
        ("binary", BINARY, polygons(disc), 'kind = "segments"'),
    ):
        series(tmp_path / name, decode)
        structures(tmp_path / name / path, {"liver": lines})
        build(medcosmos, tmp_path / name, status=3)
        [reason] = table(tmp_path / name / "data", "cases")["reason"].to_list()
        assert word in reason, reason


def test_inspect_names_segments(medcosmos, tmp_path):
    images = dicom_slices(tmp_path / "dicom")
    segmentation(images, [LIVER, SPLEEN], tmp_path / "seg.dcm")
    slicer(tmp_path / "seg.nrrd", [LIVER, SPLEEN])
    structures(tmp_path / "rt.dcm", {"liver": polygons(ring), "PTV": []})
    said = medcosmos("inspect", tmp_path / "seg.dcm", tmp_path / "seg.nrrd", tmp_path / "rt.dcm").stdout
    for line in ('segment 2 "object two" (Spleen, SCT:78961009)', 'segment 1 of layer 1 "Object 2" (Spleen, SCT:78961009)',
                 'structure 2 "PTV"'):
        assert line in said, said


def test_a_dataset_json_that_contradicts_the_spec(medcosmos, tmp_path):
    for name, labels, status in (
        ("nnunet", '{"background": 0, "spleen": 2, "liver": 1, "all": [1, 2]}', 0),
        ("swapped", '{"background": 0, "spleen": 1, "liver": 2}', 3),
        ("decathlon", '{"0": "background", "1": "Liver", "2": "other"}', 0),
    ):
        folder = tmp_path / name
        nifti_with(folder, VALUES, masks=[LIVER], names=(), layered=False)
        text = (folder / "spec.toml").read_text()
        (folder / "spec.toml").write_text(text + '[[layout.list]]\npath = ["dataset.json"]\nnames = true\n')
        (folder / "raw/dataset.json").write_text('{"labels": %s, "channel_names": {"0": "CT"}}' % labels)
        build(medcosmos, folder, status=status)
        [reason] = table(folder / "data", "cases")["reason"].to_list()
        assert (reason is None) == (status == 0), reason
        if reason:
            assert "dataset.json" in reason and "contradict the spec" in reason, reason
