"""`query` gives what DuckDB gives for the same statement over the same files: values, order, and names where both name a
column. What it does not answer it refuses with a sentence.

Columns without a sign are read as signed 64 bits on both sides: DuckDB refuses a difference below zero of its own types.
"""

import json
import math

import duckdb
import pytest

TABLES = ["masks", "slices", "cases", "metrics", "factors"]
UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")

ANSWERED = """
SELECT target, strategy, avg(dice) AS d FROM metrics WHERE choice = 'oracle' GROUP BY ALL ORDER BY target, strategy
SELECT count(*), avg(dice), corr(dice, hd95) FROM metrics
SELECT count(laterality) AS sides, count(DISTINCT laterality) AS kinds, count(DISTINCT target) AS t FROM masks
SELECT mask_id, area_px - 180 AS d FROM masks ORDER BY mask_id
SELECT avg(area_px - 2000) AS d, sum(area_px * 15000000) AS s FROM masks
SELECT max(area_px) - min(area_px) AS r, sum(area_px) / count(*) AS a, count(*) - 1000 AS n FROM masks
SELECT length(target) - 100 AS m, rank() OVER (ORDER BY mask_id) - 5 AS r FROM masks ORDER BY mask_id
SELECT slice_id, height - width AS d, slice_index - 3 AS s FROM slices ORDER BY slice_id
SELECT mask_id, bbox[3] - bbox[1] + 1 AS columns FROM masks ORDER BY mask_id
SELECT count(*) AS n FROM (SELECT label_name FROM masks UNION ALL SELECT object FROM masks) AS u
SELECT source AS name FROM masks UNION SELECT target FROM masks ORDER BY name
SELECT area_px AS v FROM masks UNION ALL SELECT dice AS v FROM metrics ORDER BY v DESC LIMIT 20
SELECT target, count(*) AS n FROM masks GROUP BY target UNION ALL SELECT 'all' AS target, count(*) AS n FROM masks ORDER BY n, target
SELECT slice_id FROM slices EXCEPT SELECT slice_id FROM masks WHERE area_px > 500 ORDER BY slice_id
SELECT source, target FROM masks INTERSECT SELECT source, target FROM metrics ORDER BY source, target
SELECT source FROM masks INTERSECT SELECT source FROM metrics EXCEPT SELECT 'acdc' AS source ORDER BY source
SELECT mask_id FROM masks m WHERE NOT EXISTS (SELECT 1 FROM metrics x WHERE x.mask_id = m.mask_id AND x.dice > 0.3) ORDER BY mask_id
SELECT mask_id FROM masks m WHERE EXISTS (SELECT 1 FROM metrics x WHERE x.mask_id = m.mask_id AND x.dice > 0.3) ORDER BY mask_id
SELECT count(*) AS n FROM masks WHERE EXISTS (SELECT 1 FROM metrics WHERE dice > 2)
SELECT mask_id FROM masks WHERE mask_id NOT IN (SELECT mask_id FROM metrics WHERE dice > 0.3) ORDER BY mask_id
SELECT mask_id, dice FROM metrics WHERE dice > (SELECT avg(dice) FROM metrics) AND choice = 'oracle' ORDER BY dice, mask_id
SELECT mask_id, area_px - (SELECT avg(area_px) FROM masks) AS d FROM masks ORDER BY mask_id
SELECT mask_id FROM masks WHERE area_px > (SELECT area_px FROM masks WHERE mask_id = 'none') ORDER BY mask_id
SELECT (SELECT count(*) FROM metrics) AS n, count(*) AS m FROM masks
WITH t AS (SELECT target, avg(dice) AS d FROM metrics GROUP BY target) SELECT target, d - (SELECT avg(d) FROM t) AS diff FROM t ORDER BY target
SELECT target, avg(dice) - lag(avg(dice)) OVER (ORDER BY target) AS gain FROM metrics GROUP BY target ORDER BY target
SELECT target, rank() OVER (ORDER BY avg(dice) DESC) AS r FROM metrics GROUP BY target ORDER BY target
SELECT target, count(*) AS n, count(*) * 100.0 / sum(count(*)) OVER () AS share FROM masks GROUP BY target ORDER BY target
SELECT target, avg(area_px) AS a, rank() OVER w AS r FROM masks GROUP BY target WINDOW w AS (ORDER BY avg(area_px)) ORDER BY target
SELECT mask_id, rank() OVER (ORDER BY area_mm2 DESC) AS r, dense_rank() OVER (PARTITION BY source ORDER BY area_mm2) AS d FROM masks ORDER BY mask_id
SELECT mask_id, row_number() OVER (PARTITION BY target ORDER BY area_px, mask_id) AS r FROM masks ORDER BY mask_id
SELECT mask_id, lag(area_px) OVER (PARTITION BY target ORDER BY mask_id) AS l, lead(area_px, 2) OVER (PARTITION BY target ORDER BY mask_id) AS m FROM masks ORDER BY mask_id
SELECT mask_id, sum(area_px) OVER (PARTITION BY target ORDER BY mask_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM masks ORDER BY mask_id
SELECT mask_id, area_px - avg(area_px) OVER (PARTITION BY target) AS c FROM masks ORDER BY mask_id
SELECT mask_id FROM masks QUALIFY row_number() OVER (PARTITION BY target ORDER BY area_px, mask_id) = 1 ORDER BY mask_id
SELECT mask_id, area_mm2 FROM masks ORDER BY area_mm2 DESC, mask_id
SELECT mask_id, area_mm2 FROM masks ORDER BY area_mm2, mask_id
SELECT mask_id, area_px / 7 AS a, area_px % 7 AS b, area_px // 7 AS c, -area_px % 7 AS d, -area_px // 7 AS e FROM masks ORDER BY mask_id
SELECT mask_id, round(area_px / 8.0) AS a, round(-area_px / 8.0, 1) AS b, floor(area_px / 8.0) AS c FROM masks ORDER BY mask_id
SELECT CAST(area_px / 100 AS INTEGER) AS bin, count(*) AS n FROM masks GROUP BY bin ORDER BY bin
SELECT median(dice) AS m, stddev(dice) AS s, var_samp(dice) AS v, quantile_cont(dice, 0.25) AS q, min(dice) AS a, max(dice) AS b FROM metrics
SELECT avg(dice) FILTER (WHERE choice = 'oracle') AS a, count(*) FILTER (WHERE dice > 0.5) AS n FROM metrics
SELECT sum(area_px) AS s, count(*) AS n, max(area_px) AS m FROM masks WHERE area_px < 0
SELECT m.mask_id, x.dice FROM masks m LEFT JOIN metrics x ON m.mask_id = x.mask_id AND x.choice = 'oracle' AND x.dice > 0.5 ORDER BY m.mask_id
SELECT a.mask_id, a.dice - b.dice AS d FROM metrics a JOIN metrics b ON a.mask_id = b.mask_id AND a.model = b.model AND a.strategy = b.strategy WHERE a.choice = 'oracle' AND b.choice = 'score' ORDER BY a.mask_id
SELECT * FROM metrics JOIN factors USING (mask_id) WHERE choice = 'oracle' ORDER BY mask_id
SELECT count(*) AS n FROM masks a, masks b WHERE a.target = b.target AND a.mask_id < b.mask_id
SELECT target FROM masks GROUP BY target ORDER BY count(*) DESC, target
SELECT target, count(*) AS n FROM masks GROUP BY target HAVING n > 3 AND max(area_px) > 100 ORDER BY n DESC, target
SELECT lower(target) AS target, count(*) AS n FROM masks GROUP BY target ORDER BY target
SELECT CASE WHEN area_px > 400 THEN 'big' ELSE 'small' END AS size, count(*) AS n, avg(area_px) AS a FROM masks GROUP BY 1 ORDER BY 1
SELECT laterality, count(*) AS n FROM masks GROUP BY laterality ORDER BY laterality
SELECT split_part(mask_id, '/', 2) AS c, upper(source) AS s, count(*) AS n FROM masks GROUP BY c, s ORDER BY c, s
SELECT mask_id FROM masks WHERE target ILIKE 'left%' AND mask_id NOT LIKE '%z0001%' ORDER BY mask_id
SELECT width, mask_id, height FROM (SELECT m.mask_id, s.height, s.width FROM masks m JOIN slices s ON m.slice_id = s.slice_id) AS q ORDER BY mask_id
SELECT s.modality, avg(x.dice) AS d FROM metrics x JOIN slices s ON x.slice_id = s.slice_id GROUP BY s.modality ORDER BY s.modality
SELECT s.source, m.source AS o, count(*) AS n FROM masks m JOIN slices s ON m.slice_id = s.slice_id GROUP BY s.source, m.source ORDER BY 1
SELECT count(*) AS n, count(x.dice) AS d FROM masks m LEFT JOIN metrics x ON m.mask_id = x.mask_id AND choice = 'oracle' AND dice > 0.9
SELECT count(*) AS n FROM metrics x RIGHT JOIN masks m ON m.mask_id = x.mask_id AND x.dice > 0.9
SELECT count(*) AS n FROM masks m JOIN metrics x ON m.area_px > x.hd95 AND m.mask_id = x.mask_id
SELECT count(*) AS n FROM masks a JOIN masks b ON a.slice_id = b.slice_id AND (a.area_px < b.area_px OR a.mask_id < b.mask_id)
SELECT count(s.height) AS h, count(*) AS n FROM masks m LEFT JOIN metrics x ON m.mask_id = x.mask_id AND x.dice > 0.9 LEFT JOIN slices s ON x.slice_id = s.slice_id AND s.height > 100
SELECT sum(1) AS n, sum(1.5) AS m, count(1) AS c, avg(2) AS a, min(3) AS i, max(4) AS x, median(5) AS d FROM masks
SELECT target, sum(1) AS n, sum(CASE WHEN true THEN 2 ELSE 0 END) AS m FROM masks GROUP BY target ORDER BY target
SELECT mask_id, sum(1) OVER (PARTITION BY target) AS n FROM masks ORDER BY mask_id
SELECT sum(1) AS n, max(1) AS m FROM masks WHERE area_px < 0
WITH metrics AS (SELECT * FROM metrics WHERE choice = 'oracle') SELECT count(*) AS n FROM metrics
WITH metrics AS (SELECT * FROM metrics WHERE choice = 'oracle') SELECT count(*) AS n FROM metrics m JOIN masks k ON m.mask_id = k.mask_id
WITH factors AS (SELECT mask_id FROM masks LIMIT 5) SELECT count(*) AS n FROM factors WHERE factors.mask_id > 'a'
WITH x AS (SELECT 1 AS a) SELECT count(*) AS n FROM (WITH x AS (SELECT mask_id FROM masks) SELECT * FROM x) AS y
SELECT (laterality = 'left') IS TRUE AS a, (laterality = 'left') IS NOT TRUE AS b, (laterality = 'left') IS FALSE AS c, (laterality = 'left') IS NOT FALSE AS d FROM masks ORDER BY mask_id
SELECT count(*) AS n FROM masks WHERE (laterality = 'left') IS NOT TRUE
SELECT -area_px AS area_px, mask_id FROM masks ORDER BY -area_px, mask_id
SELECT 1 - dice AS dice, mask_id, strategy, choice FROM metrics ORDER BY dice + 0, mask_id, choice
SELECT log(2, 8) AS l, mod(-area_px, 7) AS m, substr(mask_id, -3) AS s FROM masks ORDER BY mask_id
SELECT 1e3 AS a, 1.5e-3 AS b, count(*) AS n FROM metrics WHERE hd95 < 1e308 AND dice > 1E-9
SELECT MASK_ID, M.Area_Px FROM Masks AS m WHERE TARGET <> '' ORDER BY Mask_Id
"""

