"""Every file of `samples/formats` is read as the Python reader of its container reads it, or refused with a reason.

`medcosmos inspect` gives the size, type, scaling, spacing, affine and the SHA-256 of the stored values of a file, in
the order [t, z, y, x, component]; the same digest is made of the array that nibabel (NIfTI, Analyze), SimpleITK
(MetaImage), pynrrd, pydicom, tifffile, Pillow or imagecodecs returns. Equal digests are equal voxels, all of them. What
cannot be equal is listed, with its reason, in `formats.tsv`; a file that is neither equal nor listed fails, and so does
a line of the list that fits no file. Nothing is skipped.
"""

import hashlib
import json
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pydicom
import pytest

import python_readers

# pydicom warns of what is wrong with files that are here for that reason.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

LIST = Path(__file__).with_name("formats.tsv")


def expectations() -> list[tuple[str, str]]:
    """Pattern and expectation of each line of the list."""
    lines = [line for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return [tuple(line.split("\t")[:2]) for line in lines]


def fits(name: str, pattern: str) -> bool:
    """True for the name itself, in which brackets stand for themselves, and for what the pattern matches."""
    return name == pattern or fnmatch(name, pattern)


def expectation(name: str) -> str:
    """What is expected of a file: `exact` where the list does not name it."""
    fitting = [expected for pattern, expected in expectations() if fits(name, pattern)]
    assert len(fitting) <= 1, f"{name} fits several lines"
    return fitting[0] if fitting else "exact"


@pytest.fixture(scope="module")
def formats(samples) -> Path:
    return samples / "formats"


@pytest.fixture(scope="module")
def files(formats) -> dict[str, str]:
    """Every file by its name below the folder, with what is expected of it."""
    names = [str(path.relative_to(formats)) for path in sorted(formats.rglob("*")) if path.is_file()]
    return {name: expectation(name) for name in names}


@pytest.fixture(scope="module")
def described(medcosmos, formats, files) -> dict[str, dict]:
    """What the program says of every file, all in one run."""
    done = medcosmos("inspect", "--json", *(formats / name for name in files), status=1)
    descriptions = json.loads(done.stdout)
    return dict(zip(files, descriptions, strict=True))


def digest(values: np.ndarray) -> str:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


def difference(reading: python_readers.Reading, description: dict) -> str | None:
    """What differs between a Python reading and a description, apart from the values; `None` where nothing does."""
    t, z, y, x, components = reading.values.shape
    dtype = str(reading.values.dtype.newbyteorder("="))
    expected = {"size": [x, y, z, t], "components": components, "dtype": dtype}
    expected |= {"slope": reading.slope, "intercept": reading.intercept}
    for key, value in expected.items():
        if description[key] != value:
            return f"{key}: expected {value}, found {description[key]}"
    if reading.spacing is not None:
        found = (description["spacing"] or [])[: len(reading.spacing)]
        if len(found) != len(reading.spacing) or not np.allclose(found, reading.spacing, rtol=1e-6, atol=0):
            return f"spacing: expected {reading.spacing}, found {found}"
    if reading.affine is not None:
        known = ~np.isnan(reading.affine)
        found = np.array(description["affine"] or np.full((3, 4), np.nan))
        if not np.allclose(found[known], reading.affine[known], rtol=1e-6, atol=1e-5):
            return f"affine: expected {reading.affine.tolist()}, found {found.tolist()}"
    return None


def test_images_are_read_as_python_reads_them(medcosmos, formats, files, described, tmp_path):
    wrong = {}
    for name, expected in files.items():
        if expected.startswith("refused"):
            continue
        description = described[name]
        if "error" in description:
            wrong[name] = description["error"]
            continue
        kind, _, detail = expected.partition(" ")
        if kind == "structures":
            regions = pydicom.dcmread(formats / name, force=True).StructureSetROISequence
            names = [(int(region.ROINumber), str(region.ROIName)) for region in regions]
            if [(segment["number"], segment["name"]) for segment in description["segments"]] != names:
                wrong[name] = f"structures: expected {names}, found {description['segments']}"
            continue
        try:
            reading = python_readers.read(formats / (detail if kind == "like" else name))
        except Exception as error:  # whatever a reader of another project may raise
            wrong[name] = f"read, but not by Python: {error!r}; if that is right, list it"
            continue
        wrong[name] = difference(reading, description)
        if wrong[name] or digest(reading.values) == description["samples_sha256"]:
            continue
        medcosmos("inspect", "--quiet", formats / name, "--npy", tmp_path / "values.npy")
        found = np.load(tmp_path / "values.npy").reshape(reading.values.shape)
        assert digest(found) == description["samples_sha256"], f"{name}: the array and its digest differ"
        apart = np.abs(found.astype(float) - reading.values.astype(float))
        if kind == "visible":
            apart[..., :3] *= reading.values[..., 3:] > 0
        allowed = {"within": int(detail or 0), "visible": 0}.get(kind, -1)
        if apart.max() > allowed:
            wrong[name] = f"values: {(apart > 0).mean():.2%} differ, by up to {apart.max():g}; expected {expected}"
    wrong = {name: why for name, why in wrong.items() if why}
    assert not wrong, "\n".join(f"{name}: {why}" for name, why in wrong.items())


def test_other_files_are_refused_with_one_line_that_names_the_cause(medcosmos, formats, files, described):
    refused = [name for name, expected in files.items() if expected.startswith("refused ")]
    for name in refused:
        words = files[name].removeprefix("refused ")
        assert words in described[name].get("error", "is read"), name
    done = medcosmos("inspect", *(formats / name for name in refused), status=1)
    lines = done.stderr.splitlines()
    assert len(lines) == len(refused) and not done.stdout
    for name, line in zip(refused, lines, strict=True):
        assert line == f"error: {formats / name}: {described[name]['error']}"


def test_the_exit_status_is_0_where_all_files_are_read(medcosmos, formats, files):
    medcosmos("inspect", *(formats / name for name, expected in files.items() if not expected.startswith("refused")))


def test_every_line_of_the_list_is_about_a_file(files):
    assert not [pattern for pattern, _ in expectations() if not any(fits(name, pattern) for name in files)]
