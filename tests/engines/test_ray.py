"""The driver of Ray against a cluster of a head and two nodes: without a fault, and with everything that can be killed.

Every dataset has to end with the bytes of the run by one process. `pytest -s` prints the wall time of each run beside the
ideal: the seconds of work that the receipts state, divided by the workers, and the start of the driver.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import volume
from conftest import PIPELINES, PREDICT, PROGRAM, SMALL, Place, assert_same, descendants, interpreter_tool, medcosmos

DRIVER = PIPELINES / "ray/medcosmos_ray.py"
ADDRESS = "127.0.0.1:6379"
WORKERS = 3
# Seconds that Ray and Python take before the first shard and after the last.
START = 5.0


class Cluster:
    """A head and two nodes, with a core each."""

    def __init__(self, folder: Path) -> None:
        self.place, self.folder = Place(), folder
        self.nodes: list[subprocess.Popen] = []
        self.complete()

    def complete(self) -> None:
        """Starts the nodes that are missing, one after the other: on one machine they would get into each other's way."""
        while len(self.nodes) < WORKERS:
            self.start(*([f"--address={ADDRESS}"] if self.nodes else ["--head", "--port=6379", "--include-dashboard=false"]))

    def start(self, *role: str) -> None:
        ray = [interpreter_tool("ray"), "start", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=1"]
        limits = ["--object-store-memory=80000000", "--disable-usage-stats", f"--temp-dir={self.folder}/ray"]
        # For the test that imports the driver: its workers do, too.
        environment = {**os.environ, "PYTHONPATH": str(DRIVER.parent)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        node = self.place.start(*ray, *limits, *role, env=environment, **streams)
        self.nodes.append(node)
        said = []
        for line in node.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return
        self.place.end()
        pytest.fail("".join(said))

    def kill_node(self) -> None:
        """The second node loses its power: nothing of it runs on."""
        for pid in descendants(self.nodes.pop().pid):
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        self.place.end()
        for node in self.nodes:
            node.wait()
        shutil.rmtree(self.folder / "ray", ignore_errors=True)


class Run:
    """A run of the driver."""

    def __init__(
        self,
        cluster: Cluster,
        stage: str,
        path: Path,
        *options,
        program: Path = PROGRAM,
        environment: dict | None = None,
    ) -> None:
        self.cluster, self.began = cluster, time.monotonic()
        own = [f"--address={ADDRESS}", f"--medcosmos={program}", "--", *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = cluster.place.start(sys.executable, DRIVER, stage, path, *own, env=environment, **streams)

    def await_shards(self, attempts: Path, n: int) -> None:
        """Waits until so many attempts at shards are noted."""
        while len(list(attempts.glob("*/*.json"))) < n:
            assert self.process.poll() is None and time.monotonic() - self.began < 60, self.process.stderr.read()
            time.sleep(0.05)

    def kill_one(self, words: str) -> None:
        """Kills a process of the cluster whose command line begins with these words."""
        for pid in [pid for node in self.cluster.nodes for pid in descendants(node.pid)]:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if command.startswith(words):
                os.kill(pid, signal.SIGKILL)
                return
        pytest.fail(f"no process {words}")

    def kill(self) -> None:
        for pid in descendants(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()

    def end(self, title: str, status: int = 0) -> str:
        """Waits for the end, and prints the time beside the ideal; a machine with other work is slower. Returns what the
        driver said.

        Where something is killed, Ray needs time to notice and to start another worker, and shards in hand are run again.
        """
        out, said = self.process.communicate(timeout=240)
        wall = time.monotonic() - self.began
        assert self.process.returncode == status, said[-6000:]
        work = re.search(r"(\d+) shards, ([\d.]+) s of work in ([\d.]+) s", said)
        if work:
            ideal = float(work[2]) / WORKERS + START
            print(f"\n{title}: {work[1]} shards, wall {wall:.1f} s, ideal {ideal:.1f} s, {wall - ideal:+.1f} s")
        return said


@pytest.fixture(scope="module")
def _clusters(folder: Path) -> Iterator[list[Cluster]]:
    clusters: list[Cluster] = []
    yield clusters
    for cluster in clusters:
        cluster.end()


@pytest.fixture
def cluster(_clusters: list[Cluster], folder: Path) -> Cluster:
    """One cluster for all tests; what a test has killed is started again."""
    if not _clusters:
        _clusters.append(Cluster(folder))
    _clusters[0].complete()
    return _clusters[0]


@pytest.fixture
def dataset(built: Path, folder: Path) -> Iterator[Path]:
    path = shutil.copytree(built, folder / "dataset")
    yield path
    shutil.rmtree(path)


def attempts_of(dataset: Path) -> Path:
    return dataset / ".medcosmos/attempts"


def assert_attempts(dataset: Path, killed: bool) -> None:
    """Every shard of the plan has attempts, and those of killed processes are left open. One of these may have been killed
    between the last file of its shard and its note."""
    plan = json.loads((dataset / ".medcosmos/plans/predict-otsu-box.json").read_text())
    outcomes = []
    for shard in plan["shards"]:
        attempts = [json.loads(path.read_text()) for path in (attempts_of(dataset) / shard["id"]).glob("*.json")]
        assert attempts, shard
        outcomes += [attempt["outcome"] for attempt in attempts]
    left_open = outcomes.count(None)
    assert (left_open > 0) == killed and outcomes.count("done") + left_open == len(outcomes), outcomes


def test_all_stages_without_a_fault(cluster: Cluster, raw: Path, whole: Path, folder: Path):
    dataset = folder / "stages"
    # The first run of a new cluster, which is starting its own processes.
    Run(cluster, "build", raw, "--out", dataset, "--shard-seconds", "0.05").end("build")
    Run(cluster, "predict", dataset, "--model", "otsu-box", "--shard-seconds", "0.1").end("predict")
    Run(cluster, "evaluate", dataset, *SMALL).end("evaluate")
    assert_same(dataset, whole)
    assert "0 of" in Run(cluster, "evaluate", dataset, *SMALL).end("evaluate, again")


def test_no_fault(cluster: Cluster, dataset: Path, predicted: Path):
    Run(cluster, "predict", dataset, *PREDICT, *SMALL).end("no fault")
    assert_same(dataset, predicted)
    assert_attempts(dataset, killed=False)


def test_a_worker_is_killed(cluster: Cluster, dataset: Path, predicted: Path):
    run = Run(cluster, "predict", dataset, *PREDICT, *SMALL)
    run.await_shards(attempts_of(dataset), 4)
    run.kill_one(f"{PROGRAM} worker")  # medcosmos, and its worker of Ray lives
    run.await_shards(attempts_of(dataset), 10)
    run.kill_one("ray::Worker")  # the worker of Ray, and medcosmos with it
    run.end("workers killed")
    assert_same(dataset, predicted)
    assert_attempts(dataset, killed=True)


def test_a_node_is_killed(cluster: Cluster, dataset: Path, predicted: Path):
    run = Run(cluster, "predict", dataset, *PREDICT, *SMALL)
    run.await_shards(attempts_of(dataset), 6)
    cluster.kill_node()
    run.end("node killed")
    assert_same(dataset, predicted)
    assert_attempts(dataset, killed=True)


def test_a_task_and_its_node_are_killed(cluster: Cluster, raw: Path, built: Path, folder: Path):
    dataset = folder / "rebuilt"
    run = Run(cluster, "build", raw, "--out", dataset, "--shard-seconds", "0.05")
    run.await_shards(attempts_of(dataset), 2)
    run.kill_one(f"{PROGRAM} shard")
    run.await_shards(attempts_of(dataset), 4)
    cluster.kill_node()
    run.end("task and node killed")
    assert_same(dataset, built)


def test_the_driver_is_killed_and_started_again(cluster: Cluster, dataset: Path, predicted: Path):
    run = Run(cluster, "predict", dataset, *PREDICT, *SMALL)
    run.await_shards(attempts_of(dataset), 8)
    run.kill()
    said = Run(cluster, "predict", dataset, *PREDICT, *SMALL).end("driver killed, second run")
    opened, of = re.search(r"(\d+) of (\d+) shards are open", said).groups()
    assert 0 < int(opened) < int(of), said
    assert_same(dataset, predicted)


def test_everything_is_killed_and_started_again(
    cluster: Cluster, _clusters: list[Cluster], dataset: Path, predicted: Path, folder: Path
):
    run = Run(cluster, "predict", dataset, *PREDICT, *SMALL)
    run.await_shards(attempts_of(dataset), 8)
    cluster.end()
    run.process.communicate()
    _clusters[:] = [Cluster(folder)]
    said = Run(_clusters[0], "predict", dataset, *PREDICT, *SMALL).end("everything killed, second run")
    opened, of = re.search(r"(\d+) of (\d+) shards are open", said).groups()
    assert 0 < int(opened) < int(of), said
    assert_same(dataset, predicted)
    assert_attempts(dataset, killed=True)


def test_a_shard_that_always_fails_is_named_and_the_rest_completes(cluster: Cluster, dataset: Path, predicted: Path):
    damaged = next((dataset / "slices/source=drive").glob("*.parquet"))
    sound = damaged.read_bytes()
    # Bytes of a picture, so that the table can be read and the picture cannot.
    at = sound.index(b"IDAT") + 40
    damaged.write_bytes(sound[:at] + bytes(byte ^ 0xFF for byte in sound[at : at + 64]) + sound[at + 64 :])
    manifest = (dataset / "manifest.json").read_bytes()
    said = Run(cluster, "predict", dataset, *PREDICT, *SMALL).end("a shard that always fails", status=3)
    assert "nothing is committed" in said and "drive/" in said, said
    assert (dataset / "manifest.json").read_bytes() == manifest
    # What the driver says to run lists the shards that failed, with both attempts, and no other.
    listed = json.loads(medcosmos("retry", dataset, "predict-otsu-box", "--dry-run", "--json"))["shards"]
    assert 0 < len(listed) < 5 and all("drive/" in shard["about"] for shard in listed), listed
    for shard in listed:
        assert [attempt["outcome"] for attempt in shard["attempts"]] == ["failed", "failed"]
        assert shard["id"] in said and shard["attempts"][0]["reason"] in said
    damaged.write_bytes(sound)
    Run(cluster, "predict", dataset, *PREDICT, *SMALL).end("mended")
    assert_same(dataset, predicted)


def test_two_workers_do_the_same_shards(cluster: Cluster, dataset: Path, predicted: Path):
    ids = medcosmos("plan", "predict", dataset, *PREDICT, *SMALL, "--ids").split()
    other = subprocess.Popen([PROGRAM, "shard", "run", dataset, *ids, "--threads=1"], stdout=subprocess.DEVNULL)
    run = Run(cluster, "predict", dataset, *PREDICT, *SMALL)
    assert other.wait(timeout=120) == 0
    run.process.communicate(timeout=120)
    assert run.process.returncode in (0, 1)  # 1: the other one held the dataset when this one was to commit
    attempts = [len(list(folder.iterdir())) for folder in attempts_of(dataset).iterdir()]
    assert len(attempts) == len(ids) and max(attempts) > 1, attempts
    Run(cluster, "predict", dataset, *PREDICT, *SMALL).end("two workers with the same shards, second run")
    assert_same(dataset, predicted)


def test_a_full_disk(cluster: Cluster, dataset: Path, predicted: Path, folder: Path):
    disk = folder / "disk"
    disk.mkdir()
    small = sum(path.stat().st_size for path in dataset.rglob("*")) + 400_000
    place = cluster.place
    place.run("mount", "-t", "tmpfs", "-o", f"size={small}", "tmpfs", disk)
    place.run("cp", "-r", dataset, disk / "data")
    said = Run(cluster, "predict", disk / "data", *PREDICT, *SMALL).end("full disk", status=3)
    assert "No space left" in said, said
    place.run("mount", "-o", "remount,size=200m", disk)
    Run(cluster, "predict", disk / "data", *PREDICT, *SMALL).end("full disk, made larger")
    assert_same(place.path(disk / "data"), predicted)
    place.run("umount", disk)


ONE_CALL_EACH = """
import sys, medcosmos_ray
medcosmos_ray.BUNDLE_SECONDS = 0.0
sys.exit(medcosmos_ray.main(sys.argv[1:]))
"""


def test_the_cost_of_two_thousand_empty_shards(cluster: Cluster, folder: Path):
    """Shards that are done, which medcosmos answers at once: what remains is the cost of the engine."""
    n = 2000
    volume.write_case(folder / "volume", n)
    dataset = folder / "empty"
    medcosmos("build", folder / "volume", "--out", dataset, "--quiet")
    medcosmos("predict", dataset, "--model", "otsu-box", "--quiet")
    options = ["--model", "otsu-box", "--shard-seconds", "0.000001"]
    shards = json.loads(medcosmos("plan", "predict", dataset, *options, "--json"))["shards"]
    assert len(shards) == n and all(shard["state"] == "done" for shard in shards)
    began = time.monotonic()
    ids = "".join(shard["id"] + "\n" for shard in shards)
    answers = subprocess.run([PROGRAM, "worker", dataset], input=ids, capture_output=True, text=True).stdout
    alone = time.monotonic() - began
    assert answers.count('"reused"') == n
    # A program that takes all shards for open.
    program = folder / "forgetful"
    script = f'[ "$1" = plan ] || exec {PROGRAM} "$@"\n{PROGRAM} "$@" | sed s/\\"done\\"/\\"open\\"/\n'
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    said = Run(cluster, "predict", dataset, *options, program=program).end("2,000 empty shards")
    bundles = float(re.search(r"of work in ([\d.]+) s", said)[1])
    environment = {**os.environ, "PYTHONPATH": str(DRIVER.parent)}
    own = [f"--address={ADDRESS}", f"--medcosmos={program}", "--", *options]
    driver = [sys.executable, "-c", ONE_CALL_EACH, "predict", dataset, *own]
    said = cluster.place.start(*driver, env=environment, stderr=subprocess.PIPE, text=True).communicate(timeout=120)[1]
    calls = float(re.search(r"of work in ([\d.]+) s", said)[1])
    print(
        f"\n{n} empty shards: {1e3 * alone / n:.2f} ms a shard in a worker without Ray; with Ray, and the start of actors, "
        f"{1e3 * bundles / n:.2f} ms in bundles, {1e3 * calls / n:.2f} ms in calls of their own"
    )
    assert calls / n < 0.05


@pytest.mark.skipif("MEDCOSMOS_PACKAGES" not in os.environ, reason="MEDCOSMOS_PACKAGES: packages of setup")
def test_mobile_sam(cluster: Cluster, dataset: Path, built: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A model that is worth keeping warm; encoder and decoder run on one thread, as in one process."""
    monkeypatch.setenv("MEDCOSMOS_CACHE", str(folder / "cache"))
    medcosmos("setup")
    options = ["--strategies", "S5", "--limit", "6"]
    alone = shutil.copytree(built, folder / "alone")
    medcosmos("predict", alone, *options, "--quiet")
    # Nodes have their environment from the time when they started.
    program = folder / "with-cache"
    program.write_text(f'#!/bin/sh\nMEDCOSMOS_CACHE={folder}/cache exec {PROGRAM} "$@"\n')
    program.chmod(0o755)
    Run(cluster, "predict", dataset, *options, "--shard-seconds", "2", program=program).end("MobileSAM")
    assert_same(dataset, alone)


def test_programs_that_do_not_work_on_the_nodes(cluster: Cluster, dataset: Path, folder: Path):
    """One that is not there ends the driver; one that does not answer is reported with its words."""
    program = folder / "planner"
    program.write_text(f'#!/bin/sh\n[ "$1" = plan ] && exec {PROGRAM} "$@"\necho no library >&2\nexit 127\n')
    program.chmod(0o755)
    said = Run(cluster, "predict", dataset, *PREDICT, program=program).end("no library", status=3)
    assert "medcosmos ended with status 127" in said and "no library" in said, said
    # Found in the PATH of the driver, which is not that of the nodes.
    (folder / "bin").mkdir()
    (folder / "bin/medcosmos").symlink_to(PROGRAM)
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    options = {"program": Path("medcosmos"), "environment": environment}
    said = Run(cluster, "predict", dataset, *PREDICT, **options).end("no program", status=1)
    assert "No such file or directory: 'medcosmos'" in said and "shards are open" in said, said
    medcosmos("predict", dataset, "--model", "otsu-box", "--limit", "1", "--quiet")
    said = Run(cluster, "evaluate", dataset, **options).end("no program", status=3)
    assert "No such file or directory: 'medcosmos'" in said, said