REFUSED = {
    "SELECT mask_id, ntile(4) OVER (ORDER BY area_px) FROM masks": "ntile",
    "SELECT regexp_extract(mask_id, 'z([0-9]+)', 1) FROM masks": "regexp_extract",
    "SELECT mask_id FROM masks m WHERE area_px > 5 OR EXISTS (SELECT 1 FROM metrics x WHERE x.mask_id = m.mask_id)": "EXISTS",
    "SELECT mask_id FROM masks m WHERE area_px > (SELECT avg(area_px) FROM masks n WHERE n.target = m.target)": "JOIN",
    "SELECT sum(area_px) OVER (ORDER BY area_px) FROM masks": "ROWS BETWEEN",
    "SELECT mask_id FROM masks FULL JOIN metrics USING (mask_id)": "coalesce",
    "SELECT target, area_px FROM masks GROUP BY target": "GROUP BY",
    "SELECT mask_id FROM masks WHERE avg(area_px) > 5": "HAVING",
    "SELECT sum(area_px) FROM masks GROUP BY ROLLUP (target)": "ROLLUP",
    "SELECT mask_id FROM masks WHERE (target, source) IN (SELECT target, source FROM metrics)": "not supported",
    "SELECT perceptual_hash - 1 FROM slices": "compared",
    "SELECT sum(perceptual_hash) FROM slices": "compared",
    "SELECT count(*) FROM masks m LEFT JOIN metrics x ON m.mask_id = x.mask_id AND m.area_px > 500": "subquery first",
    "SELECT count(*) FROM masks a LEFT JOIN masks b ON a.slice_id = b.slice_id AND a.area_px < b.area_px": "subquery first",
    "SELECT count(*) FROM masks m FULL JOIN metrics x ON m.mask_id = x.mask_id AND x.dice > 0.9": "subquery first",
    "SELECT DISTINCT target FROM masks ORDER BY area_px": "DISTINCT",
    "SELECT approx_count_distinct(source) FROM masks": "count(DISTINCT",
    "DELETE FROM masks": "SELECT",
}


