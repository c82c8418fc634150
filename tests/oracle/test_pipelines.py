"""The scripts in `pipelines/` give the numbers of `analyze`."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest

from conftest import REPOSITORY

FOLDER = REPOSITORY / "pipelines"
KEYS = ["model", "strategy", "variant", "choice", "factor"]


@pytest.fixture(scope="module")
def expected(medcosmos, cosmos_dataset) -> pl.DataFrame:
    medcosmos("analyze", cosmos_dataset, "--quiet")
    return pl.read_parquet(cosmos_dataset / "analysis/correlations.parquet")


def by_script(dataset, file) -> pl.DataFrame:
    command = [sys.executable, FOLDER / "factor_correlation.py", dataset, "--csv", file]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}  # polars draws its tables with lines
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=True)
    assert "partial_rho" in done.stdout and not done.stderr
    return pl.read_csv(file).with_columns(pl.col("variant").fill_null(""))


def compare(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    rows = found.join(expected.select(*KEYS, "partial_rho", "p", "n"), on=KEYS, suffix="_expected")
    assert len(rows) == len(found) == len(expected)
    for row in rows.rows(named=True):
        assert row["n"] == row["n_expected"]
        for name in ("partial_rho", "p"):
            value = row[f"{name}_expected"]
            assert row[name] == (None if value is None else pytest.approx(value, abs=1e-9)), row


def test_the_script_gives_the_partial_correlations(expected, cosmos_dataset, tmp_path):
    assert expected["partial_rho"].null_count() == 0 and len(expected) == 10
    compare(by_script(cosmos_dataset, tmp_path / "found.csv"), expected)


def test_the_script_leaves_out_what_the_program_leaves_out(medcosmos, measured_dataset, tmp_path):
    """Masks of excluded categories, and those without an intensity difference."""
    medcosmos("analyze", measured_dataset, "--quiet")
    expected = pl.read_parquet(measured_dataset / "analysis/correlations.parquet")
    compare(by_script(measured_dataset, tmp_path / "found.csv"), expected)


def test_the_query_gives_the_plain_correlations(medcosmos, expected, cosmos_dataset):
    sql = (FOLDER / "factor_correlation.sql").read_text()
    lines = medcosmos("query", cosmos_dataset, sql, "--json").stdout.splitlines()
    columns = {
        "size": "size_px", "aspect": "aspect_ratio", "intensity": "intensity_difference_abs",
        "boundary": "boundary_complexity", "modality": "modality_index",
    }  # fmt: skip
    rows = [json.loads(line) for line in lines]
    assert sorted(row["choice"] for row in rows) == ["oracle", "score"]
    for row in rows:
        plain = dict(expected.filter(choice=row["choice"]).select("factor", "plain_rho").iter_rows())
        assert row["n"] == 56
        assert {factor: row[name] for name, factor in columns.items()} == pytest.approx(plain, abs=1e-9)
