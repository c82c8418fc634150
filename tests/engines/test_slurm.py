"""The scripts for Slurm against Slurm itself: a controller and one node, of Debian's packages, on loopback.

    apt-get install slurmctld slurmd munge slurm-client
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PIPELINES, PREDICT, PROGRAM, SMALL, Place, assert_same, medcosmos, missing

PLAN = PIPELINES / "slurm/plan.sh"

# Processes are not tracked by control groups, and nobody is asked for an account.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MaxArraySize=100
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES OverSubscribe=YES State=UP
"""


class Slurm:
    def __init__(self, folder: Path) -> None:
        self.place, self.folder = Place(), folder
        for name in ("munge", "state", "spool", "jobs"):
            (folder / name).mkdir(mode=0o700, parents=True)
        (folder / "munge/key").write_bytes(os.urandom(1024))
        (folder / "munge/key").chmod(0o400)
        host = socket.gethostname().split(".")[0]
        (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder))
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "MEDCOSMOS": str(PROGRAM)}
        munge = [f"--{name}-file={folder}/munge/{name}" for name in ("key", "pid", "seed", "log")]
        self.daemon("munged", "--force", "--foreground", f"--socket={folder}/munge/socket", *munge)
        self.daemon("slurmctld", "-D")
        self.daemon("slurmd", "-D")
        self.wait(lambda: "idle" in self.tool("sinfo", "--noheader", "--format=%t"), 60)

    def daemon(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.out", "w") as out:
            self.place.start(*command, env=self.environment, stdout=out, stderr=out)

    def tool(self, *command) -> str:
        """What a command of Slurm prints, or the plan script."""
        options = {"env": self.environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return self.place.start(*command, cwd=self.folder / "jobs", **options).communicate(timeout=120)[0]

    def wait(self, until, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < limit, self.tool("squeue") + self.logs()
            time.sleep(0.3)

    def work_off(self) -> None:
        self.wait(lambda: not self.tool("squeue", "--noheader").strip(), 120)

    def logs(self) -> str:
        paths = [*self.folder.glob("*.out"), *self.folder.glob("jobs/**/*.log")]
        return "".join(f"--- {path}\n{path.read_text(errors='replace')[-2000:]}" for path in paths)


@pytest.fixture(scope="module")
def slurm(folder: Path) -> Iterator[Slurm]:
    if os.geteuid() != 0 or not shutil.which("slurmctld", path="/usr/sbin:/usr/bin"):
        missing("root and slurmctld, slurmd, munge, slurm-client of Debian")
    slurm = Slurm(folder / "slurm")
    yield slurm
    slurm.place.end()


def test_all_stages(slurm: Slurm, raw: Path, whole: Path, folder: Path):
    """Each script submits an array and a commit that waits for it."""
    dataset = folder / "by-slurm"
    slurm.environment |= {"TASK_SECONDS": "0.3", "SBATCH_MEM_PER_NODE": "1000"}
    for stage in (
        ["build", raw, "--out", dataset, "--shard-seconds", "0.05"],
        ["predict", dataset, "--model", "otsu-box", "--shard-seconds", "0.1"],
        ["evaluate", dataset],
    ):
        began = time.monotonic()
        said = slurm.tool(PLAN, *stage)
        assert "commits; logs are in" in said and "array job" in said, said
        slurm.work_off()
        print(f"\n{stage[0]} on Slurm: {time.monotonic() - began:.1f} s, {said.splitlines()[0]}")
    assert_same(dataset, whole)
    # Nothing is left to do: only the commit is submitted.
    said = slurm.tool(PLAN, "evaluate", dataset)
    assert "array" not in said and "commits" in said, said
    slurm.work_off()
    assert_same(dataset, whole)


def test_a_failed_shard_cancels_the_commit_and_the_same_line_goes_on(
    slurm: Slurm, built: Path, predicted: Path, folder: Path
):
    dataset = shutil.copytree(built, folder / "failing")
    damaged = next((dataset / "slices/source=drive").glob("*.parquet"))
    sound = damaged.read_bytes()
    at = sound.index(b"IDAT") + 40
    damaged.write_bytes(sound[:at] + bytes(byte ^ 0xFF for byte in sound[at : at + 64]) + sound[at + 64 :])
    manifest = (dataset / "manifest.json").read_bytes()
    slurm.environment |= {"TASK_SECONDS": "2"}
    line = [PLAN, "predict", dataset, *PREDICT, *SMALL]
    slurm.tool(*line)
    slurm.work_off()
    assert (dataset / "manifest.json").read_bytes() == manifest
    assert "drive/" in medcosmos("retry", dataset, "--dry-run")
    damaged.write_bytes(sound)
    said = slurm.tool(*line)
    slurm.work_off()
    assert "for 1 shards" in said or "for 2 shards" in said, said
    assert_same(dataset, predicted)


def test_a_task_at_its_walltime_goes_back_into_the_queue(slurm: Slurm, built: Path, predicted: Path, folder: Path):
    dataset = shutil.copytree(built, folder / "short")
    slurm.environment |= {"TASK_SECONDS": "1000"}
    said = slurm.tool(PLAN, "predict", dataset, *PREDICT, *SMALL)
    job = said.split("array job ")[1].split()[0]
    attempts = dataset / ".medcosmos/attempts"
    slurm.wait(lambda: len(list(attempts.glob("*/*.json"))) > 3, 60)
    # What Slurm does two minutes before the end.
    slurm.tool("scancel", "--batch", "--signal=USR1", f"{job}_0")
    slurm.wait(lambda: "Reason=BeginTime" in slurm.tool("scontrol", "show", "job", f"{job}_0"), 60)
    assert "Restarts=1" in slurm.tool("scontrol", "show", "job", f"{job}_0")
    # Such a task waits for two minutes.
    slurm.tool("scontrol", "update", f"JobId={job}_0", "StartTime=now")
    slurm.work_off()
    assert_same(dataset, predicted)
    counts = sorted(len(list(shard.iterdir())) for shard in attempts.iterdir())
    assert counts[-2:] in ([1, 2], [1, 1]), counts  # at most the shard in hand was lost
