"""The workflow of Snakemake, on one machine."""

import subprocess
from pathlib import Path

from conftest import PIPELINES, PROGRAM, assert_same, interpreter_tool

STAGES = ["build=--shard-seconds 0.05", "predict=--model otsu-box --shard-seconds 0.1"]


def snakemake(folder: Path, raw: Path, *options: str, status: int = 0) -> str:
    config = [f"raw={raw}", "dataset=dataset", f"medcosmos={PROGRAM}", "group_seconds=0.4", *STAGES]
    command = [interpreter_tool("snakemake"), "--snakefile", PIPELINES / "snakemake/Snakefile", "--cores", "2"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([*command, *options, "--config", *config], cwd=folder, timeout=300, **streams)
    assert done.returncode == status, done.stdout[-4000:]
    return done.stdout


def test_all_stages(raw: Path, whole: Path, tmp_path: Path):
    snakemake(tmp_path, raw)
    assert_same(tmp_path / "dataset", whole)
    assert "Nothing to be done" in snakemake(tmp_path, raw)
    # A lost receipt of the workflow: medcosmos has done the shards and says so.
    receipt = tmp_path / "dataset/.medcosmos/snakemake/build/receipts/0.jsonl"
    receipt.unlink()
    snakemake(tmp_path, raw, str(receipt))
    assert '"reused"' in receipt.read_text() and '"done"' not in receipt.read_text()
    assert_same(tmp_path / "dataset", whole)
