"""What all tests of engines share: the program, phantom downloads, the datasets of one process, and places for engines.

`MEDCOSMOS` names the program (default: the one of the dev profile), `MEDCOSMOS_DOWNLOADS` phantom downloads that exist
(default: they are generated, which takes minutes in the dev profile).

    pip install -r tests/engines/requirements.txt && cargo build && pytest tests/engines -s
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PIPELINES = REPOSITORY / "pipelines"
PROGRAM = Path(os.environ.get("MEDCOSMOS") or REPOSITORY / "target/debug/medcosmos").resolve()
# Shards of a third of a second by estimate, so that a few seconds of work are many shards.
SMALL = ["--shard-seconds", "0.3"]
# Five passes of the baseline: seconds of work.
PREDICT = ["--model", "otsu-box", "--jitter", "0-10,10-20", "--seeds", "0,1"]


def missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")


def medcosmos(*words, status: int = 0) -> str:
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=600)
    assert done.returncode == status, (words, done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    return done.stdout


def files(dataset: Path) -> dict[str, bytes]:
    """The files of a dataset, without the program's own."""
    paths = (path for path in dataset.rglob("*") if path.is_file())
    inside = {path.relative_to(dataset): path for path in paths}
    return {str(name): path.read_bytes() for name, path in inside.items() if name.parts[0] != ".medcosmos"}


def assert_same(dataset: Path, reference: Path) -> None:
    """Every file has the bytes of one process's run, the manifest among them."""
    found, expected = files(dataset), files(reference)
    assert sorted(found) == sorted(expected) and "manifest.json" in found
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    # Ray's sockets need short paths.
    path = Path(tempfile.mkdtemp(prefix="mc", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def raw(folder: Path) -> Path:
    if not PROGRAM.exists():
        missing(f"{PROGRAM} (cargo build, or set MEDCOSMOS)")
    if "MEDCOSMOS_DOWNLOADS" in os.environ:
        return Path(os.environ["MEDCOSMOS_DOWNLOADS"]).resolve()
    medcosmos("demo", "--downloads", folder / "raw", "--quiet")
    return folder / "raw"


@pytest.fixture(scope="session")
def built(folder: Path, raw: Path) -> Path:
    """A dataset, not predicted yet: to be copied."""
    medcosmos("build", raw, "--out", folder / "built", "--quiet")
    return folder / "built"


@pytest.fixture(scope="session")
def predicted(folder: Path, built: Path) -> Path:
    """All passes of PREDICT, by one process."""
    medcosmos("predict", shutil.copytree(built, folder / "predicted"), *PREDICT, "--quiet")
    return folder / "predicted"


@pytest.fixture(scope="session")
def whole(folder: Path, built: Path) -> Path:
    """All stages with one pass, by one process."""
    dataset = shutil.copytree(built, folder / "whole")
    medcosmos("predict", dataset, "--model", "otsu-box", "--quiet")
    medcosmos("evaluate", dataset, "--quiet")
    return dataset


class Place:
    """A machine of its own for an engine: processes and a network with nothing but loopback, in namespaces of Linux."""

    def __init__(self) -> None:
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        unshare = ["unshare", *root, "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        # The second address: resolvers ignore names that have loopback addresses only.
        script = "ip link set lo up && ip address add 192.0.2.1/32 dev lo && echo ready && exec cat"
        # The first process of the place reads from this one, so the place ends with it, however that ends.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([*unshare, "sh", "-c", script], text=True, **pipes)
        if self.process.stdout.readline() != "ready\n":
            self.process.wait()
            missing("namespaces (unshare) and ip of iproute2")
        self.first = int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.prefix = ["nsenter", "--target", str(self.first), *user, "--net", "--mount", "--pid"]

    def start(self, *command, **options) -> subprocess.Popen:
        return subprocess.Popen([*self.prefix, *map(str, command)], **options)

    def run(self, *command) -> str:
        done = subprocess.run([*self.prefix, *map(str, command)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def path(self, path: Path) -> Path:
        """A path of the place, as this process sees it."""
        return Path(f"/proc/{self.first}/root{path}")

    def end(self) -> None:
        """The power fails: the kernel kills every process of the place."""
        self.process.kill()
        self.process.wait()


def interpreter_tool(name: str) -> str:
    """A program of the packages of this interpreter."""
    return str(Path(sys.executable).parent / name)


def descendants(pid: int) -> list[int]:
    """Processes below one, the one itself last."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += descendants(int(child))
    return [*found, pid]
