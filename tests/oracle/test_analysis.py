"""`analyze` gives the statistics of pingouin, scipy and polars, and `query` the answers of polars.

All numbers are computed a second time from the tables `metrics` and `factors`: the partial Spearman correlation of
Dice with each factor, controlling for the other four, by pingouin; the plain one and the test between modalities by
scipy; the summaries, balanced over targets as well, by polars.
"""

import json
from pathlib import Path

import pandas
import pingouin
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from tables import table

FACTORS = ["size_px", "aspect_ratio", "intensity_difference_abs", "boundary_complexity", "modality_index"]


@pytest.fixture(scope="module")
def analysis(medcosmos, cosmos_dataset) -> Path:
    medcosmos("analyze", cosmos_dataset, "--quiet")
    return cosmos_dataset / "analysis"


@pytest.fixture(scope="module")
def joined(cosmos_dataset) -> pl.DataFrame:
    """Metrics of the oracle's choice with the factors of their masks."""
    factors = table(cosmos_dataset, "factors").select("mask_id", *FACTORS)
    return table(cosmos_dataset, "metrics", choice="oracle").join(factors, on="mask_id")


@pytest.mark.parametrize("factor", FACTORS)
def test_correlations_are_those_of_pingouin_and_scipy(factor, analysis, joined):
    rows = pl.read_parquet(analysis / "correlations.parquet").filter(choice="oracle", factor=factor)
    (row,) = rows.rows(named=True)
    controls = [name for name in FACTORS if name != factor]
    data = pandas.DataFrame({name: joined[name].to_numpy() for name in ["dice", *FACTORS]})
    partial = pingouin.partial_corr(data, x="dice", y=factor, covar=controls, method="spearman")
    assert row["controls"].split() == controls
    assert row["n"] == partial["n"].item() == 56
    assert row["partial_rho"] == pytest.approx(partial["r"].item(), abs=1e-9)
    assert row["p"] == pytest.approx(partial["p_val"].item(), rel=1e-6)
    plain = stats.spearmanr(data["dice"], data[factor])
    assert row["plain_rho"] == pytest.approx(plain.statistic, abs=1e-9)
    assert row["plain_p"] == pytest.approx(plain.pvalue, rel=1e-9)
    if factor == "modality_index":
        groups = stats.kruskal(*(group["dice"].to_numpy() for _, group in joined.group_by(factor)))
        assert row["nominal"] and row["kruskal_h"] == pytest.approx(groups.statistic, abs=1e-9)
        assert row["kruskal_p"] == pytest.approx(groups.pvalue, rel=1e-9)


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg(analysis):
    for choice in ("oracle", "score"):
        rows = pl.read_parquet(analysis / "correlations.parquet").filter(choice=choice)
        expected = stats.false_discovery_control(rows["p"].to_numpy())
        assert rows["p_adjusted"].to_list() == pytest.approx(expected.tolist(), rel=1e-9)


@pytest.mark.parametrize("by", [None, "modality", "object", "target", "source"])
def test_summaries_are_those_of_polars(by, analysis, joined):
    file = f"summary_by_{by}.parquet" if by else "summary.parquet"
    summary = pl.read_parquet(analysis / file).filter(choice="oracle")
    for metric in ("dice", "iou", "hd", "hd95", "assd", "nsd"):
        groups = joined.partition_by(by, as_dict=True) if by else {(None,): joined}
        rows = summary.filter(metric=metric)
        assert len(rows) == len(groups)
        for row in rows.rows(named=True):
            group = groups[(row[by] if by else None,)]
            values = group[metric]
            targets = group.group_by("target").agg(pl.col(metric).mean())[metric]
            counts = [row[name] for name in ("masks", "n", "failures", "targets")]
            assert counts == [len(group), values.count(), 0, len(targets)]
            expected = [values.mean(), values.std(ddof=0), values.min(), values.max(), values.median()]
            expected += [values.quantile(0.25, "linear"), values.quantile(0.75, "linear")]
            expected += [targets.mean(), targets.std(ddof=0) if len(targets) > 1 else 0.0]
            names = ["mean", "std", "min", "max", "median", "q1", "q3", "balanced_mean", "balanced_std"]
            assert [row[name] for name in names] == pytest.approx(expected, rel=1e-9, abs=1e-9), (metric, row)


def test_the_csv_files_hold_the_same(analysis):
    for file in analysis.glob("*.parquet"):
        frame = pl.read_parquet(file)
        written = pl.read_csv(file.with_suffix(".csv"), schema=frame.schema)
        words = [name for name, kind in frame.schema.items() if kind == pl.String]
        # An empty word and no word are one in this format.
        written, frame = (either.with_columns(pl.col(words).fill_null("")) for either in (written, frame))
        assert_frame_equal(written, frame)


def test_the_printed_tables_are_those_of_the_files(analysis, medcosmos, cosmos_dataset):
    printed = json.loads(medcosmos("analyze", cosmos_dataset, "--json").stdout)
    assert sorted(printed) == sorted(file.stem for file in analysis.glob("*.parquet"))
    for name, rows in printed.items():
        assert rows == pl.read_parquet(analysis / f"{name}.parquet").rows(named=True)


QUERIES = [
    "SELECT target, count(*) AS masks, avg(area_px) AS area FROM masks GROUP BY target ORDER BY masks DESC, target",
    "SELECT strategy, choice, avg(dice) AS dice, max(hd) AS hd FROM metrics GROUP BY strategy, choice ORDER BY choice",
    "SELECT m.mask_id, m.dice, f.boundary_complexity FROM metrics m JOIN factors f ON m.mask_id = f.mask_id "
    "WHERE m.choice = 'oracle' AND f.size_px > 2000 ORDER BY m.mask_id",
    "SELECT slice_id, height, width FROM slices WHERE modality = 'CT' ORDER BY slice_id",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_queries_are_answered_as_polars_answers_them(sql, medcosmos, cosmos_dataset, tmp_path):
    tables = {name: table(cosmos_dataset, name) for name in ("cases", "slices", "masks", "factors", "metrics")}
    expected = pl.SQLContext(frames=tables).execute(sql, eager=True)
    assert len(expected) > 0
    medcosmos("query", cosmos_dataset, sql, "--out", tmp_path / "answer.parquet")
    answer = pl.read_parquet(tmp_path / "answer.parquet")
    # The two builds of polars count in integers of different widths, and add in different orders.
    assert_frame_equal(answer, expected, check_dtypes=False, rel_tol=1e-12, abs_tol=0)
    printed = medcosmos("query", cosmos_dataset, sql, "--json").stdout
    # The same question has the same answer to the last digit.
    assert [json.loads(line) for line in printed.splitlines()] == answer.rows(named=True)


def test_a_wrong_query_is_refused_in_a_line(medcosmos, cosmos_dataset):
    for sql in ("SELECT nothing FROM metrics", "SELECT * FROM nowhere", "SELECT FROM"):
        done = medcosmos("query", cosmos_dataset, sql, status=1)
        assert not done.stdout and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