@pytest.fixture(scope="module")
def database(measured_dataset):
    """DuckDB's view of the same files."""
    connection = duckdb.connect()
    for name in TABLES:
        files = f"read_parquet('{measured_dataset}/{name}/**/*.parquet', hive_partitioning = false)"
        columns = connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()

        def column(name, kind):
            wide = kind.startswith(UNSIGNED) and name != "perceptual_hash"
            return f'"{name}"::BIGINT{"[]" if kind.endswith("[]") else ""} AS "{name}"' if wide else f'"{name}"'

        listed = ", ".join(column(name, kind) for name, kind, *_ in columns if name != "image")
        connection.execute(f"CREATE VIEW {name} AS SELECT {listed} FROM {files}")
    return connection


def plain(value):
    if hasattr(value, "as_tuple"):  # a decimal
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def same(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == pytest.approx(b, rel=1e-9, abs=1e-12)
    return a == b


@pytest.mark.parametrize("statement", ANSWERED.strip().splitlines())
def test_answers_are_those_of_duckdb(statement, measured_dataset, database, medcosmos):
    answer = database.execute(statement)
    names = [column[0] for column in answer.description]
    expected = [plain(row) for row in answer.fetchall()]
    lines = medcosmos("query", measured_dataset, statement, "--json").stdout.splitlines()
    rows = [json.loads(line, object_pairs_hook=list) for line in lines]
    found = [plain([value for _, value in row]) for row in rows]
    assert len(found) == len(expected)
    if len(set(names)) == len(names):
        for row in rows:
            for theirs, (ours, _) in zip(names, row):
                assert ours == theirs or "(" in theirs
    for ours, theirs in zip(found, expected):
        assert same(ours, theirs), (ours, theirs)


@pytest.mark.parametrize("statement", REFUSED)
def test_what_is_not_answered_is_refused_with_a_sentence(statement, measured_dataset, medcosmos):
    told = medcosmos("query", measured_dataset, statement, status=1).stderr
    assert REFUSED[statement] in told and len(told) < 400
    assert not any(mark in told for mark in ["Ident {", "Span", "Some(", "Expr"]), told
