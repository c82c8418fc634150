"""Spearman partial correlation of a metric with each factor, from the tables of a dataset.

Computes what `medcosmos analyze` computes, as a starting point for your own scripts. Needs polars, numpy and scipy.

    python pipelines/factor_correlation.py data/ --csv correlations.csv

For each model, strategy, variant and choice: rank the metric and the factors, invert their correlation matrix, and take
-P_ij / sqrt(P_ii P_jj) of the inverse P; two-sided t-test with n - 2 - k degrees of freedom for k factors controlled for.
See docs/protocol.md, 5.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

FACTORS = ["size_px", "aspect_ratio", "intensity_difference_abs", "boundary_complexity", "modality_index"]
CONDITION = ["model", "strategy", "variant", "choice"]


def table(dataset: Path, name: str) -> pl.LazyFrame:
    # `source` and `model` are columns already; they need not be inferred from folder names.
    return pl.scan_parquet(dataset / name / "**/*.parquet", hive_partitioning=False)


def partial_correlations(values: np.ndarray) -> list[tuple[float, float]]:
    """Of the first column with each of the others, controlling for the rest: coefficient and p-value."""
    n, columns = values.shape
    df = n - columns  # n - 2 - k, and k = columns - 2
    nothing = [(np.nan, np.nan)] * (columns - 1)
    if df < 1 or columns < 2 or np.ptp(values[:, 0]) == 0:
        return nothing
    correlations = np.corrcoef(stats.rankdata(values, axis=0), rowvar=False)
    if np.linalg.matrix_rank(correlations, tol=1e-10) < columns:  # a column follows from the others
        return nothing
    inverse = np.linalg.inv(correlations)
    own = np.diag(inverse)
    rho = np.clip(-inverse[0, 1:] / np.sqrt(own[0] * own[1:]), -1, 1)
    with np.errstate(divide="ignore"):  # rho = 1: t is infinite, and p is 0
        t = rho * np.sqrt(df / (1 - rho**2))
    return list(zip(rho, 2 * stats.t.sf(np.abs(t), df), strict=True))


def factor_correlations(dataset: Path, metric: str) -> pl.DataFrame:
    metrics = table(dataset, "metrics").filter(~pl.col("excluded")).select("mask_id", *CONDITION, metric)
    joined = metrics.join(table(dataset, "factors").select("mask_id", *FACTORS), on="mask_id")
    rows = []
    for condition, group in joined.drop_nulls().collect().group_by(CONDITION):
        # A factor with one value, such as the modality of a dataset that has one, explains nothing.
        varying = [name for name in FACTORS if group[name].n_unique() > 1]
        values = group.select(metric, *varying).to_numpy().astype(float)
        found = dict(zip(varying, partial_correlations(values), strict=True))
        for name in FACTORS:
            rho, p = found.get(name, (np.nan, np.nan))
            rows.append([*condition, name, rho, p, len(group)])
    names = [*CONDITION, "factor", "partial_rho", "p", "n"]
    return pl.DataFrame(rows, schema=names, orient="row").fill_nan(None).sort(CONDITION, maintain_order=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("dataset", type=Path, help="dataset that was evaluated")
    parser.add_argument("--metric", default="dice", help="column of the table metrics (default: dice)")
    parser.add_argument("--csv", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    found = factor_correlations(arguments.dataset, arguments.metric)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(found)
    if arguments.csv:
        found.write_csv(arguments.csv)


if __name__ == "__main__":
    main()
