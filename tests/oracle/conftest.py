"""What all oracle tests share: the program under test, the sample files, and the datasets that are built once.

`MEDCOSMOS` names the program (default: the one of the dev profile), `MEDCOSMOS_SAMPLES` the folder of sample files
(default: `../shared/samples` beside the repository). Without them tests are skipped; with `CI=true` they fail.

    pip install -r tests/oracle/requirements.txt && cargo build && pytest tests/oracle
"""

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def _needed(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable) or default).resolve()
    if path.exists():
        return path
    missing = f"{path} is missing (set {variable})"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample files."""
    return _needed("MEDCOSMOS_SAMPLES", REPOSITORY / "../shared/samples")


@pytest.fixture(scope="session")
def medcosmos():
    """Runs the program; another exit status than the expected one fails, and so does a panic."""
    program = _needed("MEDCOSMOS", REPOSITORY / "target/debug/medcosmos")

    def run(*arguments, status: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
        assert "panicked" not in done.stderr, done.stderr[-4000:]
        assert done.returncode == status, (arguments[:3], done.returncode, done.stderr[-4000:])
        return done

    return run


@pytest.fixture(scope="session")
def raw_dataset(medcosmos, samples, tmp_path_factory) -> Path:
    """A dataset built from all raw samples."""
    dataset = tmp_path_factory.mktemp("raw") / "dataset"
    medcosmos("build", samples / "raw", "--out", dataset, "--quiet")
    return dataset


@pytest.fixture(scope="session")
def measured_dataset(medcosmos, samples, tmp_path_factory) -> Path:
    """Sources with and without spacing, grey and in colour, segmented by the baseline without weights and evaluated."""
    dataset = tmp_path_factory.mktemp("measured") / "dataset"
    sources = ["acdc", "cellseg-neurips-2022", "drive", "i2cvb", "msd"]
    return measure(medcosmos, samples / "raw", dataset, *(word for slug in sources for word in ("--source", slug)))


@pytest.fixture(scope="session")
def cosmos_dataset(medcosmos, samples, tmp_path_factory) -> Path:
    """The same of the slices released with the paper."""
    return measure(medcosmos, samples / "cosmos", tmp_path_factory.mktemp("cosmos") / "dataset")


def measure(medcosmos, raw: Path, dataset: Path, *options: str) -> Path:
    medcosmos("build", raw, "--out", dataset, "--quiet", *options)
    medcosmos("predict", dataset, "--model", "otsu-box", "--quiet")
    medcosmos("evaluate", dataset, "--quiet")
    return dataset
